//! The nine octets before every payload (RFC 9113 §4.1).

use core::fmt;

use crate::bytes::Writer;

/// A frame type (RFC 9113 §6). Unknown types pass through.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// RFC 9113 §6.1.
    pub const DATA: Kind = Kind(0x00);
    /// RFC 9113 §6.2.
    pub const HEADERS: Kind = Kind(0x01);
    /// RFC 9113 §6.3.
    pub const PRIORITY: Kind = Kind(0x02);
    /// RFC 9113 §6.4.
    pub const RST_STREAM: Kind = Kind(0x03);
    /// RFC 9113 §6.5.
    pub const SETTINGS: Kind = Kind(0x04);
    /// RFC 9113 §6.6.
    pub const PUSH_PROMISE: Kind = Kind(0x05);
    /// RFC 9113 §6.7.
    pub const PING: Kind = Kind(0x06);
    /// RFC 9113 §6.8.
    pub const GOAWAY: Kind = Kind(0x07);
    /// RFC 9113 §6.9.
    pub const WINDOW_UPDATE: Kind = Kind(0x08);
    /// RFC 9113 §6.10.
    pub const CONTINUATION: Kind = Kind(0x09);

    /// The name of the specification, or `None` for a type that RFC 9113 does not define.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Kind::DATA => "DATA",
            Kind::HEADERS => "HEADERS",
            Kind::PRIORITY => "PRIORITY",
            Kind::RST_STREAM => "RST_STREAM",
            Kind::SETTINGS => "SETTINGS",
            Kind::PUSH_PROMISE => "PUSH_PROMISE",
            Kind::PING => "PING",
            Kind::GOAWAY => "GOAWAY",
            Kind::WINDOW_UPDATE => "WINDOW_UPDATE",
            Kind::CONTINUATION => "CONTINUATION",
            _ => return None,
        })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "frame type 0x{:02x}", self.0),
        }
    }
}

/// Flags (RFC 9113 §6); what they mean depends on the type.
pub mod flags {
    /// DATA, HEADERS: the last frame of this side of the stream.
    pub const END_STREAM: u8 = 0x01;
    /// SETTINGS, PING: the answer to one.
    pub const ACK: u8 = 0x01;
    /// HEADERS, PUSH_PROMISE, CONTINUATION: the header block ends here.
    pub const END_HEADERS: u8 = 0x04;
    /// DATA, HEADERS, PUSH_PROMISE: the payload begins with a pad length.
    pub const PADDED: u8 = 0x08;
    /// HEADERS: five octets of priority come before the header block.
    pub const PRIORITY: u8 = 0x20;
}

/// The frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the payload, octets; 24 bits.
    pub length: u32,
    /// The type.
    pub kind: Kind,
    /// See [`flags`]; unknown ones are ignored.
    pub flags: u8,
    /// The stream, 31 bits; the reserved bit is dropped. 0: the connection.
    pub stream: u32,
}

impl Head {
    /// Octets of a frame header.
    pub const LEN: usize = 9;

    /// Reads it; every nine octets are one.
    #[inline]
    pub const fn parse(wire: &[u8; 9]) -> Head {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *wire;
        Head {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: Kind(kind),
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    /// The nine octets. Lengths above 24 bits lose their top.
    #[inline]
    pub const fn to_wire(self) -> [u8; 9] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind.0, self.flags, s0 & 0x7f, s1, s2, s3]
    }

    /// Appends the nine octets.
    #[inline]
    pub fn write(self, out: &mut Writer<'_>) {
        out.put(&self.to_wire());
    }

    /// Whether `flag` is set.
    #[inline]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
