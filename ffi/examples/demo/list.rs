//! A list of backends in a file, as a `file:///` target reads it.

use crate::story::Told;
use std::path::{Path, PathBuf};

/// The file, removed at the end.
#[derive(Debug)]
pub(crate) struct List {
    path: PathBuf,
}

impl List {
    /// A list of these lines; `name` tells it from others of this process.
    pub(crate) fn create(name: &str, lines: &[String]) -> Told<List> {
        let file = format!("grpclb-demo-{}-{name}.txt", std::process::id());
        let list = List { path: std::env::temp_dir().join(file) };
        list.write(lines).map(|()| list)
    }

    /// What a channel is made with.
    pub(crate) fn target(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// As deployment tools do: written beside it and renamed over it, so that nobody reads half a list.
    pub(crate) fn write(&self, lines: &[String]) -> Told<()> {
        let draft: &Path = &self.path.with_extension("new");
        std::fs::write(draft, lines.join("\n") + "\n")
            .and_then(|()| std::fs::rename(draft, &self.path))
            .map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Nothing to be done about a temporary file that cannot be removed.
        std::fs::remove_file(&self.path).ok();
    }
}
