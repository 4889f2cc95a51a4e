//! String literals, plain or Huffman-coded (RFC 7541 §5.2).

use super::{DecodeError, huffman, integer};
use crate::bytes::{Writer, copy, take};

/// A string as it lies in a header block.
#[derive(Clone, Copy)]
pub(super) struct Raw<'b> {
    huffman: bool,
    octets: &'b [u8],
}

impl<'b> Raw<'b> {
    /// Splits a string off the front of `block`.
    #[inline(always)]
    pub(super) fn split_off(block: &mut &'b [u8]) -> Result<Raw<'b>, DecodeError> {
        let huffman = block.first().is_some_and(|first| first & 0x80 != 0);
        let len = integer::decode(block, 7)?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        let octets = take(block, len).ok_or(DecodeError::Truncated)?;
        Ok(Raw { huffman, octets })
    }

    /// Decodes to the front of `out`: its length, or `None` when `out` is too small.
    #[inline(always)]
    pub(super) fn decode(&self, out: &mut [u8]) -> Result<Option<usize>, DecodeError> {
        if self.huffman {
            huffman::decode(self.octets, out)
        } else if self.octets.len() <= out.len() {
            Ok(Some(copy(out, self.octets)))
        } else {
            Ok(None)
        }
    }

    /// Length when decoded.
    pub(super) fn decoded_len(&self) -> Result<usize, DecodeError> {
        if self.huffman { huffman::decoded_len(self.octets) } else { Ok(self.octets.len()) }
    }
}

/// Writes `string`, Huffman-coded when that is shorter.
#[inline]
pub(super) fn encode(out: &mut Writer<'_>, string: &[u8]) {
    if string.len() < 128 {
        // What is shorter than this takes one octet for its length, so that it can be coded where it belongs.
        let room = out.rest().get_mut(1..).and_then(|room| room.get_mut(..string.len().saturating_sub(1)));
        if let Some(coded) = room.and_then(|room| huffman::encode(string, room))
            && let Ok(length @ 1..) = u8::try_from(coded)
        {
            out.put_u8(0x80 | length);
            return out.advance(coded);
        }
    } else {
        let coded = huffman::encoded_len(string);
        if coded < string.len() {
            integer::encode(out, 0x80, 7, length(coded));
            // What does not fit is more than the room there is: the writer remembers.
            let coded = out.rest().get_mut(..coded).and_then(|room| huffman::encode(string, room));
            return out.advance(coded.unwrap_or(usize::MAX));
        }
    }
    integer::encode(out, 0, 7, length(string.len()));
    out.put(string);
}

/// A length for the wire; strings of 4 GiB do not fit any writer.
fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
