//! A host without sockets, on a virtual clock: it writes down what the channel wants and does what a test says.
#![allow(missing_docs, unreachable_pub)]
#![allow(dead_code)] // each test uses its part

use grpclb_core::balancer::{
    Action, Address, Channel, Config, Connectivity, Endpoint, Inline, Pick, Position, ResolutionError,
    ServiceConfig, SubchannelEvent, SubchannelId,
};
use grpclb_core::time::{Duration, Instant};
use std::collections::HashMap;

pub const PICK_FIRST: &str = "{}";
pub const ROUND_ROBIN: &str = r#"{"loadBalancingConfig":[{"round_robin":{}}]}"#;
pub const WEIGHTED: &str = r#"{"loadBalancingConfig":[{"weighted_round_robin":{}}]}"#;

pub struct Host {
    pub channel: Channel<Inline<64, 512>>,
    pub position: Position,
    pub now: Instant,
    /// The latest id of each address, and every address an id ever had.
    ids: HashMap<String, SubchannelId>,
    addresses: HashMap<SubchannelId, String>,
}

/// An address in short: "1" is 10.0.0.1:50051, "v6" things and paths are as they are.
pub fn long(address: &str) -> String {
    if address.bytes().all(|b| b.is_ascii_digit()) {
        format!("10.0.0.{address}:50051")
    } else {
        address.to_string()
    }
}

fn short(address: &str) -> String {
    address.strip_prefix("10.0.0.").and_then(|a| a.strip_suffix(":50051")).unwrap_or(address).to_string()
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Host {
    pub fn new(config: Config) -> Host {
        Host {
            channel: Channel::new(Inline::new(), &config),
            position: Position::new(0),
            now: Instant::from_nanos(1_000_000_000_000),
            ids: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Connected to its endpoints, as far as commands go: "1 2" are two endpoints, "1,v6 2" the first with two
    /// addresses, "1*4" one with weight 4.
    pub fn with(config: &str, endpoints: &str) -> Host {
        let mut host = Host::new(Config { idle_timeout: None, ..Config::default() });
        host.channel.connect(host.now);
        assert_eq!(host.actions(), ["resolve"]);
        host.resolve(config, endpoints).unwrap();
        host
    }

    pub fn resolve(&mut self, config: &str, endpoints: &str) -> Result<(), ResolutionError> {
        let texts: Vec<(Vec<String>, u32)> = endpoints
            .split_whitespace()
            .map(|endpoint| {
                let (addresses, weight) = endpoint.split_once('*').unwrap_or((endpoint, "1"));
                let addresses = addresses.split(',').filter(|a| !a.is_empty()).map(long).collect();
                (addresses, weight.parse().unwrap())
            })
            .collect();
        let addresses: Vec<(Vec<Address<'_>>, u32)> = texts
            .iter()
            .map(|(addresses, weight)| {
                (addresses.iter().map(|a| Address::parse(a).unwrap()).collect(), *weight)
            })
            .collect();
        let endpoints: Vec<Endpoint<'_>> =
            addresses.iter().map(|(addresses, weight)| Endpoint { addresses, weight: *weight }).collect();
        let config = ServiceConfig::parse(config).unwrap();
        self.channel.handle_resolution(self.now, &endpoints, &config)
    }

    /// What the channel wants: "resolve", "connect 1", "close 1".
    pub fn actions(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(action) = self.channel.poll_action() {
            actions.push(match action {
                Action::Resolve => "resolve".to_string(),
                Action::Connect(id) => {
                    let address = short(&self.channel.address(id).expect("an id in use").to_string());
                    self.ids.insert(address.clone(), id);
                    assert!(self.addresses.insert(id, address.clone()).is_none(), "{id:?} used twice");
                    format!("connect {address}")
                }
                Action::Close(id) => format!("close {}", self.addresses[&id]),
            });
        }
        actions
    }

    /// Lets time pass; what is wanted meanwhile, with the milliseconds from now: "250 connect 2".
    pub fn pass(&mut self, time: Duration) -> Vec<String> {
        let (start, end) = (self.now, self.now.after(time));
        let mut actions = Vec::new();
        while let Some(at) = self.channel.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.channel.handle_timeout(self.now);
            let passed = self.now.since(start).as_millis();
            actions.extend(self.actions().into_iter().map(|action| format!("{passed} {action}")));
            assert!(
                self.channel.poll_timeout().is_none_or(|next| next > self.now),
                "a timer that does not end"
            );
        }
        self.now = end;
        actions
    }

    pub fn tell(&mut self, address: &str, event: SubchannelEvent) -> Vec<String> {
        let id = self.ids[address];
        self.channel.handle_subchannel(self.now, id, event);
        self.actions()
    }

    pub fn ready(&mut self, address: &str) -> Vec<String> {
        self.tell(address, SubchannelEvent::Ready)
    }

    pub fn failed(&mut self, address: &str) -> Vec<String> {
        self.tell(address, SubchannelEvent::Failed)
    }

    pub fn lost(&mut self, address: &str) -> Vec<String> {
        self.tell(address, SubchannelEvent::Lost)
    }

    pub fn state(&self) -> Connectivity {
        self.channel.state()
    }

    /// "queue", "fail" or the address.
    pub fn pick(&mut self) -> String {
        match self.channel.pick(self.now, &self.position) {
            Pick::Subchannel(id) => {
                assert!(self.channel.address(id).is_some(), "a pick that is out of use");
                self.addresses[&id].clone()
            }
            Pick::Queue => "queue".to_string(),
            Pick::Fail => "fail".to_string(),
            Pick::Drop => "drop".to_string(),
        }
    }

    pub fn picks(&mut self, n: usize) -> Vec<String> {
        (0..n).map(|_| self.pick()).collect()
    }

    pub fn count(&mut self, n: usize) -> HashMap<String, usize> {
        let mut count = HashMap::new();
        for _ in 0..n {
            *count.entry(self.pick()).or_default() += 1;
        }
        count
    }

    /// "1 READY" and so on.
    pub fn endpoints(&mut self) -> Vec<String> {
        (0..self.channel.endpoint_count())
            .map(|i| {
                let endpoint = self.channel.endpoint(i).unwrap();
                format!("{} {:?}", short(&endpoint.address.to_string()), endpoint.state)
            })
            .collect()
    }
}
