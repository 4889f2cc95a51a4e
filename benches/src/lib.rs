//! Shared inputs of the benchmarks.

use std::path::Path;

/// A header block: its octets on the wire and its fields.
pub struct Block {
    /// As the story's encoder made it; empty for `raw-data`.
    pub wire: Vec<u8>,
    /// Names and values.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The stories of an encoder's folder in `core/tests/vectors/hpack-test-case`, each the blocks of one connection.
///
/// # Panics
/// When they are not there or not as expected: they are part of the repository.
pub fn stories(encoder: &str) -> Vec<Vec<Block>> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/vectors/hpack-test-case").join(encoder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    files.sort();
    files.iter().map(|path| story(path)).collect()
}

fn story(path: &Path) -> Vec<Block> {
    let text = std::fs::read(path).expect("a readable story");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("a story in JSON");
    let cases = json["cases"].as_array().expect("cases");
    cases
        .iter()
        .map(|case| {
            let headers = case["headers"].as_array().expect("headers").iter();
            let pairs = headers.flat_map(|header| header.as_object().expect("a header"));
            Block {
                wire: unhex(case["wire"].as_str().unwrap_or_default()),
                fields: pairs
                    .map(|(name, value)| (name.clone().into(), value.as_str().expect("a value").into()))
                    .collect(),
            }
        })
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"))
        .collect()
}
