//! Random blocks and headers against a model: a plain list for the dynamic table.

use super::{Header, Receiver, Sender, integer, plain};
use grpclb_core::hpack::{DecodeError, Decoder, Indexing, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// A representation to put into a block; indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Representation {
    Indexed(u32),
    Literal { flags: u8, prefix: u32, name: Result<u32, Vec<u8>>, value: Vec<u8> },
}

/// The tables of RFC 7541 §2.3 as lists.
struct Model {
    dynamic: VecDeque<Header>,
    max: usize,
}

impl Model {
    fn size(&self) -> usize {
        self.dynamic.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn evict(&mut self, goal: usize) {
        while self.size() > goal {
            self.dynamic.pop_back();
        }
    }

    fn insert(&mut self, header: Header) {
        let cost = header.0.len() + header.1.len() + 32;
        self.evict(self.max.saturating_sub(cost));
        if cost <= self.max {
            self.dynamic.push_front(header);
        }
    }

    /// An index that exists: most often a dynamic one.
    fn index(&self, pick: u32) -> (u32, Header) {
        match self.dynamic.len() as u32 {
            n if n > 0 && !pick.is_multiple_of(4) => {
                let nth = pick / 4 % n;
                (62 + nth, self.dynamic[nth as usize].clone())
            }
            _ => [
                (2, super::header(":method", "GET")),
                (16, super::header("accept-encoding", "gzip, deflate")),
                (33, super::header("date", "")),
            ][(pick / 4 % 3) as usize]
                .clone(),
        }
    }

    /// Writes the representation; the field that it stands for.
    fn write(&mut self, representation: &Representation, block: &mut Vec<u8>) -> Header {
        match representation {
            Representation::Indexed(pick) => {
                let (index, header) = self.index(*pick);
                integer(block, 0x80, 7, index);
                header
            }
            Representation::Literal { flags, prefix, name, value } => {
                let name = match name {
                    Ok(pick) => {
                        let (index, (name, _)) = self.index(*pick);
                        integer(block, *flags, *prefix, index);
                        name
                    }
                    Err(name) => {
                        block.push(*flags);
                        plain(block, name);
                        name.clone()
                    }
                };
                plain(block, value);
                let header = (name, value.clone());
                if *flags == 0x40 {
                    self.insert(header.clone());
                }
                header
            }
        }
    }
}

fn representation() -> impl Strategy<Value = Representation> {
    let kind = prop_oneof![4 => Just((0x40, 6)), 1 => Just((0x00, 4)), 1 => Just((0x10, 4))];
    let name = prop_oneof![3 => any::<u32>().prop_map(Ok), 2 => vec(any::<u8>(), 0..40).prop_map(Err)];
    let value = prop_oneof![4 => vec(any::<u8>(), 0..30), 1 => vec(any::<u8>(), 0..200)];
    prop_oneof![
        1 => any::<u32>().prop_map(Representation::Indexed),
        3 => (kind, name, value)
            .prop_map(|((flags, prefix), name, value)| Representation::Literal { flags, prefix, name, value }),
    ]
}

/// Names and values from a few, so that they meet again, or any.
fn text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => proptest::sample::select(vec!["", ":path", "cookie", "x", "accept", "200", "gzip, deflate", "application/grpc"])
            .prop_map(|text| text.as_bytes().to_vec()),
        2 => "[a-z0-9-]{1,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..most),
    ]
}

fn indexing() -> impl Strategy<Value = Indexing> {
    proptest::sample::select(vec![
        Indexing::Incremental,
        Indexing::Incremental,
        Indexing::ByName,
        Indexing::Without,
        Indexing::Never,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the room for a field, what the decoder gives and what its table holds are the model's.
    #[test]
    fn decoder_is_the_model(
        limit in prop_oneof![Just(4096_u32), 0..600_u32],
        blocks in vec((proptest::option::of(any::<u32>()), vec((representation(), 0..300_usize), 0..20)), 1..6),
    ) {
        let mut receiver = Receiver::new(limit);
        let mut model = Model { dynamic: VecDeque::new(), max: limit as usize };
        for (update, block) in blocks {
            let mut wire = Vec::new();
            if let Some(pick) = update {
                let max = pick % (limit + 1);
                integer(&mut wire, 0x20, 5, max);
                model.max = max as usize;
                model.evict(model.max);
            }
            let fields: Vec<Header> = block.iter().map(|(what, _)| model.write(what, &mut wire)).collect();
            let mut rest = wire.as_slice();
            receiver.decoder.begin();
            for ((name, value), (_, room)) in fields.iter().zip(&block) {
                let mut out = vec![0; *room];
                let size = name.len() + value.len();
                match receiver.decoder.step(&mut receiver.table, &mut rest, &mut out).unwrap() {
                    Step::Field(field) => {
                        prop_assert!(size <= *room);
                        prop_assert_eq!((field.name as usize, field.value as usize), (name.len(), value.len()));
                        prop_assert_eq!(&out[..name.len()], name);
                        prop_assert_eq!(&out[name.len()..size], value);
                    }
                    step => {
                        prop_assert!(size > *room);
                        prop_assert_eq!(step, Step::TooLarge { size });
                    }
                }
            }
            prop_assert_eq!(receiver.decoder.step(&mut receiver.table, &mut rest, &mut []), Ok(Step::End));
            prop_assert_eq!(receiver.table(), Vec::from(model.dynamic.clone()));
        }
    }

    /// Encoding and decoding is the identity, with any changes of the table's size in between.
    #[test]
    fn decode_after_encode_is_the_identity(
        capacity in prop_oneof![Just(4096_u32), 0..10_000_u32],
        blocks in vec(
            (vec(0..6_000_u32, 0..4), indexing(), vec((text(60), text(300)), 0..20)),
            1..10,
        ),
    ) {
        let mut sender = Sender::new(capacity);
        let mut receiver = Receiver::new(4096);
        receiver.table = vec![0; 6_000];
        for (limits, indexing, headers) in blocks {
            for limit in limits {
                sender.encoder.set_peer_limit(limit);
                receiver.decoder.set_limit(limit);
            }
            let wire = sender.encode(&headers, indexing);
            prop_assert_eq!(receiver.decode(&wire), Ok(headers));
        }
    }

    /// A block need not come in one piece: what is not there whole changes nothing and can be tried again.
    #[test]
    fn pieces(
        limit in 0..600_u32,
        blocks in vec((vec(any::<u32>(), 0..3), vec(representation(), 0..10)), 1..4),
        pieces in vec(0..12_usize, 1..50),
        room in prop_oneof![Just(0_usize), Just(1000)],
    ) {
        let mut receiver = Receiver::new(limit);
        let mut model = Model { dynamic: VecDeque::new(), max: limit as usize };
        let mut pieces = pieces.iter().cycle();
        for (updates, block) in blocks {
            let mut wire = Vec::new();
            for pick in updates {
                let max = pick % (limit + 1);
                integer(&mut wire, 0x20, 5, max);
                model.max = max as usize;
                model.evict(model.max);
            }
            let sizes: Vec<usize> = block.iter().map(|what| model.write(what, &mut wire)).map(|(n, v)| n.len() + v.len()).collect();
            let mut got = Vec::new();
            let (mut at, mut there) = (0, 0);
            let mut out = vec![0; room];
            receiver.decoder.begin();
            for empty in 0.. {
                prop_assert!(empty < 1000, "no progress");
                let mut rest = &wire[at..there];
                loop {
                    match receiver.decoder.step(&mut receiver.table, &mut rest, &mut out) {
                        Ok(Step::Field(field)) => got.push(usize::from(field.name) + usize::from(field.value)),
                        Ok(Step::TooLarge { size }) => got.push(size),
                        Ok(Step::End) => break,
                        Err(error) => {
                            prop_assert_eq!(error, DecodeError::Truncated);
                            break;
                        }
                    }
                }
                at = there - rest.len();
                if there == wire.len() {
                    break;
                }
                there = wire.len().min(there + 1 + pieces.next().unwrap());
            }
            prop_assert_eq!(at, wire.len());
            prop_assert_eq!(got, sizes);
            prop_assert_eq!(receiver.table(), Vec::from(model.dynamic.clone()));
        }
    }

    /// Random octets never panic, take a step for at most each octet, and stay within the table.
    #[test]
    fn any_octets(
        limit in 0..300_u32,
        room in 0..100_usize,
        blocks in vec(vec(any::<u8>(), 0..200), 1..8),
    ) {
        let mut decoder = Decoder::new(limit);
        let mut table = vec![0; limit as usize];
        let mut out = vec![0; room];
        for block in blocks {
            let mut rest = block.as_slice();
            decoder.begin();
            for left in (0..=block.len()).rev() {
                match decoder.step(&mut table, &mut rest, &mut out) {
                    Ok(Step::Field(field)) => prop_assert!(usize::from(field.name) + usize::from(field.value) <= room),
                    Ok(Step::TooLarge { size }) => prop_assert!(size > room),
                    Ok(Step::End) | Err(_) => break,
                }
                prop_assert!(rest.len() <= left);
            }
        }
    }
}
