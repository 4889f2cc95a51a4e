//! CONTINUATION (RFC 9113 §6.10).

use super::parse::on_stream;
use super::{FrameError, Head, Kind, flags};
use crate::bytes::Writer;

/// A further fragment of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuation<'a> {
    /// Never 0.
    pub stream: u32,
    /// END_HEADERS.
    pub end_headers: bool,
    /// The fragment.
    pub fragment: &'a [u8],
}

impl<'a> Continuation<'a> {
    /// # Errors
    /// PROTOCOL_ERROR on stream 0.
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<Continuation<'a>, FrameError> {
        on_stream(head, "CONTINUATION on stream 0")?;
        Ok(Continuation { stream: head.stream, end_headers: head.has(flags::END_HEADERS), fragment: payload })
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let flags = if self.end_headers { flags::END_HEADERS } else { 0 };
        let length = self.fragment.len() as u32;
        Head { length, kind: Kind::CONTINUATION, flags, stream: self.stream }.write(out);
        out.put(self.fragment);
    }
}
