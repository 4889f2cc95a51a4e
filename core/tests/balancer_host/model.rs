//! A host that does anything, in any order, and checks that nothing is lost and nothing contradicts itself. The fuzzer
//! uses it, too.

use grpclb_core::balancer::{
    Action, Address, Channel, Config, Connectivity, Endpoint, Inline, Pick, Position, ServiceConfig,
    SubchannelEvent, SubchannelId, Table,
};
use grpclb_core::time::{Duration, Instant};
use std::collections::{HashMap, HashSet};

pub(crate) const CONFIGS: [&str; 4] = [
    "{}",
    r#"{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}"#,
    r#"{"loadBalancingPolicy":"round_robin"}"#,
    r#"{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{"10.0.0.1":0,"10.0.0.2:1":5,"::3":2}}}]}"#,
];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Endpoints of addresses (numbers), each with a weight; and which config.
    Resolve(Vec<(Vec<u8>, u32)>, usize),
    ResolveFailed,
    Connect,
    Pick,
    Busy(bool),
    /// What happens to one of the connections that the host has, or had.
    Event(u8, u8),
    /// The host carries out this many of the pending actions.
    Act(u8),
    /// Milliseconds pass, not always with a look at the timer in between.
    Pass(u32, bool),
    Grow,
}

fn text(number: u8) -> String {
    match number {
        0..6 => format!("10.0.0.{number}:1"),
        6..9 => format!("[::{}]:1", number - 5),
        _ => format!("unix:/{}", "x".repeat(usize::from(number))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Attempt(Instant),
    Ready,
}

struct Model {
    channel: Channel<Inline<28, 600>>,
    now: Instant,
    position: Position,
    /// What the host has open, and where to.
    open: HashMap<SubchannelId, (Open, String)>,
    used: HashSet<SubchannelId>,
    listed: HashSet<String>,
    version: u32,
    table: Vec<u32>,
}

impl Model {
    fn new(seed: u64) -> Model {
        let config = Config { seed, idle_timeout: Some(Duration::from_secs(60)), ..Config::default() };
        Model {
            channel: Channel::new(Inline::new(), &config),
            now: Instant::from_nanos(1),
            position: Position::new(seed),
            open: HashMap::new(),
            used: HashSet::new(),
            listed: HashSet::new(),
            version: 0,
            table: vec![0; 1],
        }
    }

    fn act(&mut self) -> bool {
        match self.channel.poll_action() {
            None => return false,
            Some(Action::Resolve) => {}
            Some(Action::Connect(id)) => {
                assert!(self.used.insert(id), "a new generation for each attempt");
                let address = self.channel.address(id).expect("a live id").to_string();
                assert!(self.listed.contains(&address), "{address} is not in the list");
                self.open.insert(id, (Open::Attempt(self.now), address));
            }
            Some(Action::Close(id)) => {
                assert!(self.open.remove(&id).is_some(), "{id:?} is not open");
            }
        }
        true
    }

    fn event(&mut self, which: u8, event: u8) {
        if self.open.is_empty() {
            return;
        }
        let mut ids: Vec<SubchannelId> = self.open.keys().copied().collect();
        ids.sort_by_key(|id| (id.index, id.generation));
        let id = ids[usize::from(which) % ids.len()];
        let event = match (self.open[&id].0, event % 8) {
            (Open::Attempt(_), 0..=4) => SubchannelEvent::Ready,
            (Open::Attempt(_), _) => SubchannelEvent::Failed,
            (Open::Ready, 0..=2) => SubchannelEvent::Lost,
            (Open::Ready, _) => return,
        };
        self.channel.handle_subchannel(self.now, id, event);
        if event == SubchannelEvent::Ready {
            self.open.get_mut(&id).unwrap().0 = Open::Ready;
        } else {
            self.open.remove(&id);
        }
    }

    fn resolve(&mut self, endpoints: &[(Vec<u8>, u32)], config: usize) {
        let texts: Vec<Vec<String>> =
            endpoints.iter().map(|(numbers, _)| numbers.iter().map(|n| text(*n)).collect()).collect();
        let addresses: Vec<Vec<Address<'_>>> =
            texts.iter().map(|texts| texts.iter().map(|t| Address::parse(t).unwrap()).collect()).collect();
        let list: Vec<Endpoint<'_>> = addresses
            .iter()
            .zip(endpoints)
            .map(|(addresses, (_, weight))| Endpoint { addresses, weight: *weight })
            .collect();
        let config = ServiceConfig::parse(CONFIGS[config]).unwrap();
        if self.channel.handle_resolution(self.now, &list, &config).is_ok() {
            self.listed = texts.into_iter().flatten().collect();
        }
    }

    fn pass(&mut self, time: Duration, timers: bool) {
        let end = self.now.after(time);
        if timers {
            while let Some(at) = self.channel.poll_timeout().filter(|at| *at <= end) {
                assert!(at >= self.now || at.since(self.now) == Duration::ZERO);
                self.now = self.now.max(at);
                self.channel.handle_timeout(self.now);
                assert!(
                    self.channel.poll_timeout().is_none_or(|next| next > self.now),
                    "a timer that does not end"
                );
            }
        }
        self.now = end;
        self.channel.handle_timeout(self.now);
        assert!(self.channel.poll_timeout().is_none_or(|next| next > self.now));
    }

    /// What must hold whenever the host carried out everything.
    fn check(&mut self) {
        while self.act() {}
        let state = self.channel.state();
        let endpoints: Vec<(String, Connectivity, u32)> = (0..self.channel.endpoint_count())
            .map(|i| {
                let endpoint = self.channel.endpoint(i).unwrap();
                (endpoint.address.to_string(), endpoint.state, endpoint.weight)
            })
            .collect();
        assert!(self.channel.endpoint(endpoints.len()).is_none());

        // Every connection is one of an endpoint, and the other way round.
        let ready: HashSet<&String> = endpoints
            .iter()
            .filter(|(_, state, _)| *state == Connectivity::Ready)
            .map(|(a, _, _)| a)
            .collect();
        let open: HashSet<&String> =
            self.open.values().filter(|(open, _)| *open == Open::Ready).map(|(_, address)| address).collect();
        assert_eq!(ready, open);
        assert_eq!(ready.len(), self.channel.ready_count());
        let distinct: HashSet<&String> = self.open.values().map(|(_, address)| address).collect();
        assert_eq!(distinct.len(), self.open.len(), "an address is open twice");
        for (id, (_, address)) in &self.open {
            assert!(self.listed.contains(address), "{address} is open but not listed");
            assert_eq!(self.channel.address(*id).map(|a| a.to_string()).as_ref(), Some(address));
        }
        if state == Connectivity::Idle {
            assert!(ready.is_empty());
        }

        // Someone minds every attempt and every endpoint that failed.
        let now = self.now;
        for (open, address) in self.open.values() {
            if let Open::Attempt(since) = open {
                assert!(now.since(*since) <= Duration::from_secs(144), "{address} connects forever");
            }
        }
        let waiting = endpoints
            .iter()
            .any(|(_, state, _)| matches!(state, Connectivity::Connecting | Connectivity::TransientFailure));
        if waiting {
            assert!(self.channel.poll_timeout().is_some(), "{endpoints:?} wait for nothing");
        }

        // The state is that of the endpoints.
        let usable: HashSet<&String> = endpoints
            .iter()
            .filter(|(a, _, weight)| *weight > 0 && ready.contains(a))
            .map(|(a, _, _)| a)
            .collect();
        assert_eq!(state == Connectivity::Ready, !usable.is_empty(), "{state:?} {endpoints:?}");

        // A host that rebuilds its picker by the version picks the same as the channel.
        let mut words = vec![0; self.channel.picker_words()];
        let shape = self.channel.build_picker(&mut words).unwrap();
        if self.version == self.channel.picker_version() {
            assert_eq!(words, self.table, "changed, but the version is the same");
        }
        self.version = self.channel.picker_version();
        self.table.clone_from(&words);
        let k = self.position.next();
        let at = Position::new(k);
        let shared = Table::new(shape, &words).at(k);
        match (state, self.channel.pick(self.now, &at)) {
            (Connectivity::Ready, Pick::Subchannel(id)) => {
                assert_eq!(shared, Some(id));
                let (open, address) = &self.open[&id];
                assert_eq!(*open, Open::Ready);
                assert!(usable.contains(address));
            }
            (Connectivity::Connecting | Connectivity::Idle, Pick::Queue) => assert_eq!(shared, None),
            (Connectivity::TransientFailure, Pick::Fail) => assert_eq!(shared, None),
            (state, pick) => panic!("{pick:?} in {state:?}"),
        }
    }
}

pub(crate) fn run(seed: u64, steps: Vec<Step>) {
    let mut model = Model::new(seed);
    for step in steps {
        match step {
            Step::Resolve(endpoints, config) => model.resolve(&endpoints, config),
            Step::ResolveFailed => model.channel.handle_resolution_error(model.now),
            Step::Connect => model.channel.connect(model.now),
            Step::Pick => model.check(),
            Step::Busy(busy) => model.channel.set_busy(model.now, busy),
            Step::Event(which, event) => model.event(which, event),
            Step::Act(n) => (0..n).for_each(|_| _ = model.act()),
            Step::Pass(ms, timers) => model.pass(Duration::from_millis(ms.into()), timers),
            Step::Grow => assert!(model.channel.grow(Inline::new()).is_ok()),
        }
    }
    model.check();
    // Left alone with a host that connects everything, it becomes READY, if there is anything to connect to.
    model.channel.set_busy(model.now, true);
    model.channel.connect(model.now);
    for _ in 0..300 {
        while model.act() {}
        if model.channel.state() == Connectivity::Ready
            && model.open.values().all(|(open, _)| *open == Open::Ready)
        {
            break;
        }
        for id in model.open.keys().copied().collect::<Vec<_>>() {
            model.channel.handle_subchannel(model.now, id, SubchannelEvent::Ready);
            model.open.get_mut(&id).unwrap().0 = Open::Ready;
        }
        while model.act() {}
        model.pass(Duration::from_secs(1), true);
    }
    let n = model.channel.endpoint_count();
    if (0..n).any(|i| model.channel.endpoint(i).unwrap().weight > 0) {
        assert_eq!(model.channel.state(), Connectivity::Ready);
    }
    model.check();
    model.channel.shutdown();
    while model.act() {}
    assert!(model.open.is_empty(), "all is closed in the end");
    assert_eq!(model.channel.poll_timeout(), None);
}
