//! DATA (RFC 9113 §6.1).

use super::parse::{on_stream, put_padding, unpad};
use super::{FrameError, Head, Kind, flags};
use crate::bytes::{Exact, Writer};

/// Octets of a stream's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Never 0.
    pub stream: u32,
    /// END_STREAM.
    pub end_stream: bool,
    /// Pad length; `Some` sets PADDED.
    pub padding: Option<u8>,
    /// The content, padding apart.
    pub data: &'a [u8],
}

impl<'a> Data<'a> {
    /// # Errors
    /// PROTOCOL_ERROR on stream 0 or when the padding is too long, FRAME_SIZE_ERROR without a pad length.
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<Data<'a>, FrameError> {
        on_stream(head, "DATA on stream 0")?;
        let (data, padding) = unpad(head, payload)?;
        Ok(Data { stream: head.stream, end_stream: head.has(flags::END_STREAM), padding, data })
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let padded = self.padding.map_or(0, |padding| usize::from(padding).plus(1));
        let length = self.data.len().saturating_add(padded) as u32;
        let flags = if self.end_stream { flags::END_STREAM } else { 0 }
            | if self.padding.is_some() { flags::PADDED } else { 0 };
        Head { length, kind: Kind::DATA, flags, stream: self.stream }.write(out);
        if let Some(padding) = self.padding {
            out.put_u8(padding);
        }
        out.put(self.data);
        put_padding(out, self.padding);
    }
}
