//! The text behind `file:` targets.

use super::Address;
use super::address::decimal;
use super::text::{cut, parts};
use crate::bytes::Exact;
use core::fmt;

/// Reads a list of endpoints: one address a line, then optionally its weight; `#` begins a comment, empty lines count
/// for nothing. An iterator, so that the caller chooses where the endpoints live. After an error it goes on with the
/// next line; who wants all or nothing stops at the first.
///
/// ```
/// use grpclb_core::balancer::EndpointList;
/// let text = "\
/// 10.0.0.1:50051
/// [fd00::2]:50051  4     # takes four times the calls
/// unix:/run/greeter.sock
/// 10.0.0.3";
/// let lines: Vec<String> = EndpointList::new(text)
///     .map(|line| match line {
///         Ok(endpoint) => format!("{} {}", endpoint.address, endpoint.weight),
///         Err(e) => e.to_string(),
///     })
///     .collect();
/// assert_eq!(lines[1], "[fd00::2]:50051 4");
/// assert_eq!(lines[3], "line 4, column 9: expected `:` and a port");
/// ```
#[derive(Clone, Debug)]
pub struct EndpointList<'t> {
    rest: Option<&'t str>,
    line: u32,
}

impl<'t> EndpointList<'t> {
    /// Of the whole file's text.
    pub fn new(text: &'t str) -> EndpointList<'t> {
        EndpointList { rest: Some(text), line: 0 }
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedEndpoint<'t> {
    /// Where.
    pub address: Address<'t>,
    /// 1 when the line says nothing.
    pub weight: u32,
}

/// A line that is wrong. `Display`: `line 3, column 5: expected …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListError {
    /// The first line is 1.
    pub line: u32,
    /// The first octet of a line is 1.
    pub column: u32,
    /// What should stand there.
    pub expected: &'static str,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: expected {}", self.line, self.column, self.expected)
    }
}
impl core::error::Error for ListError {}

impl<'t> Iterator for EndpointList<'t> {
    type Item = Result<ListedEndpoint<'t>, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, rest) = cut(self.rest?, b'\n');
            self.rest = rest;
            self.line = self.line.saturating_add(1);
            let (entry, _) = cut(line, b'#');
            if !entry.trim_ascii().is_empty() {
                return Some(endpoint(entry).map_err(|(at, expected)| ListError {
                    line: self.line,
                    column: u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1),
                    expected,
                }));
            }
        }
    }
}

/// Words and where they begin in the line.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0usize;
    parts(line, b' ').flat_map(|part| parts(part, b'\t')).flat_map(|part| parts(part, b'\r')).filter_map(
        move |word| {
            let start = at;
            at = at.plus(word.len()).plus(1);
            if word.is_empty() { None } else { Some((start, word)) }
        },
    )
}

fn endpoint(line: &str) -> Result<ListedEndpoint<'_>, (usize, &'static str)> {
    let mut words = words(line);
    let (at, address) = words.next().unwrap_or_default();
    let address = Address::parse(address).map_err(|e| (at.saturating_add(e.at as usize), e.expected))?;
    let weight = match words.next() {
        None => 1,
        Some((at, digits)) => decimal(digits.as_bytes(), 10).ok_or((at, "a weight from 0 to 4294967295"))?,
    };
    match words.next() {
        None => Ok(ListedEndpoint { address, weight }),
        Some((at, _)) => Err((at, "the end of the line (an address, a weight, no more)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn shown(text: &str) -> Vec<String> {
        EndpointList::new(text)
            .map(|line| match line {
                Ok(e) => std::format!("{} {}", e.address, e.weight),
                Err(e) => e.to_string(),
            })
            .collect()
    }

    #[test]
    fn lines() {
        let text = "# greeters\n\n 10.0.0.1:1\t\n10.0.0.2:2 0#x\r\n\t[::1]:3   4294967295  \nunix:/a 7";
        assert_eq!(shown(text), ["10.0.0.1:1 1", "10.0.0.2:2 0", "[::1]:3 4294967295", "unix:/a 7"]);
        assert!(shown("").is_empty() && shown("\n#\n").is_empty());
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, expected) in [
            ("10.0.0.1", "line 1, column 9: expected `:` and a port"),
            ("\n  10.0.0.1:x", "line 2, column 12: expected a port from 1 to 65535"),
            ("greeter:1", "line 1, column 1: expected an IP address"),
            ("10.0.0.1:1 -1", "line 1, column 12: expected a weight from 0 to 4294967295"),
            ("10.0.0.1:1 4294967296", "line 1, column 12: expected a weight from 0 to 4294967295"),
            (
                "10.0.0.1:1 1 1",
                "line 1, column 14: expected the end of the line (an address, a weight, no more)",
            ),
            ("unix: 1", "line 1, column 6: expected the path of a Unix socket"),
        ] {
            assert_eq!(shown(text), [expected], "{text:?}");
        }
        assert_eq!(shown("x\n10.0.0.1:1").len(), 2);
    }
}
