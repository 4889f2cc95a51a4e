//! RFC 7541: the examples of Appendix C, each error, properties against a model.

mod appendix_c;
mod decoding;
mod encoding;
mod properties;

use grpclb_core::bytes::Writer;
use grpclb_core::hpack::{DecodeError, Decoder, Encoder, Field, Indexing, Step};

type Header = (Vec<u8>, Vec<u8>);

fn header(name: &str, value: &str) -> Header {
    (name.into(), value.into())
}

/// A decoder with its storage.
struct Receiver {
    decoder: Decoder,
    table: Vec<u8>,
    out: Vec<u8>,
}

impl Receiver {
    fn new(limit: u32) -> Receiver {
        Receiver { decoder: Decoder::new(limit), table: vec![0; limit as usize], out: vec![0; 1 << 16] }
    }

    fn decode(&mut self, block: &[u8]) -> Result<Vec<Header>, DecodeError> {
        self.decoder.begin();
        let mut rest = block;
        let mut headers = Vec::new();
        loop {
            match self.decoder.step(&mut self.table, &mut rest, &mut self.out)? {
                Step::End => return Ok(headers),
                Step::TooLarge { size } => panic!("{size} octets"),
                Step::Field(field) => {
                    let (name, value) = self.out.split_at(field.name.into());
                    headers.push((name.to_vec(), value[..field.value.into()].to_vec()));
                }
            }
        }
    }

    /// The dynamic table from the newest entry on, read by indexing its entries (RFC 7541 §6.1).
    fn table(&mut self) -> Vec<Header> {
        let mut entries = Vec::new();
        loop {
            let mut block = Vec::new();
            integer(&mut block, 0x80, 7, 62 + entries.len() as u32);
            match self.decode(&block) {
                Ok(field) => entries.extend(field),
                Err(error) => {
                    assert_eq!(error, DecodeError::InvalidIndex);
                    return entries;
                }
            }
        }
    }
}

/// An encoder with its storage.
struct Sender {
    encoder: Encoder,
    table: Vec<u8>,
}

impl Sender {
    fn new(capacity: u32) -> Sender {
        Sender { encoder: Encoder::new(capacity), table: vec![0; capacity as usize] }
    }

    fn encode(&mut self, headers: &[Header], indexing: Indexing) -> Vec<u8> {
        let bound: usize = headers.iter().map(|(name, value)| Encoder::bound(name.len(), value.len())).sum();
        let mut buffer = vec![0; Encoder::BEGIN_BOUND + bound];
        let mut out = Writer::new(&mut buffer);
        self.encoder.begin(&mut self.table, &mut out);
        for (name, value) in headers {
            self.encoder.encode(&mut self.table, &Field { name, value, indexing }, &mut out);
        }
        let len = out.finish().expect("begin and bound leave enough room");
        buffer.truncate(len);
        buffer
    }
}

/// A second encoding of integers, that of RFC 7541 §5.1's pseudocode, to build blocks with.
fn integer(block: &mut Vec<u8>, flags: u8, prefix: u32, mut value: u32) {
    let mask = (1 << prefix) - 1;
    if value < mask {
        block.push(flags | value as u8);
        return;
    }
    block.push(flags | mask as u8);
    value -= mask;
    while value >= 128 {
        block.push((value % 128 + 128) as u8);
        value /= 128;
    }
    block.push(value as u8);
}

/// A string literal without Huffman coding.
fn plain(block: &mut Vec<u8>, string: &[u8]) {
    integer(block, 0, 7, string.len() as u32);
    block.extend_from_slice(string);
}

/// `text` in hexadecimal; blanks do not matter.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
