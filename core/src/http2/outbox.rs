//! The outbox: a flat lent buffer whose unsent part is lent on to the caller.

use crate::bytes::{self, Exact, Writer};

/// Where the unsent part lies.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    start: usize,
    end: usize,
    /// Octets that the caller has written, ever.
    sent: u64,
}

impl Outbox {
    /// Octets that can be put now.
    #[inline]
    pub(super) fn room(&self, buffer: &[u8]) -> usize {
        let tail = buffer.len().saturating_sub(self.end);
        // Moving costs what is moved: only when at least as much was sent since the last time.
        if self.unsent() <= self.start { tail.saturating_add(self.start) } else { tail }
    }

    /// Octets that wait to be sent.
    #[inline]
    pub(super) fn unsent(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Where in all that was ever put the next octet lies.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.sent.saturating_add(self.unsent() as u64)
    }

    /// Whether the octet at `position` was sent.
    pub(super) fn was_sent(&self, position: u64) -> bool {
        self.sent > position
    }

    /// A writer over the free part when `n` octets fit; [`Outbox::put`] counts what was written.
    #[inline]
    pub(super) fn writer<'b>(&mut self, buffer: &'b mut [u8], n: usize) -> Option<Writer<'b>> {
        if buffer.len().saturating_sub(self.end) < n {
            if self.room(buffer) < n {
                return None;
            }
            let unsent = self.unsent();
            bytes::copy_within(buffer, self.start, 0, unsent);
            (self.start, self.end) = (0, unsent);
        }
        Some(Writer::new(buffer.get_mut(self.end..)?))
    }

    /// Counts `n` octets as put.
    #[inline]
    pub(super) fn put(&mut self, n: usize) {
        self.end = self.end.plus(n);
    }

    /// Takes back what was put from `position` on, if it was not sent.
    pub(super) fn truncate(&mut self, position: u64) {
        let keep = position.saturating_sub(self.sent);
        if keep < self.unsent() as u64 {
            self.end = self.start.saturating_add(keep as usize);
        }
    }

    /// What waits to be sent.
    pub(super) fn lent<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Counts up to `n` octets as sent.
    pub(super) fn transmitted(&mut self, n: usize) {
        let n = n.min(self.unsent());
        self.sent = self.sent.saturating_add(n as u64);
        self.start = self.start.plus(n);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(outbox: &mut Outbox, buffer: &mut [u8], bytes: &[u8]) -> bool {
        let Some(mut out) = outbox.writer(buffer, bytes.len()) else { return false };
        out.put(bytes);
        outbox.put(bytes.len());
        true
    }

    #[test]
    fn moves_up_what_is_unsent_when_that_is_cheap() {
        let (mut outbox, mut buffer) = (Outbox::default(), [0; 10]);
        assert!(put(&mut outbox, &mut buffer, b"abcdefgh"));
        assert!(!put(&mut outbox, &mut buffer, b"ijk"));
        outbox.transmitted(3);
        assert_eq!(outbox.room(&buffer), 2);
        outbox.transmitted(1);
        assert_eq!(outbox.room(&buffer), 6);
        assert!(put(&mut outbox, &mut buffer, b"ijklmn"));
        assert_eq!(outbox.lent(&buffer), b"efghijklmn");
        assert_eq!(outbox.position(), 14);
        assert!(outbox.was_sent(3) && !outbox.was_sent(4));
        outbox.truncate(20);
        assert_eq!(outbox.lent(&buffer), b"efghijklmn");
        outbox.truncate(6);
        assert_eq!((outbox.lent(&buffer), outbox.position()), (&b"ef"[..], 6));
        outbox.transmitted(10);
        assert_eq!((outbox.room(&buffer), outbox.unsent()), (10, 0));
    }
}
