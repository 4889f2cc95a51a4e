//! Any calls, in any weather, through any memory.

use crate::heap::Sizes;
use crate::link::{Random, Weather};
use crate::pair::{Pair, Setup, head};
use crate::side::{Finish, Metadata, borrowed};
use grpclb_core::call::{CallHead, Config, StartCallError};
use grpclb_core::grpc::Code;
use grpclb_core::time::Duration;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Unary,
    Collect,
    Expand,
    Echo,
    Early,
    Never,
}

#[derive(Clone, Debug)]
struct Plan {
    kind: Kind,
    messages: Vec<usize>,
    metadata: Vec<usize>,
    /// Milliseconds.
    timeout: Option<u64>,
    /// Cancelled after that many turns of 1 ms.
    cancel: Option<u8>,
    /// Milliseconds after the plan before.
    pause: u64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let kind = prop::sample::select(vec![
        Kind::Unary,
        Kind::Collect,
        Kind::Expand,
        Kind::Echo,
        Kind::Echo,
        Kind::Early,
        Kind::Never,
    ]);
    let size = prop_oneof![4 => 0usize..40, 2 => 0usize..3_000, 1 => 0usize..120_000];
    let messages = prop::collection::vec(size, 0..5);
    let metadata = prop::collection::vec(0usize..60, 0..4);
    let timeout = prop::option::weighted(0.3, 0u64..50);
    let cancel = prop::option::weighted(0.2, 0u8..20);
    (kind, messages, metadata, timeout, cancel, 0u64..5).prop_map(
        |(kind, messages, metadata, timeout, cancel, pause)| {
            // What never answers is ended by this side.
            let timeout = timeout.or((kind == Kind::Never).then_some(30));
            let messages = match kind {
                Kind::Unary | Kind::Expand => vec![messages.first().copied().unwrap_or(9).min(50_000)],
                _ => messages,
            };
            Plan { kind, messages, metadata, timeout, cancel, pause }
        },
    )
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let outbox = prop_oneof![Just(2_048), Just(4_096), 2_048usize..40_000];
    (1usize..12, prop_oneof![Just(0), Just(100), Just(4096)], 4_096usize..20_000, outbox)
        .prop_map(|(streams, tables, arena, outbox)| Sizes { streams, tables, arena, outbox })
}

fn weather() -> impl Strategy<Value = Weather> {
    let piece = prop_oneof![Just(1), 1usize..20, 1usize..3_000, Just(usize::MAX)];
    let write = prop_oneof![1usize..50, 1usize..5_000, Just(usize::MAX)];
    (0u64..3_000_000, 0u64..2_000_000, piece, write, any::<u64>())
        .prop_map(|(delay, jitter, piece, write, seed)| Weather { delay, jitter, piece, write, seed })
}

fn setup() -> impl Strategy<Value = Setup> {
    // Under 12 octets no length prefix goes through.
    let window = || prop_oneof![Just(65_535u32), 12u32..100, 100u32..70_000, Just(1 << 20)];
    (sizes(), sizes(), weather(), window(), window(), window()).prop_map(
        |(client_sizes, server_sizes, weather, stream, connection, client_stream)| {
            let (mut client, mut server) = (Config::client(), Config::server());
            server.http2.stream_window = stream;
            server.http2.connection_window = connection.max(65_535);
            client.http2.stream_window = client_stream;
            Setup { client, server, client_sizes, server_sizes, weather, cut: u64::MAX }
        },
    )
}

fn octets(len: usize, random: &mut Random) -> Vec<u8> {
    (0..len).map(|_| random.below(256) as u8).collect()
}

fn metadata(lens: &[usize], random: &mut Random) -> Metadata {
    let entry = |(i, len): (usize, &usize)| {
        if i % 2 == 0 {
            (format!("echo-{i}-bin"), octets(*len, random))
        } else {
            (format!("echo-{i}"), vec![b'a' + i as u8; *len])
        }
    };
    lens.iter().enumerate().map(entry).collect()
}

/// The largest message worth sending: an octet at a time, a large one takes long and shows nothing new.
fn largest(setup: &Setup) -> usize {
    let windows = [&setup.client, &setup.server].map(|config| config.http2.stream_window);
    let slow = windows.into_iter().min() < Some(100) || setup.weather.piece < 20 || setup.weather.write < 50;
    if slow { 1_000 } else { 150_000 }
}

/// Runs the plans; each call's number, if it could be started, with what was sent.
fn play(pair: &mut Pair, plans: &[Plan], largest: usize) -> Vec<(usize, Plan, Vec<Vec<u8>>, Metadata)> {
    let mut random = Random::new(plans.len() as u64);
    let mut started = Vec::new();
    let mut cancels: Vec<(u64, usize)> = Vec::new();
    let ms = Duration::from_millis(1);
    let mut turn = 0u64;
    let mut step = |pair: &mut Pair, cancels: &mut Vec<(u64, usize)>| {
        pair.run_for(ms);
        turn += 1;
        cancels.retain(|(at, number)| {
            if *at <= turn
                && let Some(id) = pair.client.calls[*number].id
            {
                pair.client.connection.cancel(id);
            }
            *at > turn
        });
        turn
    };
    for plan in plans {
        for _ in 0..plan.pause {
            step(pair, &mut cancels);
        }
        let path = format!("/test/{:?}", plan.kind);
        let metadata = metadata(&plan.metadata, &mut random);
        let entries = borrowed(&metadata);
        let timeout = plan.timeout.map(Duration::from_millis);
        let head = CallHead { metadata: &entries, timeout, ..head(&path) };
        let mut tries = 0;
        let number = loop {
            match pair.start(&head) {
                Ok(number) => break Some(number),
                Err(StartCallError::Blocked) => {
                    step(pair, &mut cancels);
                    tries += 1;
                    assert!(tries < 100_000, "blocked for good");
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        let messages: Vec<_> =
            plan.messages.iter().map(|len| octets((*len).min(largest), &mut random)).collect();
        if let Some(number) = number {
            pair.client.send(number, messages.clone(), Some(Finish::HalfClose));
            if let Some(after) = plan.cancel {
                let at = step(pair, &mut cancels) + u64::from(after);
                cancels.push((at, number));
            }
            started.push((number, plan.clone(), messages, metadata));
        }
    }
    while !cancels.is_empty() {
        step(pair, &mut cancels);
    }
    pair.run();
    started
}

proptest! {
    #[test]
    fn calls_end_as_they_should(setup in setup(), plans in prop::collection::vec(plan(), 1..12)) {
        let mut pair = Pair::ready(&setup);
        let started = play(&mut pair, &plans, largest(&setup));
        pair.check_rest();
        for (number, plan, sent, metadata) in started {
            let call = &pair.client.calls[number];
            let status = call.status.as_ref().unwrap();
            let local = match status.code {
                Code::CANCELLED => plan.cancel.is_some(),
                Code::DEADLINE_EXCEEDED => plan.timeout.is_some(),
                _ => false,
            };
            let expected = match plan.kind {
                Kind::Unary => sent,
                Kind::Collect => vec![sent.iter().map(Vec::len).sum::<usize>().to_be_bytes().to_vec()],
                Kind::Expand => sent[0].iter().map(|n| vec![*n; *n as usize]).collect(),
                Kind::Echo => sent,
                Kind::Early | Kind::Never => vec![],
            };
            if local {
                prop_assert!(expected.starts_with(&call.messages));
                continue;
            }
            match plan.kind {
                Kind::Never => prop_assert!(false, "{:?}", status),
                Kind::Early => {
                    prop_assert_eq!(status.code, Code::RESOURCE_EXHAUSTED);
                    prop_assert_eq!(&status.message[..], "enough ☺ 100%");
                }
                _ => {
                    prop_assert_eq!((status.code, &status.message[..]), (Code::OK, ""));
                    prop_assert_eq!(&status.trailers, &metadata);
                    prop_assert!(call.messages == expected);
                }
            }
        }
        // Nothing leaked: all of both windows is there again for a call as large as both.
        let number = pair.call("/test/Unary", vec![vec![7; largest(&setup)]]);
        pair.run();
        prop_assert_eq!(pair.client.calls[number].status.as_ref().unwrap().code, Code::OK);
        pair.check_rest();
    }

    #[test]
    fn a_lost_connection_ends_everything(
        setup in setup(),
        plans in prop::collection::vec(plan(), 1..8),
        cut in 0u64..6_000,
    ) {
        let largest = largest(&setup);
        let mut pair = Pair::new(&Setup { cut, ..setup });
        let mut random = Random::new(cut);
        for plan in &plans {
            let path = format!("/test/{:?}", plan.kind);
            let timeout = plan.timeout.map(Duration::from_millis);
            if let Ok(number) = pair.start(&CallHead { timeout, ..head(&path) }) {
                let messages: Vec<_> = plan.messages.iter().map(|len| octets((*len).min(largest), &mut random)).collect();
                pair.client.send(number, messages, Some(Finish::HalfClose));
            }
            pair.run_for(Duration::from_millis(plan.pause));
            if pair.client.gone {
                break;
            }
        }
        pair.run();
        if !pair.client.gone {
            pair.lose();
        }
        prop_assert!(pair.client.calls.iter().all(|call| call.status.is_some()));
        prop_assert!(pair.server.calls.iter().all(|call| call.status.is_some() || call.finished));
    }
}
