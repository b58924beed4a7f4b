//! Runs a compiled wasm test file in Node or in a browser; called by cargo. Holds no logic of its own.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())?;
    Ok(())
}
