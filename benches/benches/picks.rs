//! Picks: the shared table and the channel, by how many endpoints there are and how their weights lie.

use criterion::{Criterion, criterion_group, criterion_main};
use grpclb::Picker;
use grpclb_core::balancer::{
    Action, Address, Boxed, Channel, Config, Endpoint, Position, ServiceConfig, Sizes, SubchannelEvent, Table,
};
use grpclb_core::time::Instant;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant as Clock};

const NOW: Instant = Instant::from_nanos(1);
const WEIGHTED: &str = r#"{"loadBalancingConfig":[{"weighted_round_robin":{}}]}"#;

/// Names and weights: all equal, 1/i in no order, one that wants 90 %.
fn weights(n: usize) -> [(&'static str, Vec<u32>); 3] {
    let place = |i: usize| i * 7919 % n; // a permutation: 7919 is prime and no n's factor
    let zipf = (0..n).map(|i| (1_000_000 / (place(i) + 1)) as u32).collect();
    let one_hot = (0..n).map(|i| if place(i) == 0 { 9 * (n as u32 - 1) } else { 1 }).collect();
    [("equal", vec![1; n]), ("zipf", zipf), ("one wants 90 %", one_hot)]
}

/// A channel whose endpoints are all READY.
fn ready(weights: &[u32]) -> Channel<Boxed> {
    let mut channel =
        Channel::new(Boxed::new(Sizes { addresses: weights.len(), text: 0 }), &Config::default());
    update(&mut channel, weights);
    channel.connect(NOW);
    while let Some(action) = channel.poll_action() {
        if let Action::Connect(id) = action {
            channel.handle_subchannel(NOW, id, SubchannelEvent::Ready);
        }
    }
    channel
}

fn update(channel: &mut Channel<Boxed>, weights: &[u32]) {
    let addresses: Vec<Address<'_>> =
        (0..weights.len()).map(|i| Address::Ip(([10, 0, (i >> 8) as u8, i as u8], 50051).into())).collect();
    let endpoints: Vec<Endpoint<'_>> = addresses
        .iter()
        .zip(weights)
        .map(|(address, weight)| Endpoint { addresses: std::slice::from_ref(address), weight: *weight })
        .collect();
    channel.handle_resolution(NOW, &endpoints, &ServiceConfig::parse(WEIGHTED).unwrap()).unwrap();
}

fn picks(c: &mut Criterion) {
    for n in [3, 100, 1_000] {
        for (name, weights) in weights(n) {
            let mut channel = ready(&weights);
            let mut words = vec![0; channel.picker_words()];
            let shape = channel.build_picker(&mut words).unwrap();
            let position = Position::new(0);
            c.bench_function(&format!("pick/table/{n} endpoints, {name}"), |b| {
                let table = Table::new(shape, &words);
                b.iter(|| table.pick(black_box(&position)));
            });
            c.bench_function(&format!("pick/channel/{n} endpoints, {name}"), |b| {
                b.iter(|| channel.pick(NOW, black_box(&position)));
            });
        }
    }
}

/// Threads on one picker: the host's, which takes no lock, and the core's channel behind one.
fn shared(c: &mut Criterion) {
    const N: u8 = 100;
    let picker = Picker::new(&Config::default(), 0);
    let addresses: Vec<Address<'_>> = (0..N).map(|i| Address::Ip(([10, 0, 0, i], 50051).into())).collect();
    let endpoints: Vec<Endpoint<'_>> =
        addresses.iter().map(|a| Endpoint { addresses: std::slice::from_ref(a), weight: 1 }).collect();
    picker.connect(NOW);
    picker.handle_resolution(NOW, &endpoints, WEIGHTED).unwrap();
    while let Some(action) = picker.poll_action() {
        if let Action::Connect(id) = action {
            picker.handle_subchannel(NOW, id, SubchannelEvent::Ready);
        }
    }
    let channel = Mutex::new(ready(&[1; N as usize]));
    let position = Position::new(0);
    for threads in [1, 2, 8] {
        c.bench_function(&format!("picker/no lock/{threads} threads"), |b| {
            b.iter_custom(|picks| all(threads, picks, || picker.pick(NOW)));
        });
        c.bench_function(&format!("picker/mutex/{threads} threads"), |b| {
            b.iter_custom(|picks| all(threads, picks, || channel.lock().unwrap().pick(NOW, &position)));
        });
    }
}

/// The time for `picks` picks, shared out to the threads.
fn all<R>(threads: u64, picks: u64, pick: impl Fn() -> R + Sync) -> Duration {
    let start = Barrier::new(threads as usize);
    let run = || {
        start.wait();
        let began = Clock::now();
        for _ in 0..picks.div_ceil(threads) {
            black_box(pick());
        }
        began.elapsed()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

fn changes(c: &mut Criterion) {
    for n in [3, 100, 1_000, 10_000] {
        let [_, (name, weights), _] = weights(n);
        let mut channel = ready(&weights);
        let mut words = vec![0; channel.picker_words()];
        c.bench_function(&format!("build_picker/{n} endpoints, {name}"), |b| {
            b.iter(|| channel.build_picker(black_box(&mut words)).unwrap());
        });
        c.bench_function(&format!("handle_resolution/{n} endpoints, unchanged"), |b| {
            b.iter(|| update(&mut channel, &weights));
        });
    }
}

criterion_group!(benches, picks, shared, changes);
criterion_main!(benches);
