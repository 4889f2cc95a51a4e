//! Finds subchannels by address, and keeps the text of addresses that are not IP.

use super::endpoint::{Address, Key};
use super::storage::{NONE, Phase, SubchannelSlot};
use crate::bytes::{Exact, copy};

/// Chained hashing over the slots.
pub(super) struct Index<'a> {
    pub(super) slots: &'a mut [SubchannelSlot],
    /// The first of each chain.
    pub(super) buckets: &'a mut [u16],
    pub(super) text: &'a [u8],
    pub(super) seed: u64,
}

impl Index<'_> {
    /// Empties it and takes in all slots in use.
    pub(super) fn rebuild(&mut self, used: u16) {
        self.buckets.fill(NONE);
        for slot in 0..used {
            if self.slots.get(usize::from(slot)).is_some_and(|entry| entry.phase != Phase::Free) {
                self.insert(slot);
            }
        }
    }

    pub(super) fn find(&self, address: &Address<'_>) -> Option<u16> {
        let key = Key::of(address);
        let mut slot = *self.buckets.get(self.bucket(key)?)?;
        // A chain holds each slot once.
        for _ in 0..self.slots.len() {
            let entry = self.slots.get(usize::from(slot))?;
            if entry.key == key && stored(self.text, entry) == address.bytes() {
                return Some(slot);
            }
            slot = entry.chain;
        }
        None
    }

    pub(super) fn insert(&mut self, slot: u16) {
        let Some(entry) = self.slots.get_mut(usize::from(slot)) else { return };
        let key = entry.key;
        let Some(bucket) = self.bucket(key) else { return };
        if let (Some(head), Some(entry)) =
            (self.buckets.get_mut(bucket), self.slots.get_mut(usize::from(slot)))
        {
            entry.chain = core::mem::replace(head, slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u16) {
        let Some(entry) = self.slots.get(usize::from(slot)) else { return };
        let (key, after) = (entry.key, entry.chain);
        let Some(head) = self.bucket(key).and_then(|bucket| self.buckets.get_mut(bucket)) else { return };
        if *head == slot {
            *head = after;
            return;
        }
        let mut before = *head;
        for _ in 0..self.slots.len() {
            let Some(entry) = self.slots.get_mut(usize::from(before)) else { return };
            if entry.chain == slot {
                entry.chain = after;
                return;
            }
            before = entry.chain;
        }
    }

    fn bucket(&self, key: Key) -> Option<usize> {
        (key.hash(self.seed) as usize).checked_rem(self.buckets.len())
    }
}

/// Each text has its slot (2 octets) and its length (4) before it.
const HEAD: usize = 6;

/// Octets that an address takes in the text.
pub(super) fn text_needed(address: &Address<'_>) -> usize {
    match address {
        Address::Ip(_) => 0,
        Address::Unix(text) | Address::Other(text) => text.len().saturating_add(HEAD),
    }
}

/// The text of a slot's address.
pub(super) fn stored<'t>(text: &'t [u8], slot: &SubchannelSlot) -> &'t [u8] {
    let Some(len) = slot.key.text_len() else { return &[] };
    let at = slot.text_at as usize;
    text.get(at..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// Appends the text of `slot`'s new address. There is room: the update was checked.
pub(super) fn store(text: &mut [u8], used: &mut u32, slot: u16, address: &Address<'_>) -> u32 {
    if text_needed(address) == 0 {
        return 0;
    }
    let octets = address.bytes();
    let mut writer = crate::bytes::Writer::new(text.get_mut(*used as usize..).unwrap_or_default());
    writer.put_u16(slot);
    writer.put_u32(octets.len() as u32);
    writer.put(octets);
    let at = used.plus(HEAD as u32);
    *used = used.plus(writer.len() as u32);
    at
}

/// Moves the texts of slots in use together.
pub(super) fn compact(text: &mut [u8], used: &mut u32, slots: &mut [SubchannelSlot]) {
    let (mut from, mut to) = (0usize, 0usize);
    while from < *used as usize {
        let Some((head, _)) = text.get(from..).and_then(|rest| rest.split_first_chunk::<HEAD>()) else {
            break;
        };
        let [a, b, c, d, e, f] = *head;
        let slot = u16::from_be_bytes([a, b]);
        let len = (u32::from_be_bytes([c, d, e, f]) as usize).plus(HEAD);
        let live = slots.get_mut(usize::from(slot)).filter(|slot| {
            slot.phase != Phase::Free
                && slot.key.text_len().is_some()
                && slot.text_at as usize == from.plus(HEAD)
        });
        if let Some(slot) = live {
            slot.text_at = to.plus(HEAD) as u32;
            if from != to {
                move_down(text, from, to, len);
            }
            to = to.plus(len);
        }
        from = from.plus(len);
    }
    *used = to as u32;
}

fn move_down(text: &mut [u8], from: usize, to: usize, len: usize) {
    // In pieces that do not overlap.
    let step = from.minus(to);
    let mut done = 0usize;
    while done < len {
        let n = step.min(len.minus(done));
        let Some((low, high)) = text.split_at_mut_checked(from.plus(done)) else { return };
        let (Some(to), Some(from)) = (low.get_mut(to.plus(done)..), high.get(..n)) else { return };
        copy(to, from);
        done = done.plus(n);
    }
}
