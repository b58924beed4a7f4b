//! Writes the JavaScript bindings of the compiled core: `bindgen INPUT.wasm OUTPUT_FOLDER`.
//!
//! Holds: the choice of flavour and the wrapping that makes the generated script an ES module whose
//! `createBindings()` gives a fresh set each time, with an instance of its own. The generated script
//! by itself is a singleton: once it has an instance it never takes another, and a store must be
//! replaceable after a trap. Must not know: what the core does, or where the files go in the end.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use wasm_bindgen_cli_support::Bindgen;

/// The name that the generated script gives to its one object, and its types to their namespace.
const GLOBAL: &str = "wasm_bindgen";

/// What stands in the generated types after the namespace of the core's own exports. It speaks of
/// fetching and of browser types, which a Node program's compiler does not know.
const TYPES_TAIL: &str = "declare type InitInput";

const NOTE: &str =
    "// Generated from the compiled core; changes here are lost at the next build.\n";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return Err("usage: bindgen INPUT.wasm OUTPUT_FOLDER".into());
    };
    // Names and producers serve debuggers only, and are a seventh of what a browser would load.
    let mut generated = Bindgen::new()
        .input_path(input)
        .out_name("chatstore")
        .no_modules(true)?
        .no_modules_global(GLOBAL)?
        .omit_default_module_path(true)
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()?;
    let types = generated.ts().ok_or("no types were generated")?;

    let output = Path::new(output);
    fs::create_dir_all(output)?;
    fs::write(output.join("bindings.js"), module(generated.js()))?;
    fs::write(output.join("bindings.d.ts"), module_types(types)?)?;
    fs::write(
        output.join("chatstore_bg.wasm"),
        generated.wasm_mut().emit_wasm(),
    )?;
    Ok(())
}

/// The script as the body of a function, so that each call has variables of its own.
fn module(script: &str) -> String {
    format!("{NOTE}export function createBindings() {{\n{script}\nreturn {GLOBAL};\n}}\n")
}

/// The types of the core's exports, and of the two functions that lead to them.
fn module_types(types: &str) -> Result<String, Box<dyn Error>> {
    let (namespace, _) = types.split_once(TYPES_TAIL).ok_or_else(|| {
        format!("the generated types have no `{TYPES_TAIL}`: their layout has changed")
    })?;
    Ok(format!(
        "{NOTE}{namespace}
declare namespace {GLOBAL} {{
    /** Makes the one instance of these bindings. Called again, it does nothing. */
    export function initSync(source: {{ module: WebAssembly.Module }}): {{ readonly memory: WebAssembly.Memory }};
}}

/** The core's exports, over one instance of their own. */
export type Bindings = typeof {GLOBAL};
export type {{ {GLOBAL} }};

/** A fresh set of bindings, which knows nothing of any other set or its instance. */
export function createBindings(): Bindings;
"
    ))
}
