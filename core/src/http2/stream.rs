//! The stream table: slots, the look-up of ids, and what is remembered of closed streams (RFC 9113 §5.1).

use super::queue::{Lane, Link, Queue};
use super::window::Window;
use crate::bytes::Exact;

/// One stream's state. All zero is free.
#[derive(Clone, Debug, Default)]
pub struct StreamSlot {
    /// 0: free.
    pub(super) id: u32,
    pub(super) flags: u16,
    /// What the peer lets us send.
    pub(super) send_window: Window,
    /// What we let the peer send.
    pub(super) recv_window: Window,
    /// Octets received and not released.
    pub(super) unreleased: u32,
    /// Octets released and not announced yet.
    pub(super) released: u32,
    /// Octets that content-length still promises; holds with [`HAS_LENGTH`].
    pub(super) expected: u64,
    /// Where in all that was ever put into the outbox the opening HEADERS begin.
    pub(super) headers_at: u64,
    /// Room in the outbox that the blocked send waits for, octets.
    pub(super) needs: u32,
    /// Window that the blocked send waits for, octets.
    pub(super) needs_window: u16,
    /// Error code of the RST_STREAM that is due.
    pub(super) code: u32,
    /// First slot of the hash bucket with this slot's number, + 1: the table of buckets lies in the slots.
    bucket: u16,
    /// Next slot of the bucket that this stream is in (or of the free list), + 1.
    chain: u16,
    pub(super) control: Link,
    pub(super) write: Link,
}

/// We sent END_STREAM.
pub(super) const LOCAL_CLOSED: u16 = 1 << 0;
/// The peer sent END_STREAM.
pub(super) const REMOTE_CLOSED: u16 = 1 << 1;
/// The request or the final response was received: what follows are trailers.
pub(super) const HEADERS_SEEN: u16 = 1 << 2;
/// The peer sent content-length.
pub(super) const HAS_LENGTH: u16 = 1 << 3;
/// The request was HEAD: content-length promises nothing (RFC 9110 §8.6).
pub(super) const NO_CONTENT: u16 = 1 << 4;
/// The stream is over but for a RST_STREAM that is due.
pub(super) const RST_DUE: u16 = 1 << 5;
/// In the queue of frames that are due.
pub(super) const IN_CONTROL: u16 = 1 << 6;
/// In the queue of sends that wait for the outbox.
pub(super) const WAITS_OUTBOX: u16 = 1 << 7;
/// In the queue of sends that wait for the connection's window.
pub(super) const WAITS_CONNECTION: u16 = 1 << 8;
/// A send waits for the stream's own window, in no queue.
pub(super) const WAITS_STREAM: u16 = 1 << 9;

impl StreamSlot {
    /// A free slot: all zero, so that a static of them lies in `.bss`.
    pub const FREE: StreamSlot = StreamSlot {
        id: 0,
        flags: 0,
        send_window: Window::ZERO,
        recv_window: Window::ZERO,
        unreleased: 0,
        released: 0,
        expected: 0,
        headers_at: 0,
        needs: 0,
        needs_window: 0,
        code: 0,
        bucket: 0,
        chain: 0,
        control: Link::NONE,
        write: Link::NONE,
    };

    #[inline]
    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, flags: u16) {
        self.flags &= !flags;
    }
}

/// How a stream came to be closed: decides what a frame on it means (RFC 9113 §5.1, "closed").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both sides sent END_STREAM.
    Ended,
    /// The peer sent RST_STREAM.
    PeerReset,
    /// We sent RST_STREAM: what the peer sent before it knew is ignored.
    OwnReset,
}

/// The table's own state; the slots are lent.
#[derive(Debug)]
pub(super) struct Streams {
    /// Odd; multiplies ids, so that a peer cannot choose ids that fall into one bucket.
    key: u32,
    /// First free slot of those that were used before, + 1.
    free: u16,
    /// Slots from here on were never used.
    fresh: u16,
    /// Slots in use.
    pub(super) open: u16,
    /// The highest id that the peer opened.
    pub(super) last_peer: u32,
    /// The next id that this side opens.
    pub(super) next_local: u32,
    /// Slots with a frame due.
    pub(super) control: Queue,
    /// Slots whose sends wait for the outbox.
    pub(super) wait_outbox: Queue,
    /// Slots whose sends wait for the connection's window.
    pub(super) wait_connection: Queue,
    /// Streams that closed last, a ring.
    closed: [(u32, Ending); 16],
    closed_at: u8,
}

impl Streams {
    pub(super) fn new(seed: u64) -> Streams {
        let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Streams {
            key: (mixed >> 32) as u32 | 1,
            free: 0,
            fresh: 0,
            open: 0,
            last_peer: 0,
            next_local: 1,
            control: Queue::new(Lane::Control),
            wait_outbox: Queue::new(Lane::Write),
            wait_connection: Queue::new(Lane::Write),
            closed: [(0, Ending::OwnReset); 16],
            closed_at: 0,
        }
    }

    fn bucket(&self, slots: &[StreamSlot], id: u32) -> usize {
        let hash = (id >> 1).wrapping_mul(self.key);
        (u64::from(hash).wrapping_mul(slots.len() as u64) >> 32) as usize
    }

    /// The slot of an open stream.
    #[inline]
    pub(super) fn find(&self, slots: &[StreamSlot], id: u32) -> Option<u16> {
        let mut number = slots.get(self.bucket(slots, id))?.bucket;
        loop {
            let index = number.checked_sub(1)?;
            let slot = slots.get(usize::from(index))?;
            if slot.id == id {
                return Some(index);
            }
            number = slot.chain;
        }
    }

    /// Slots that are free.
    pub(super) fn room(&self, slots: &[StreamSlot]) -> u32 {
        (slots.len().min(MAX_SLOTS) as u32).saturating_sub(u32::from(self.open))
    }

    /// A slot for stream `id`, blank but for it.
    pub(super) fn insert(&mut self, slots: &mut [StreamSlot], id: u32) -> Option<u16> {
        let index = match self.free.checked_sub(1) {
            Some(index) => {
                self.free = slots.get(usize::from(index))?.chain;
                index
            }
            None => {
                let index = self.fresh;
                if usize::from(index) >= slots.len().min(MAX_SLOTS) {
                    return None;
                }
                self.fresh = index.plus(1);
                index
            }
        };
        let bucket = self.bucket(slots, id);
        let head = slots.get_mut(bucket)?;
        let chain = core::mem::replace(&mut head.bucket, index.plus(1));
        let slot = slots.get_mut(usize::from(index))?;
        *slot = StreamSlot { id, chain, bucket: slot.bucket, ..StreamSlot::FREE };
        self.open = self.open.plus(1);
        Some(index)
    }

    /// Frees the slot.
    pub(super) fn remove(&mut self, slots: &mut [StreamSlot], index: u16, ending: Ending) {
        let Some(slot) = slots.get(usize::from(index)) else { return };
        let (id, flags, after) = (slot.id, slot.flags, slot.chain);
        if flags & IN_CONTROL != 0 {
            self.control.remove(slots, index);
        }
        if flags & WAITS_OUTBOX != 0 {
            self.wait_outbox.remove(slots, index);
        }
        if flags & WAITS_CONNECTION != 0 {
            self.wait_connection.remove(slots, index);
        }
        self.unchain(slots, index, id, after);
        if let Some(slot) = slots.get_mut(usize::from(index)) {
            let bucket = slot.bucket;
            *slot = StreamSlot { bucket, chain: self.free, ..StreamSlot::FREE };
        }
        self.free = index.saturating_add(1);
        self.open = self.open.minus(1);
        self.note_closed(id, ending);
    }

    fn unchain(&self, slots: &mut [StreamSlot], index: u16, id: u32, after: u16) {
        let me = index.saturating_add(1);
        let bucket = self.bucket(slots, id);
        let Some(head) = slots.get_mut(bucket) else { return };
        if head.bucket == me {
            head.bucket = after;
            return;
        }
        let mut number = head.bucket;
        while let Some(slot) = number.checked_sub(1).and_then(|i| slots.get_mut(usize::from(i))) {
            if slot.chain == me {
                slot.chain = after;
                return;
            }
            number = slot.chain;
        }
    }

    /// Remembers how a stream closed.
    pub(super) fn note_closed(&mut self, id: u32, ending: Ending) {
        if let Some(place) = self.closed.get_mut(usize::from(self.closed_at & 15)) {
            *place = (id, ending);
        }
        self.closed_at = self.closed_at.wrapping_add(1);
    }

    /// How a closed stream came to be that, if it is among the last ones.
    pub(super) fn ending(&self, id: u32) -> Option<Ending> {
        self.closed.iter().find(|(closed, _)| *closed == id).map(|(_, ending)| *ending)
    }
}

/// Links are 16 bits, 0 is none.
const MAX_SLOTS: usize = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<StreamSlot>() <= 64, "{}", size_of::<StreamSlot>());
    }

    #[test]
    fn finds_what_is_open_and_reuses_slots() {
        for seed in 0..50 {
            let mut slots = vec![StreamSlot::FREE; 7];
            let mut streams = Streams::new(seed);
            let mut open: Vec<(u32, u16)> = Vec::new();
            let mut id = 1;
            for round in 0..500_u32 {
                if open.len() < 7 && (round % 3 != 0 || open.is_empty()) {
                    let slot = streams.insert(&mut slots, id).unwrap();
                    assert!(open.iter().all(|(_, taken)| *taken != slot));
                    open.push((id, slot));
                    id += 2 + 14 * (round % 2);
                } else {
                    let (id, slot) = open.remove(round as usize % open.len());
                    streams.remove(&mut slots, slot, Ending::Ended);
                    assert_eq!(streams.find(&slots, id), None);
                    assert_eq!(streams.ending(id), Some(Ending::Ended));
                }
                for (id, slot) in &open {
                    assert_eq!(streams.find(&slots, *id), Some(*slot));
                }
                assert_eq!(streams.room(&slots), 7 - open.len() as u32);
            }
        }
    }

    #[test]
    fn a_full_table_says_so() {
        let mut slots = vec![StreamSlot::FREE; 2];
        let mut streams = Streams::new(1);
        assert!(streams.insert(&mut slots, 1).is_some() && streams.insert(&mut slots, 3).is_some());
        assert_eq!(streams.insert(&mut slots, 5), None);
    }
}
