//! HEADERS (RFC 9113 §6.2).

use super::parse::{on_stream, put_padding, unpad};
use super::{FrameError, Head, Kind, Priority, flags};
use crate::bytes::{Exact, Writer};

/// Opens a stream, or carries a response or trailers: the first fragment of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Never 0.
    pub stream: u32,
    /// END_STREAM; CONTINUATIONs may still follow.
    pub end_stream: bool,
    /// END_HEADERS.
    pub end_headers: bool,
    /// Pad length; `Some` sets PADDED.
    pub padding: Option<u8>,
    /// Deprecated priority; `Some` sets PRIORITY.
    pub priority: Option<Priority>,
    /// The fragment (RFC 9113 §4.3).
    pub fragment: &'a [u8],
}

impl<'a> Headers<'a> {
    /// # Errors
    /// PROTOCOL_ERROR on stream 0 or when the padding is too long, FRAME_SIZE_ERROR when fields are missing.
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<Headers<'a>, FrameError> {
        on_stream(head, "HEADERS on stream 0")?;
        let (mut fragment, padding) = unpad(head, payload)?;
        let mut priority = None;
        if head.has(flags::PRIORITY) {
            let (front, rest) = fragment
                .split_first_chunk()
                .ok_or(FrameError::size("HEADERS has no room for its priority fields"))?;
            (priority, fragment) = (Some(Priority::from_wire(front)), rest);
        }
        Ok(Headers {
            stream: head.stream,
            end_stream: head.has(flags::END_STREAM),
            end_headers: head.has(flags::END_HEADERS),
            padding,
            priority,
            fragment,
        })
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let padded = self.padding.map_or(0, |padding| usize::from(padding).plus(1));
        let prioritised = if self.priority.is_some() { Priority::LEN } else { 0 };
        let length = self.fragment.len().saturating_add(padded).saturating_add(prioritised) as u32;
        let flags = if self.end_stream { flags::END_STREAM } else { 0 }
            | if self.end_headers { flags::END_HEADERS } else { 0 }
            | if self.padding.is_some() { flags::PADDED } else { 0 }
            | if self.priority.is_some() { flags::PRIORITY } else { 0 };
        Head { length, kind: Kind::HEADERS, flags, stream: self.stream }.write(out);
        if let Some(padding) = self.padding {
            out.put_u8(padding);
        }
        if let Some(priority) = self.priority {
            out.put(&priority.to_wire());
        }
        out.put(self.fragment);
        put_padding(out, self.padding);
    }
}
