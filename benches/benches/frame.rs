//! Frames in memory: heads and payloads parsed from a stream, and written.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grpclb_core::bytes::Writer;
use grpclb_core::frame::{Data, Frame, Head, Headers, Ping, WindowUpdate};
use std::hint::black_box;

const FRAMES: usize = 1000;

/// The frames of the three kinds of traffic: small DATA, large DATA, calls.
fn traffic<'c>(name: &str, i: usize, content: &'c [u8]) -> Vec<Frame<'c>> {
    let stream = 2 * i as u32 + 1;
    let data = |end_stream, data| Frame::Data(Data { stream, end_stream, padding: None, data });
    match name {
        "DATA of 100 octets" => vec![data(false, &content[..100])],
        "DATA of 16 KiB" => vec![data(false, &content[..16_384])],
        _ => {
            let fragment = &content[..20];
            let (end_stream, end_headers, padding, priority) = (false, true, None, None);
            let mut call = vec![
                Frame::Headers(Headers { stream, end_stream, end_headers, padding, priority, fragment }),
                data(true, &content[..25]),
            ];
            if i.is_multiple_of(10) {
                call.push(Frame::WindowUpdate(WindowUpdate { stream: 0, increment: 1000 }));
            }
            if i.is_multiple_of(50) {
                call.push(Frame::Ping(Ping { ack: false, data: [1; 8] }));
            }
            call
        }
    }
}

fn write_all(frames: &[Frame<'_>], wire: &mut [u8]) -> usize {
    let mut out = Writer::new(wire);
    for frame in frames {
        frame.write(&mut out);
    }
    out.finish().expect("enough room")
}

fn parse_all(mut wire: &[u8]) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = wire.split_first_chunk::<{ Head::LEN }>() {
        let head = Head::parse(head);
        let (payload, rest) = rest.split_at(head.length as usize);
        black_box(Frame::parse(&head, payload)).expect("a right frame");
        wire = rest;
        count += 1;
    }
    count
}

fn frames(c: &mut Criterion) {
    let content = vec![7; 16_384];
    for name in ["DATA of 100 octets", "DATA of 16 KiB", "calls"] {
        let frames: Vec<_> = (0..FRAMES).flat_map(|i| traffic(name, i, &content)).collect();
        let mut wire = vec![0; frames.len() * (16_384 + Head::LEN)];
        let len = write_all(&frames, &mut wire);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function("write", |b| b.iter(|| write_all(&frames, &mut wire)));
        group.bench_function("parse", |b| b.iter(|| assert_eq!(parse_all(&wire[..len]), frames.len())));
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
