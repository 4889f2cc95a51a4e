//! Encoding (RFC 7541 §6).

use super::dynamic_table::{self, DynamicTable, MAX_SIZE, OVERHEAD, OWN};
use super::hash::{hash, same};
use super::{DEFAULT_TABLE_SIZE, integer, static_table, string};
use crate::bytes::{Exact, Writer};

/// A field to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Lower-case name.
    pub name: &'a [u8],
    /// Value, any octets.
    pub value: &'a [u8],
    /// Whether the dynamic table may hold it.
    pub indexing: Indexing,
}

/// How a field is represented when no table entry matches it whole (RFC 7541 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// As the name suggests: [`Indexing::Never`] for `authorization`, `proxy-authorization` and short `cookie`s,
    /// [`Indexing::Without`] for what seldom comes twice (`:path`, `content-length`, `etag` …), else
    /// [`Indexing::Incremental`].
    ByName,
    /// Added to the dynamic table (§6.2.1), unless it would take more than three quarters of it.
    Incremental,
    /// Not added (§6.2.2).
    Without,
    /// Not added, by nobody on the way (§6.2.3). It is a literal even if a table has the same field, so that its length
    /// on the wire does not tell whether a guess was right (§7.1).
    Never,
}

/// Octets beside [`dynamic_table`]'s own in a slot: see [`Links`].
const EXTRA: usize = 10;

/// Chains of entries whose name and value hash alike; chains of entries whose names do.
const BY_WHOLE: usize = 64;
const BY_NAME: usize = 32;

/// The encoding side of one connection.
///
/// Entries are found by the hash of name and value, in chains from the newest to the oldest, linked through the slots of
/// the dynamic table; those with names that the static table lacks also by the hash of the name. An entry goes by its
/// number, counted through the connection and kept modulo 2^16. A number that is not among the live ones ends the chain,
/// so that nothing has to be unlinked when entries are evicted. (A number that was reused in the meantime leads to a
/// wrong entry, which is seen when it is compared.)
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable<{ OWN + EXTRA }>,
    /// Numbers of the newest entries.
    by_whole: [u16; BY_WHOLE],
    by_name: [u16; BY_NAME],
    /// Number of the next entry.
    next: u16,
    capacity: u32,
    /// The peer's SETTINGS_HEADER_TABLE_SIZE: the lowest since the last block, and the latest (RFC 7541 §4.2).
    lowest: u32,
    latest: u32,
}

/// What the encoder keeps in a slot.
#[derive(Clone, Copy)]
struct Links {
    /// Hash of name and value.
    whole: u32,
    /// Some bits of the hash of the name.
    name: u16,
    /// Number of the next older entry in each chain.
    by_whole: u16,
    by_name: u16,
}

impl Links {
    #[inline(always)]
    fn to_octets(self) -> [u8; EXTRA] {
        let [a, b, c, d] = self.whole.to_le_bytes();
        let [[e, f], [g, h], [i, j]] = [self.name, self.by_whole, self.by_name].map(u16::to_le_bytes);
        [a, b, c, d, e, f, g, h, i, j]
    }

    #[inline(always)]
    fn of(slot: &[u8; OWN + EXTRA]) -> Links {
        let [.., a, b, c, d, e, f, g, h, i, j] = *slot;
        Links {
            whole: u32::from_le_bytes([a, b, c, d]),
            name: u16::from_le_bytes([e, f]),
            by_whole: u16::from_le_bytes([g, h]),
            by_name: u16::from_le_bytes([i, j]),
        }
    }
}

/// A name to look for: where the static table has it, if it does, and its hash.
#[derive(Clone, Copy)]
struct Name<'a> {
    octets: &'a [u8],
    fixed: u8,
    hash: u64,
}

impl Encoder {
    /// Octets that [`Encoder::begin`] writes at most: two size updates.
    pub const BEGIN_BOUND: usize = 2 * integer::MAX;

    /// An encoder whose table takes up to `capacity` octets, below 16 MiB (or it is taken as that): a `table` of that many,
    /// always the same one, is lent to each call. The table begins with the protocol's 4 096 octets, or with `capacity`
    /// if that is less.
    pub const fn new(capacity: u32) -> Encoder {
        Encoder {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE as usize),
            by_whole: [0; BY_WHOLE],
            by_name: [0; BY_NAME],
            next: 0,
            capacity: if capacity < MAX_SIZE { capacity } else { MAX_SIZE },
            lowest: DEFAULT_TABLE_SIZE,
            latest: DEFAULT_TABLE_SIZE,
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE; takes effect at the next block (RFC 7541 §4.2).
    pub fn set_peer_limit(&mut self, limit: u32) {
        self.lowest = self.lowest.min(limit);
        self.latest = limit;
    }

    /// Begins a header block: writes the size updates that are due, [`Encoder::BEGIN_BOUND`] octets at most.
    pub fn begin(&mut self, table: &mut [u8], out: &mut Writer<'_>) {
        let capacity = self.capacity.min(u32::try_from(table.len()).unwrap_or(u32::MAX));
        // RFC 7541 §4.2: the smallest maximum since the last block must be signalled, then the final one.
        let [lowest, latest] = [self.lowest.min(capacity), self.latest.min(capacity)];
        if to_usize(lowest) < self.table.max() {
            self.update_size(table, out, lowest);
        }
        if to_usize(latest) != self.table.max() {
            self.update_size(table, out, latest);
        }
        self.lowest = self.latest;
    }

    /// RFC 7541 §6.3.
    #[cold]
    fn update_size(&mut self, table: &[u8], out: &mut Writer<'_>, max: u32) {
        self.table.set_max(table, to_usize(max));
        integer::encode(out, 0x20, 5, max);
    }

    /// Octets that a field takes at most.
    #[inline]
    pub const fn bound(name: usize, value: usize) -> usize {
        // The kind, and the lengths of both; Huffman coding only ever shortens.
        name.saturating_add(value).saturating_add(1 + 2 * integer::MAX)
    }

    /// Appends one field. The caller has made sure that [`Encoder::bound`] octets fit: a block must not be left half
    /// written, since the table has moved on.
    pub fn encode(&mut self, table: &mut [u8], field: &Field<'_>, out: &mut Writer<'_>) {
        let name_hash = hash(0, field.name);
        let fixed = static_table::find_name(name_hash, field.name);
        let name = Name { octets: field.name, fixed, hash: name_hash };
        let indexing =
            if field.indexing == Indexing::ByName { by_name(name, field.value) } else { field.indexing };
        if indexing == Indexing::Never {
            return literal(out, 0x10, 4, self.find_name(table, name), field);
        }
        if fixed != 0 {
            let whole = static_table::find_value(fixed, field.value);
            if whole != 0 {
                return integer::encode(out, 0x80, 7, u32::from(whole));
            }
        }
        let whole = low_half(hash(name_hash, field.value));
        if let Some(index) = self.find_whole(table, name, field.value, whole) {
            return integer::encode(out, 0x80, 7, index);
        }
        let index = self.find_name(table, name);
        if indexing == Indexing::Incremental && self.worth(table, field) {
            literal(out, 0x40, 6, index, field);
            self.insert(table, name, field.value, whole);
        } else {
            literal(out, 0, 4, index, field);
        }
    }

    /// Whether the table gains by this entry: a very large one would push out all the others.
    #[inline(always)]
    fn worth(&self, table: &[u8], field: &Field<'_>) -> bool {
        let max = self.table.max().min(table.len());
        field.name.len().saturating_add(field.value.len()).saturating_add(OVERHEAD)
            <= max.wrapping_sub(max / 4)
    }

    /// Index of the entry with this name and value; `whole` is their hash.
    #[inline(always)]
    fn find_whole(&self, table: &[u8], name: Name<'_>, value: &[u8], whole: u32) -> Option<u32> {
        let mut last = 0;
        let mut number = self.by_whole.get(bits(whole, BY_WHOLE)).copied()?;
        while let Some(age) = self.age(number, last) {
            let slot = self.table.slot(table, usize::from(age))?;
            let links = Links::of(slot);
            if links.whole == whole {
                let entry = self.table.entry(slot);
                if entry.static_name == name.fixed
                    && (name.fixed != 0 || same(entry.name_in(table), name.octets))
                    && same(entry.value_in(table), value)
                {
                    return Some(static_table::COUNT.plus(u32::from(age)));
                }
            }
            last = age;
            number = links.by_whole;
        }
        None
    }

    /// Index of an entry with this name: in the static table, or else the newest; 0 if there is none.
    #[inline(always)]
    fn find_name(&self, table: &[u8], name: Name<'_>) -> u32 {
        match name.fixed {
            0 => self.find_new_name(table, name).unwrap_or_default(),
            fixed => u32::from(fixed),
        }
    }

    fn find_new_name(&self, table: &[u8], name: Name<'_>) -> Option<u32> {
        let mut last = 0;
        let mut number = self.by_name.get(bits(low_half(name.hash), BY_NAME)).copied()?;
        while let Some(age) = self.age(number, last) {
            let slot = self.table.slot(table, usize::from(age))?;
            let links = Links::of(slot);
            if links.name == key(name.hash) && same(self.table.entry(slot).name_in(table), name.octets) {
                return Some(static_table::COUNT.plus(u32::from(age)));
            }
            last = age;
            number = links.by_name;
        }
        None
    }

    /// How many entries ago this number was given, 1 for the newest, if the entry is live. Along a chain ages grow: one
    /// that does not is a stale number's.
    #[inline(always)]
    fn age(&self, number: u16, last: u16) -> Option<u16> {
        let age = self.next.wrapping_sub(number);
        (age > last && usize::from(age) <= self.table.len()).then_some(age)
    }

    #[inline(always)]
    fn insert(&mut self, table: &mut [u8], name: Name<'_>, value: &[u8], whole: u32) {
        let Some(by_whole) = self.by_whole.get_mut(bits(whole, BY_WHOLE)) else { return };
        let Some(by_name) = self.by_name.get_mut(bits(low_half(name.hash), BY_NAME)) else { return };
        let links = Links { whole, name: key(name.hash), by_whole: *by_whole, by_name: *by_name };
        if dynamic_table::insert(&mut self.table, table, name.octets, value, name.fixed, links.to_octets()) {
            *by_whole = self.next;
            if name.fixed == 0 {
                *by_name = self.next;
            }
            self.next = self.next.wrapping_add(1);
        }
    }
}

/// [`Indexing::ByName`].
#[inline(always)]
fn by_name(name: Name<'_>, value: &[u8]) -> Indexing {
    // Sets of indexes into the static table.
    const NEVER: u64 = 1 << 23 | 1 << 49; // authorization, proxy-authorization
    const COOKIE: u64 = 1 << 32;
    // :path, age, content-length, etag, if-modified-since, if-none-match, location, set-cookie
    const SELDOM: u64 = 1 << 4 | 1 << 21 | 1 << 28 | 1 << 34 | 1 << 40 | 1 << 41 | 1 << 46 | 1 << 55;
    let name = 1_u64.wrapping_shl(name.fixed.into());
    if name & (NEVER | COOKIE | SELDOM) == 0 {
        Indexing::Incremental
    } else if name & SELDOM != 0 {
        Indexing::Without
    } else if name & NEVER != 0 || value.len() < 20 {
        // RFC 7541 §7.1.3: a short cookie has few possible values, so that it could be guessed.
        Indexing::Never
    } else {
        Indexing::Incremental
    }
}

/// RFC 7541 §6.2: `name` is the index of the name, 0 if it is spelt out.
#[inline]
fn literal(out: &mut Writer<'_>, flags: u8, prefix: u32, name: u32, field: &Field<'_>) {
    integer::encode(out, flags, prefix, name);
    if name == 0 {
        string::encode(out, field.name);
    }
    string::encode(out, field.value);
}

/// Which of `chains` chains, a power of two.
#[inline(always)]
fn bits(hash: u32, chains: usize) -> usize {
    to_usize(hash) & chains.wrapping_sub(1)
}

/// What tells names in a chain apart: bits that choose neither the chain nor the place in the static table.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // 16 bits are wanted
fn key(name_hash: u64) -> u16 {
    name_hash.wrapping_shr(16) as u16
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // the low half is wanted
fn low_half(hash: u64) -> u32 {
    hash as u32
}

#[inline(always)]
fn to_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::{Decoder, Step};
    use std::collections::HashMap;

    /// Two different numbers in digits with the same `hash`.
    fn collision(hash: impl Fn(&[u8]) -> u32) -> [String; 2] {
        let mut seen = HashMap::new();
        for text in (0..1_000_000).map(|i| i.to_string()) {
            if let Some(other) = seen.insert(hash(text.as_bytes()), text.clone()) {
                return [other, text];
            }
        }
        panic!("no collision")
    }

    /// Encodes each field twice, decodes, compares.
    fn check(fields: &[(&str, &str)]) {
        let (mut encoder, mut table, mut wire) = (Encoder::new(4096), [0; 4096], [0; 1000]);
        let (mut decoder, mut copy, mut out) = (Decoder::new(4096), [0; 4096], [0; 100]);
        for _ in 0..2 {
            let mut writer = Writer::new(&mut wire);
            for (name, value) in fields {
                let (name, value) = (name.as_bytes(), value.as_bytes());
                encoder.encode(
                    &mut table,
                    &Field { name, value, indexing: Indexing::Incremental },
                    &mut writer,
                );
            }
            let len = writer.finish().unwrap();
            let mut block = &wire[..len];
            for (name, value) in fields {
                let step = decoder.step(&mut copy, &mut block, &mut out);
                let Ok(Step::Field(field)) = step else { panic!("{step:?}") };
                assert_eq!((usize::from(field.name), usize::from(field.value)), (name.len(), value.len()));
                assert_eq!(out[..name.len() + value.len()], [name.as_bytes(), value.as_bytes()].concat());
            }
        }
    }

    #[test]
    fn fields_that_hash_alike_are_told_apart() {
        for name in ["x", "cookie"] {
            let seed = hash(0, name.as_bytes());
            let [one, other] = collision(|value| low_half(hash(seed, value)));
            check(&[(name, &one), (name, &other)]);
        }
        // All that is looked at before the octets of a name are: its chain and its key.
        let [one, other] = collision(|name| {
            let hash = hash(0, name);
            u32::from(key(hash)) << 8 | bits(low_half(hash), BY_NAME) as u32
        });
        check(&[(&one, "a"), (&other, "b"), (&one, "c"), (&other, "d")]);
    }
}
