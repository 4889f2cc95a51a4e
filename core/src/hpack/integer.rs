//! Integers with a prefix of less than an octet (RFC 7541 §5.1).

use super::DecodeError;
use crate::bytes::{Exact, Writer};

/// Octets that [`encode`] writes at most: the prefix and 32 bits in groups of 7.
pub(super) const MAX: usize = 6;

/// Reads an integer whose prefix are the low `prefix` bits (1 to 8) of the first octet of `block`.
///
/// More than 32 bits or more than five octets after the prefix are an error: RFC 7541 §5.1 asks decoders for a
/// bound on both, or zeros could be padded without end.
#[inline(always)]
pub(super) fn decode(block: &mut &[u8], prefix: u32) -> Result<u32, DecodeError> {
    let (&first, rest) = block.split_first().ok_or(DecodeError::Truncated)?;
    *block = rest;
    let mask = 0xff_u8.wrapping_shr(8_u32.wrapping_sub(prefix));
    let value = first & mask;
    if value < mask { Ok(u32::from(value)) } else { decode_long(block, mask) }
}

#[inline(never)]
fn decode_long(block: &mut &[u8], mask: u8) -> Result<u32, DecodeError> {
    let mut value = u64::from(mask);
    for shift in [0_u32, 7, 14, 21, 28] {
        let (&octet, rest) = block.split_first().ok_or(DecodeError::Truncated)?;
        *block = rest;
        value = value.plus(u64::from(octet & 0x7f).wrapping_shl(shift)); // below 2^35 + 2^8
        if octet & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| DecodeError::IntegerOverflow);
        }
    }
    Err(DecodeError::IntegerOverflow)
}

/// Writes `value` behind the `flags` that share its first octet.
#[inline(always)]
pub(super) fn encode(out: &mut Writer<'_>, flags: u8, prefix: u32, value: u32) {
    let mask = 0xff_u8.wrapping_shr(8_u32.wrapping_sub(prefix));
    match u8::try_from(value) {
        Ok(small) if small < mask => out.put_u8(flags | small),
        _ => {
            out.put_u8(flags | mask);
            encode_rest(out, value.minus(u32::from(mask)));
        }
    }
}

#[inline(never)]
fn encode_rest(out: &mut Writer<'_>, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(prefix: u32, value: u32) -> Vec<u8> {
        let mut buffer = [0; MAX];
        let mut out = Writer::new(&mut buffer);
        encode(&mut out, 0, prefix, value);
        let n = out.finish().unwrap();
        buffer[..n].to_vec()
    }

    #[test]
    fn rfc7541_c1() {
        assert_eq!(encoded(5, 10), [0b01010]);
        assert_eq!(encoded(5, 1337), [0b11111, 0b1001_1010, 0b0000_1010]);
        assert_eq!(encoded(8, 42), [42]);
        assert_eq!(decode(&mut &[0b1110_1010_u8][..], 5), Ok(10));
        assert_eq!(decode(&mut &[0xff, 0b1001_1010, 0b0000_1010][..], 5), Ok(1337));
        assert_eq!(decode(&mut &[42_u8][..], 8), Ok(42));
    }

    #[test]
    fn every_prefix_both_ways_around_its_bounds() {
        for prefix in 1..=8 {
            let mask = (1_u32 << prefix) - 1;
            for value in [0, 1, mask - 1, mask, mask + 1, mask + 127, mask + 128, 65_535, 1 << 28, u32::MAX] {
                let octets = encoded(prefix, value);
                assert_eq!(decode(&mut &octets[..], prefix), Ok(value), "prefix {prefix}");
                for cut in 0..octets.len() {
                    assert_eq!(decode(&mut &octets[..cut], prefix), Err(DecodeError::Truncated));
                }
            }
        }
        assert_eq!(encoded(4, u32::MAX).len(), MAX);
    }

    #[test]
    fn what_has_more_than_32_bits_is_refused() {
        // 31 + 2^32 - 31 is one more than fits.
        let largest = encoded(5, u32::MAX);
        let mut above = largest.clone();
        above[1] += 1;
        assert_eq!(decode(&mut &above[..], 5), Err(DecodeError::IntegerOverflow));
        // Zeros padded beyond five octets, with and without an end.
        for octets in [[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], [0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(decode(&mut &octets[..], 5), Err(DecodeError::IntegerOverflow));
        }
        // Padding within five octets is allowed.
        assert_eq!(decode(&mut &[0x1f, 0x81, 0x80, 0x80, 0x80, 0x00][..], 5), Ok(32));
    }
}
