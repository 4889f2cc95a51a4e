//! RST_STREAM (RFC 9113 §6.4).

use nom::Parser;

use super::parse::{on_stream, u32, whole};
use super::{FrameError, Head, Kind};
use crate::bytes::Writer;
use crate::error::ErrorCode;

/// Ends a stream at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RstStream {
    /// Never 0.
    pub stream: u32,
    /// Why.
    pub code: ErrorCode,
}

impl RstStream {
    /// Octets of the payload.
    pub const LEN: usize = 4;

    /// # Errors
    /// PROTOCOL_ERROR on stream 0, FRAME_SIZE_ERROR when it is not 4 octets long.
    pub fn parse(head: &Head, payload: &[u8]) -> Result<RstStream, FrameError> {
        on_stream(head, "RST_STREAM on stream 0")?;
        let stream = head.stream;
        whole(u32.map(|code| RstStream { stream, code: ErrorCode(code) }), payload)
            .map_err(|_| FrameError::size("RST_STREAM is not 4 octets long"))
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        Head { length: RstStream::LEN as u32, kind: Kind::RST_STREAM, flags: 0, stream: self.stream }
            .write(out);
        out.put_u32(self.code.0);
    }
}
