//! The Huffman code of RFC 7541 §5.2 and Appendix B.
//!
//! Decoding looks up 10 bits at a time: all codes of up to 10 bits, which are what header text is made of, take one
//! look-up in 2 KiB. The code is canonical (codes of a length are consecutive numbers), so that a longer one is found
//! by comparing with the end of each length, without a second table of that size.

use super::DecodeError;
use super::huffman_table::{CODES, LENGTHS, LONG, LONG_SYMBOLS, SHORT, SHORT_BITS};
use crate::bytes::Exact;

/// Octets that `string` takes when coded.
#[inline]
pub(super) fn encoded_len(string: &[u8]) -> usize {
    let bits = string.iter().fold(0_usize, |bits, &octet| bits.wrapping_add(usize::from(code_length(octet))));
    bits.wrapping_add(7) / 8
}

#[inline(always)]
fn code_length(octet: u8) -> u8 {
    LENGTHS.get(usize::from(octet)).copied().unwrap_or_default()
}

/// Codes `string` to the front of `out`: its length, or `None` when `out` is too small.
#[inline(always)]
pub(super) fn encode(string: &[u8], out: &mut [u8]) -> Option<usize> {
    let room = out.len();
    let mut out = out;
    let mut window = 0_u64; // the low `bits` are still to be written
    let mut bits = 0_u32;
    for &octet in string {
        let code = CODES.get(usize::from(octet)).copied().unwrap_or_default();
        let length = u32::from(code_length(octet));
        window = window.wrapping_shl(length) | u64::from(code);
        bits = bits.plus(length); // 31 + 30 at most
        if bits >= 32 {
            bits = bits.minus(32);
            let (four, rest) = out.split_first_chunk_mut::<4>()?;
            *four = low_half(window.wrapping_shr(bits)).to_be_bytes();
            out = rest;
        }
    }
    // RFC 7541 §5.2: the last octet is filled with the most significant bits of EOS, which are ones.
    let padded = window.wrapping_shl(32_u32.minus(bits)) | u64::from(u32::MAX.wrapping_shr(bits));
    let last = usize::try_from(bits.wrapping_add(7) / 8).unwrap_or_default();
    let room_for_last = out.get_mut(..last)?;
    for (to, from) in room_for_last.iter_mut().zip(low_half(padded).to_be_bytes()) {
        *to = from;
    }
    Some(room.minus(out.len()).plus(last))
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // the low half is what is asked for
fn low_half(window: u64) -> u32 {
    window as u32
}

/// Decodes `octets` to the front of `out`: the length, or `None` when `out` is too small.
#[inline]
pub(super) fn decode(octets: &[u8], out: &mut [u8]) -> Result<Option<usize>, DecodeError> {
    let room = out.len();
    let mut places = out.iter_mut();
    let fits = walk(octets, |symbol| match places.next() {
        Some(place) => {
            *place = symbol;
            true
        }
        None => false,
    })?;
    Ok(fits.then_some(room.minus(places.len())))
}

/// Length of `octets` when decoded.
#[cold]
pub(super) fn decoded_len(octets: &[u8]) -> Result<usize, DecodeError> {
    let mut len = 0_usize;
    walk(octets, |_| {
        len = len.plus(1);
        true
    })?;
    Ok(len)
}

/// Calls `put` with each symbol until it returns false; returns whether it never did.
#[inline(always)]
fn walk(mut octets: &[u8], mut put: impl FnMut(u8) -> bool) -> Result<bool, DecodeError> {
    let mut window = 0_u64; // the high `bits` are read and not yet used, the rest are zeros
    let mut bits = 0_u32;
    // While there are four octets more, no code needs a check for the end.
    while let Some((chunk, rest)) = octets.split_first_chunk::<4>() {
        octets = rest;
        window |= u64::from(u32::from_be_bytes(*chunk)).wrapping_shl(32_u32.minus(bits));
        bits = bits.plus(32);
        loop {
            let (symbol, length) = match short(window) {
                Some(found) => found,
                None if bits < 32 => break,
                None => long(window)?,
            };
            if !put(symbol) {
                return Ok(false);
            }
            window = window.wrapping_shl(length);
            bits = bits.minus(length);
            if bits < SHORT_BITS {
                break;
            }
        }
    }
    for &octet in octets {
        window |= u64::from(octet).wrapping_shl(56_u32.minus(bits)); // 31 bits and three octets at most
        bits = bits.plus(8);
    }
    while bits > 0 {
        let padded = window | u64::MAX.wrapping_shr(bits);
        if padded == u64::MAX && bits < 30 {
            // RFC 7541 §5.2: padding of more than 7 bits is an error.
            return if bits < 8 { Ok(true) } else { Err(DecodeError::PaddingTooLong) };
        }
        let (symbol, length) = match short(padded) {
            Some(found) => found,
            None => long(padded)?,
        };
        if length > bits {
            return Err(DecodeError::PaddingNotEos);
        }
        if !put(symbol) {
            return Ok(false);
        }
        window = window.wrapping_shl(length);
        bits = bits.minus(length);
    }
    Ok(true)
}

/// The symbol at the front of the window and its length, if its code is a short one.
#[inline(always)]
fn short(window: u64) -> Option<(u8, u32)> {
    let index = usize::try_from(window.wrapping_shr(64_u32.minus(SHORT_BITS))).unwrap_or_default();
    let [symbol, length] = SHORT.get(index).copied().unwrap_or_default().to_le_bytes();
    if length == 0 { None } else { Some((symbol, u32::from(length))) }
}

/// The symbol at the front of a window whose code is a long one.
#[inline(never)]
fn long(window: u64) -> Result<(u8, u32), DecodeError> {
    let front = low_half(window.wrapping_shr(32));
    for range in &LONG {
        if front <= range.last {
            let nth = front.wrapping_sub(range.first).wrapping_shr(32_u32.minus(u32::from(range.length)));
            let at = usize::try_from(nth).unwrap_or_default().wrapping_add(usize::from(range.symbols));
            // The last code of the last length is EOS, which has no symbol.
            let symbol = LONG_SYMBOLS.get(at).copied().ok_or(DecodeError::EosInString)?;
            return Ok((symbol, u32::from(range.length)));
        }
    }
    Err(DecodeError::EosInString)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn codes() -> HashMap<(u8, u32), u8> {
        (0..=255).map(|s| ((LENGTHS[usize::from(s)], CODES[usize::from(s)]), s)).collect()
    }

    /// Bit by bit, from the codes alone: what RFC 7541 §5.2 says and no more.
    fn reference(symbol_of: &HashMap<(u8, u32), u8>, octets: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut symbols = Vec::new();
        let (mut code, mut length) = (0_u32, 0_u8);
        for bit in octets.iter().flat_map(|octet| (0..8).rev().map(move |i| octet >> i & 1)) {
            (code, length) = (code << 1 | u32::from(bit), length + 1);
            if length == 30 && code == 0x3fff_ffff {
                return Err(DecodeError::EosInString);
            }
            if let Some(&symbol) = symbol_of.get(&(length, code)) {
                symbols.push(symbol);
                (code, length) = (0, 0);
            }
        }
        match (code.count_ones() == u32::from(length), length) {
            (true, 0..8) => Ok(symbols),
            (true, _) => Err(DecodeError::PaddingTooLong),
            (false, _) => Err(DecodeError::PaddingNotEos),
        }
    }

    fn decoded(octets: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = vec![0; octets.len() * 8 / 5];
        let result =
            decode(octets, &mut out).map(|len| out[..len.expect("5 bits at least a symbol")].to_vec());
        assert_eq!(decoded_len(octets), result.as_ref().map(Vec::len).map_err(|&error| error));
        result
    }

    fn encoded(string: &[u8]) -> Vec<u8> {
        let mut out = vec![0; encoded_len(string)];
        assert_eq!(encode(string, &mut out), Some(out.len()));
        if let Some((_, less)) = out.clone().split_last_mut() {
            assert_eq!(encode(string, less), None);
        }
        out
    }

    #[test]
    fn all_of_two_octets_and_ones_before_them() {
        let codes = codes();
        for ones in [0, 1, 2, 3] {
            for last in 0..=u16::MAX {
                let mut octets = vec![0xff; ones];
                octets.extend(last.to_be_bytes());
                assert_eq!(decoded(&octets), reference(&codes, &octets), "{octets:x?}");
            }
        }
    }

    #[test]
    fn every_pair_of_symbols_both_ways() {
        for first in 0..=255 {
            for second in 0..=255 {
                for string in [&[first, second][..], &[b'0', first, b'a', second, second]] {
                    assert_eq!(decoded(&encoded(string)).as_deref(), Ok(string));
                }
            }
        }
    }

    #[test]
    fn no_room() {
        let coded = encoded(b"www.example.com\xff\x00");
        for room in 0..17 {
            assert_eq!(decode(&coded, &mut vec![0; room]), Ok(None));
        }
        assert_eq!(decode(&coded, &mut [0; 17]), Ok(Some(17)));
    }

    proptest! {
        #[test]
        fn decodes_as_the_reference_does(octets in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(255)], 0..24)) {
            prop_assert_eq!(decoded(&octets), reference(&codes(), &octets));
        }

        #[test]
        fn both_ways(string in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decoded(&encoded(&string)), Ok(string));
        }
    }
}
