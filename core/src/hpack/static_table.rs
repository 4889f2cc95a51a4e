//! Look-ups in the static table (RFC 7541 §2.3.1).

use super::static_entries::{BY_HASH, SAME_NAME, TABLE, TEXT, place};
use crate::bytes::Exact;

/// Entries of the static table; dynamic entries follow (RFC 7541 §2.3.3).
pub(super) const COUNT: u32 = 61;

/// Name and value of entry `index` (1 to 61), without a gap, and the length of the name.
#[inline(always)]
pub(super) fn get(index: u32) -> Option<(&'static [u8], usize)> {
    let entry = TABLE.get(usize::try_from(index).ok()?.wrapping_sub(1))?;
    let text = TEXT.get(usize::from(entry.at)..)?;
    let text = text.get(..usize::from(entry.name).plus(usize::from(entry.value)))?;
    Some((text, usize::from(entry.name)))
}

/// Name of entry `index` (1 to 61).
#[inline(always)]
pub(super) fn name(index: u32) -> Option<&'static [u8]> {
    let (text, name) = get(index)?;
    text.get(..name)
}

/// Value of entry `index` (1 to 61).
#[inline(always)]
pub(super) fn value(index: u32) -> Option<&'static [u8]> {
    let (text, name) = get(index)?;
    text.get(name..)
}

/// The first entry with this name (`hash` is [`hash`](super::hash::hash) of it), or 0.
#[inline]
pub(super) fn find_name(hash: u64, wanted: &[u8]) -> u8 {
    let found = BY_HASH.get(place(hash)).copied().unwrap_or_default();
    match name(u32::from(found)) {
        Some(name) if name == wanted => found,
        _ => 0,
    }
}

/// The entry with the name of entry `first` (its first one) and this value, or 0.
#[inline]
pub(super) fn find_value(first: u8, wanted: &[u8]) -> u8 {
    let mut index = first;
    let mut left = SAME_NAME.get(usize::from(first)).copied().unwrap_or_default();
    while left > 0 {
        if value(u32::from(index)) == Some(wanted) {
            return index;
        }
        index = index.plus(1);
        left = left.minus(1);
    }
    0
}
