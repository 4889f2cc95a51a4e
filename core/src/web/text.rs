//! Base64 of the text form (RFC 4648 §4), both ways and at any split.
//!
//! A sender may end its base64 at every flush: padding is legal at the end of any group of four digits, not only at the end
//! of the body (gRPC-Web, "Protocol differences"). Line ends, spaces and the URL alphabet are not base64 here, nor are set
//! bits that no octet uses (RFC 4648 §3.5).

use crate::bytes::{Exact, Writer, copy, take_up_to};
use core::fmt;

/// What is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextErrorKind {
    /// An octet that is neither a digit nor padding where it may stand.
    Octet(u8),
    /// The last digit before the padding has bits that belong to no octet.
    UnusedBits,
    /// The text ended within a group of four.
    Truncated,
}

/// Text that is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextError {
    /// What is wrong.
    pub kind: TextErrorKind,
    /// Octets that were decoded before.
    pub decoded: usize,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TextErrorKind::Octet(octet) => write!(f, "octet 0x{octet:02x} is no base64 here"),
            TextErrorKind::UnusedBits => f.write_str("base64 has bits that belong to no octet"),
            TextErrorKind::Truncated => f.write_str("base64 ended within a group of four"),
        }
    }
}

/// Decodes text that comes in pieces. After an error it is to be used no more.
///
/// ```
/// use grpclb_core::web::text::Decoder;
/// let mut decoder = Decoder::START;
/// let mut first = *b"AAE=AA";
/// assert_eq!(decoder.decode_in_place(&mut first), Ok(3));
/// assert_eq!(first[..3], [0, 1, 0]);
/// assert!(decoder.finish().is_err());
/// let mut second = *b"==";
/// assert_eq!(decoder.decode_in_place(&mut second), Ok(0));
/// assert!(decoder.finish().is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// Bits of the last digit that belong to the next octet.
    rest: u8,
    /// Digits of the group that came: 0 to 3; `PADDING`: one of two padding characters came.
    have: u8,
}

const PADDING: u8 = 4;

impl Decoder {
    /// Before the text.
    pub const START: Decoder = Decoder { rest: 0, have: 0 };

    /// Decodes all of `text` in place and returns how many octets it stands for. Each octet is given as soon as its bits are
    /// there, so a digit never yields more than one and the room always suffices.
    pub fn decode_in_place(&mut self, text: &mut [u8]) -> Result<usize, TextError> {
        let (mut from, mut to) = (0usize, 0usize);
        while from < text.len() {
            if self.have == 0 {
                (from, to) = whole_groups(text, from, to);
            }
            // What begins or ends in another piece, has padding, or is wrong.
            while let Some(&digit) = text.get(from) {
                match self.digit(digit) {
                    Ok(Some(octet)) => {
                        if let Some(place) = text.get_mut(to) {
                            *place = octet;
                        }
                        to = to.plus(1);
                    }
                    Ok(None) => {}
                    Err(kind) => return Err(TextError { kind, decoded: to }),
                }
                from = from.plus(1);
                if self.have == 0 {
                    break;
                }
            }
        }
        Ok(to)
    }

    /// The text ended.
    pub fn finish(&self) -> Result<(), TextError> {
        match self.have {
            0 => Ok(()),
            _ => Err(TextError { kind: TextErrorKind::Truncated, decoded: 0 }),
        }
    }

    fn digit(&mut self, digit: u8) -> Result<Option<u8>, TextErrorKind> {
        let value = VALUES.get(usize::from(digit)).copied().unwrap_or(NONE);
        if digit == b'=' && self.have >= 2 {
            if self.rest != 0 {
                return Err(TextErrorKind::UnusedBits);
            }
            self.have = if self.have == 2 { PADDING } else { 0 };
            return Ok(None);
        }
        if value == NONE || self.have == PADDING {
            return Err(TextErrorKind::Octet(digit));
        }
        let before = self.rest;
        let octet;
        (octet, self.rest, self.have) = match self.have {
            0 => (None, value << 2, 1),
            1 => (Some(before | value >> 4), value << 4, 2),
            2 => (Some(before | value >> 2), value << 6, 3),
            _ => (Some(before | value), 0, 0),
        };
        Ok(octet)
    }
}

/// Decodes the groups of four digits from `from` on, up to the first that is not one; where it stopped.
#[inline]
fn whole_groups(text: &mut [u8], mut from: usize, mut to: usize) -> (usize, usize) {
    // Four groups at a time: one check of bounds and of the alphabet for all of them.
    while let Some(digits) = text.get(from..).and_then(<[u8]>::first_chunk::<16>) {
        let (groups, _) = digits.as_chunks::<4>();
        let mut octets = [0; 12];
        let mut seen = 0;
        for (group, place) in groups.iter().zip(octets.as_chunks_mut::<3>().0) {
            let (bits, all) = group_bits(*group);
            seen |= all;
            *place = low_three(bits);
        }
        let Some(place) = text.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<12>) else { break };
        if seen & NONE != 0 {
            break;
        }
        *place = octets;
        (from, to) = (from.plus(16), to.plus(12));
    }
    while let Some(group) = text.get(from..).and_then(<[u8]>::first_chunk::<4>) {
        let (bits, all) = group_bits(*group);
        let Some(place) = text.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<3>) else { break };
        if all & NONE != 0 {
            break;
        }
        *place = low_three(bits);
        (from, to) = (from.plus(4), to.plus(3));
    }
    (from, to)
}

/// The 24 bits of four digits, and what tells whether all four are digits.
#[inline(always)]
fn group_bits(group: [u8; 4]) -> (u32, u8) {
    let [a, b, c, d] = group.map(|digit| VALUES.get(usize::from(digit)).copied().unwrap_or(NONE));
    (u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d), a | b | c | d)
}

#[inline(always)]
fn low_three(bits: u32) -> [u8; 3] {
    let [_, a, b, c] = bits.to_be_bytes();
    [a, b, c]
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Not a digit: the only value with the upper bit set.
const NONE: u8 = 0x80;

/// The value of each octet as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut rest: &[u8] = ALPHABET;
    let mut value = 0u8;
    while let [digit, tail @ ..] = rest {
        #[allow(clippy::indexing_slicing)] // At compile time.
        {
            values[*digit as usize] = value;
        }
        value = value.wrapping_add(1);
        rest = tail;
    }
    values
};

/// Octets of the base64 form of `len` octets, padded.
pub const fn encoded_len(len: usize) -> usize {
    len.div_ceil(3).saturating_mul(4)
}

/// Encodes bytes that come in pieces as one text, padded where [`finish`](Encoder::finish) says so.
///
/// ```
/// use grpclb_core::{bytes::Writer, web::text::Encoder};
/// let mut buffer = [0; 8];
/// let mut to = Writer::new(&mut buffer);
/// let mut encoder = Encoder::START;
/// encoder.encode(&mut &b"f"[..], &mut to);
/// encoder.encode(&mut &b"ooba"[..], &mut to);
/// encoder.finish(&mut to);
/// assert_eq!(to.written(), b"Zm9vYmE=");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    /// Octets of an incomplete group.
    carry: [u8; 2],
    /// How many.
    have: u8,
}

impl Encoder {
    /// Before the text.
    pub const START: Encoder = Encoder { carry: [0; 2], have: 0 };

    /// Takes as much of `input` as has room, and moves `input` past it. Up to two octets are held back for the next piece.
    pub fn encode(&mut self, input: &mut &[u8], to: &mut Writer<'_>) {
        while self.have != 0 {
            let Some((&octet, rest)) = input.split_first() else { return };
            let [a, b] = self.carry;
            if self.have == 1 {
                (self.carry, self.have) = ([a, octet], 2);
            } else {
                let Some(place) = to.rest().first_chunk_mut::<4>() else { return };
                *place = digits([a, b, octet]);
                to.advance(4);
                self.have = 0;
            }
            *input = rest;
        }
        let groups = (input.len() / 3).min(to.rest().len() / 4);
        let whole = take_up_to(input, groups.saturating_mul(3));
        let n = groups.saturating_mul(4);
        put_groups(whole, to.rest());
        to.advance(n);
        // No room, or what is left begins a group.
        if let (&[a, ref rest @ ..], true) = (*input, input.len() < 3) {
            (self.carry, self.have) = match *rest {
                [] => ([a, 0], 1),
                [b, ..] => ([a, b], 2),
            };
            *input = &[];
        }
    }

    /// Ends the text, or a fragment of it: pads what was held back. Needs at most four octets of room.
    pub fn finish(&mut self, to: &mut Writer<'_>) {
        let [a, b] = self.carry;
        match core::mem::take(&mut self.have) {
            0 => {}
            1 => {
                let [first, second, ..] = digits([a, 0, 0]);
                to.put(&[first, second, b'=', b'=']);
            }
            _ => {
                let [first, second, third, _] = digits([a, b, 0]);
                to.put(&[first, second, third, b'=']);
            }
        }
    }
}

/// Encodes the first `len` octets of `buffer` in place, padded; how long that is, or `None` when there is no room.
pub fn encode_in_place(buffer: &mut [u8], len: usize) -> Option<usize> {
    let whole = buffer.get_mut(..encoded_len(len))?;
    // From the end to the front: a group of digits lies behind all the octets that are still to be read.
    let mut octets = len;
    for group in (0..len.div_ceil(3)).rev() {
        let from = group.saturating_mul(3);
        let mut padded = [0; 3];
        let n = copy(&mut padded, whole.get(from..octets)?);
        let [a, b, c, d] = digits(padded);
        let place = whole.get_mut(group.saturating_mul(4)..)?.first_chunk_mut::<4>()?;
        *place = match n {
            1 => [a, b, b'=', b'='],
            2 => [a, b, c, b'='],
            _ => [a, b, c, d],
        };
        octets = from;
    }
    Some(whole.len())
}

#[inline]
fn put_groups(whole: &[u8], to: &mut [u8]) {
    for (group, place) in whole.as_chunks::<3>().0.iter().zip(to.as_chunks_mut::<4>().0) {
        *place = digits(*group);
    }
}

#[inline(always)]
fn digits([a, b, c]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, a, b, c]);
    [bits >> 18, bits >> 12, bits >> 6, bits]
        .map(|bits| ALPHABET.get((bits & 63) as usize).copied().unwrap_or_default())
}
