//! PING (RFC 9113 §6.7).

use nom::Parser;

use super::parse::{array, on_connection, whole};
use super::{FrameError, Head, Kind, flags};
use crate::bytes::Writer;

/// Asks for the same eight octets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// ACK: this is the answer.
    pub ack: bool,
    /// Any octets.
    pub data: [u8; 8],
}

impl Ping {
    /// Octets of the payload.
    pub const LEN: usize = 8;

    /// # Errors
    /// PROTOCOL_ERROR on a stream, FRAME_SIZE_ERROR when it is not 8 octets long.
    pub fn parse(head: &Head, payload: &[u8]) -> Result<Ping, FrameError> {
        on_connection(head, "PING on a stream")?;
        let ack = head.has(flags::ACK);
        whole(array.map(|data| Ping { ack, data }), payload)
            .map_err(|_| FrameError::size("PING is not 8 octets long"))
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let flags = if self.ack { flags::ACK } else { 0 };
        Head { length: Ping::LEN as u32, kind: Kind::PING, flags, stream: 0 }.write(out);
        out.put(&self.data);
    }
}
