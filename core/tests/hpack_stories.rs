//! HPACK stories (`vectors/README.md`) through `examples/vectors`: decoded, encoded, cut into fragments; and that it
//! sees a difference.

#[path = "../examples/vectors/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod vectors;

use std::path::{Path, PathBuf};

const STORIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/hpack-test-case");
const WITH_WIRE: [&str; 5] =
    ["nghttp2", "nghttp2-16384-4096", "nghttp2-change-table-size", "go-hpack", "haskell-http2-naive"];

fn run(arguments: &[&str]) -> Result<usize, String> {
    vectors::run(arguments.iter().map(|a| (*a).to_owned()).collect())
}

fn folder(name: &str) -> String {
    format!("{STORIES}/{name}")
}

#[test]
fn decode() {
    for name in WITH_WIRE {
        assert_eq!(run(&["hpack-decode", &folder(name)]), Ok(0));
    }
}

#[test]
fn decode_from_fragments() {
    for name in WITH_WIRE {
        for chunk in ["1", "7", "100"] {
            assert_eq!(run(&["hpack-decode", "--chunk", chunk, &folder(name)]), Ok(0));
        }
    }
}

#[test]
fn encode_and_decode_again() {
    for table in ["0", "100", "1000", "4096", "65536"] {
        assert_eq!(run(&["hpack-encode", "--table", table, &folder("raw-data")]), Ok(0));
    }
    // The table's size changes within these.
    assert_eq!(run(&["hpack-encode", &folder("nghttp2-change-table-size")]), Ok(0));
}

#[test]
fn what_is_written_is_a_story() {
    let directory = temporary("written");
    let path = directory.to_str().unwrap();
    assert_eq!(run(&["hpack-encode", "--write", path, &folder("raw-data")]), Ok(0));
    assert!(directory.join("raw-data/story_24.json").exists());
    assert_eq!(run(&["hpack-decode", path]), Ok(0));
}

/// A story with one thing changed, in a file of its own.
fn changed(name: &str, from: &str, to: &str) -> PathBuf {
    let story = std::fs::read_to_string(Path::new(STORIES).join("nghttp2/story_00.json")).unwrap();
    assert!(story.contains(from));
    let path = temporary(name).join("story.json");
    std::fs::write(&path, story.replacen(from, to, 1)).unwrap();
    path
}

#[test]
fn a_difference_is_seen() {
    for (name, from, to) in [
        ("value", "yahoo.co.jp", "yahoo.co.jq"),
        ("name", ":path", ":pith"),
        ("wire", "\"82", "\"83"),
        ("end", "{\":method\":\"GET\"},", ""),
        ("error", "\"82", "\"80"),
    ] {
        assert_eq!(run(&["hpack-decode", changed(name, from, to).to_str().unwrap()]), Ok(1), "{name}");
    }
}

#[test]
fn bad_arguments_and_files() {
    let story = folder("nghttp2/story_00.json");
    for (arguments, complaint) in [
        (&[][..], "no mode"),
        (&["decode", &story], "unknown mode"),
        (&["hpack-decode"], "no .json file"),
        (&["hpack-decode", "--chunk", "0", &story], "--chunk"),
        (&["hpack-decode", "--table", "many", &story], "many"),
        (&["hpack-decode", "--table"], "needs a value"),
        (&["hpack-decode", "--fast", &story], "--fast"),
        (&["hpack-decode", "no-such-file.json"], "no-such-file.json"),
        (&["hpack-decode", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], "Cargo.toml"),
        (&["hpack-decode", &folder("raw-data")], "has no wire"),
        (&["frame-decode", &story], "frame case"),
    ] {
        let error = run(arguments).unwrap_err();
        assert!(error.contains(complaint), "{arguments:?}: {error}");
    }
}

/// An empty directory for one test.
fn temporary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hpack_stories").join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}
