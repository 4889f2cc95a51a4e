//! Length-Prefixed-Message (gRPC/HTTP2, "Requests"): a flag octet, a length of four octets, the message.

use crate::bytes::{Exact, take_up_to};

/// Octets of the prefix.
pub const PREFIX: usize = 5;

/// The prefix of a message of `len` octets.
pub const fn prefix(len: u32, compressed: bool) -> [u8; PREFIX] {
    let [a, b, c, d] = len.to_be_bytes();
    [compressed as u8, a, b, c, d]
}

/// A part of a message: `bytes` borrow the caller's input and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'i> {
    /// The part.
    pub bytes: &'i [u8],
    /// Where in the message it starts.
    pub offset: u32,
    /// Length of the whole message.
    pub len: u32,
    /// The flag octet's bit 0: compressed by the call's grpc-encoding.
    pub compressed: bool,
}

impl<'i> Piece<'i> {
    /// The message, when this part is all of it.
    pub fn whole(&self) -> Option<&'i [u8]> {
        (self.bytes.len() == self.len as usize).then_some(self.bytes)
    }

    /// Whether it is the message's first part.
    pub const fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether it is the message's last part.
    pub const fn is_last(&self) -> bool {
        self.bytes.len() == self.len.wrapping_sub(self.offset) as usize
    }
}

/// What is wrong with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefixError {
    /// The message is longer than the limit: RESOURCE_EXHAUSTED.
    TooLarge {
        /// Its length, octets.
        len: u32,
    },
    /// The flag octet is neither 0 nor 1: INTERNAL.
    Flag(u8),
}

/// Finds the messages in a byte stream that is cut anywhere. All zero is the state at the start.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Length of the message; while the prefix is incomplete, the octets of it that came.
    len: u32,
    /// Octets of the message that are still to come.
    left: u32,
    /// Octets of the prefix that came; `PREFIX`: inside the message.
    have: u8,
    flag: u8,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::START
    }
}

impl Reader {
    /// Before the first message.
    pub const START: Reader = Reader { len: 0, left: 0, have: 0, flag: 0 };

    /// Takes from `input` up to the end of the next part of a message. `Ok(None)`: all of it was taken.
    /// Messages longer than `max` octets are refused; after an error the stream cannot be read on.
    #[inline]
    pub fn read<'i>(&mut self, input: &mut &'i [u8], max: u32) -> Result<Option<Piece<'i>>, PrefixError> {
        let checked = |flag, len| match flag {
            0 | 1 if len > max => Err(PrefixError::TooLarge { len }),
            0 | 1 => Ok(()),
            _ => Err(PrefixError::Flag(flag)),
        };
        Ok(self.read_frame(input, checked)?.map(|(_, piece)| piece))
    }

    /// [`read`](Self::read) for a carrier with more flags than one: gives the flag octet along. `check` sees flag and length
    /// of each frame, once, before any of its octets are taken.
    #[inline]
    pub fn read_frame<'i, E>(
        &mut self,
        input: &mut &'i [u8],
        check: impl FnOnce(u8, u32) -> Result<(), E>,
    ) -> Result<Option<(u8, Piece<'i>)>, E> {
        let begins = usize::from(self.have) < PREFIX;
        if begins {
            self.read_prefix(input);
            if usize::from(self.have) < PREFIX {
                return Ok(None);
            }
            check(self.flag, self.len)?;
            self.left = self.len;
        }
        // A message without octets has a part all the same, and one that begins at the input's end has not.
        if input.is_empty() && self.left != 0 {
            return Ok(None);
        }
        let bytes = take_up_to(input, self.left as usize);
        let flag = self.flag;
        let piece =
            Piece { bytes, offset: self.len.minus(self.left), len: self.len, compressed: flag & 1 == 1 };
        self.left = self.left.minus(bytes.len() as u32);
        if self.left == 0 {
            *self = Reader::START;
        }
        Ok(Some((flag, piece)))
    }

    /// Whether the input ended within a prefix or a message.
    pub const fn is_inside(&self) -> bool {
        self.have != 0
    }

    fn read_prefix(&mut self, input: &mut &[u8]) {
        if self.have == 0
            && let Some(([flag, len @ ..], rest)) = input.split_first_chunk::<PREFIX>()
        {
            *self = Reader { len: u32::from_be_bytes(*len), left: 0, have: PREFIX as u8, flag: *flag };
            *input = rest;
            return;
        }
        while usize::from(self.have) < PREFIX
            && let Some((&octet, rest)) = input.split_first()
        {
            if self.have == 0 {
                self.flag = octet;
            } else {
                self.len = self.len << 8 | u32::from(octet);
            }
            self.have = self.have.plus(1);
            *input = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Puts the parts together again and checks that they are in order.
    fn collect(
        reader: &mut Reader,
        mut input: &[u8],
        messages: &mut Vec<(Vec<u8>, bool)>,
        open: &mut Vec<u8>,
    ) {
        while let Some(piece) = reader.read(&mut input, u32::MAX).unwrap() {
            assert_eq!(piece.offset as usize, open.len());
            assert_eq!(piece.is_first(), open.is_empty());
            open.extend(piece.bytes);
            assert_eq!(piece.is_last(), open.len() == piece.len as usize);
            assert_eq!(piece.whole().is_some(), piece.bytes.len() == piece.len as usize);
            if piece.is_last() {
                messages.push((core::mem::take(open), piece.compressed));
            }
        }
        assert!(input.is_empty());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..8),
            cuts in prop::collection::vec(1usize..20, 1..40),
        ) {
            let mut wire = Vec::new();
            for (message, compressed) in &messages {
                wire.extend(prefix(message.len() as u32, *compressed));
                wire.extend(message);
            }
            let (mut got, mut open, mut reader) = (Vec::new(), Vec::new(), Reader::START);
            let (mut rest, mut cuts) = (&wire[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, tail) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                collect(&mut reader, part, &mut got, &mut open);
                rest = tail;
            }
            prop_assert!(!reader.is_inside());
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn an_empty_message_is_one_piece() {
        let mut input = &[0, 0, 0, 0, 0][..];
        let mut reader = Reader::START;
        let piece = reader.read(&mut input, 0).unwrap().unwrap();
        assert_eq!((piece.whole(), piece.is_first(), piece.is_last()), (Some(&[][..]), true, true));
        assert_eq!(reader.read(&mut input, 0), Ok(None));
        assert!(!reader.is_inside());
    }

    #[test]
    fn limits_and_flags() {
        let read = |bytes: &[u8], max| Reader::default().read(&mut &bytes[..], max).map(|_| ());
        assert_eq!(read(&[0, 0, 0, 0, 4], 4), Ok(()));
        assert_eq!(read(&[0, 0, 0, 0, 5], 4), Err(PrefixError::TooLarge { len: 5 }));
        assert_eq!(
            read(&[0, 255, 255, 255, 255], u32::MAX - 1),
            Err(PrefixError::TooLarge { len: u32::MAX })
        );
        assert_eq!(read(&[2, 0, 0, 0, 0], 4), Err(PrefixError::Flag(2)));
        assert_eq!(read(&[255, 0, 0, 0, 9], 4), Err(PrefixError::Flag(255)));
    }

    #[test]
    fn the_end_within_a_message_shows() {
        for cut in 1..9 {
            let mut reader = Reader::START;
            let _ = reader.read(&mut &[0, 0, 0, 0, 4, 1, 2, 3, 4][..cut], 9).unwrap();
            assert!(reader.is_inside(), "{cut}");
        }
    }
}
