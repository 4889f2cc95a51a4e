//! One call's state, and the two orders that calls stand in: deadlines (a heap) and statuses to be told (a list).
//! Both are woven through the slots, so that they need no memory of their own.

use super::reason::Reason;
use crate::bytes::Exact;
use crate::grpc::message::Reader;
use crate::time::Instant;

/// One call's state. All zero is free.
#[derive(Clone, Debug, Default)]
pub struct CallSlot {
    /// The stream's id; 0: free.
    pub(super) id: u32,
    pub(super) flags: Flags,
    /// Why this side ends the call, when it does.
    pub(super) reason: Reason,
    pub(super) reader: Reader,
    /// Octets of the message being sent that were not taken yet.
    pub(super) send_left: u32,
    /// When the call is to end; meaningful while `timer` is not 0.
    deadline: Instant,
    /// Place in the heap of deadlines, plus one; 0: none.
    timer: u16,
    /// Not of this call: the slot that stands at this index of the heap.
    heap: u16,
    /// Neighbours in the list of statuses to be told, plus one; 0: none.
    previous: u16,
    next: u16,
}

impl CallSlot {
    /// A free slot: all zero, so that a static of them lies in `.bss`.
    pub const FREE: CallSlot = CallSlot {
        id: 0,
        flags: Flags(0),
        reason: Reason::None,
        reader: Reader::START,
        send_left: 0,
        deadline: Instant::from_nanos(0),
        timer: 0,
        heap: 0,
        previous: 0,
        next: 0,
    };

    /// Takes the slot for a new call; the heap's entry at this index stays.
    pub(super) fn occupy(&mut self, id: u32) {
        *self = CallSlot { id, heap: self.heap, ..CallSlot::FREE };
    }

    /// When the call is to end, if ever.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.timer != 0).then_some(self.deadline)
    }

    pub(super) fn is(&self, flag: Flags) -> bool {
        self.flags.0 & flag.0 != 0
    }

    /// Whether a message was begun and not all of it is sent.
    pub(super) fn is_sending(&self) -> bool {
        self.send_left != 0 || self.is(Flags::PREFIX)
    }

    pub(super) fn is_all(&self, flags: Flags) -> bool {
        self.flags.0 & flags.0 == flags.0
    }

    pub(super) fn set(&mut self, flag: Flags) {
        self.flags.0 |= flag.0;
    }

    pub(super) fn clear(&mut self, flag: Flags) {
        self.flags.0 &= !flag.0;
    }
}

/// What has happened on a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const NONE: Flags = Flags(0);
    /// The response's head: sent (server), seen (client).
    pub(super) const HEAD: Flags = Flags(1);
    /// This side sends no more.
    pub(super) const LOCAL_END: Flags = Flags(2);
    /// The peer sends no more.
    pub(super) const REMOTE_END: Flags = Flags(4);
    /// In the list: the application is to be told of the call's end.
    pub(super) const PENDING: Flags = Flags(8);
    /// Server: this side's own status is to be sent as soon as there is room; the application has no part in it.
    pub(super) const OWED: Flags = Flags(16);
    /// The HEADERS never left this side.
    pub(super) const NEVER_LEFT: Flags = Flags(32);
    /// The message being sent was announced by its length, and comes in pieces of the application's choosing.
    pub(super) const PIECES: Flags = Flags(64);
    /// Of such a message, the prefix was not sent yet.
    pub(super) const PREFIX: Flags = Flags(128);

    pub(super) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// The heap of deadlines: a binary heap of slot numbers, whose entry `k` lies in slot `k`.
#[derive(Debug, Default)]
pub(super) struct Timers {
    len: u16,
    /// The top of the heap, at hand without the slots.
    first: (u16, Instant),
}

impl Timers {
    /// The slot whose deadline is the first, and when it is.
    pub(super) fn first(&self) -> Option<(u16, Instant)> {
        (self.len != 0).then_some(self.first)
    }

    fn note_first(&mut self, calls: &[CallSlot]) {
        let slot = entry(calls, 0);
        self.first = (slot, deadline(calls, slot));
    }

    /// Sets the deadline of a call that has none.
    pub(super) fn insert(&mut self, calls: &mut [CallSlot], slot: u16, at: Instant) {
        let place = self.len;
        let Some(call) = calls.get_mut(usize::from(slot)) else { return };
        if call.timer != 0 || usize::from(place) >= calls.len() {
            return;
        }
        if let Some(call) = calls.get_mut(usize::from(slot)) {
            call.deadline = at;
        }
        self.len = place.plus(1);
        rise(calls, place, slot);
        self.note_first(calls);
    }

    /// Forgets the deadline of a call.
    pub(super) fn remove(&mut self, calls: &mut [CallSlot], slot: u16) {
        let Some(call) = calls.get_mut(usize::from(slot)) else { return };
        let Some(place) = call.timer.checked_sub(1) else { return };
        call.timer = 0;
        self.len = self.len.minus(1);
        let last = entry(calls, self.len);
        if place != self.len {
            let place = sink(calls, self.len, place, last);
            rise(calls, place, last);
        }
        self.note_first(calls);
    }
}

/// The slot at a place of the heap.
fn entry(calls: &[CallSlot], place: u16) -> u16 {
    calls.get(usize::from(place)).map_or(0, |call| call.heap)
}

/// The deadline of a slot.
fn deadline(calls: &[CallSlot], slot: u16) -> Instant {
    calls.get(usize::from(slot)).map_or(Instant::NEVER, |call| call.deadline)
}

/// Puts a slot at a place of the heap.
fn put(calls: &mut [CallSlot], place: u16, slot: u16) {
    if let Some(call) = calls.get_mut(usize::from(place)) {
        call.heap = slot;
    }
    if let Some(call) = calls.get_mut(usize::from(slot)) {
        call.timer = place.plus(1);
    }
}

/// Moves the hole at `place` up until `slot` fits into it.
fn rise(calls: &mut [CallSlot], mut place: u16, slot: u16) {
    let at = deadline(calls, slot);
    while place > 0 {
        let parent = place.minus(1) / 2;
        let above = entry(calls, parent);
        if deadline(calls, above) <= at {
            break;
        }
        put(calls, place, above);
        place = parent;
    }
    put(calls, place, slot);
}

/// Moves the hole at `place` down until `slot` fits into it, and returns where it went.
fn sink(calls: &mut [CallSlot], len: u16, mut place: u16, slot: u16) -> u16 {
    let at = deadline(calls, slot);
    // In 32 bits: twice a place may be above 65 535.
    while let Ok(left) = u16::try_from(u32::from(place).wrapping_mul(2).plus(1)) {
        if left >= len {
            break;
        }
        let mut child = (left, entry(calls, left));
        let right = left.plus(1);
        if right < len && deadline(calls, entry(calls, right)) < deadline(calls, child.1) {
            child = (right, entry(calls, right));
        }
        if at <= deadline(calls, child.1) {
            break;
        }
        put(calls, place, child.1);
        place = child.0;
    }
    put(calls, place, slot);
    place
}

/// The list of calls whose end the application is to be told, in the order of ending.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Slots plus one; 0: none.
    first: u16,
    last: u16,
}

impl Pending {
    /// The slot that is first.
    pub(super) fn first(&self) -> Option<u16> {
        self.first.checked_sub(1)
    }

    /// Appends a call.
    pub(super) fn append(&mut self, calls: &mut [CallSlot], slot: u16) {
        let previous = self.last;
        let Some(call) = calls.get_mut(usize::from(slot)) else { return };
        if call.is(Flags::PENDING) {
            return;
        }
        call.set(Flags::PENDING);
        (call.previous, call.next) = (previous, 0);
        self.last = slot.plus(1);
        match previous.checked_sub(1).and_then(|last| calls.get_mut(usize::from(last))) {
            Some(before) => before.next = self.last,
            None => self.first = self.last,
        }
    }

    /// Takes a call out, wherever it stands.
    pub(super) fn remove(&mut self, calls: &mut [CallSlot], slot: u16) {
        let Some(call) = calls.get_mut(usize::from(slot)) else { return };
        if !call.is(Flags::PENDING) {
            return;
        }
        call.clear(Flags::PENDING);
        let (previous, next) = (call.previous, call.next);
        match previous.checked_sub(1).and_then(|slot| calls.get_mut(usize::from(slot))) {
            Some(before) => before.next = next,
            None => self.first = next,
        }
        match next.checked_sub(1).and_then(|slot| calls.get_mut(usize::from(slot))) {
            Some(behind) => behind.previous = previous,
            None => self.last = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        /// Against a plain list of (deadline, slot).
        #[test]
        fn the_first_deadline_is_first(steps in prop::collection::vec((0u16..24, 0u64..50, any::<bool>()), 0..300)) {
            let mut calls = vec![CallSlot::FREE; 24];
            let (mut timers, mut model) = (Timers::default(), Vec::new());
            for (slot, at, insert) in steps {
                let at = Instant::from_nanos(at);
                if insert {
                    if !model.iter().any(|(_, s)| *s == slot) {
                        model.push((at, slot));
                    }
                    timers.insert(&mut calls, slot, at);
                } else {
                    model.retain(|(_, s)| *s != slot);
                    timers.remove(&mut calls, slot);
                }
                prop_assert_eq!(timers.first().map(|(_, at)| at), model.iter().map(|(at, _)| *at).min());
            }
            model.sort();
            for (at, _) in model {
                let (slot, first) = timers.first().unwrap();
                prop_assert_eq!(first, at);
                timers.remove(&mut calls, slot);
            }
            prop_assert!(timers.first().is_none());
        }

        /// Against a `VecDeque`.
        #[test]
        fn the_list_keeps_order(steps in prop::collection::vec((0u16..8, any::<bool>()), 0..200)) {
            let mut calls = vec![CallSlot::FREE; 8];
            let (mut pending, mut model) = (Pending::default(), VecDeque::new());
            for (slot, append) in steps {
                if append {
                    if !model.contains(&slot) {
                        model.push_back(slot);
                    }
                    pending.append(&mut calls, slot);
                } else {
                    model.retain(|s| *s != slot);
                    pending.remove(&mut calls, slot);
                }
                prop_assert_eq!(pending.first(), model.front().copied());
            }
            while let Some(slot) = pending.first() {
                prop_assert_eq!(Some(slot), model.pop_front());
                pending.remove(&mut calls, slot);
            }
            prop_assert!(model.is_empty());
        }
    }
}
