//! The text behind `file:` targets.

use super::Address;

/// Reads a list of endpoints: one address a line, then optionally its weight; `#` begins a comment, empty lines count
/// for nothing. An iterator, so that the caller chooses where the endpoints live.
///
/// ```text
/// 10.0.0.1:50051
/// [fd00::2]:50051  4     # takes four times the calls
/// unix:/run/greeter.sock
/// ```
#[derive(Clone, Debug)]
pub struct EndpointList<'t> {
    _text: &'t str,
}

impl<'t> EndpointList<'t> {
    /// Of the whole file's text.
    pub fn new(text: &'t str) -> EndpointList<'t> {
        EndpointList { _text: text }
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

impl core::fmt::Display for ListError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}, column {}: expected {}", self.line, self.column, self.expected)
    }
}
impl core::error::Error for ListError {}

impl<'t> Iterator for EndpointList<'t> {
    type Item = Result<ListedEndpoint<'t>, ListError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
