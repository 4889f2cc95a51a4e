//! HPACK: header compression for HTTP/2 (RFC 7541).
//!
//! CONTRACT (the hpack author may refine, keep the shape): state is small and owned; table storage is lent at
//! each call, so that nothing is self-referential.

use crate::bytes::Writer;

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
    /// Added to the dynamic table (§6.2.1).
    Incremental,
    /// Not added (§6.2.2).
    Without,
    /// Not added, by nobody on the way (§6.2.3).
    Never,
}

/// One decoded field: it lies at the front of the `out` that was lent, name then value without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Length of the name, octets.
    pub name: u16,
    /// Length of the value, octets.
    pub value: u16,
    /// Static-table index of the name when it came from there (0: it did not): callers match known names without comparing.
    pub static_name: u8,
    /// Whether it was a literal that must never be indexed.
    pub never_indexed: bool,
}

/// What one step of decoding gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field, at the front of `out`.
    Field(Decoded),
    /// A field that `out` was too small for. The dynamic table is right all the same; decoding can go on.
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
    /// (list the cases of RFC 7541)
    Truncated,
}

/// The decoding side of one connection.
#[derive(Debug)]
pub struct Decoder {}

impl Decoder {
    /// A decoder for a table of up to `limit` octets in RFC 7541 §4.1's counting (entry = name + value + 32).
    /// `table` of that many octets is lent to each call.
    pub const fn new(_limit: u32) -> Decoder {
        todo!()
    }
    /// Begins a header block (size updates are allowed only there, RFC 7541 §4.2).
    pub fn begin(&mut self) {
        todo!()
    }
    /// Decodes the next field of `block`, a whole header block or the rest of it.
    pub fn step(&mut self, _table: &mut [u8], _block: &mut &[u8], _out: &mut [u8]) -> Result<Step, DecodeError> {
        todo!()
    }
}

/// The encoding side of one connection.
#[derive(Debug)]
pub struct Encoder {}

impl Encoder {
    /// An encoder whose table takes up to `capacity` octets, lent to each call.
    pub const fn new(_capacity: u32) -> Encoder {
        todo!()
    }
    /// The peer's SETTINGS_HEADER_TABLE_SIZE; takes effect at the next block (RFC 7541 §4.2).
    pub fn set_peer_limit(&mut self, _limit: u32) {
        todo!()
    }
    /// Begins a header block: writes the size updates that are due.
    pub fn begin(&mut self, _table: &mut [u8], _out: &mut Writer<'_>) {
        todo!()
    }
    /// Appends one field. The caller has made sure that `bound(field)` octets fit: a block must not be left half
    /// written, since the table has moved on.
    pub fn encode(&mut self, _table: &mut [u8], _field: &Field<'_>, _out: &mut Writer<'_>) {
        todo!()
    }
    /// Octets that a field takes at most.
    pub const fn bound(_name: usize, _value: usize) -> usize {
        todo!()
    }
    /// Octets that [`Encoder::begin`] writes at most.
    pub const BEGIN_BOUND: usize = 12;
}
