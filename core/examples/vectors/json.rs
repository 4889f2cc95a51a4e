//! Reading the JSON of the test cases: every complaint names the file and what was expected.

use serde_json::Value;
use std::path::Path;

pub(crate) fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// `FOLDER/FILE`, as stories are called.
pub(crate) fn name(path: &Path) -> String {
    let last: Vec<_> =
        path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("/")
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Writes the file and the directories that lead to it.
pub(crate) fn write(path: &Path, root: &Value) -> Result<(), String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = serde_json::to_string_pretty(root).map_err(|e| fail(&e))?;
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(|e| fail(&e))?;
    std::fs::write(path, text + "\n").map_err(|e| fail(&e))
}
