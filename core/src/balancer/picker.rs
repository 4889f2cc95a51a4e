//! Which subchannel a call goes to: a table in lent words, and a position shared by all who pick.
//!
//! Weights lie on a circle of 2^32 (DESIGN.md §5). Pick number k looks up `k · STEP mod 2^32`. STEP is odd, so every
//! place comes once in 2^32 picks: shares are exact. It is near 2^32/φ, and the continued fraction of STEP/2^32 has no
//! quotient above 3, so by the three-distance theorem every arc is met at near even distances. Equal weights are
//! taken in turn: the circle alone is less even there.

use super::SubchannelId;
use crate::bytes::Exact;

/// 2654435769, the usual 2^32/φ, has a quotient of 25 and gaps to match.
const STEP: u32 = 2_654_435_521;

/// Where the picks stand: shared by all threads and by all pickers, one after another, of a channel. It does not depend on
/// endpoints or weights, so it stays when they change.
///
/// A pick is one atomic addition. 64 bits never wrap. Where the target has atomics of 32 bits only (Cortex-M3 and up),
/// two of them make one number, and a pick between the low one's wrap and the high one's increment comes out as one
/// made 2^32 picks before. Where it has none at all (Cortex-M0), the position is not `Sync`.
#[derive(Debug)]
pub struct Position(imp::Counter);

impl Position {
    /// Begins at `start`. Take it from a random source, or every client's first call goes to the same endpoint.
    pub const fn new(start: u64) -> Position {
        Position(imp::Counter::new(start))
    }

    /// The next pick's number.
    #[inline]
    pub fn next(&self) -> u64 {
        self.0.next()
    }
}

impl Default for Position {
    fn default() -> Position {
        Position::new(0)
    }
}

#[cfg(target_has_atomic = "64")]
mod imp {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[derive(Debug)]
    pub(super) struct Counter(AtomicU64);

    impl Counter {
        pub(super) const fn new(start: u64) -> Counter {
            Counter(AtomicU64::new(start))
        }

        #[inline]
        pub(super) fn next(&self) -> u64 {
            self.0.fetch_add(1, Relaxed)
        }
    }
}

#[cfg(all(target_has_atomic = "32", not(target_has_atomic = "64")))]
use halves as imp;

#[cfg(all(target_has_atomic = "32", any(test, not(target_has_atomic = "64"))))]
mod halves {
    use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[derive(Debug)]
    pub(super) struct Counter {
        low: AtomicU32,
        high: AtomicU32,
    }

    impl Counter {
        pub(super) const fn new(start: u64) -> Counter {
            Counter { low: AtomicU32::new(start as u32), high: AtomicU32::new((start >> 32) as u32) }
        }

        #[inline]
        pub(super) fn next(&self) -> u64 {
            let high = self.high.load(Relaxed);
            let low = self.low.fetch_add(1, Relaxed);
            if low == u32::MAX {
                self.high.fetch_add(1, Relaxed);
            }
            u64::from(high) << 32 | u64::from(low)
        }
    }
}

#[cfg(not(target_has_atomic = "32"))]
mod imp {
    use core::cell::Cell;

    #[derive(Debug)]
    pub(super) struct Counter(Cell<u64>);

    impl Counter {
        pub(super) const fn new(start: u64) -> Counter {
            Counter(Cell::new(start))
        }

        #[inline]
        pub(super) fn next(&self) -> u64 {
            let k = self.0.get();
            self.0.set(k.wrapping_add(1));
            k
        }
    }
}

/// The shape of the words that `Channel::build_picker` wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// READY endpoints.
    endpoints: u32,
    /// The guide has two to the power of this many cells; `None`: all weights are equal, there is no guide.
    guide_bits: Option<u8>,
}

impl Shape {
    /// How many of the words the table uses.
    pub fn words(&self) -> usize {
        let n = self.endpoints as usize;
        match self.guide_bits {
            None => n,
            Some(bits) => n.plus(n).plus(1usize.wrapping_shl(u32::from(bits))),
        }
    }

    /// How many endpoints it picks from.
    pub fn endpoints(&self) -> usize {
        self.endpoints as usize
    }
}

/// The words lent are too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// How many would do.
    pub needed: usize,
}

/// A picker: immutable, shared by threads, one atomic operation a pick, a bounded number of steps.
///
/// ```
/// use grpclb_core::balancer::{Position, SubchannelId, Table};
/// let id = |index| SubchannelId { index, generation: 0 };
/// let mut words = [0; Table::words_for(3)];
/// let endpoints = [(id(0), 1), (id(1), 2), (id(2), 4)];
/// let shape = Table::build(endpoints, &mut words).unwrap();
/// let table = Table::new(shape, &words);
/// let position = Position::new(0);
/// let mut calls = [0u32; 3];
/// for _ in 0..7_000 {
///     calls[table.pick(&position).unwrap().index as usize] += 1;
/// }
/// assert!(calls[0].abs_diff(1_000) <= 6 && calls[1].abs_diff(2_000) <= 6 && calls[2].abs_diff(4_000) <= 6);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Table<'w> {
    /// Subchannels, in the resolver's order.
    ids: &'w [u32],
    /// Where each one's arc begins; the first at 0. Empty: all weights are equal.
    starts: &'w [u32],
    /// By the high bits of a place on the circle: the first (low half) and the last arc (high half) in that cell.
    guide: &'w [u32],
    /// 32 − the guide's bits.
    shift: u32,
}

impl<'w> Table<'w> {
    /// Over what `Channel::build_picker` wrote; words that it did not write give a table of no use, but no harm.
    #[inline]
    pub fn new(shape: Shape, words: &'w [u32]) -> Table<'w> {
        let n = shape.endpoints as usize;
        let (ids, rest) = words.split_at_checked(n).unwrap_or_default();
        let Some(bits) = shape.guide_bits else { return Table { ids, starts: &[], guide: &[], shift: 0 } };
        let (starts, guide) = rest.split_at_checked(n).unwrap_or_default();
        Table { ids, starts, guide, shift: 32u32.saturating_sub(u32::from(bits)) }
    }

    /// The next pick; `None` when no endpoint is READY (ask the channel what that means for a call).
    #[inline]
    pub fn pick(&self, position: &Position) -> Option<SubchannelId> {
        self.at(position.next())
    }

    /// Pick number `k`.
    #[inline]
    pub fn at(&self, k: u64) -> Option<SubchannelId> {
        let index = if self.starts.is_empty() {
            k.checked_rem(self.ids.len() as u64)? as usize
        } else {
            self.arc((k as u32).wrapping_mul(STEP))
        };
        self.ids.get(index).map(|&word| unpack(word))
    }

    /// The last arc that begins at or before `place`. An arc of no length is never the last.
    #[inline]
    fn arc(&self, place: u32) -> usize {
        let cell = place.checked_shr(self.shift).unwrap_or(0) as usize;
        let bounds = self.guide.get(cell).copied().unwrap_or(0);
        let (mut low, mut high) = ((bounds & 0xffff) as usize, (bounds >> 16) as usize);
        // Many light endpoints may share a cell: halve. Mostly there are one or two.
        while high.saturating_sub(low) > 3 {
            let middle = low.plus(high.minus(low) / 2);
            if self.begins_by(middle, place) { low = middle } else { high = middle.minus(1) }
        }
        while low < high && self.begins_by(low.plus(1), place) {
            low = low.plus(1);
        }
        low
    }

    #[inline]
    fn begins_by(&self, arc: usize, place: u32) -> bool {
        self.starts.get(arc).is_some_and(|&start| start <= place)
    }

    /// Words that hold a table of `n` endpoints, whatever their weights.
    pub const fn words_for(n: usize) -> usize {
        n.saturating_mul(2).saturating_add(n.next_power_of_two())
    }

    /// Writes a table of endpoints with their weights, none of them 0, 65 535 at most. A share below 2^-32 may get no
    /// picks. O(n).
    pub fn build(
        endpoints: impl IntoIterator<Item = (SubchannelId, u32), IntoIter: Clone>,
        words: &mut [u32],
    ) -> Result<Shape, TooSmall> {
        let endpoints = endpoints.into_iter();
        let (mut n, mut total, mut least, mut most) = (0usize, 0u64, u32::MAX, 0);
        for (_, weight) in endpoints.clone() {
            n = n.saturating_add(1);
            total = total.saturating_add(u64::from(weight));
            least = least.min(weight);
            most = most.max(weight);
        }
        let cells = n.next_power_of_two();
        let bits = cells.trailing_zeros() as u8;
        let shape = Shape { endpoints: n as u32, guide_bits: if least >= most { None } else { Some(bits) } };
        let too_small = TooSmall { needed: shape.words() };
        let (ids, rest) = words.split_at_mut_checked(n).ok_or(too_small)?;
        for (place, (id, _)) in ids.iter_mut().zip(endpoints.clone()) {
            *place = pack(id);
        }
        if shape.guide_bits.is_some() {
            let (starts, rest) = rest.split_at_mut_checked(n).ok_or(too_small)?;
            let guide = rest.get_mut(..cells).ok_or(too_small)?;
            lay_out(starts, endpoints.map(|(_, weight)| weight), total);
            fill_guide(guide, starts, u32::from(bits));
        }
        Ok(shape)
    }
}

/// Cumulative weights, scaled to the circle.
fn lay_out(starts: &mut [u32], weights: impl Iterator<Item = u32>, total: u64) {
    // Sums of up to 48 bits: scaled down to 32 first, so that the division is one of 64 bits.
    let scale = 32u32.saturating_sub(total.leading_zeros());
    let total = total >> scale;
    let mut sum = 0u64;
    for (start, weight) in starts.iter_mut().zip(weights) {
        let place = ((sum >> scale) << 32).checked_div(total).unwrap_or(0);
        *start = u32::try_from(place).unwrap_or(u32::MAX);
        sum = sum.saturating_add(u64::from(weight));
    }
}

fn fill_guide(guide: &mut [u32], starts: &[u32], bits: u32) {
    let shift = 32u32.saturating_sub(bits);
    let mut arc = 0usize;
    for (cell, entry) in guide.iter_mut().enumerate() {
        let from = (cell as u64).wrapping_shl(shift);
        let to = (cell as u64).wrapping_add(1).wrapping_shl(shift);
        // On to the last arc that begins by `from`, then on to the last that begins before `to`.
        while starts.get(arc.plus(1)).is_some_and(|&start| u64::from(start) <= from) {
            arc = arc.plus(1);
        }
        let first = arc;
        while starts.get(arc.plus(1)).is_some_and(|&start| u64::from(start) < to) {
            arc = arc.plus(1);
        }
        *entry = (arc as u32) << 16 | (first as u32 & 0xffff);
    }
}

#[inline]
fn pack(id: SubchannelId) -> u32 {
    u32::from(id.index) << 16 | u32::from(id.generation)
}

#[inline]
fn unpack(word: u32) -> SubchannelId {
    SubchannelId { index: (word >> 16) as u16, generation: word as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_in_two_halves_counts_on_over_the_wrap() {
        let start = u64::from(u32::MAX) - 2;
        let counter = halves::Counter::new(start);
        for k in 0..6 {
            assert_eq!(counter.next(), start + k);
        }
    }
}
