//! The general bindings generator; wasm-pack asks it for its version. Holds no logic of its own.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(std::env::args_os())?;
    Ok(())
}
