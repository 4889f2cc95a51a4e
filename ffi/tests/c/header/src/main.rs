//! `cargo run -p grpclb-header` writes `ffi/include/grpclb.h`; `cargo test -p grpclb-header` compares it.

use std::path::{Path, PathBuf};

const PREAMBLE: &str = "\
/* libgrpclb: gRPC channels with client-side load balancing. Generated from ffi/src/capi by
 * `cargo run -p grpclb-header`; changes go there.
 *
 * Rules of all functions:
 *  - int32_t results: below 0 is GRPCLB_ERR_*, else what the function says. Numbers never change their meaning.
 *  - A pointer argument is borrowed for the call: nothing of it is kept unless its text says so.
 *  - A struct that begins with `size` is set to zero, and its size to sizeof of itself, before its first use.
 *  - NULL where something must be gives GRPCLB_ERR_NULL. A pointer to anything else than what is asked for is as
 *    undefined as ever in C.
 *  - No panic and no exception leaves the library. It installs no signal handler and starts no thread but those
 *    for name look-up and grpclb_channel_drive_in_background.
 *  - After fork() the child makes channels of its own; calls on the parent's end with INTERNAL.
 *  - With GRPCLB_BARE_METAL defined it declares what the archive without an operating system has: grpclb_conn,
 *    grpclb_fields_*, grpclb_version and grpclb_code_name.
 *
 * License: MIT OR Apache-2.0 */";

/// What cbindgen calls the feature `host`.
const HOST: &str = "GRPCLB_HOST";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn main() -> std::io::Result<()> {
    std::fs::write(top().join("include/grpclb.h"), header())
}

fn header() -> String {
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(PREAMBLE.into()),
        include_guard: Some("GRPCLB_H".into()),
        cpp_compat: true,
        style: cbindgen::Style::Both,
        documentation: true,
        documentation_style: cbindgen::DocumentationStyle::C99,
        usize_is_size_t: true,
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        line_length: 110,
        defines: [("feature = host".to_owned(), HOST.to_owned())].into(),
        sort_by: cbindgen::SortKey::None,
        ..Default::default()
    };
    // It follows the `mod` items from there.
    let builder = cbindgen::Builder::new().with_config(config).with_src(top().join("src/capi/mod.rs"));
    let bindings =
        builder.generate().unwrap_or_else(|error| panic!("the header cannot be generated: {error}"));
    let mut text = Vec::new();
    bindings.write(&mut text);
    let lines: String = String::from_utf8_lossy(&text).lines().map(parenthesized).collect();
    // Neighbours that need the host stand under one condition.
    let (begin, end) = (format!("#if defined({HOST})\n"), "#endif\n\n");
    lines.replace(&format!("{end}{begin}"), "\n").replace(&begin, "#ifndef GRPCLB_BARE_METAL\n")
}

/// A negative constant stands in parentheses, as a value in C should.
fn parenthesized(line: &str) -> String {
    match line.strip_prefix("#define ").and_then(|define| define.split_once(" -")) {
        Some((name, value)) => format!("#define {name} (-{value})\n"),
        None => format!("{line}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_header_is_the_generated_one() {
        let committed = std::fs::read_to_string(top().join("include/grpclb.h")).expect("it is committed");
        assert!(committed == header(), "stale: cargo run -p grpclb-header");
    }

    /// All files with that ending, one after the other.
    fn sources(folder: &str, ending: &str) -> String {
        let files = std::fs::read_dir(top().join(folder)).expect("a folder");
        let paths = files.map(|file| file.expect("a file").path());
        let wanted = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
        wanted.map(|path| std::fs::read_to_string(path).expect("text")).collect()
    }

    /// Name and body of each exported function.
    fn functions(sources: &str) -> Vec<(&str, &str)> {
        let found = sources.split("extern \"C\" fn ").skip(1).filter(|text| text.starts_with("grpclb_"));
        let parts = found.map(|text| {
            let (name, rest) = text.split_once('(').expect("arguments");
            (name, rest.split("\n}\n").next().expect("a body"))
        });
        parts.collect()
    }

    /// They take nothing that could be wrong, and do nothing that could go wrong.
    const PLAIN: [&str; 3] = ["grpclb_version", "grpclb_code_name", "grpclb_conn_align"];

    #[test]
    fn every_exported_function_is_in_the_header() {
        let (header, sources) = (header(), sources("src/capi", "rs"));
        let functions = functions(&sources);
        assert!(functions.len() > 60, "{}", functions.len());
        for (name, _) in functions {
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
        }
    }

    /// The body of each runs in a guard, or in one of the helpers that do nothing else.
    #[test]
    fn every_exported_function_holds_panics_back() {
        const GUARDS: [&str; 8] =
            ["guard(", "guard_value(", "guard_quietly(", "make(", "within(", "command(", "plainly(", "turn("];
        let sources = sources("src/capi", "rs");
        for (name, body) in functions(&sources) {
            let guarded = GUARDS.iter().any(|guard| body.contains(guard));
            assert!(guarded || PLAIN.contains(&name), "{name} lets panics through");
        }
    }

    #[test]
    fn every_exported_function_is_tried_with_null() {
        let (sources, tests) = (sources("src/capi", "rs"), sources("tests/c", "c"));
        for (name, _) in functions(&sources) {
            let tried = tests.contains(&format!("{name}(NULL"));
            assert!(tried || PLAIN.contains(&name), "no test gives NULL to {name}");
        }
    }
}
