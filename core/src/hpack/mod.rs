//! HPACK: header compression for HTTP/2 (RFC 7541).
//!
//! A [`Decoder`] and an [`Encoder`] are the small state of one direction of a connection; the storage of their dynamic
//! tables is lent at each call, always the same one, and the fields go straight into the caller's buffer. Nothing is
//! allocated, and a table entry costs no more memory than RFC 7541 §4.1 counts for it.

mod decoder;
mod dynamic_table;
mod encoder;
mod hash;
mod huffman;
mod huffman_table;
mod integer;
mod static_entries;
mod static_table;
mod string;

pub use decoder::{DecodeError, Decoded, Decoder, Step};
pub use encoder::{Encoder, Field, Indexing};

/// Size of both tables before any SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §6.5.2), octets.
pub const DEFAULT_TABLE_SIZE: u32 = 4096;
