//! Runs HPACK stories and HTTP/2 frame cases (the JSON of the HTTP/2 Japan Community's test cases) through
//! `grpclb-core` and compares; `--help` tells more.

mod frame;
mod hpack;
mod json;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
usage: vectors MODE [--chunk N] [--table N] [--write DIR] FILE_OR_DIR…

MODE
  hpack-decode  decodes the `wire` of every case and compares with its `headers`
  hpack-encode  encodes the `headers` of every case, decodes them again and compares;
                prints the octets used and their ratio to the plain names and values
  frame-decode  decodes the `wire` of every case and compares with its `frame`, or that its error is one of `error`
  frame-encode  encodes the `frame` of every case that has one, compares with its `wire` (where padding is taken to be
                zeros, as RFC 9113 asks of senders), decodes it again and compares

OPTIONS
  --chunk N     feeds N octets at a time; a header block comes as HEADERS and CONTINUATION with up to N octets each,
                its frames are read N octets at a time, and it is decoded when it is whole
  --table N     HPACK: SETTINGS_HEADER_TABLE_SIZE where a case has no `header_table_size` (default 4096)
  --write DIR   encoding: leaves the files with our `wire` in DIR, under the names of their folder and file

Directories are searched for .json files. Exit code 0: all as expected; 1: a difference, told with the story's name
and the case's seqno; 2: wrong arguments or an unreadable file.
";

const MODES: [&str; 4] = ["hpack-decode", "hpack-encode", "frame-decode", "frame-encode"];

pub(crate) struct Options {
    mode: String,
    chunk: Option<usize>,
    table: u32,
    write: Option<PathBuf>,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(message) => {
            eprintln!("vectors: {message}");
            ExitCode::from(2)
        }
    }
}

/// What `main` does; how many cases differ, or what is wrong with the arguments or files.
pub(crate) fn run(arguments: Vec<String>) -> Result<usize, String> {
    let options = parse(arguments)?;
    match options.mode.as_str() {
        "hpack-decode" => hpack::decode(&options),
        "hpack-encode" => hpack::encode(&options),
        "frame-decode" => frame::decode(&options),
        _ => frame::encode(&options),
    }
}

fn parse(arguments: Vec<String>) -> Result<Options, String> {
    let mut arguments = arguments.into_iter();
    let mode = arguments.next().ok_or("no mode given; see --help")?;
    if !MODES.contains(&mode.as_str()) {
        return Err(format!("unknown mode {mode}; see --help"));
    }
    let mut options = Options { mode, chunk: None, table: 4096, write: None, files: Vec::new() };
    let mut paths = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--chunk" => {
                let chunk = number(&value()?, "--chunk")?;
                if chunk == 0 {
                    return Err("--chunk: at least 1".into());
                }
                options.chunk = Some(chunk as usize);
            }
            "--table" => options.table = number(&value()?, "--table")?,
            "--write" => options.write = Some(PathBuf::from(value()?)),
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}; see --help")),
            path => paths.push(PathBuf::from(path)),
        }
    }
    for path in &paths {
        collect(path, &mut options.files)?;
    }
    if options.files.is_empty() {
        return Err("no .json file given; see --help".into());
    }
    Ok(options)
}

fn number(text: &str, option: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(n) if n < 1 << 24 => Ok(n),
        _ => Err(format!("{option}: {text} is not a number below 16777216")),
    }
}

/// A file itself, or the .json files below a directory, in order.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        inside.push(entry.map_err(fail)?.path());
    }
    inside.sort();
    for path in inside {
        if path.is_dir() || path.extension().is_some_and(|e| e == "json") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
