//! `grpclb-wasm-packaging MODULE.wasm FOLDER`: runs wasm-bindgen's `web` target over a module.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = words.as_slice() else {
        eprintln!("usage: grpclb-wasm-packaging MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    let run = || {
        let mut bindgen = Bindgen::new();
        bindgen.input_path(module).out_name("grpclb").web(true)?;
        bindgen.typescript(false).omit_default_module_path(true).remove_name_section(true);
        bindgen.remove_producers_section(true).generate(folder)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasm-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
