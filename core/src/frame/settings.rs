//! SETTINGS (RFC 9113 §6.5).

use core::fmt;

use nom::Parser;

use super::parse::{on_connection, rest, u16, u32, whole};
use super::{FrameError, Head, Kind, flags};
use crate::bytes::Writer;

/// A setting's identifier (RFC 9113 §6.5.2). Unknown ones pass through.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SettingId(pub u16);

impl SettingId {
    /// Largest dynamic table of the encoder, octets.
    pub const HEADER_TABLE_SIZE: SettingId = SettingId(0x01);
    /// Whether a server may push: 0 or 1.
    pub const ENABLE_PUSH: SettingId = SettingId(0x02);
    /// Streams that the receiver may have open.
    pub const MAX_CONCURRENT_STREAMS: SettingId = SettingId(0x03);
    /// Window of a new stream, octets.
    pub const INITIAL_WINDOW_SIZE: SettingId = SettingId(0x04);
    /// Largest payload, octets.
    pub const MAX_FRAME_SIZE: SettingId = SettingId(0x05);
    /// Largest header list taken, octets in the counting of RFC 9113 §6.5.2.
    pub const MAX_HEADER_LIST_SIZE: SettingId = SettingId(0x06);

    /// The name of the specification, or `None` for an identifier that RFC 9113 does not define.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            SettingId::HEADER_TABLE_SIZE => "SETTINGS_HEADER_TABLE_SIZE",
            SettingId::ENABLE_PUSH => "SETTINGS_ENABLE_PUSH",
            SettingId::MAX_CONCURRENT_STREAMS => "SETTINGS_MAX_CONCURRENT_STREAMS",
            SettingId::INITIAL_WINDOW_SIZE => "SETTINGS_INITIAL_WINDOW_SIZE",
            SettingId::MAX_FRAME_SIZE => "SETTINGS_MAX_FRAME_SIZE",
            SettingId::MAX_HEADER_LIST_SIZE => "SETTINGS_MAX_HEADER_LIST_SIZE",
            _ => return None,
        })
    }
}

impl fmt::Debug for SettingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "setting 0x{:02x}", self.0),
        }
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub id: SettingId,
    /// Its value; not checked here.
    pub value: u32,
}

impl Setting {
    /// Octets of an entry.
    pub const LEN: usize = 6;

    /// The six octets, read.
    pub const fn from_wire(wire: &[u8; 6]) -> Setting {
        let [i0, i1, v0, v1, v2, v3] = *wire;
        Setting { id: SettingId(u16::from_be_bytes([i0, i1])), value: u32::from_be_bytes([v0, v1, v2, v3]) }
    }

    /// Appends the six octets.
    pub fn write(&self, out: &mut Writer<'_>) {
        out.put_u16(self.id.0);
        out.put_u32(self.value);
    }
}

/// Settings, or the acknowledgement of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// ACK; then there are no entries.
    pub ack: bool,
    entries: &'a [u8],
}

impl<'a> Settings<'a> {
    /// The acknowledgement.
    pub const ACK: Settings<'static> = Settings { ack: true, entries: &[] };

    /// # Errors
    /// PROTOCOL_ERROR on a stream, FRAME_SIZE_ERROR when it does not consist of whole entries or is an
    /// acknowledgement that is not empty.
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<Settings<'a>, FrameError> {
        Settings::check(head)?;
        let ack = head.has(flags::ACK);
        whole(rest.map(|entries| Settings { ack, entries }), payload)
    }

    /// What the head alone shows, so that entries can be taken one by one.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn check(head: &Head) -> Result<(), FrameError> {
        on_connection(head, "SETTINGS on a stream")?;
        if head.has(flags::ACK) && head.length != 0 {
            return Err(FrameError::size("a SETTINGS acknowledgement is not empty"));
        }
        if !head.length.is_multiple_of(Setting::LEN as u32) {
            return Err(FrameError::size("SETTINGS is not a multiple of 6 octets long"));
        }
        Ok(())
    }

    /// The entries, in order (the last one of an identifier holds).
    pub fn entries(&self) -> impl Iterator<Item = Setting> + Clone + 'a {
        let mut left = self.entries;
        core::iter::from_fn(move || {
            let (tail, (id, value)) = (u16, u32).parse(left).ok()?;
            left = tail;
            Some(Setting { id: SettingId(id), value })
        })
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut Writer<'_>) {
        let flags = if self.ack { flags::ACK } else { 0 };
        Head { length: self.entries.len() as u32, kind: Kind::SETTINGS, flags, stream: 0 }.write(out);
        out.put(self.entries);
    }

    /// Writes a frame of `entries`.
    pub fn write_entries(entries: &[Setting], out: &mut Writer<'_>) {
        let length = entries.len().saturating_mul(Setting::LEN) as u32;
        Head { length, kind: Kind::SETTINGS, flags: 0, stream: 0 }.write(out);
        for entry in entries {
            entry.write(out);
        }
    }
}
