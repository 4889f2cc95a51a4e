//! Queues through the stream slots: O(1) to enter, to leave and to take out of the middle.

use super::stream::StreamSlot;

/// A slot's place in a queue: index + 1 of its neighbours, 0 for none. All zero is outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    next: u16,
    previous: u16,
}

impl Link {
    pub(super) const NONE: Link = Link { next: 0, previous: 0 };
}

/// Which of a slot's two links a queue runs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Frames that are due: WINDOW_UPDATE, RST_STREAM.
    Control,
    /// Sends that are blocked.
    Write,
}

/// First and last of a queue, index + 1; all zero is empty. A slot is in one queue a lane at most; flags of the
/// slot say in which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    lane: Lane,
    first: u16,
    last: u16,
}

impl Queue {
    pub(super) const fn new(lane: Lane) -> Queue {
        Queue { lane, first: 0, last: 0 }
    }

    /// The slot whose turn it is.
    #[inline]
    pub(super) fn first(&self) -> Option<u16> {
        self.first.checked_sub(1)
    }

    pub(super) fn push(&mut self, slots: &mut [StreamSlot], slot: u16) {
        let me = slot.saturating_add(1);
        match link(slots, self.last, self.lane) {
            Some(last) => last.next = me,
            None => self.first = me,
        }
        if let Some(own) = link(slots, me, self.lane) {
            *own = Link { next: 0, previous: self.last };
        }
        self.last = me;
    }

    /// The slot has to be in this queue.
    pub(super) fn remove(&mut self, slots: &mut [StreamSlot], slot: u16) {
        let Some(own) = link(slots, slot.saturating_add(1), self.lane) else { return };
        let Link { next, previous } = core::mem::take(own);
        match link(slots, previous, self.lane) {
            Some(before) => before.next = next,
            None => self.first = next,
        }
        match link(slots, next, self.lane) {
            Some(after) => after.previous = previous,
            None => self.last = previous,
        }
    }
}

/// The link of the slot with that index + 1; none for 0.
fn link(slots: &mut [StreamSlot], number: u16, lane: Lane) -> Option<&mut Link> {
    let slot = slots.get_mut(usize::from(number.checked_sub(1)?))?;
    Some(match lane {
        Lane::Control => &mut slot.control,
        Lane::Write => &mut slot.write,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(queue: &Queue, slots: &mut [StreamSlot]) -> Vec<u16> {
        let mut queue = *queue;
        let mut copy = slots.to_vec();
        core::iter::from_fn(|| {
            let first = queue.first()?;
            queue.remove(&mut copy, first);
            Some(first)
        })
        .collect()
    }

    #[test]
    fn first_in_first_out_and_out_of_the_middle() {
        let mut slots = vec![StreamSlot::FREE; 4];
        let mut queue = Queue::new(Lane::Write);
        for slot in [2, 0, 3, 1] {
            queue.push(&mut slots, slot);
        }
        assert_eq!(order(&queue, &mut slots), [2, 0, 3, 1]);
        queue.remove(&mut slots, 0);
        assert_eq!(order(&queue, &mut slots), [2, 3, 1]);
        queue.remove(&mut slots, 1);
        queue.remove(&mut slots, 2);
        assert_eq!(order(&queue, &mut slots), [3]);
        queue.push(&mut slots, 1);
        assert_eq!(order(&queue, &mut slots), [3, 1]);
        queue.remove(&mut slots, 3);
        queue.remove(&mut slots, 1);
        assert_eq!(queue.first(), None);
    }
}
