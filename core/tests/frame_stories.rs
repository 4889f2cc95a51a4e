//! Frame cases (`vectors/README.md`) through `examples/vectors`: decoded, encoded, cut into pieces; and that it sees a
//! difference.

#[path = "../examples/vectors/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod vectors;

use std::path::Path;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/http2-frame-test-case");

fn run(arguments: &[&str]) -> Result<usize, String> {
    vectors::run(arguments.iter().map(|a| (*a).to_owned()).collect())
}

#[test]
fn decode() {
    assert_eq!(run(&["frame-decode", CASES]), Ok(0));
    for chunk in ["1", "2", "8", "9", "10"] {
        assert_eq!(run(&["frame-decode", "--chunk", chunk, CASES]), Ok(0));
    }
}

#[test]
fn encode_and_decode_again() {
    assert_eq!(run(&["frame-encode", CASES]), Ok(0));
}

#[test]
fn a_difference_is_seen() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frame_stories");
    std::fs::create_dir_all(&directory).unwrap();
    for (i, (case, from, to)) in [
        ("data/normal.json", "\"flags\":8", "\"flags\":9"),
        ("data/normal.json", "Hello", "Hallo"),
        ("headers/priority.json", "\"weight\":10", "\"weight\":9"),
        ("settings/normal.json", "5000", "5001"),
        ("ping/normal.json", "6465616462656566\"", "646561646265656600\""),
    ]
    .into_iter()
    .enumerate()
    {
        let text = std::fs::read_to_string(Path::new(CASES).join(case)).unwrap();
        assert!(text.contains(from), "{case}");
        let path = directory.join(format!("{i}.json"));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(run(&["frame-decode", path]), Ok(1), "{case}: {to}");
        assert_eq!(run(&["frame-encode", path]), Ok(1), "{case}: {to}");
    }
    // The right kind of error only.
    let text = std::fs::read_to_string(Path::new(CASES).join("error/ping-frame-size.json")).unwrap();
    let path = directory.join("error.json");
    std::fs::write(&path, text.replacen("[6]", "[1]", 1)).unwrap();
    assert_eq!(run(&["frame-decode", path.to_str().unwrap()]), Ok(1));
}
