//! Where threads sleep, and the list of those who do.

use crate::host::reactor::calls::Outcome;
use grpclb_core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Where a thread sleeps.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) inner: Mutex<SlotInner>,
    pub(super) bell: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct SlotInner {
    pub(super) state: SlotState,
    /// It sleeps: the bell has to ring.
    pub(super) asleep: bool,
    /// When done: what the call left, and its number.
    pub(super) outcome: Outcome,
    pub(super) pick_order: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SlotState {
    /// Nothing happened.
    #[default]
    Wait,
    /// The lead is there for the taking.
    Lead,
    /// Look again.
    Again,
    /// The call is done, and its outcome is in the slot.
    Done,
}

impl Slot {
    pub(super) fn lock(&self) -> MutexGuard<'_, SlotInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state of one who was told nothing yet. Whether the bell has to ring.
    pub(super) fn set(&self, state: SlotState) -> bool {
        let mut inner = self.lock();
        if inner.state != SlotState::Wait {
            return false;
        }
        inner.state = state;
        inner.asleep
    }

    /// Sleeps until the state changes, or the time is over, or for no reason.
    pub(super) fn sleep(&self, limit: Option<Duration>) -> SlotState {
        let mut inner = self.lock();
        if inner.state == SlotState::Wait {
            inner.asleep = true;
            inner = match limit {
                None => self.bell.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(limit) => self.bell.wait_timeout(inner, limit).unwrap_or_else(PoisonError::into_inner).0,
            };
            inner.asleep = false;
        }
        inner.state
    }
}

/// Rings for those who were told something.
pub(super) fn ring(slots: &mut Vec<Arc<Slot>>) {
    for slot in slots.drain(..) {
        slot.bell.notify_one();
    }
}

/// No sleeper.
pub(super) const NOBODY: u32 = u32::MAX;

/// Who sleeps, in the order in which they went to sleep. Anyone can leave at once.
#[derive(Debug)]
pub(super) struct Sleepers {
    entries: Vec<Entry>,
    free: Vec<u32>,
    newest: u32,
}

impl Default for Sleepers {
    fn default() -> Sleepers {
        Sleepers { entries: Vec::new(), free: Vec::new(), newest: NOBODY }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) slot: Arc<Slot>,
    pub(super) takes_outcome: bool,
    /// Another who waits for the same call.
    pub(super) beside: u32,
    present: bool,
    older: u32,
    newer: u32,
}

impl Sleepers {
    pub(super) fn push(&mut self, slot: Arc<Slot>, takes_outcome: bool, beside: u32) -> u32 {
        let entry = Entry { slot, takes_outcome, beside, present: true, older: self.newest, newer: NOBODY };
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                self.free.reserve(self.entries.len());
                (self.entries.len() - 1) as u32
            }
        };
        if let Some(older) = self.entries.get_mut(self.newest as usize) {
            older.newer = place;
        }
        self.newest = place;
        place
    }

    pub(super) fn get(&self, place: u32) -> Option<&Entry> {
        self.entries.get(place as usize).filter(|entry| entry.present)
    }

    /// The chain that begins with `first`, without `leaves`.
    pub(super) fn without(&mut self, first: u32, leaves: u32) -> u32 {
        let beside = self.entries.get(leaves as usize).map_or(NOBODY, |entry| entry.beside);
        if first == leaves {
            return beside;
        }
        let mut at = first;
        while let Some(entry) = self.entries.get_mut(at as usize) {
            if entry.beside == leaves {
                entry.beside = beside;
            }
            at = entry.beside;
        }
        first
    }

    pub(super) fn newest(&self) -> Option<u32> {
        (self.newest != NOBODY).then_some(self.newest)
    }

    pub(super) fn remove(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        if !std::mem::replace(&mut entry.present, false) {
            return;
        }
        let (older, newer) = (entry.older, entry.newer);
        if let Some(older) = self.entries.get_mut(older as usize) {
            older.newer = newer;
        }
        match self.entries.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        self.free.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sleeper_is_known_whoever_leaves() {
        let mut sleepers = Sleepers::default();
        let slot = Arc::new(Slot::default());
        let places: Vec<_> = (0..4).map(|_| sleepers.push(slot.clone(), false, NOBODY)).collect();
        assert_eq!(sleepers.newest(), Some(places[3]));
        sleepers.remove(places[3]);
        sleepers.remove(places[1]);
        sleepers.remove(places[1]);
        assert_eq!(sleepers.newest(), Some(places[2]));
        sleepers.remove(places[2]);
        assert_eq!(sleepers.newest(), Some(places[0]));
        let again = sleepers.push(slot, true, NOBODY);
        assert_eq!(sleepers.newest(), Some(again));
        sleepers.remove(places[0]);
        sleepers.remove(again);
        assert_eq!(sleepers.newest(), None);
    }
    #[test]
    fn a_chain_keeps_who_stays() {
        let mut sleepers = Sleepers::default();
        let slot = Arc::new(Slot::default());
        let a = sleepers.push(slot.clone(), false, NOBODY);
        let b = sleepers.push(slot.clone(), false, a);
        let c = sleepers.push(slot, false, b);
        assert_eq!(sleepers.without(c, b), c);
        assert_eq!(sleepers.get(c).map(|entry| entry.beside), Some(a));
        assert_eq!(sleepers.without(c, c), a);
        assert_eq!(sleepers.without(a, a), NOBODY);
    }
}
