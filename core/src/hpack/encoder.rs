//! Encoding (RFC 7541 §6).

use super::dynamic_table::{self, DynamicTable, OVERHEAD};
use super::hash::hash;
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

/// Octets beside [`dynamic_table`]'s own in a slot: the hash of name and value, the hash of the name, the link.
const EXTRA: usize = 8;

/// Chains of entries with names that hash alike.
const CHAINS: usize = 64;

/// The encoding side of one connection.
///
/// Entries are found by the hash of their name, in chains from the newest to the oldest, linked through the slots of
/// the dynamic table. An entry goes by its number, counted through the connection and kept modulo 2^16; a number that is not
/// among the live ones ends the chain, so that nothing has to be unlinked when entries are evicted. (A number that was
/// reused in the meantime leads to a wrong entry, which is seen when it is compared.)
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable<EXTRA>,
    /// By hash of the name: the number of the newest entry.
    chains: [u16; CHAINS],
    /// Number of the next entry.
    next: u16,
    capacity: u32,
    /// The peer's SETTINGS_HEADER_TABLE_SIZE: the lowest since the last block, and the latest (RFC 7541 §4.2).
    lowest: u32,
    latest: u32,
}

/// An entry with the name that is looked for.
struct Found {
    /// Its index, beyond the static table's.
    index: u32,
    /// Whether the value is the same, too.
    whole: bool,
}

impl Encoder {
    /// Octets that [`Encoder::begin`] writes at most: two size updates.
    pub const BEGIN_BOUND: usize = 2 * integer::MAX;

    /// An encoder whose table takes up to `capacity` octets, less than 16 MiB: a `table` of that many, always the same
    /// one, is lent to each call. The table begins at the protocol's 4 096 octets, or at `capacity` if that is less.
    pub const fn new(capacity: u32) -> Encoder {
        Encoder {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE as usize),
            chains: [0; CHAINS],
            next: 0,
            capacity,
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
        let static_name = static_table::find_name(name_hash, field.name);
        let indexing = match field.indexing {
            Indexing::ByName => by_name(static_name, field.value),
            asked => asked,
        };
        if indexing == Indexing::Never {
            let name = match static_name {
                0 => self.find(table, field, name_hash, None).map_or(0, |found| found.index),
                index => u32::from(index),
            };
            return literal(out, 0x10, 4, name, field);
        }
        if static_name != 0 {
            let whole = static_table::find_value(static_name, field.value);
            if whole != 0 {
                return integer::encode(out, 0x80, 7, u32::from(whole));
            }
        }
        let whole_hash = low_half(hash(name_hash, field.value));
        let found = self.find(table, field, name_hash, Some((whole_hash, static_name != 0)));
        let name = match found {
            Some(Found { index, whole: true }) => return integer::encode(out, 0x80, 7, index),
            _ if static_name != 0 => u32::from(static_name),
            Some(Found { index, .. }) => index,
            None => 0,
        };
        if indexing == Indexing::Incremental && self.worth(table, field) {
            literal(out, 0x40, 6, name, field);
            self.insert(table, field, static_name, name_hash, whole_hash);
        } else {
            literal(out, 0, 4, name, field);
        }
    }

    /// Whether the table gains by this entry: a very large one would push out all the others.
    #[inline(always)]
    fn worth(&self, table: &[u8], field: &Field<'_>) -> bool {
        let max = self.table.max().min(table.len());
        field.name.len().saturating_add(field.value.len()).saturating_add(OVERHEAD)
            <= max.wrapping_sub(max / 4)
    }

    /// The newest entry that is `field`, or else the newest with its name. `whole` is the hash of name and value, and
    /// whether the name alone is not asked for; without it the value does not matter.
    #[inline(always)]
    fn find(
        &self,
        table: &[u8],
        field: &Field<'_>,
        name_hash: u64,
        whole: Option<(u32, bool)>,
    ) -> Option<Found> {
        let mut by_name = None;
        let mut last = 0;
        let mut number = self.chains.get(chain(name_hash)).copied().unwrap_or_default();
        loop {
            // How many entries ago, 1 for the newest. Ages grow along a chain: one that does not is a stale number.
            let age = self.next.wrapping_sub(number);
            if age <= last || usize::from(age) > self.table.len() {
                return by_name;
            }
            last = age;
            let (entry, [a, b, c, d, e, f, link @ ..]) = self.table.get(table, usize::from(age))?;
            if u16::from_le_bytes([e, f]) == key(name_hash) {
                let index = static_table::COUNT.plus(u32::from(age));
                match whole {
                    Some((hash, _)) if hash == u32::from_le_bytes([a, b, c, d]) => {
                        if entry.name_in(table) == field.name && entry.value_in(table) == field.value {
                            return Some(Found { index, whole: true });
                        }
                    }
                    Some((_, true)) => {}
                    _ => {
                        if by_name.is_none() && entry.name_in(table) == field.name {
                            by_name = Some(Found { index, whole: false });
                            if whole.is_none() {
                                return by_name;
                            }
                        }
                    }
                }
            }
            number = u16::from_le_bytes(link);
        }
    }

    #[inline(always)]
    fn insert(
        &mut self,
        table: &mut [u8],
        field: &Field<'_>,
        static_name: u8,
        name_hash: u64,
        whole_hash: u32,
    ) {
        let Some(newest) = self.chains.get_mut(chain(name_hash)) else { return };
        let [a, b, c, d] = whole_hash.to_le_bytes();
        let [e, f] = key(name_hash).to_le_bytes();
        let [g, h] = newest.to_le_bytes();
        let extra = [a, b, c, d, e, f, g, h];
        if dynamic_table::insert(&mut self.table, table, field.name, field.value, static_name, extra) {
            *newest = self.next;
            self.next = self.next.wrapping_add(1);
        }
    }
}

/// [`Indexing::ByName`], by the index of the name in the static table.
#[inline(always)]
fn by_name(static_name: u8, value: &[u8]) -> Indexing {
    match static_name {
        // authorization, proxy-authorization
        23 | 49 => Indexing::Never,
        // RFC 7541 §7.1.3: a short cookie has few possible values, so that it can be guessed.
        32 if value.len() < 20 => Indexing::Never,
        // :path, age, content-length, etag, if-modified-since, if-none-match, location, set-cookie
        4 | 21 | 28 | 34 | 40 | 41 | 46 | 55 => Indexing::Without,
        _ => Indexing::Incremental,
    }
}

/// RFC 7541 §6.2: `name` is the index of the name, 0 if it is spelt out.
#[inline(always)]
fn literal(out: &mut Writer<'_>, flags: u8, prefix: u32, name: u32, field: &Field<'_>) {
    integer::encode(out, flags, prefix, name);
    if name == 0 {
        string::encode(out, field.name);
    }
    string::encode(out, field.value);
}

/// Which chain. The static table's look-up takes other bits of the hash, and so does [`key`].
#[inline(always)]
fn chain(name_hash: u64) -> usize {
    usize::try_from(name_hash & 63).unwrap_or_default()
}

/// What tells names in a chain apart.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // 16 bits are wanted
fn key(name_hash: u64) -> u16 {
    name_hash.wrapping_shr(8) as u16
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
