//! GOAWAY (RFC 9113 §6.8).

use nom::Parser;

use super::parse::{on_connection, rest, u31, u32, whole};
use super::{FrameError, Head, Kind};
use crate::bytes::Writer;
use crate::error::ErrorCode;

/// Ends a connection: no new streams; those above `last` were not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// The last stream of the receiver's that was or may be processed.
    pub last: u32,
    /// Why.
    pub code: ErrorCode,
    /// Words for people.
    pub debug: &'a [u8],
}

impl<'a> GoAway<'a> {
    /// Octets of the payload before the debug data.
    pub const FIXED_LEN: usize = 8;

    /// # Errors
    /// PROTOCOL_ERROR on a stream, FRAME_SIZE_ERROR when it is shorter than 8 octets.
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<GoAway<'a>, FrameError> {
        on_connection(head, "GOAWAY on a stream")?;
        let parser =
            (u31, u32, rest).map(|(last, code, debug)| GoAway { last, code: ErrorCode(code), debug });
        whole(parser, payload).map_err(|_| FrameError::size("GOAWAY is shorter than 8 octets"))
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let length = self.debug.len().saturating_add(GoAway::FIXED_LEN) as u32;
        Head { length, kind: Kind::GOAWAY, flags: 0, stream: 0 }.write(out);
        out.put_u32(self.last & super::MAX_STREAM_ID);
        out.put_u32(self.code.0);
        out.put(self.debug);
    }
}
