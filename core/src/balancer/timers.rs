//! One timer a subchannel: a binary heap of slots that knows where each one is, so that arming, changing and stopping
//! cost O(log n) and the next one is at hand.

use super::storage::{NONE, SubchannelSlot};
use crate::bytes::Exact;
use crate::time::Instant;

pub(super) struct Timers<'a> {
    pub(super) slots: &'a mut [SubchannelSlot],
    /// Slots; the earliest deadline is at 0.
    pub(super) heap: &'a mut [u16],
    pub(super) len: &'a mut u16,
}

impl Timers<'_> {
    /// The earliest timer.
    pub(super) fn first(&self) -> Option<(u16, Instant)> {
        let slot = self.heap.get(..usize::from(*self.len))?.first()?;
        Some((*slot, self.slots.get(usize::from(*slot))?.deadline))
    }

    /// Sets or changes the timer of `slot`.
    pub(super) fn arm(&mut self, slot: u16, deadline: Instant) {
        let Some(entry) = self.slots.get_mut(usize::from(slot)) else { return };
        entry.deadline = deadline;
        let mut at = entry.timer;
        if at == NONE {
            at = *self.len;
            *self.len = at.plus(1);
        }
        self.put(at, slot);
        self.settle(at);
    }

    /// Stops the timer of `slot`, if it has one.
    pub(super) fn disarm(&mut self, slot: u16) {
        let Some(entry) = self.slots.get_mut(usize::from(slot)) else { return };
        let at = core::mem::replace(&mut entry.timer, NONE);
        if at == NONE {
            return;
        }
        let last = self.len.minus(1);
        *self.len = last;
        if at != last
            && let Some(&moved) = self.heap.get(usize::from(last))
        {
            self.put(at, moved);
            self.settle(at);
        }
    }

    /// Up or down to where it belongs.
    fn settle(&mut self, mut at: u16) {
        while at > 0 {
            let parent = at.minus(1) / 2;
            if self.deadline(parent) <= self.deadline(at) {
                break;
            }
            self.exchange(parent, at);
            at = parent;
        }
        loop {
            let left = u32::from(at).plus(u32::from(at)).plus(1);
            let Some(mut child) = u16::try_from(left).ok().filter(|&child| child < *self.len) else { return };
            let right = child.plus(1);
            if right < *self.len && self.deadline(right) < self.deadline(child) {
                child = right;
            }
            if self.deadline(at) <= self.deadline(child) {
                return;
            }
            self.exchange(at, child);
            at = child;
        }
    }

    fn deadline(&self, at: u16) -> Instant {
        let slot = self.heap.get(usize::from(at)).and_then(|&slot| self.slots.get(usize::from(slot)));
        slot.map_or(Instant::NEVER, |slot| slot.deadline)
    }

    fn exchange(&mut self, a: u16, b: u16) {
        if let (Some(&at_a), Some(&at_b)) = (self.heap.get(usize::from(a)), self.heap.get(usize::from(b))) {
            self.put(a, at_b);
            self.put(b, at_a);
        }
    }

    fn put(&mut self, at: u16, slot: u16) {
        if let Some(place) = self.heap.get_mut(usize::from(at)) {
            *place = slot;
        }
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            entry.timer = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::backoff::Random;

    #[test]
    fn the_earliest_comes_first() {
        const N: u16 = 50;
        let mut slots = [SubchannelSlot { timer: NONE, ..SubchannelSlot::EMPTY }; N as usize];
        let mut heap = [0; N as usize];
        let mut len = 0;
        let mut expected = [None; N as usize];
        let mut random = Random(3);
        for _ in 0..20_000 {
            let mut timers = Timers { slots: &mut slots, heap: &mut heap, len: &mut len };
            let slot = (random.next() % u64::from(N)) as u16;
            if random.next().is_multiple_of(3) {
                timers.disarm(slot);
                expected[slot as usize] = None;
            } else {
                let deadline = Instant::from_nanos(random.next() % 1000);
                timers.arm(slot, deadline);
                expected[slot as usize] = Some(deadline);
            }
            assert_eq!(timers.first().map(|(_, at)| at), expected.iter().flatten().min().copied());
            if let Some((slot, at)) = timers.first() {
                assert_eq!(expected[slot as usize], Some(at));
            }
            assert_eq!(usize::from(len), expected.iter().flatten().count());
        }
    }
}
