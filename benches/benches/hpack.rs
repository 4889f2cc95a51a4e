//! HPACK: fields a second, decoded from what nghttp2 made (Huffman coding and dynamic table) and from plain literals, and
//! encoded. A new decoder or encoder a story, as for a connection.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grpclb_benches::{Block, stories};
use grpclb_core::bytes::Writer;
use grpclb_core::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, Field, Indexing, Step};
use std::hint::black_box;

fn fields(stories: &[Vec<Block>]) -> Throughput {
    Throughput::Elements(stories.iter().flatten().map(|block| block.fields.len() as u64).sum())
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("hpack decode");
    for (name, encoder) in [("nghttp2", "nghttp2"), ("plain literals", "haskell-http2-naive")] {
        let stories = stories(encoder);
        let mut table = vec![0; DEFAULT_TABLE_SIZE as usize];
        let mut out = vec![0; 1 << 16];
        group.throughput(fields(&stories));
        group.bench_function(name, |b| {
            b.iter(|| {
                for story in &stories {
                    let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
                    for block in story {
                        let mut rest = block.wire.as_slice();
                        decoder.begin();
                        while decoder.step(&mut table, &mut rest, &mut out) != Ok(Step::End) {
                            black_box(&out);
                        }
                    }
                }
            });
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("hpack encode");
    let stories = stories("nghttp2");
    let mut table = vec![0; DEFAULT_TABLE_SIZE as usize];
    let mut wire = vec![0; 1 << 16];
    group.throughput(fields(&stories));
    group.bench_function("by name", |b| {
        b.iter(|| {
            for story in &stories {
                let mut encoder = Encoder::new(DEFAULT_TABLE_SIZE);
                for block in story {
                    let mut out = Writer::new(&mut wire);
                    encoder.begin(&mut table, &mut out);
                    for (name, value) in &block.fields {
                        encoder.encode(
                            &mut table,
                            &Field { name, value, indexing: Indexing::ByName },
                            &mut out,
                        );
                    }
                    black_box(out.finish().expect("64 KiB are enough"));
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
