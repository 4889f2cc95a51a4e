//! A server's connection in memory: all of it (state, windows, answers), the input in pieces of 64 KiB as from a socket.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use grpclb_core::bytes::Writer;
use grpclb_core::frame::{Data, Headers, Ping, Settings, WindowUpdate};
use grpclb_core::hpack::{Encoder, Field, Indexing};
use grpclb_core::http2::{Config, Connection, Event, StreamKey};
use grpclb_core::memory::{Boxed, Sizes};
use grpclb_core::time::Instant;

const NOW: Instant = Instant::from_nanos(0);

fn field<'a>(name: &'a [u8], value: &'a [u8]) -> Field<'a> {
    Field { name, value, indexing: Indexing::Incremental }
}

/// The octets of a client: its preface, then what `frames` writes, and how many frames that is.
fn client(
    frames: impl FnOnce(&mut dyn FnMut(u32, &mut Writer<'_>), &mut Writer<'_>) -> usize,
) -> (Vec<u8>, usize) {
    let mut wire = vec![0; 40 << 20];
    let mut out = Writer::new(&mut wire);
    out.put(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    Settings::write_entries(&[], &mut out);
    Settings::ACK.write(&mut out);
    let (mut encoder, mut table) = (Encoder::new(4_096), vec![0; 4_096]);
    let mut request = |stream: u32, out: &mut Writer<'_>| {
        let mut block = [0; 512];
        let mut fields = Writer::new(&mut block);
        encoder.begin(&mut table, &mut fields);
        for (name, value) in [
            (&b":method"[..], &b"POST"[..]),
            (b":scheme", b"http"),
            (b":path", b"/helloworld.Greeter/SayHello"),
            (b":authority", b"localhost:50051"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"grpc-libgrpclb"),
            (b"grpc-timeout", b"1S"),
        ] {
            encoder.encode(&mut table, &field(name, value), &mut fields);
        }
        let (end_stream, end_headers, padding, priority) = (false, true, None, None);
        let fragment = fields.written();
        Headers { stream, end_stream, end_headers, padding, priority, fragment }.write(out);
    };
    let count = frames(&mut request, &mut out);
    let len = out.finish().expect("enough room");
    wire.truncate(len);
    (wire, count)
}

/// As a gRPC server that answers every request with 30 octets.
fn serve(mut connection: Connection<Boxed>, wire: &[u8]) -> usize {
    let mut sent = 0;
    let mut asked: Vec<StreamKey> = Vec::new();
    for mut input in wire.chunks(65_536) {
        while !input.is_empty() {
            if let Some(Event::Data { stream, bytes, end }) =
                connection.recv(NOW, &mut input).expect("no error")
            {
                connection.release(stream, bytes.len());
                if end {
                    asked.push(stream);
                }
            }
        }
        for stream in asked.drain(..) {
            let head = [field(b":status", b"200"), field(b"content-type", b"application/grpc")];
            connection.send_headers(stream, head.into_iter(), false).expect("room");
            connection.send_data(stream, &[7; 30], false).expect("room");
            connection.send_headers(stream, [field(b"grpc-status", b"0")].into_iter(), true).expect("room");
        }
        while connection.poll_event().is_some() {}
        let n = connection.transmit(NOW).len();
        connection.transmitted(n);
        sent += n;
    }
    sent
}

fn sessions(c: &mut Criterion) {
    let data = |n: usize, count: usize| {
        client(move |request, out| {
            request(1, out);
            let content = vec![7; n];
            for _ in 0..count {
                Data { stream: 1, end_stream: false, padding: None, data: &content }.write(out);
            }
            count
        })
    };
    let calls = client(|request, out| {
        let mut count = 0;
        for i in 0..5_000 {
            let stream = 2 * i + 1;
            request(stream, out);
            Data { stream, end_stream: true, padding: None, data: &[7; 25] }.write(out);
            count += 2;
            if i.is_multiple_of(10) {
                WindowUpdate { stream: 0, increment: 1_000 }.write(out);
                count += 1;
            }
            if i.is_multiple_of(50) {
                Ping { ack: false, data: [1; 8] }.write(out);
                count += 1;
            }
        }
        count
    });
    let workloads = [
        ("DATA of 100 octets", data(100, 20_000)),
        ("DATA of 16 KiB", data(16_384, 2_000)),
        ("calls", calls),
    ];
    for (name, (wire, count)) in workloads {
        let mut group = c.benchmark_group(format!("http2 server, {name}"));
        group.throughput(Throughput::Elements(count as u64));
        let mut config = Config::server();
        config.limits.ping_strikes = None;
        // Some 1 300 calls are in 64 KiB, and none is answered before they are read.
        let sizes = Sizes { streams: 1_500, outbox: 256 << 10, ..Sizes::default() };
        group.bench_function("frames", |b| {
            b.iter_batched(
                || Connection::new(Boxed::new(&sizes), &config, NOW),
                |connection| serve(connection, &wire),
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group!(benches, sessions);
criterion_main!(benches);
