//! PUSH_PROMISE (RFC 9113 §6.6). Read and written for completeness: push is switched off on every connection.

use super::parse::{on_stream, put_padding, u31, unpad};
use super::{FrameError, Head, Kind, flags};
use crate::bytes::{Exact, Writer};

/// Announces a stream that the server will open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushPromise<'a> {
    /// Never 0.
    pub stream: u32,
    /// END_HEADERS.
    pub end_headers: bool,
    /// Pad length; `Some` sets PADDED.
    pub padding: Option<u8>,
    /// The stream promised.
    pub promised: u32,
    /// The fragment of the request's header block.
    pub fragment: &'a [u8],
}

impl<'a> PushPromise<'a> {
    /// # Errors
    /// PROTOCOL_ERROR on stream 0, when the padding is too long or when the promised stream is not a server's (RFC 9113
    /// §5.1.1: even and not 0), FRAME_SIZE_ERROR when fields are missing.
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<PushPromise<'a>, FrameError> {
        on_stream(head, "PUSH_PROMISE on stream 0")?;
        let (content, padding) = unpad(head, payload)?;
        let (fragment, promised) =
            u31(content).map_err(|_| FrameError::size("PUSH_PROMISE has no room for the promised stream"))?;
        if promised == 0 || !promised.is_multiple_of(2) {
            return Err(FrameError::protocol("PUSH_PROMISE of a stream that is not a server's"));
        }
        let end_headers = head.has(flags::END_HEADERS);
        Ok(PushPromise { stream: head.stream, end_headers, padding, promised, fragment })
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let padded = self.padding.map_or(0, |padding| usize::from(padding).plus(1));
        let length = self.fragment.len().saturating_add(padded).saturating_add(4) as u32;
        let flags = if self.end_headers { flags::END_HEADERS } else { 0 }
            | if self.padding.is_some() { flags::PADDED } else { 0 };
        Head { length, kind: Kind::PUSH_PROMISE, flags, stream: self.stream }.write(out);
        if let Some(padding) = self.padding {
            out.put_u8(padding);
        }
        out.put_u32(self.promised & super::MAX_STREAM_ID);
        out.put(self.fragment);
        put_padding(out, self.padding);
    }
}
