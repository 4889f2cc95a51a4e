//! PRIORITY (RFC 9113 §6.3): deprecated; read, checked and without effect.

use nom::Parser;

use super::parse::{array, on_stream, whole};
use super::{FrameError, Head, Kind, MAX_STREAM_ID};
use crate::bytes::Writer;

/// The priority fields of PRIORITY and HEADERS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// Whether the dependency is exclusive.
    pub exclusive: bool,
    /// The stream depended on.
    pub dependency: u32,
    /// As on the wire: one less than the weight.
    pub weight: u8,
}

impl Priority {
    /// Octets.
    pub const LEN: usize = 5;

    /// # Errors
    /// PROTOCOL_ERROR on stream 0; a stream error FRAME_SIZE_ERROR when it is not 5 octets long.
    pub fn parse(head: &Head, payload: &[u8]) -> Result<Priority, FrameError> {
        on_stream(head, "PRIORITY on stream 0")?;
        let parser = array.map(|wire| Priority::from_wire(&wire));
        whole(parser, payload).map_err(|_| FrameError::size("PRIORITY is not 5 octets long").of_stream())
    }

    /// The five octets, read.
    pub const fn from_wire(wire: &[u8; 5]) -> Priority {
        let [a, b, c, d, weight] = *wire;
        let word = u32::from_be_bytes([a, b, c, d]);
        Priority { exclusive: word > MAX_STREAM_ID, dependency: word & MAX_STREAM_ID, weight }
    }

    /// The five octets, written.
    pub const fn to_wire(self) -> [u8; 5] {
        let top = if self.exclusive { 1 << 31 } else { 0 };
        let [a, b, c, d] = (self.dependency & MAX_STREAM_ID | top).to_be_bytes();
        [a, b, c, d, self.weight]
    }

    /// Writes a PRIORITY frame.
    pub fn write(&self, stream: u32, out: &mut Writer<'_>) {
        Head { length: Priority::LEN as u32, kind: Kind::PRIORITY, flags: 0, stream }.write(out);
        out.put(&self.to_wire());
    }
}
