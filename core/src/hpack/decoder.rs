//! Decoding (RFC 7541 §3, §6).

use super::dynamic_table::{self, DynamicTable, Entry, MAX_SIZE, OWN};
use super::string::Raw;
use super::{DEFAULT_TABLE_SIZE, integer, static_table};
use crate::bytes::{Exact, copy};

/// One decoded field: it lies at the front of the `out` that was lent, name then value without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Length of the name, octets.
    pub name: u16,
    /// Length of the value, octets.
    pub value: u16,
    /// Static-table index of the name when it came from there, also by way of the dynamic table (0: it did not): callers
    /// match known names without comparing. Where the static table has a name more than once, it may be any of them.
    pub static_name: u8,
    /// Whether it was a literal that must never be indexed.
    pub never_indexed: bool,
}

/// What one step of decoding gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field, at the front of `out`.
    Field(Decoded),
    /// A field that `out` was too small for, or with a name or value of more than 65 535 octets. The dynamic table is
    /// right all the same; decoding can go on.
    TooLarge {
        /// Octets that name and value take.
        size: usize,
    },
    /// The block is over.
    End,
}

/// Why a block cannot be decoded. Each is a connection error COMPRESSION_ERROR (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The block ends within a field or a size update.
    Truncated,
    /// An integer of more than 32 bits, or padded beyond five octets (RFC 7541 §5.1).
    IntegerOverflow,
    /// Index 0, or one beyond both tables (RFC 7541 §2.3.3, §6.1).
    InvalidIndex,
    /// More than 7 bits of padding after a Huffman-coded string (RFC 7541 §5.2).
    PaddingTooLong,
    /// Padding after a Huffman-coded string that is not the beginning of EOS (RFC 7541 §5.2).
    PaddingNotEos,
    /// EOS within a Huffman-coded string (RFC 7541 §5.2).
    EosInString,
    /// A size update that is not at the beginning of the block (RFC 7541 §4.2).
    SizeUpdateMisplaced,
    /// A size update above SETTINGS_HEADER_TABLE_SIZE (RFC 7541 §6.3).
    SizeUpdateAboveLimit,
    /// No size update though SETTINGS_HEADER_TABLE_SIZE was lowered and acknowledged (RFC 7541 §4.2).
    SizeUpdateMissing,
}

impl DecodeError {
    /// What is wrong, in a few words.
    pub const fn reason(self) -> &'static str {
        match self {
            DecodeError::Truncated => "the header block ends within a field (RFC 7541 §6)",
            DecodeError::IntegerOverflow => "an integer is too large (RFC 7541 §5.1)",
            DecodeError::InvalidIndex => "an index is 0 or beyond the tables (RFC 7541 §2.3.3)",
            DecodeError::PaddingTooLong => "a string has more than 7 bits of padding (RFC 7541 §5.2)",
            DecodeError::PaddingNotEos => "the padding of a string is not of EOS (RFC 7541 §5.2)",
            DecodeError::EosInString => "a string contains EOS (RFC 7541 §5.2)",
            DecodeError::SizeUpdateMisplaced => "a table size update follows a field (RFC 7541 §4.2)",
            DecodeError::SizeUpdateAboveLimit => "a table size update is above the limit (RFC 7541 §6.3)",
            DecodeError::SizeUpdateMissing => "the lowered table size was not taken up (RFC 7541 §4.2)",
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for DecodeError {}

/// The decoding side of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable<OWN>,
    /// SETTINGS_HEADER_TABLE_SIZE as acknowledged.
    limit: u32,
    /// The size that an update must come down to before the next field; `u32::MAX`: none is due.
    due: u32,
    /// Whether no field of this block has been decoded yet.
    at_start: bool,
}

/// What a literal asks of tables (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Incremental,
    Without,
    Never,
}

impl Decoder {
    /// A decoder for a table of up to `limit` octets in RFC 7541 §4.1's counting (entry = name + value + 32), which is
    /// the SETTINGS_HEADER_TABLE_SIZE that the peer is told, below 16 MiB (or it is taken as that). A `table` of that many
    /// octets, always the same one, is lent to each call.
    ///
    /// A peer may fill 4 096 octets until it knows of a lower limit. A decoder that is made with a lower one and meets a
    /// reference to what the peer could still keep answers [`DecodeError::InvalidIndex`]; a server, whose clients need
    /// not wait for its SETTINGS, does better to begin with 4 096 and to call [`Decoder::set_limit`].
    pub const fn new(limit: u32) -> Decoder {
        let limit = if limit < MAX_SIZE { limit } else { MAX_SIZE };
        let max = if limit < DEFAULT_TABLE_SIZE { limit } else { DEFAULT_TABLE_SIZE };
        Decoder { table: DynamicTable::new(max as usize), limit, due: u32::MAX, at_start: true }
    }

    /// Another SETTINGS_HEADER_TABLE_SIZE, at the moment when the peer has acknowledged it. If it is lower than the
    /// table, the next block must begin with a size update (RFC 7541 §4.2).
    pub fn set_limit(&mut self, limit: u32) {
        let limit = limit.min(MAX_SIZE);
        self.limit = limit;
        if to_usize(limit) < self.table.max() {
            self.due = self.due.min(limit);
        }
    }

    /// Begins a header block (size updates are allowed only there, RFC 7541 §4.2).
    pub fn begin(&mut self) {
        self.at_start = true;
    }

    /// Decodes the next field of `block`, a whole header block or the rest of it, and moves `block` past it.
    ///
    /// After [`DecodeError::Truncated`] nothing has changed and `block` has not moved past the field, so that the step can
    /// be made again with more of the block (which need not come in one piece, then). Any other error is final: the table
    /// cannot follow the peer's, and the connection has to end.
    #[inline]
    pub fn step(&mut self, table: &mut [u8], block: &mut &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        loop {
            let Some(&first) = block.first() else { return Ok(Step::End) };
            if first & 0xe0 == 0x20 {
                self.update_size(table, block)?;
                continue;
            }
            if self.due != u32::MAX {
                return Err(DecodeError::SizeUpdateMissing);
            }
            let (prefix, kind) = match first {
                0x80.. => return self.indexed(table, block, out),
                0x40.. => (6, Literal::Incremental),
                0x10.. => (4, Literal::Never),
                _ => (4, Literal::Without),
            };
            return self.literal(table, block, out, prefix, kind);
        }
    }

    /// RFC 7541 §6.3.
    #[cold]
    fn update_size(&mut self, table: &mut [u8], block: &mut &[u8]) -> Result<(), DecodeError> {
        if !self.at_start {
            return Err(DecodeError::SizeUpdateMisplaced);
        }
        let mut rest = *block;
        let max = integer::decode(&mut rest, 5)?;
        if max > self.limit {
            return Err(DecodeError::SizeUpdateAboveLimit);
        }
        if max <= self.due {
            self.due = u32::MAX;
        }
        self.table.set_max(table, to_usize(max));
        *block = rest;
        Ok(())
    }

    /// RFC 7541 §6.1.
    #[inline(always)]
    fn indexed(&mut self, table: &[u8], block: &mut &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        let mut rest = *block;
        let index = integer::decode(&mut rest, 7)?;
        let (text, name, static_name) = match static_table::get(index) {
            Some((text, name)) => (text, name, static_index(index)),
            None => {
                let (_, entry) = self.dynamic(table, index)?;
                (entry.text_in(table), entry.name, entry.static_name)
            }
        };
        self.pass(block, rest);
        let value = text.len().saturating_sub(name);
        let (Ok(name), Ok(value), true) =
            (u16::try_from(name), u16::try_from(value), text.len() <= out.len())
        else {
            return Ok(Step::TooLarge { size: text.len() });
        };
        copy(out, text);
        Ok(Step::Field(Decoded { name, value, static_name, never_indexed: false }))
    }

    /// RFC 7541 §6.2. Decoded into `out` first: only then it is known how much the table has to evict.
    #[inline(always)]
    fn literal(
        &mut self,
        table: &mut [u8],
        block: &mut &[u8],
        out: &mut [u8],
        prefix: u32,
        kind: Literal,
    ) -> Result<Step, DecodeError> {
        let mut rest = *block;
        let index = integer::decode(&mut rest, prefix)?;
        let (name, static_name) = if index == 0 {
            (Raw::split_off(&mut rest)?.decode(out)?, 0)
        } else {
            let (name, static_name) = match static_table::name(index) {
                Some(name) => (name, static_index(index)),
                None => {
                    let (_, entry) = self.dynamic(table, index)?;
                    (entry.name_in(table), entry.static_name)
                }
            };
            ((name.len() <= out.len()).then(|| copy(out, name)), static_name)
        };
        let Some(name) = name else { return self.too_large(table, block, prefix, kind) };
        let value = Raw::split_off(&mut rest)?.decode(out.get_mut(name..).unwrap_or_default())?;
        let Some(value) = value else { return self.too_large(table, block, prefix, kind) };
        let (Ok(name_u16), Ok(value_u16)) = (u16::try_from(name), u16::try_from(value)) else {
            return self.too_large(table, block, prefix, kind);
        };
        if kind == Literal::Incremental {
            let text = out.get(..name.plus(value)).unwrap_or_default();
            let (name, value) = text.split_at_checked(name).unwrap_or_default();
            dynamic_table::insert(&mut self.table, table, name, value, static_name, []);
        }
        self.pass(block, rest);
        let never_indexed = kind == Literal::Never;
        Ok(Step::Field(Decoded { name: name_u16, value: value_u16, static_name, never_indexed }))
    }

    /// A literal that `out` is too small for: decoded straight into the table if it belongs there, and in any case
    /// checked to its end. Nothing has changed yet.
    #[cold]
    fn too_large(
        &mut self,
        table: &mut [u8],
        block: &mut &[u8],
        prefix: u32,
        kind: Literal,
    ) -> Result<Step, DecodeError> {
        enum Name<'b> {
            New(Raw<'b>),
            Static(&'static [u8]),
            Dynamic(usize, Entry),
        }
        let mut rest = *block;
        let index = integer::decode(&mut rest, prefix)?;
        let (name, name_len, static_name) = if index == 0 {
            let raw = Raw::split_off(&mut rest)?;
            (Name::New(raw), raw.decoded_len()?, 0)
        } else if let Some(name) = static_table::name(index) {
            (Name::Static(name), name.len(), static_index(index))
        } else {
            let (nth, entry) = self.dynamic(table, index)?;
            (Name::Dynamic(nth, entry), entry.name, entry.static_name)
        };
        let value = Raw::split_off(&mut rest)?;
        let value_len = value.decoded_len()?;
        let size = name_len.saturating_add(value_len);
        if kind == Literal::Incremental && self.table.make_room(table, size) {
            match name {
                Name::Static(name) => {
                    self.table.grow(table, name.len()).map(|room| copy(room, name));
                }
                Name::New(raw) => {
                    self.table.grow(table, name_len).map_or(Ok(None), |room| raw.decode(room))?;
                }
                Name::Dynamic(nth, entry) => self.table.grow_name(table, nth, entry),
            }
            self.table.grow(table, value_len).map_or(Ok(None), |room| value.decode(room))?;
            self.table.commit(table, name_len, value_len, static_name, []);
        }
        self.pass(block, rest);
        Ok(Step::TooLarge { size })
    }

    /// A field is decoded: on to what follows it.
    #[inline(always)]
    fn pass<'b>(&mut self, block: &mut &'b [u8], rest: &'b [u8]) {
        self.at_start = false;
        *block = rest;
    }

    /// The dynamic entry with this index: which it is, counted from the newest (1), and where.
    #[inline(always)]
    fn dynamic(&self, table: &[u8], index: u32) -> Result<(usize, Entry), DecodeError> {
        let nth = to_usize(index.checked_sub(static_table::COUNT).ok_or(DecodeError::InvalidIndex)?);
        let entry = self.table.get(table, nth).ok_or(DecodeError::InvalidIndex)?;
        Ok((nth, entry))
    }
}

/// An index into the static table as the octet that it fits in.
#[inline(always)]
fn static_index(index: u32) -> u8 {
    u8::try_from(index).unwrap_or_default()
}

#[inline(always)]
fn to_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
