//! Files of one folder, for the page that calls.

use super::body::Body;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A folder whose files anybody may read.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// Without symbolic links on the way.
    root: PathBuf,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> io::Result<Files> {
        let root = folder.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
        }
        Ok(Files { root })
    }

    /// The file that a URL's path names.
    pub(crate) fn serve(&self, path: &str) -> Response<Body> {
        match self.open(path) {
            Found::File(file, len, kind) => {
                let mut response = Response::new(Body::File(file, len));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                // Files of a page that is being written: asked for again each time.
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                response
            }
            Found::Folder => match HeaderValue::from_str(&format!("{path}/")) {
                Ok(location) => {
                    let mut response = Response::new(Body::Empty);
                    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                    response.headers_mut().insert(LOCATION, location);
                    response
                }
                Err(_) => super::words(StatusCode::NOT_FOUND, "no such file"),
            },
            Found::Nothing => super::words(StatusCode::NOT_FOUND, "no such file"),
        }
    }

    fn open(&self, path: &str) -> Found {
        let Some(below) = relative(path) else { return Found::Nothing };
        // Wherever links lead: only what lies in the folder is served.
        let Ok(place) = self.root.join(&below).canonicalize() else { return Found::Nothing };
        if !place.starts_with(&self.root) {
            return Found::Nothing;
        }
        let place = if place.is_dir() {
            if !path.ends_with('/') {
                return Found::Folder;
            }
            match place.join("index.html").canonicalize() {
                Ok(index) if index.starts_with(&self.root) => index,
                _ => return Found::Nothing,
            }
        } else if path.ends_with('/') {
            return Found::Nothing;
        } else {
            place
        };
        // Opening a pipe would wait for its other end.
        if !place.is_file() {
            return Found::Nothing;
        }
        match File::open(&place).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((len, file)) => Found::File(file, len, content_type(&place)),
            Err(_) => Found::Nothing,
        }
    }
}

enum Found {
    File(File, u64, &'static str),
    Folder,
    Nothing,
}

/// A URL's path as one below the folder; `None`: it is none, or would leave it.
fn relative(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode(path.strip_prefix('/')?)?;
    let mut below = PathBuf::new();
    if decoded.is_empty() {
        return Some(below);
    }
    for part in decoded.strip_suffix('/').unwrap_or(&decoded).split('/') {
        if part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0', ':']) {
            return None;
        }
        below.push(part);
    }
    Some(below)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        octets.push(match octet {
            b'%' => (hex(rest.next())? * 16 + hex(rest.next())?) as u8,
            _ => octet,
        });
    }
    String::from_utf8(octets).ok()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" | "md" | "ts" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below() {
        let path = |path| relative(path).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(path("/").as_deref(), Some(""));
        assert_eq!(path("/a/b.js").as_deref(), Some("a/b.js"));
        assert_eq!(path("/a/").as_deref(), Some("a"));
        assert_eq!(path("/%61%20b").as_deref(), Some("a b"));
        for bad in [
            "",
            "a",
            "//",
            "//a",
            "/..",
            "/../a",
            "/a/../b",
            "/%2e%2e/a",
            "/a%2f..%2fb",
            "/a//b",
            "/./a",
            "/a\\b",
            "/%00",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/C:/a",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
