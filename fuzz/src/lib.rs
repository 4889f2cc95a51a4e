//! What the fuzz targets share: choices taken from the fuzzer's bytes.

use grpclb_core::frame::{Head, Kind};

/// The fuzzer's bytes, taken from the front. Past the end everything is 0.
#[derive(Clone, Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One octet.
    pub fn u8(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Two octets.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Four octets.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.u8()) % n
    }

    /// Up to `n` octets.
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }
}

/// Frames from choices: heads that are mostly right, so that the fuzzer gets behind the first check.
pub fn frames(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    while !choices.is_empty() && wire.len() < 100_000 {
        let what = choices.u8();
        let stream = match what >> 4 & 3 {
            0 => 0,
            1 => 1 + 2 * u32::from(choices.u8() & 7),
            2 => u32::from(choices.u8()),
            _ => choices.u32(),
        };
        let flags = choices.u8();
        let kind = Kind(what & 15);
        let len = usize::from(choices.u8());
        let payload = choices.take(len);
        // Fixed sizes are right, unless the fuzzer says otherwise.
        let exact = match kind {
            Kind::PRIORITY => Some(5),
            Kind::RST_STREAM | Kind::WINDOW_UPDATE => Some(4),
            Kind::PING => Some(8),
            Kind::SETTINGS if flags & 1 == 1 => Some(0),
            Kind::SETTINGS => Some(payload.len() / 6 * 6),
            _ => None,
        };
        let mut payload = payload.to_vec();
        if what >> 6 != 3
            && let Some(exact) = exact
        {
            payload.resize(exact, 0);
        }
        wire.extend(Head { length: payload.len() as u32, kind, flags, stream }.to_wire());
        wire.extend(payload);
    }
    wire
}
