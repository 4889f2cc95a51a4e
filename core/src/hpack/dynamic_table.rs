//! The dynamic table (RFC 7541 §2.3.2, §4) inside storage that its owner lends.
//!
//! ```text
//! 0      start                end                                        storage.len()
//! |      | name value name value |        gap        | slot … slot (slot …) |
//!          oldest       newest                         newest  oldest (evicted)
//! ```
//!
//! Names and values grow up from the front without gaps, a slot of fixed size for each grows down from the back, so
//! that an index finds its entry in one step. Nothing is moved at an eviction: the fronts of both queues move. When the
//! gap is used up, what is live moves to both ends. There is always room then: RFC 7541 §4.1 counts 32 octets for
//! each entry beside its name and value, and a slot takes less. What is spare of them is also what keeps moving cheap: at
//! least ten octets for each live entry are inserted between two moves.

use crate::bytes::{Exact, copy, copy_within};

/// Octets that an entry counts beside its name and value (RFC 7541 §4.1).
pub(super) const OVERHEAD: usize = 32;

/// The largest maximum size, octets: the length of a name has 24 bits in a slot.
pub(super) const MAX_SIZE: u32 = (1 << 24) - 1;

/// Where an entry lies in the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the name begins; the value follows it without a gap.
    pub(super) at: usize,
    pub(super) name: usize,
    pub(super) value: usize,
    /// Static-table index of the name if it came from there, else 0.
    pub(super) static_name: u8,
}

impl Entry {
    #[inline(always)]
    pub(super) fn name_in<'t>(&self, storage: &'t [u8]) -> &'t [u8] {
        storage.get(self.at..).and_then(|rest| rest.get(..self.name)).unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn value_in<'t>(&self, storage: &'t [u8]) -> &'t [u8] {
        storage
            .get(self.at.wrapping_add(self.name)..)
            .and_then(|rest| rest.get(..self.value))
            .unwrap_or_default()
    }

    /// Name and value.
    #[inline(always)]
    pub(super) fn text_in<'t>(&self, storage: &'t [u8]) -> &'t [u8] {
        storage
            .get(self.at..)
            .and_then(|rest| rest.get(..self.name.wrapping_add(self.value)))
            .unwrap_or_default()
    }
}

/// Octets of a slot that describe the entry; those behind them are the owner's.
pub(super) const OWN: usize = 12;

/// A table with slots of `SLOT` octets: [`OWN`] to [`OVERHEAD`].
#[derive(Debug)]
pub(super) struct DynamicTable<const SLOT: usize> {
    /// Size as RFC 7541 §4.1 counts it.
    size: usize,
    /// Maximum size (RFC 7541 §4.2).
    max: usize,
    start: usize,
    end: usize,
    /// What slots call position 0 of the storage: they need not be rewritten when what is live moves.
    base: u32,
    live: usize,
    /// Slots of evicted entries, still behind the live ones.
    evicted: usize,
}

impl<const SLOT: usize> DynamicTable<SLOT> {
    pub(super) const fn new(max: usize) -> Self {
        const { assert!(OWN <= SLOT && SLOT <= OVERHEAD) }
        DynamicTable { size: 0, max, start: 0, end: 0, base: 0, live: 0, evicted: 0 }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Entries in the table.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Changes the maximum size and evicts what it leaves no room for (RFC 7541 §4.3).
    pub(super) fn set_max(&mut self, storage: &[u8], max: usize) {
        self.max = max;
        self.evict(storage, max);
    }

    /// The entry that is `nth` (1: the newest).
    #[inline(always)]
    pub(super) fn get(&self, storage: &[u8], nth: usize) -> Option<Entry> {
        Some(self.entry(self.slot(storage, nth)?))
    }

    /// The slot of the entry that is `nth` (1: the newest).
    #[inline(always)]
    pub(super) fn slot<'t>(&self, storage: &'t [u8], nth: usize) -> Option<&'t [u8; SLOT]> {
        if nth == 0 || nth > self.live {
            return None;
        }
        self.slot_of(storage, self.evicted.plus(self.live).minus(nth))
    }

    /// What a slot says.
    #[inline(always)]
    pub(super) fn entry(&self, slot: &[u8; SLOT]) -> Entry {
        let [[a, b, c, d], [e, f, g, static_name], [h, i, j, k]] = match slot.as_chunks::<4>().0 {
            [at, name, value, ..] => [*at, *name, *value],
            _ => [[0; 4]; 3],
        };
        Entry {
            at: index(u32::from_le_bytes([a, b, c, d]).wrapping_sub(self.base)),
            name: index(u32::from_le_bytes([e, f, g, 0])),
            value: index(u32::from_le_bytes([h, i, j, k])),
            static_name,
        }
    }

    /// Makes room for an entry of `octets` (name and value) by evicting (RFC 7541 §4.4). False when it does not fit
    /// at all, and then the table is empty.
    #[inline(always)]
    pub(super) fn make_room(&mut self, storage: &[u8], octets: usize) -> bool {
        let max = self.max.min(storage.len());
        let cost = octets.saturating_add(OVERHEAD);
        if self.size.saturating_add(cost) > max {
            self.evict(storage, max.saturating_sub(cost));
        }
        cost <= max
    }

    /// Evicts until the size is `goal` at most.
    #[inline(never)]
    fn evict(&mut self, storage: &[u8], goal: usize) {
        while self.size > goal {
            let Some(entry) = self.slot_of(storage, self.evicted).map(|slot| self.entry(slot)) else { break };
            let octets = entry.name.wrapping_add(entry.value);
            self.size = self.size.saturating_sub(octets.wrapping_add(OVERHEAD));
            self.start = self.start.wrapping_add(octets);
            self.live = self.live.saturating_sub(1);
            self.evicted = self.evicted.plus(1);
            if self.live == 0 {
                break;
            }
        }
        if self.live == 0 {
            *self = Self::new(self.max);
        }
    }

    /// Adds `octets` to the entry that is being built behind the newest one; the caller has made room for the whole
    /// of it and ends with [`DynamicTable::commit`].
    #[inline(always)]
    pub(super) fn grow<'t>(&mut self, storage: &'t mut [u8], octets: usize) -> Option<&'t mut [u8]> {
        if self.gap(storage) < octets.saturating_add(SLOT) {
            self.compact(storage);
        }
        let room = storage.get_mut(self.end..)?.get_mut(..octets)?;
        self.end = self.end.plus(octets);
        Some(room)
    }

    /// Ends the entry that [`DynamicTable::grow`] built. `extra` are the owner's octets of the slot.
    #[inline(always)]
    pub(super) fn commit<const EXTRA: usize>(
        &mut self,
        storage: &mut [u8],
        name: usize,
        value: usize,
        static_name: u8,
        extra: [u8; EXTRA],
    ) {
        const { assert!(SLOT == OWN + EXTRA) }
        let octets = name.wrapping_add(value);
        let at = self.base.wrapping_add(word(self.end.wrapping_sub(octets)));
        let order = self.evicted.plus(self.live);
        let Some(slot) = self.slot_at(storage.len(), order).and_then(|at| storage.get_mut(at..)) else {
            return;
        };
        let Some((own, rest)) = slot.split_first_chunk_mut::<OWN>() else { return };
        let name = word(name) | u32::from(static_name).wrapping_shl(24);
        for (to, from) in own.as_chunks_mut::<4>().0.iter_mut().zip([at, name, word(value)]) {
            *to = from.to_le_bytes();
        }
        if let Some(to) = rest.first_chunk_mut::<EXTRA>() {
            *to = extra;
        }
        self.live = self.live.plus(1);
        self.size = self.size.wrapping_add(octets).wrapping_add(OVERHEAD);
    }

    /// Begins an entry whose name is that of `entry`, the `nth` one before this one was given room. Eviction may have
    /// reached it (RFC 7541 §4.4: the name must not be lost then): its octets still lie before the live ones.
    pub(super) fn grow_name(&mut self, storage: &mut [u8], nth: usize, entry: Entry) {
        if nth <= self.live {
            if self.grow(storage, entry.name).is_none() {
                return;
            }
            let Some(entry) = self.get(storage, nth) else { return };
            copy_within(storage, entry.at, self.end.wrapping_sub(entry.name), entry.name);
            return;
        }
        // Evicted: [name … live] becomes [name live], then [live name]; all of it lies before `end`.
        let to = self.start.saturating_sub(entry.name);
        copy_within(storage, entry.at, to, entry.name);
        if let Some(part) = storage.get_mut(to..self.end.max(to.saturating_add(entry.name))) {
            rotate_left(part, entry.name);
        }
        let moved = self.start.wrapping_sub(to);
        if self.live == 0 {
            // An empty table begins at 0.
            self.end = entry.name;
        } else {
            self.start = to;
            self.base = self.base.wrapping_add(word(moved));
        }
    }

    /// Moves what is live, and the entry being built, to the front, and the live slots to the back.
    #[cold]
    fn compact(&mut self, storage: &mut [u8]) {
        copy_within(storage, self.start, 0, self.end.saturating_sub(self.start));
        self.base = self.base.wrapping_add(word(self.start));
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        let slots = self.live.wrapping_mul(SLOT);
        if let (Some(from), Some(to)) = (
            self.evicted
                .plus(self.live)
                .checked_sub(1)
                .and_then(|newest| self.slot_at(storage.len(), newest)),
            storage.len().checked_sub(slots),
        ) {
            copy_within(storage, from, to, slots);
        }
        self.evicted = 0;
    }

    /// Octets between the newest value and the newest slot.
    #[inline(always)]
    fn gap(&self, storage: &[u8]) -> usize {
        let slots = self.evicted.plus(self.live).wrapping_mul(SLOT);
        storage.len().saturating_sub(slots).saturating_sub(self.end)
    }

    #[inline(always)]
    fn slot_at(&self, storage: usize, order: usize) -> Option<usize> {
        storage.checked_sub(order.wrapping_add(1).wrapping_mul(SLOT))
    }

    /// The slot in the order of insertion, evicted ones included.
    #[inline(always)]
    fn slot_of<'t>(&self, storage: &'t [u8], order: usize) -> Option<&'t [u8; SLOT]> {
        storage.get(self.slot_at(storage.len(), order)?..)?.first_chunk()
    }
}

/// Positions and lengths within the storage: they are at most [`MAX_SIZE`], or modulo 2^32 when `base` is added.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn word(n: usize) -> u32 {
    n as u32
}

#[inline(always)]
fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[allow(clippy::disallowed_methods)] // the count is checked
fn rotate_left(part: &mut [u8], n: usize) {
    if n <= part.len() {
        part.rotate_left(n);
    }
}

/// Inserts a copy of `name` and `value`; false when they do not fit, and then the table is empty (RFC 7541 §4.4).
#[inline(always)]
pub(super) fn insert<const SLOT: usize, const EXTRA: usize>(
    table: &mut DynamicTable<SLOT>,
    storage: &mut [u8],
    name: &[u8],
    value: &[u8],
    static_name: u8,
    extra: [u8; EXTRA],
) -> bool {
    let octets = name.len().saturating_add(value.len());
    if !table.make_room(storage, octets) {
        return false;
    }
    let Some(room) = table.grow(storage, octets) else { return false };
    let copied = copy(room, name);
    copy(room.get_mut(copied..).unwrap_or_default(), value);
    table.commit(storage, name.len(), value.len(), static_name, extra);
    true
}
