//! Look-ups in the static table (RFC 7541 §2.3.1).

use super::hash::same;
use super::static_entries::{BY_HASH, Entry, TABLE, TEXT, VALUES, place};
use crate::bytes::Exact;

/// Entries of the static table; dynamic entries follow (RFC 7541 §2.3.3).
pub(super) const COUNT: u32 = 61;

/// Name and value of entry `index` (1 to 61), without a gap, and the length of the name.
#[inline(always)]
pub(super) fn get(index: u32) -> Option<(&'static [u8], usize)> {
    let entry = entry(index)?;
    let name = usize::from(entry.name);
    Some((text(entry.at.into(), name.plus(entry.value.into()))?, name))
}

/// Name of entry `index` (1 to 61).
#[inline(always)]
pub(super) fn name(index: u32) -> Option<&'static [u8]> {
    let entry = entry(index)?;
    text(entry.at.into(), entry.name.into())
}

#[inline(always)]
fn entry(index: u32) -> Option<&'static Entry> {
    TABLE.get(usize::try_from(index).ok()?.wrapping_sub(1))
}

#[inline(always)]
fn text(at: usize, len: usize) -> Option<&'static [u8]> {
    TEXT.get(at..at.plus(len))
}

/// The first entry with this name (`hash` is [`hash`](super::hash::hash) of it), or 0.
#[inline(always)]
pub(super) fn find_name(hash: u64, wanted: &[u8]) -> u8 {
    let found = BY_HASH.get(place(hash)).copied().unwrap_or_default();
    match name(found.into()) {
        Some(name) if same(name, wanted) => found,
        _ => 0,
    }
}

/// The entry with the name of entry `first` (its first one) and this value, or 0.
#[inline(always)]
pub(super) fn find_value(first: u8, wanted: &[u8]) -> u8 {
    match VALUES.get(usize::from(first)) {
        // Most names stand there once, and without a value.
        Some(0) | None => {
            if wanted.is_empty() {
                first
            } else {
                0
            }
        }
        Some(&values) => find_among(first, values, wanted),
    }
}

fn find_among(first: u8, values: u8, wanted: &[u8]) -> u8 {
    (first..first.plus(values)).find(|&index| is_value(index, wanted)).unwrap_or_default()
}

#[inline(always)]
fn is_value(index: u8, wanted: &[u8]) -> bool {
    entry(index.into()).is_some_and(|entry| {
        usize::from(entry.value) == wanted.len()
            && text(usize::from(entry.at).plus(entry.name.into()), wanted.len())
                .is_some_and(|value| same(value, wanted))
    })
}
