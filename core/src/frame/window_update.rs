//! WINDOW_UPDATE (RFC 9113 §6.9).

use super::parse::{u31, whole};
use super::{FrameError, Head, Kind};
use crate::bytes::Writer;

/// Lets the receiver send more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUpdate {
    /// The stream, or 0 for the connection.
    pub stream: u32,
    /// Octets, 1 to 2^31-1.
    pub increment: u32,
}

impl WindowUpdate {
    /// Octets of the payload.
    pub const LEN: usize = 4;

    /// # Errors
    /// FRAME_SIZE_ERROR when it is not 4 octets long; PROTOCOL_ERROR for an increment of 0, of the stream alone
    /// when it is sent on one.
    pub fn parse(head: &Head, payload: &[u8]) -> Result<WindowUpdate, FrameError> {
        let increment =
            whole(u31, payload).map_err(|_| FrameError::size("WINDOW_UPDATE is not 4 octets long"))?;
        match (increment, head.stream) {
            (0, 0) => Err(FrameError::protocol("WINDOW_UPDATE of 0")),
            (0, _) => Err(FrameError::protocol("WINDOW_UPDATE of 0").of_stream()),
            (increment, stream) => Ok(WindowUpdate { stream, increment }),
        }
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let length = WindowUpdate::LEN as u32;
        Head { length, kind: Kind::WINDOW_UPDATE, flags: 0, stream: self.stream }.write(out);
        out.put_u32(self.increment & super::MAX_STREAM_ID);
    }
}
