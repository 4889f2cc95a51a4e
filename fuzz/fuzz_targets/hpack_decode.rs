//! Any bytes as header blocks: decoding ends, stays within its buffers and does not depend on the room for a field;
//! what was decoded comes back from our encoder.
#![no_main]

use grpclb_core::bytes::Writer;
use grpclb_core::hpack::{Decoder, Encoder, Field, Indexing, Step};
use grpclb_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

const INDEXING: [Indexing; 4] = [Indexing::ByName, Indexing::Incremental, Indexing::Without, Indexing::Never];

/// All fields of a block; an error ends it.
fn decode(decoder: &mut Decoder, table: &mut [u8], mut block: &[u8], out: &mut [u8]) -> (Fields, bool) {
    let mut fields = Vec::new();
    decoder.begin();
    loop {
        let before = block.len();
        match decoder.step(table, &mut block, out) {
            Ok(Step::Field(decoded)) => {
                assert!(block.len() < before);
                let (name, value) = (usize::from(decoded.name), usize::from(decoded.value));
                fields.push((out[..name].to_vec(), out[name..name + value].to_vec()));
            }
            Ok(Step::TooLarge { size }) => {
                assert!(block.len() < before);
                fields.push((b"too large".to_vec(), size.to_string().into_bytes()));
            }
            Ok(Step::End) => {
                assert!(block.is_empty());
                return (fields, true);
            }
            Err(_) => return (fields, false),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let limit = u32::from(choices.u16()) & 0x1fff;
    let indexing = INDEXING[choices.below(4)];
    let mut tables = [vec![0; limit as usize], vec![0; limit as usize]];
    let [table, small_table] = &mut tables;
    let (mut decoder, mut small) = (Decoder::new(limit), Decoder::new(limit));
    let (mut out, mut little) = (vec![0; 20_000], [0; 40]);

    let (mut encoder, mut encoder_table) = (Encoder::new(limit), vec![0; limit as usize]);
    let (mut back, mut back_table) = (Decoder::new(limit), vec![0; limit as usize]);
    let mut wire = vec![0; 40_000];

    while !choices.is_empty() {
        if choices.u8() & 15 == 0 {
            let limit = u32::from(choices.u16()) % (limit + 1);
            decoder.set_limit(limit);
            small.set_limit(limit);
        }
        let len = usize::from(choices.u8()) * 4;
        let block = choices.take(len);
        let (fields, ok) = decode(&mut decoder, table, block, &mut out);
        // A buffer that is too small changes what is told, not the table.
        let (told, small_ok) = decode(&mut small, small_table, block, &mut little);
        assert_eq!((fields.len(), ok), (told.len(), small_ok));
        for ((name, value), told) in fields.iter().zip(&told) {
            if name.len() + value.len() <= little.len() {
                assert_eq!((name, value), (&told.0, &told.1));
            }
        }

        let octets: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        if octets < wire.len() {
            let mut writer = Writer::new(&mut wire);
            encoder.begin(&mut encoder_table, &mut writer);
            for (name, value) in &fields {
                encoder.encode(&mut encoder_table, &Field { name, value, indexing }, &mut writer);
            }
            let n = writer.finish().expect("room for all as literals");
            assert_eq!(decode(&mut back, &mut back_table, &wire[..n], &mut out), (fields, true));
        }
        if !ok {
            return;
        }
    }
});
