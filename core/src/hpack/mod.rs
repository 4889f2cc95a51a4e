//! HPACK: header compression for HTTP/2 (RFC 7541).
//!
//! A [`Decoder`] and an [`Encoder`] are the small state of one direction of a connection; the storage of their dynamic
//! tables is lent at each call, always the same one, and the fields go straight into the caller's buffer. Nothing is
//! allocated, and a table entry costs no more memory than RFC 7541 §4.1 counts for it.
//!
//! ```
//! use grpclb_core::bytes::Writer;
//! use grpclb_core::hpack::{Decoder, Encoder, Field, Indexing, Step};
//!
//! let (mut encoder, mut table, mut wire) = (Encoder::new(4096), [0; 4096], [0; 64]);
//! let mut out = Writer::new(&mut wire);
//! encoder.begin(&mut table, &mut out);
//! let field = Field { name: b"te", value: b"trailers", indexing: Indexing::Incremental };
//! encoder.encode(&mut table, &field, &mut out);
//! let len = out.finish().unwrap();
//!
//! let (mut decoder, mut table, mut field) = (Decoder::new(4096), [0; 4096], [0; 64]);
//! let mut block = &wire[..len];
//! decoder.begin();
//! let Step::Field(decoded) = decoder.step(&mut table, &mut block, &mut field)? else { unreachable!() };
//! assert_eq!((decoded.name, decoded.value, &field[..10]), (2, 8, &b"tetrailers"[..]));
//! assert_eq!(decoder.step(&mut table, &mut block, &mut field)?, Step::End);
//! # Ok::<(), grpclb_core::hpack::DecodeError>(())
//! ```

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
