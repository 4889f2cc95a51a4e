//! The balancer without sockets, shared by threads: `grpclb::Picker`.

mod common;

use common::Watchdog;
use grpclb::core::balancer::{
    Action, Address, Boxed, Channel, Config, Connectivity, Endpoint, Pick, Position, ServiceConfig, Sizes,
    SubchannelEvent, SubchannelId,
};
use grpclb::core::time::{Duration, Instant};
use grpclb::{Picker, PickerError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const NOW: Instant = Instant::from_nanos(0);
const ROUND_ROBIN: &str = r#"{"loadBalancingPolicy":"round_robin"}"#;
const WEIGHTED: &str = r#"{"loadBalancingConfig":[{"weighted_round_robin":{}}]}"#;

fn after(ms: u64) -> Instant {
    NOW.after(Duration::from_millis(ms))
}

fn new() -> Picker {
    let picker = Picker::new(&Config::default(), 0);
    picker.connect(NOW);
    picker
}

/// Endpoints 10.0.0.N with their weights.
fn resolve(picker: &Picker, list: &[(u8, u32)], config: &str) -> Result<(), PickerError> {
    let addresses: Vec<(Address<'_>, u32)> =
        list.iter().map(|(n, weight)| (Address::Ip(([10, 0, 0, *n], 50051).into()), *weight)).collect();
    let endpoints: Vec<Endpoint<'_>> = addresses
        .iter()
        .map(|(address, weight)| Endpoint { addresses: std::slice::from_ref(address), weight: *weight })
        .collect();
    picker.handle_resolution(NOW, &endpoints, config)
}

/// Does what the picker wants; every attempt is READY at once.
fn settle(picker: &Picker) {
    while let Some(action) = picker.poll_action() {
        if let Action::Connect(id) = action {
            picker.handle_subchannel(NOW, id, SubchannelEvent::Ready);
        }
    }
}

fn ready(list: &[(u8, u32)], config: &str) -> Picker {
    let picker = new();
    resolve(&picker, list, config).expect("a good list");
    settle(&picker);
    assert_eq!(picker.ready_count(), list.len());
    picker
}

/// Calls by last octet of the address, made by `threads` threads.
fn count(picker: &Picker, threads: usize, each: usize) -> HashMap<String, usize> {
    let counts: Vec<HashMap<SubchannelId, usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut counts = HashMap::new();
                    for _ in 0..each {
                        let Pick::Subchannel(id) = picker.pick(NOW) else { panic!("READY") };
                        *counts.entry(id).or_default() += 1;
                    }
                    counts
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut sum = HashMap::new();
    for (id, n) in counts.into_iter().flatten() {
        *sum.entry(picker.address(id).expect("in use")).or_default() += n;
    }
    sum
}

#[test]
fn shares_of_many_threads_are_exact() {
    let _watchdog = Watchdog::new(60);
    let picker = ready(&[(1, 1), (2, 1), (3, 1)], ROUND_ROBIN);
    let counts = count(&picker, 8, 30_000);
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|n| *n == 80_000), "{counts:?}");

    let picker = ready(&[(1, 1), (2, 2), (3, 4)], WEIGHTED);
    let counts = count(&picker, 7, 40_000);
    for (n, weight) in [(1, 1), (2, 2), (3, 4)] {
        let got = counts[&format!("10.0.0.{n}:50051")];
        assert!(got.abs_diff(weight * 40_000) <= 6, "{counts:?}");
    }
}

/// A pick that begins after an endpoint left never names it, and every pick names one that was there.
#[test]
fn no_pick_is_older_than_the_list() {
    let _watchdog = Watchdog::new(120);
    let picker = ready(&[(1, 1), (2, 1), (3, 1)], ROUND_ROBIN);
    // By packed id: the change with which it went out of use.
    let gone: Vec<AtomicU64> = (0..8 << 16).map(|_| AtomicU64::new(u64::MAX)).collect();
    let at = |id: SubchannelId| &gone[usize::from(id.index) << 16 | usize::from(id.generation)];
    let in_use = |picker: &Picker| -> Vec<SubchannelId> {
        (0..picker.endpoint_count()).filter_map(|i| picker.endpoint(i)).map(|one| one.id).collect()
    };
    let (change, done) = (AtomicU64::new(1), AtomicBool::new(false));
    let picks: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut picks = 0;
                    while !done.load(Ordering::Relaxed) {
                        let began = change.load(Ordering::SeqCst);
                        match picker.pick(NOW) {
                            Pick::Subchannel(id) => {
                                let gone = at(id).load(Ordering::SeqCst);
                                assert!(gone > began, "{id:?} went with change {gone}, picked after {began}");
                                picks += 1;
                            }
                            other => panic!("there is always one that is READY: {other:?}"),
                        }
                    }
                    picks
                })
            })
            .collect();
        for round in 2..2_000u64 {
            // Endpoint 1 stays, one of 2 to 4 is away, and sometimes 1 is the only one.
            let away = 2 + (round % 3) as u8;
            let list: Vec<(u8, u32)> =
                (1..=4).filter(|n| *n != away && (*n == 1 || round % 7 > 0)).map(|n| (n, 1)).collect();
            let before = in_use(&picker);
            resolve(&picker, &list, ROUND_ROBIN).expect("a good list");
            settle(&picker);
            let after = in_use(&picker);
            for id in before.into_iter().filter(|id| !after.contains(id)) {
                at(id).store(round, Ordering::SeqCst);
            }
            change.store(round, Ordering::SeqCst);
        }
        done.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no stale pick")).collect()
    });
    assert!(picks.iter().all(|n| *n > 100), "{picks:?}");
}

#[test]
fn picks_without_a_lock_keep_it_from_idling() {
    let picker = ready(&[(1, 1)], ROUND_ROBIN);
    const HALF_HOUR: u64 = 30 * 60 * 1000;
    assert_eq!(picker.poll_timeout(), Some(after(HALF_HOUR)));
    assert!(matches!(picker.pick(after(60_000)), Pick::Subchannel(_)));
    assert_eq!(picker.poll_timeout(), Some(after(60_000 + HALF_HOUR)));
    picker.handle_timeout(after(HALF_HOUR));
    assert_eq!(picker.state(), Connectivity::Ready);
    // A clock that is behind on another thread takes nothing back.
    assert!(matches!(picker.pick(after(1)), Pick::Subchannel(_)));
    assert_eq!(picker.poll_timeout(), Some(after(60_000 + HALF_HOUR)));
    picker.set_busy(after(70_000), true);
    assert_eq!(picker.poll_timeout(), None);
    picker.set_busy(after(80_000), false);
    picker.handle_timeout(after(80_000 + HALF_HOUR));
    assert_eq!(picker.state(), Connectivity::Idle);
    assert!(matches!(picker.poll_action(), Some(Action::Close(_))));
    let version = picker.version();
    assert_eq!(picker.pick(after(9_000_000)), Pick::Queue);
    assert_eq!(picker.state(), Connectivity::Connecting);
    assert_ne!(picker.version(), version);
}

#[test]
fn a_wrong_config_leaves_the_good_one() {
    let picker = new();
    let wrong = r#"{"loadBalancingConfig":[{"round_robin":{}},1]}"#;
    let error = resolve(&picker, &[(1, 1)], wrong).expect_err("wrong");
    assert_eq!(
        error.to_string(),
        "service config: $.loadBalancingConfig[1]: expected an object with one policy"
    );
    assert_eq!((picker.state(), picker.endpoint_count()), (Connectivity::TransientFailure, 0));
    assert_eq!(picker.pick(NOW), Pick::Fail);
    resolve(&picker, &[(1, 1), (2, 1)], ROUND_ROBIN).expect("good");
    settle(&picker);
    // The endpoints that come with a wrong one are taken.
    assert!(matches!(resolve(&picker, &[(2, 1), (3, 1)], "}"), Err(PickerError::ServiceConfig(_))));
    settle(&picker);
    assert_eq!(
        count(&picker, 1, 4),
        HashMap::from(["10.0.0.2:50051", "10.0.0.3:50051"].map(|a| (a.into(), 2)))
    );
}

#[test]
fn lists_that_cannot_be() {
    let picker = ready(&[(1, 1), (2, 1)], WEIGHTED);
    assert_eq!(resolve(&picker, &[(1, 0), (2, 0)], WEIGHTED), Err(PickerError::AllWeightsZero));
    let names: Vec<String> = (0..65_536).map(|i| format!("/run/{i}")).collect();
    let addresses: Vec<Address<'_>> = names.iter().map(|name| Address::Unix(name.as_bytes())).collect();
    let endpoint = Endpoint { addresses: &addresses, weight: 1 };
    let error = picker.handle_resolution(NOW, &[endpoint], ROUND_ROBIN).expect_err("too many");
    assert_eq!(error.to_string(), "65536 addresses, of 65535 at most");
    // What was there goes on, and the resolver is asked again.
    assert_eq!(picker.ready_count(), 2);
    assert!(matches!(picker.pick(NOW), Pick::Subchannel(_)));
    picker.handle_timeout(after(3_000));
    assert_eq!(picker.poll_action(), Some(Action::Resolve));
}

#[test]
fn ids_out_of_use_and_numbers_out_of_range() {
    let picker = ready(&[(1, 3)], WEIGHTED);
    let one = picker.endpoint(0).expect("one");
    assert_eq!((one.address.as_str(), one.state, one.weight), ("10.0.0.1:50051", Connectivity::Ready, 3));
    assert!(picker.endpoint(1).is_none() && picker.endpoint(usize::MAX).is_none());
    for id in [
        SubchannelId { index: u16::MAX, generation: u16::MAX },
        SubchannelId { index: one.id.index, generation: one.id.generation.wrapping_add(1) },
    ] {
        assert_eq!(picker.address(id), None);
        picker.handle_subchannel(NOW, id, SubchannelEvent::Lost);
    }
    assert_eq!(picker.state(), Connectivity::Ready);
    picker.handle_timeout(Instant::NEVER);
    picker.shutdown();
    assert_eq!((picker.pick(NOW), picker.state()), (Pick::Fail, Connectivity::Shutdown));
    assert_eq!(picker.poll_timeout(), None);
    assert!(format!("{picker:?}").contains("Shutdown"));
}

/// More than a thread keeps tables of: each still picks from its own, and goes on where it was.
#[test]
fn many_pickers_in_turn() {
    let list = |n: u8| (1..=n).map(|i| (i, 1)).collect::<Vec<_>>();
    let pickers: Vec<Picker> = (1..=11).map(|n| ready(&list(n), ROUND_ROBIN)).collect();
    for turn in 0..30 {
        for (picker, n) in pickers.iter().zip(1..) {
            let Pick::Subchannel(id) = picker.pick(NOW) else { panic!("READY") };
            assert_eq!(picker.address(id), Some(format!("10.0.0.{}:50051", turn % n + 1)));
        }
    }
}

/// The picker is the core's channel: whatever is told to both, they want and pick the same.
#[test]
fn random_verbs_come_out_as_the_cores() {
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let addresses: Vec<Address<'_>> = (1..=40).map(|n| Address::Ip(([10, 0, 0, n], 50051).into())).collect();
    let configs = [
        "{}",
        ROUND_ROBIN,
        WEIGHTED,
        r#"{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}"#,
    ];
    let mut reached = [0u32; 4]; // picks, by kind
    for round in 0..400 {
        let config = Config { seed: round, ..Config::default() };
        let picker = Picker::new(&config, round);
        let mut channel = Channel::new(Boxed::new(Sizes { addresses: 64, text: 0 }), &config);
        let position = Position::new(round);
        let (mut now, mut ids) = (NOW, Vec::new());
        for _ in 0..80 {
            match random(14) {
                0 | 1 => {
                    let endpoints: Vec<Endpoint<'_>> = (0..random(30))
                        .map(|_| {
                            let first = random(addresses.len() - 3);
                            let addresses = &addresses[first..first + 1 + random(2)];
                            Endpoint { addresses, weight: random(4) as u32 }
                        })
                        .collect();
                    let config = configs[random(4)];
                    let taken = picker.handle_resolution(now, &endpoints, config).is_ok();
                    let parsed = ServiceConfig::parse(config).expect("good");
                    assert_eq!(channel.handle_resolution(now, &endpoints, &parsed).is_ok(), taken);
                }
                2 => {
                    picker.handle_resolution_error(now);
                    channel.handle_resolution_error(now);
                }
                3 => {
                    picker.connect(now);
                    channel.connect(now);
                }
                4 => {
                    let busy = random(2) == 1;
                    picker.set_busy(now, busy);
                    channel.set_busy(now, busy);
                }
                5 | 6 => {
                    // A little, to the next timer, or half an hour.
                    let next = channel.poll_timeout().filter(|_| random(3) > 0);
                    now = next
                        .unwrap_or(now)
                        .max(now.after(Duration::from_millis([1, 300, 1_800_000][random(3)])));
                    picker.handle_timeout(now);
                    channel.handle_timeout(now);
                }
                7..=10 if !ids.is_empty() => {
                    let id: SubchannelId = ids[ids.len() - 1 - random(ids.len().min(20))];
                    let event = [
                        SubchannelEvent::Ready,
                        SubchannelEvent::Ready,
                        SubchannelEvent::Failed,
                        SubchannelEvent::Lost,
                    ];
                    let event = event[random(4)];
                    picker.handle_subchannel(now, id, event);
                    channel.handle_subchannel(now, id, event);
                }
                _ => {}
            }
            for _ in 0..random(4) {
                let pick = picker.pick(now);
                assert_eq!(pick, channel.pick(now, &position));
                reached[match pick {
                    Pick::Subchannel(_) => 0,
                    Pick::Queue => 1,
                    Pick::Fail => 2,
                    Pick::Drop => 3,
                }] += 1;
            }
            loop {
                let action = picker.poll_action();
                assert_eq!(action, channel.poll_action());
                match action {
                    None => break,
                    Some(Action::Connect(id)) => ids.push(id),
                    Some(_) => {}
                }
            }
            assert_eq!(picker.state(), channel.state());
            assert_eq!(picker.version(), channel.picker_version());
            assert_eq!(picker.poll_timeout(), channel.poll_timeout());
            assert_eq!(picker.ready_count(), channel.ready_count());
        }
    }
    assert!(reached[..3].iter().all(|n| *n > 1_000), "{reached:?}");
}
