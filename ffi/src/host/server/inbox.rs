//! Request messages on their way from the driving thread to a handler that takes them one by one.

/// Octets of the length that stands before each message in the buffer.
const PREFIX: usize = 4;

/// The queue. One flat buffer: a message costs its octets and four more, however small it is, so what a client can
/// make wait here is bounded by its receive window and by [`Inbox::is_full`].
///
/// Window is given back as the handler takes messages (back-pressure). One exception keeps a message that is larger
/// than the window moving: while no whole message waits, the parts of the next one are given back at once.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    /// Where the oldest message starts.
    front: usize,
    /// Whole messages that wait.
    waiting: usize,
    /// Octets that still count against the receive window.
    held: usize,
}

impl Inbox {
    /// Adds a part of a message. Returns how many octets to give back to the window now.
    pub(crate) fn put(&mut self, offset: u32, len: u32, bytes: &[u8]) -> usize {
        if offset == 0 {
            self.buffer.extend_from_slice(&len.to_le_bytes());
        }
        self.buffer.extend_from_slice(bytes);
        let whole = offset as usize + bytes.len() == len as usize;
        if self.waiting == 0 && !whole {
            return bytes.len();
        }
        self.held += bytes.len();
        self.waiting += usize::from(whole);
        0
    }

    /// Takes the oldest whole message into `message` and returns how many octets to give back to the window.
    pub(crate) fn take(&mut self, message: &mut Vec<u8>) -> Option<usize> {
        if self.waiting == 0 {
            return None;
        }
        let (prefix, rest) = self.buffer.get(self.front..)?.split_first_chunk::<PREFIX>()?;
        let len = u32::from_le_bytes(*prefix) as usize;
        message.extend_from_slice(rest.get(..len)?);
        self.front += PREFIX + len;
        self.waiting -= 1;
        self.compact();
        let release = if self.waiting == 0 { self.held } else { len.min(self.held) };
        self.held -= release;
        Some(release)
    }

    /// Whether more waits than a client can send within `window` octets: a flood of empty messages, which need none.
    pub(crate) fn is_full(&self, window: usize) -> bool {
        self.waiting > window
    }

    /// Empties it for the next call; a large buffer is not kept.
    pub(crate) fn clear(&mut self) {
        super::empty(&mut self.buffer);
        (self.front, self.waiting, self.held) = (0, 0, 0);
    }

    /// Drops what was taken, when that is most of the buffer: each octet is moved at most once on average.
    fn compact(&mut self) {
        if self.front == self.buffer.len() {
            super::empty(&mut self.buffer);
        } else if self.front > 4096 && self.front > self.buffer.len() / 2 {
            self.buffer.drain(..self.front);
        } else {
            return;
        }
        self.front = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;

    fn put(inbox: &mut Inbox, message: &[u8], piece: usize) -> usize {
        let len = u32::try_from(message.len()).expect("small");
        if message.is_empty() {
            return inbox.put(0, 0, b"");
        }
        let mut at = 0;
        message
            .chunks(piece)
            .map(|part| {
                let released = inbox.put(at, len, part);
                at += u32::try_from(part.len()).expect("small");
                released
            })
            .sum()
    }

    #[test]
    fn messages_come_out_as_they_went_in_and_every_octet_is_released_once() {
        for piece in [1, 7, 1000] {
            let mut inbox = Inbox::default();
            let mut released = 0;
            let mut message = Vec::new();
            let messages: Vec<Vec<u8>> =
                (0..300_usize).map(|i| vec![u8::try_from(i % 251).expect("small"); i * 7 % 400]).collect();
            for (n, pair) in messages.chunks(2).enumerate() {
                for message in pair {
                    released += put(&mut inbox, message, piece);
                }
                message.clear();
                released += inbox.take(&mut message).expect("waits");
                assert_eq!(message, messages[n], "piece {piece}");
            }
            for expected in &messages[messages.len() / 2..] {
                message.clear();
                released += inbox.take(&mut message).expect("waits");
                assert_eq!(&message, expected, "piece {piece}");
            }
            assert_eq!(inbox.take(&mut message), None);
            assert_eq!(released, messages.iter().map(Vec::len).sum::<usize>());
        }
    }

    #[test]
    fn a_message_larger_than_the_window_moves_and_a_second_one_waits() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.put(0, 10, b"12345"), 5, "nothing waits: the window is given back at once");
        assert_eq!(inbox.put(5, 10, b"67890"), 0, "now a message waits");
        assert_eq!(inbox.put(0, 10, b"abcde"), 0, "so the next one is held back");
        let mut message = Vec::new();
        assert_eq!(
            inbox.take(&mut message),
            Some(10),
            "both held parts come back with the last message taken"
        );
        assert_eq!(message, b"1234567890");
        assert_eq!(inbox.take(&mut message), None);
        assert_eq!(inbox.put(5, 10, b"fghij"), 0);
        message.clear();
        assert_eq!(inbox.take(&mut message), Some(5));
        assert_eq!(message, b"abcdefghij");
    }

    #[test]
    fn empty_messages_are_counted() {
        let mut inbox = Inbox::default();
        for _ in 0..10 {
            assert!(!inbox.is_full(10));
            inbox.put(0, 0, b"");
        }
        assert!(!inbox.is_full(10));
        inbox.put(0, 0, b"");
        assert!(inbox.is_full(10));
    }
}
