//! The channel: backoff (connection-backoff.md), IDLE (gRFC A62), resolution, storage.

mod balancer_host;

use balancer_host::{Host, PICK_FIRST, ROUND_ROBIN, long, ms, secs};
use grpclb_core::balancer::{
    Action, Address, Channel, Config, Connectivity::*, Endpoint, Pick, Position, ResolutionError,
    ServiceConfig, Sizes, Slices, Storage, SubchannelEvent,
};
use grpclb_core::time::{Duration, Instant};

mod backoff {
    use super::*;

    /// From the start of an attempt to the start of the next, in ms, when every attempt fails at once.
    fn delays(config: Config, n: usize) -> Vec<u64> {
        let mut host = Host::new(Config { idle_timeout: None, ..config });
        host.channel.connect(host.now);
        host.resolve(ROUND_ROBIN, "1").unwrap();
        host.actions();
        (0..n)
            .map(|_| {
                host.failed("1");
                let start = host.now;
                let at = host.channel.poll_timeout().unwrap();
                assert_eq!(host.pass(at.since(start)).len(), 1);
                at.since(start).as_millis() as u64
            })
            .collect()
    }

    #[test]
    fn one_second_then_a_factor_of_1_6_up_to_120_s_with_a_jitter_of_a_fifth() {
        let expected =
            [1000, 1600, 2560, 4096, 6554, 10486, 16777, 26844, 42950, 68719, 109951, 120_000, 120_000];
        let mut jitter = 0;
        for seed in 0..20 {
            let delays = delays(Config { seed, ..Config::default() }, expected.len());
            assert_eq!(delays[0], 1000, "the first has no jitter");
            for (delay, expected) in delays.iter().zip(&expected).skip(1) {
                assert!(delay.abs_diff(*expected) <= expected / 5 + 1, "{delays:?}");
                jitter += delay.abs_diff(*expected) * 1000 / expected;
            }
        }
        let mean = jitter / (20 * 12);
        assert!((80..120).contains(&mean), "a tenth on average: {mean}");
    }

    #[test]
    fn is_settable() {
        let config = Config { initial_backoff: ms(50), max_backoff: ms(100), ..Config::default() };
        let delays = delays(config, 4);
        assert_eq!(delays[0], 50);
        assert!(
            (64..=96).contains(&delays[1]) && delays[2..].iter().all(|d| (80..=120).contains(d)),
            "{delays:?}"
        );
        // Nonsense does not make a loop without end.
        assert!(
            super::backoff::delays(
                Config {
                    initial_backoff: ms(0),
                    max_backoff: ms(0),
                    min_connect_timeout: ms(0),
                    ..Config::default()
                },
                10
            )
            .iter()
            .all(|d| *d <= 2)
        );
    }

    #[test]
    fn ends_at_the_end_of_time() {
        for policy in [ROUND_ROBIN, PICK_FIRST] {
            let mut host = Host::new(Config { idle_timeout: None, ..Config::default() });
            host.now = Instant::NEVER;
            host.channel.connect(host.now);
            host.resolve(policy, "1").unwrap();
            assert_eq!(host.actions().last().unwrap(), "connect 1");
            host.channel.handle_timeout(host.now);
            assert_eq!(host.state(), Connecting);
        }
    }

    #[test]
    fn counts_from_the_start_of_the_attempt() {
        let mut host = Host::with(ROUND_ROBIN, "1");
        host.actions();
        host.pass(ms(700));
        host.failed("1");
        assert_eq!(host.pass(secs(1)), ["300 connect 1"]);
        // An attempt that took longer than the backoff is followed at once.
        host.pass(secs(19));
        host.failed("1");
        assert_eq!(host.pass(ms(0)), ["0 connect 1"]);
    }

    #[test]
    fn ready_resets_it() {
        let mut host = Host::with(ROUND_ROBIN, "1");
        host.actions();
        for _ in 0..5 {
            host.failed("1");
            host.pass(secs(20));
        }
        host.ready("1");
        assert_eq!(host.lost("1"), ["resolve", "connect 1"]);
        host.failed("1");
        assert_eq!(host.pass(secs(5)), ["1000 connect 1"]);
    }

    #[test]
    fn an_attempt_ends_after_20_s_and_counts_as_failed() {
        let mut host = Host::with(ROUND_ROBIN, "1");
        host.actions();
        assert_eq!(host.pass(secs(20) - ms(1)), [""; 0]);
        // The backoff of 1 s is long over.
        let actions = host.pass(ms(1));
        assert_eq!(actions, ["1 resolve", "1 close 1", "1 connect 1"]);
        assert_eq!(host.state(), TransientFailure);
    }

    #[test]
    fn an_attempt_may_take_as_long_as_its_backoff() {
        let mut host = Host::with(ROUND_ROBIN, "1");
        host.actions();
        for _ in 0..12 {
            host.failed("1");
            host.pass(secs(145));
        }
        // At 120 s of backoff the attempt may take 120 s, too. It began within the 145 s.
        host.failed("1");
        let start = host.now;
        let actions = host.pass(secs(300));
        assert!(actions[0].ends_with("connect 1"), "{actions:?}");
        let at = |i: usize| actions[i].split_once(' ').unwrap().0.parse::<u64>().unwrap();
        assert_eq!(at(1) - at(0), 120_000, "{actions:?} from {start:?}");
    }

    #[test]
    fn the_delay_of_happy_eyeballs_does_not_end_an_attempt() {
        let mut host = Host::with(PICK_FIRST, "1 2");
        host.actions();
        assert_eq!(host.pass(secs(19)), ["250 connect 2"]);
        // 1 ends after its 20 s, 2 after its own.
        assert_eq!(host.pass(ms(1249)), ["1000 close 1"]);
        assert_eq!(host.pass(ms(1)), ["1 resolve", "1 close 2", "1 connect 2", "1 connect 1"]);
    }
}

/// gRFC A62, "IDLE_TIMEOUT".
mod idle {
    use super::*;

    #[test]
    fn after_30_minutes_without_calls() {
        let mut host = Host::new(Config::default());
        assert_eq!((host.state(), host.channel.poll_timeout()), (Idle, None));
        assert_eq!(host.pick(), "queue");
        assert_eq!((host.state(), host.actions()), (Connecting, vec!["resolve".to_string()]));
        host.resolve(ROUND_ROBIN, "1 2").unwrap();
        host.actions();
        host.ready("1");
        host.ready("2");
        host.pass(secs(1000));
        host.pick();
        let version = host.channel.picker_version();
        assert_eq!(host.pass(secs(30 * 60)), ["1800000 close 1", "1800000 close 2"]);
        assert_eq!(
            (host.state(), host.endpoints()),
            (Idle, vec!["1 Idle".to_string(), "2 Idle".to_string()])
        );
        assert_ne!(host.channel.picker_version(), version);
        // The next call connects to what was known, and asks whether it is still so.
        assert_eq!(host.pick(), "queue");
        assert_eq!(host.actions(), ["resolve", "connect 1", "connect 2"]);
        host.ready("2");
        assert_eq!(host.pick(), "2");
    }

    #[test]
    fn not_while_calls_are_running() {
        let mut host = Host::new(Config { idle_timeout: Some(secs(10)), ..Config::default() });
        host.channel.connect(host.now);
        host.resolve(PICK_FIRST, "1").unwrap();
        host.actions();
        host.ready("1");
        host.channel.set_busy(host.now, true);
        assert_eq!(host.pass(secs(100)), [""; 0]);
        host.channel.set_busy(host.now, false);
        assert_eq!(host.pass(secs(9)), [""; 0]);
        assert_eq!(host.pass(secs(1)), ["1000 close 1"]);
    }

    #[test]
    fn attempts_and_backoff_end_with_it() {
        let mut host = Host::new(Config { idle_timeout: Some(ms(2200)), ..Config::default() });
        host.channel.connect(host.now);
        host.resolve(ROUND_ROBIN, "1 2").unwrap();
        host.actions();
        host.failed("1");
        host.pass(ms(1200));
        host.failed("1");
        assert_eq!(host.pass(secs(10)), ["1000 close 2"], "1 is in backoff");
        assert_eq!(host.channel.poll_timeout(), None);
        // A list that comes meanwhile connects nothing.
        host.resolve(ROUND_ROBIN, "1 3").unwrap();
        assert_eq!((host.state(), host.actions()), (Idle, vec![]));
        host.channel.connect(host.now);
        assert_eq!(host.actions(), ["resolve", "connect 1", "connect 3"]);
    }

    #[test]
    fn a_list_before_the_first_call_waits_for_it() {
        let mut host = Host::new(Config::default());
        host.resolve(ROUND_ROBIN, "1").unwrap();
        assert_eq!((host.state(), host.actions()), (Idle, vec![]));
        assert_eq!(host.pick(), "queue");
        assert_eq!(host.actions(), ["resolve", "connect 1"]);
    }
}

mod resolution {
    use super::*;

    #[test]
    fn an_error_before_the_first_list_fails_calls_and_is_tried_again_with_backoff() {
        let mut host = Host::new(Config::default());
        host.channel.connect(host.now);
        assert_eq!(host.actions(), ["resolve"]);
        host.channel.handle_resolution_error(host.now);
        assert_eq!((host.state(), host.pick()), (TransientFailure, "fail".to_string()));
        assert_eq!(host.pass(secs(1)), ["1000 resolve"]);
        host.channel.handle_resolution_error(host.now);
        assert_eq!(host.pass(secs(2)).len(), 1);
        host.resolve(PICK_FIRST, "1").unwrap();
        assert_eq!((host.state(), host.actions()), (Connecting, vec!["connect 1".to_string()]));
        assert_eq!(host.pass(secs(5)), [""; 0]);
    }

    #[test]
    fn an_error_later_changes_nothing() {
        let mut host = Host::with(ROUND_ROBIN, "1");
        host.actions();
        host.ready("1");
        let version = host.channel.picker_version();
        host.channel.handle_resolution_error(host.now);
        assert_eq!((host.pick(), host.channel.picker_version()), ("1".to_string(), version));
        // What asks meanwhile waits for the backoff.
        assert_eq!(host.lost("1"), ["connect 1"]);
        assert_eq!(host.pass(secs(1)), ["1000 resolve"]);
    }

    #[test]
    fn too_many_is_said_and_nothing_is_changed() {
        let mut host = Host::with(ROUND_ROBIN, "1 2");
        host.actions();
        host.ready("1");
        let many: Vec<String> = (1..=65).map(|i| i.to_string()).collect();
        let needed = Sizes { addresses: 65, text: 0 };
        assert_eq!(host.resolve(ROUND_ROBIN, &many.join(" ")), Err(ResolutionError::TooMany { needed }));
        let path = format!("unix:/{} unix:/{}", "x".repeat(249), "y".repeat(250));
        let needed = Sizes { addresses: 2, text: 513 };
        assert_eq!(host.resolve(ROUND_ROBIN, &path), Err(ResolutionError::TooMany { needed }));
        assert_eq!(host.actions(), [""; 0]);
        assert_eq!(host.endpoints(), ["1 Ready", "2 Connecting"]);
        host.resolve(ROUND_ROBIN, &many[..64].join(" ")).unwrap();
        assert_eq!(host.actions().len(), 62);
        assert_eq!(host.resolve(ROUND_ROBIN, &path[..path.len() - 1]), Ok(()));
    }
}

#[test]
fn shutdown_is_final() {
    let mut host = Host::with(ROUND_ROBIN, "1 2 3");
    host.actions();
    host.ready("1");
    host.failed("3");
    host.channel.shutdown();
    assert_eq!(host.actions(), ["close 1", "close 2"]);
    assert_eq!((host.state(), host.pick()), (Shutdown, "fail".to_string()));
    host.channel.connect(host.now);
    host.resolve(ROUND_ROBIN, "1").unwrap();
    host.channel.handle_resolution_error(host.now);
    assert_eq!((host.state(), host.actions(), host.channel.poll_timeout()), (Shutdown, vec![], None));
}

#[test]
fn a_close_that_was_not_asked_for_yet_comes_before_its_successors_connect() {
    let mut host = Host::with(PICK_FIRST, "1 2");
    host.actions();
    host.pass(ms(250));
    host.resolve(PICK_FIRST, "3 4").unwrap(); // takes over both slots
    assert_eq!(host.actions(), ["close 1", "close 2", "connect 3"]);
}

/// Storage of slices, made smaller and larger.
mod storage {
    use super::*;
    use grpclb_core::balancer::{EndpointSlot, Parts, SubchannelSlot};

    pub(super) struct Memory {
        subchannels: Vec<SubchannelSlot>,
        endpoints: Vec<EndpointSlot>,
        links: Vec<u16>,
        words: Vec<u32>,
        text: Vec<u8>,
    }

    impl Memory {
        pub(super) fn new(n: usize, text: usize) -> Memory {
            Memory {
                subchannels: vec![SubchannelSlot::EMPTY; n],
                endpoints: vec![EndpointSlot::EMPTY; n],
                links: vec![0; 4 * n],
                words: vec![0; 4 * n],
                text: vec![0; text],
            }
        }

        pub(super) fn slices(&mut self) -> Slices<'_> {
            Slices(Parts {
                subchannels: &mut self.subchannels,
                endpoints: &mut self.endpoints,
                links: &mut self.links,
                words: &mut self.words,
                text: &mut self.text,
            })
        }
    }

    fn resolve<S: Storage>(channel: &mut Channel<S>, texts: &[String]) -> Result<(), ResolutionError> {
        let addresses: Vec<Address<'_>> = texts.iter().map(|t| Address::parse(t).unwrap()).collect();
        let endpoints: Vec<Endpoint<'_>> =
            addresses.iter().map(|a| Endpoint { addresses: std::slice::from_ref(a), weight: 1 }).collect();
        channel.handle_resolution(
            Instant::from_nanos(1),
            &endpoints,
            &ServiceConfig::parse(ROUND_ROBIN).unwrap(),
        )
    }

    #[test]
    fn grows_and_keeps_everything() {
        let (mut small, mut large, mut tiny) =
            (Memory::new(3, 20), Memory::new(2000, 100), Memory::new(2, 20));
        let now = Instant::from_nanos(1);
        let mut channel = Channel::new(small.slices(), &Config { idle_timeout: None, ..Config::default() });
        channel.connect(now);
        let mut list: Vec<String> = vec![long("1"), "unix:/a".to_string(), long("3")];
        resolve(&mut channel, &list).unwrap();
        assert_eq!(channel.poll_action(), Some(Action::Resolve));
        let mut ids = Vec::new();
        while let Some(Action::Connect(id)) = channel.poll_action() {
            ids.push(id);
        }
        channel.handle_subchannel(now, ids[0], SubchannelEvent::Ready);
        channel.handle_subchannel(now, ids[1], SubchannelEvent::Ready);
        channel.handle_subchannel(now, ids[2], SubchannelEvent::Failed);
        assert_eq!(channel.poll_action(), Some(Action::Resolve));
        list.extend((0..1997).map(|i| format!("10.1.{}.{}:1", i / 250, i % 250)));
        let Err(ResolutionError::TooMany { needed }) = resolve(&mut channel, &list) else { panic!() };
        assert_eq!(needed, Sizes { addresses: 2000, text: 8 });

        assert!(channel.grow(tiny.slices()).is_err());
        assert!(channel.grow(large.slices()).is_ok());
        assert_eq!(channel.address(ids[1]), Some(Address::Unix(b"/a")));
        resolve(&mut channel, &list).unwrap();
        let mut connects = 0;
        while let Some(action) = channel.poll_action() {
            assert!(matches!(action, Action::Connect(_)));
            connects += 1;
        }
        assert_eq!((connects, channel.endpoint_count(), channel.ready_count()), (1997, 2000, 2));
        assert_eq!(channel.endpoint(2).unwrap().state, TransientFailure);
        let position = Position::new(0);
        assert_eq!(channel.pick(now, &position), Pick::Subchannel(ids[0]));
        assert_eq!(channel.pick(now, &position), Pick::Subchannel(ids[1]));
        assert_eq!(channel.pick(now, &position), Pick::Subchannel(ids[0]));
        // The backoff of the third runs on.
        let at = channel.poll_timeout().unwrap();
        assert_eq!(at.since(now), Duration::from_secs(1));
        channel.handle_timeout(at);
        assert!(matches!(channel.poll_action(), Some(Action::Connect(id)) if id.index == ids[2].index));
    }

    #[test]
    fn uneven_or_no_memory_does_no_harm() {
        let mut none = Memory::new(0, 0);
        let mut channel = Channel::new(none.slices(), &Config::default());
        channel.connect(Instant::from_nanos(1));
        let needed = Sizes { addresses: 1, text: 0 };
        assert_eq!(resolve(&mut channel, &[long("1")]), Err(ResolutionError::TooMany { needed }));
        assert_eq!(resolve(&mut channel, &[]), Ok(()));
        let mut uneven = Memory::new(5, 0);
        uneven.links.truncate(14);
        let mut channel = Channel::new(uneven.slices(), &Config::default());
        let list: Vec<String> = ["1", "2", "3", "4"].map(long).to_vec();
        assert!(resolve(&mut channel, &list).is_err());
        assert!(resolve(&mut channel, &list[..3]).is_ok());
    }
}

/// An update is O(n): ten times the endpoints take about ten times as long, not a hundred times.
#[test]
fn updates_are_linear() {
    let time = |n: usize, config: &str| {
        let mut memory = storage::Memory::new(n, 0);
        let mut channel = Channel::new(memory.slices(), &Config::default());
        let texts: Vec<String> = (0..n).map(|i| format!("127.0.0.1:{}", i + 1)).collect();
        let addresses: Vec<Address<'_>> = texts.iter().map(|t| Address::parse(t).unwrap()).collect();
        let endpoints: Vec<Endpoint<'_>> =
            addresses.iter().map(|a| Endpoint { addresses: std::slice::from_ref(a), weight: 1 }).collect();
        let config = ServiceConfig::parse(config).unwrap();
        let now = Instant::from_nanos(1);
        channel.connect(now);
        channel.handle_resolution(now, &endpoints, &config).unwrap();
        while channel.poll_action().is_some() {}
        let start = std::time::Instant::now();
        for i in 0..5 {
            channel.handle_resolution(now, &endpoints[i * n / 10..], &config).unwrap();
            while channel.poll_action().is_some() {}
        }
        start.elapsed()
    };
    let weights: Vec<String> = (0..20_000).map(|i| format!("\"127.0.0.1:{}\":{}", i + 1, i % 3)).collect();
    let weighted = format!(
        r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"weights":{{{}}}}}}}]}}"#,
        weights[..1000].join(",")
    );
    for config in [ROUND_ROBIN, PICK_FIRST, &weighted] {
        let (small, large) = (time(2_000, config), time(20_000, config));
        assert!(large < small * 60 + std::time::Duration::from_millis(50), "{small:?} {large:?}");
    }
}
