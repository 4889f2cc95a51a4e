//! The balancer: `grpclb_core::balancer::Channel` with storage that grows. Moments are milliseconds of a clock of
//! JavaScript's, ids the core's as one number.

use crate::buffer::Single;
use crate::slab::Slab;
use crate::{SHARED, Shared, place};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use grpclb_core::balancer::{
    Action, Address, Channel, Config, Connectivity, Endpoint, EndpointSlot, Parts, Pick, Position,
    ResolutionError, ServiceConfig, Sizes, Storage, SubchannelEvent, SubchannelId, SubchannelSlot,
};
use grpclb_core::time::{Duration, Instant};
use wasm_bindgen::prelude::wasm_bindgen;

/// Storage on the heap.
struct Heap {
    subchannels: Box<[SubchannelSlot]>,
    endpoints: Box<[EndpointSlot]>,
    links: Box<[u16]>,
    words: Box<[u32]>,
    text: Box<[u8]>,
}

impl Heap {
    fn new(sizes: Sizes) -> Heap {
        let n = sizes.addresses;
        Heap {
            subchannels: alloc::vec![SubchannelSlot::EMPTY; n].into(),
            endpoints: alloc::vec![EndpointSlot::EMPTY; n].into(),
            links: alloc::vec![0; 4 * n].into(),
            words: alloc::vec![0; 4 * n].into(),
            text: alloc::vec![0; sizes.text].into(),
        }
    }
}

impl Storage for Heap {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            subchannels: &mut self.subchannels,
            endpoints: &mut self.endpoints,
            links: &mut self.links,
            words: &mut self.words,
            text: &mut self.text,
        }
    }
}

struct Balancer {
    channel: Channel<Heap>,
    position: Position,
    /// The text of the latest good service config.
    config: String,
    /// IP addresses as they were written: `Display` would bring the standard library's, which is larger than the rest of it.
    texts: Vec<(SocketAddr, String)>,
}

static BALANCERS: Single<Slab<Balancer>> = Single::new(Slab::new());

/// Runs a verb of a balancer; `none` when the number is nobody's.
fn verb<R>(number: u32, none: R, run: impl FnOnce(&mut Balancer, &mut Shared) -> R) -> R {
    BALANCERS.with(|all| match all.get(number) {
        Some(balancer) => SHARED.with(|shared| run(balancer, shared)),
        None => none,
    })
}

fn duration(millis: f64) -> Duration {
    Duration::from_nanos((millis * 1e6) as u64) // saturates
}

fn instant(millis: f64) -> Instant {
    Instant::from_nanos((millis * 1e6) as u64)
}

fn word(id: SubchannelId) -> u32 {
    u32::from(id.index) << 16 | u32::from(id.generation)
}

fn id(word: u32) -> SubchannelId {
    SubchannelId { index: (word >> 16) as u16, generation: word as u16 }
}

fn state(of: Connectivity) -> u32 {
    match of {
        Connectivity::Idle => 0,
        Connectivity::Connecting => 1,
        Connectivity::Ready => 2,
        Connectivity::TransientFailure => 3,
        Connectivity::Shutdown => 4,
    }
}

/// A balancer; gives its number. Times are milliseconds; `idle_timeout` NaN: never. Position and seed are whole numbers
/// below 2^53.
#[wasm_bindgen]
pub fn balancer_new(
    initial_backoff: f64,
    max_backoff: f64,
    min_connect_timeout: f64,
    happy_eyeballs_delay: f64,
    idle_timeout: f64,
    seed: f64,
    position: f64,
) -> u32 {
    let config = Config {
        initial_backoff: duration(initial_backoff),
        max_backoff: duration(max_backoff),
        min_connect_timeout: duration(min_connect_timeout),
        happy_eyeballs_delay: duration(happy_eyeballs_delay),
        idle_timeout: (!idle_timeout.is_nan()).then(|| duration(idle_timeout)),
        seed: seed as u64,
    };
    let channel = Channel::new(Heap::new(Sizes { addresses: 4, text: 256 }), &config);
    let position = Position::new(position as u64);
    BALANCERS.with(|all| all.insert(Balancer { channel, position, config: String::new(), texts: Vec::new() }))
}

/// Gives it back.
#[wasm_bindgen]
pub fn balancer_free(number: u32) {
    BALANCERS.with(|all| drop(all.remove(number)));
}

/// Takes numbers and texts off the input.
struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    fn number(&mut self) -> u32 {
        let Some((number, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u32::from_le_bytes(*number)
    }

    fn text(&mut self) -> &'i str {
        let len = self.number() as usize;
        let (text, rest) = self.0.split_at_checked(len).unwrap_or_default();
        self.0 = rest;
        core::str::from_utf8(text).unwrap_or_default()
    }
}

/// Nothing is wrong.
const GOOD: u32 = 0;
/// Report: place and length of the words for it.
const BAD_CONFIG: u32 = 1;
/// Report: place and length of the words for it, the endpoint, the address.
const BAD_ADDRESS: u32 = 2;
/// Report: place and length of the words for it.
const REFUSED: u32 = 3;

/// Endpoints and a service config. Input, numbers with the lowest octet first: how many endpoints; for each its weight,
/// how many addresses, and for each address its length and text; the config's length and text. `opaque`: what is no
/// address (a URL, say) is taken as it is.
#[wasm_bindgen]
pub fn balancer_resolution(number: u32, now: f64, len: u32, opaque: bool) -> u32 {
    verb(number, GOOD, |balancer, shared| {
        let mut input = Input(shared.input.get(..len as usize).unwrap_or_default());
        let count = input.number();
        let mut all = Vec::new();
        let mut texts = Vec::new();
        let mut ranges = Vec::new();
        for endpoint in 0..count {
            let (weight, addresses, first) = (input.number(), input.number(), all.len());
            for address in 0..addresses {
                let text = input.text();
                match Address::parse(text) {
                    Ok(Address::Ip(ip)) => {
                        texts.push((ip, String::from(text)));
                        all.push(Address::Ip(ip));
                    }
                    Ok(other) => all.push(other),
                    Err(_) if opaque => all.push(Address::Other(text.as_bytes())),
                    Err(error) => {
                        shared.tell(&error);
                        [shared.report[2], shared.report[3]] = [endpoint, address];
                        return BAD_ADDRESS;
                    }
                }
            }
            ranges.push((weight, first..all.len()));
        }
        let text = input.text();
        let (text, wrong) = match ServiceConfig::parse(text) {
            Ok(_) => (String::from(text), None),
            // The endpoints go by the last good one; where there is none, it counts as a failure (gRFC A21).
            Err(error) => (balancer.config.clone(), Some(alloc::format!("{}", error.display(text)))),
        };
        if wrong.is_some() && text.is_empty() {
            balancer.channel.handle_resolution_error(instant(now));
        }
        let Ok(config) = ServiceConfig::parse(&text) else {
            shared.tell(&wrong.unwrap_or_default());
            return BAD_CONFIG;
        };
        let endpoints: Vec<Endpoint<'_>> = ranges
            .into_iter()
            .map(|(weight, range)| Endpoint { addresses: all.get(range).unwrap_or_default(), weight })
            .collect();
        let channel = &mut balancer.channel;
        let mut result = channel.handle_resolution(instant(now), &endpoints, &config);
        if let Err(ResolutionError::TooMany { needed }) = result
            && channel.grow(larger(channel.storage(), needed)).is_ok()
        {
            result = channel.handle_resolution(instant(now), &endpoints, &config);
        }
        if result.is_ok() {
            balancer.texts = texts;
        }
        match (result, wrong) {
            (Ok(()), None) => {
                balancer.config = text;
                GOOD
            }
            (_, Some(words)) => {
                shared.tell(&words);
                BAD_CONFIG
            }
            (Err(error), None) => {
                shared.tell(match error {
                    ResolutionError::AllWeightsZero => &"the weight of every endpoint is 0",
                    _ => &"too many endpoints: 65535 addresses at most",
                });
                REFUSED
            }
        }
    })
}

/// Storage for that and more, and for all that there was.
fn larger(old: &Heap, needed: Sizes) -> Heap {
    let most = usize::from(u16::MAX).max(needed.addresses);
    Heap::new(Sizes {
        addresses: needed.addresses.next_power_of_two().min(most).max(old.subchannels.len()),
        text: needed.text.next_power_of_two().max(old.text.len()),
    })
}

/// What the service config says of the method whose path is in the input. Report: 1 if it says whether to wait for ready,
/// that, the sizes of requests and responses (all ones: nothing). Gives the timeout in milliseconds; NaN: none.
#[wasm_bindgen]
pub fn balancer_method(number: u32, len: u32) -> f64 {
    verb(number, f64::NAN, |balancer, shared| {
        let path = core::str::from_utf8(shared.input(len)).unwrap_or_default();
        let config = ServiceConfig::parse(&balancer.config).unwrap_or(ServiceConfig::DEFAULT);
        let method = config.method(path);
        let wait = method.wait_for_ready;
        shared.report[0] = u32::from(wait.is_some());
        shared.report[1] = u32::from(wait.unwrap_or_default());
        shared.report[2] = method.max_request_message_bytes.unwrap_or(u32::MAX);
        shared.report[3] = method.max_response_message_bytes.unwrap_or(u32::MAX);
        method.timeout.map_or(f64::NAN, |timeout| {
            timeout.as_secs() as f64 * 1e3 + f64::from(timeout.subsec_nanos()) / 1e6
        })
    })
}

/// The resolver failed.
#[wasm_bindgen]
pub fn balancer_resolution_error(number: u32, now: f64) {
    verb(number, (), |balancer, _| balancer.channel.handle_resolution_error(instant(now)));
}

/// What became of a subchannel: 0 ready, 1 failed, 2 lost.
#[wasm_bindgen]
pub fn balancer_subchannel(number: u32, now: f64, subchannel: u32, event: u32) {
    let event = match event {
        0 => SubchannelEvent::Ready,
        1 => SubchannelEvent::Failed,
        _ => SubchannelEvent::Lost,
    };
    verb(number, (), |balancer, _| {
        balancer.channel.handle_subchannel(instant(now), id(subchannel), event);
    });
}

/// Leaves IDLE.
#[wasm_bindgen]
pub fn balancer_connect(number: u32, now: f64) {
    verb(number, (), |balancer, _| balancer.channel.connect(instant(now)));
}

/// Whether calls are running.
#[wasm_bindgen]
pub fn balancer_busy(number: u32, now: f64, busy: bool) {
    verb(number, (), |balancer, _| balancer.channel.set_busy(instant(now), busy));
}

/// Ends it.
#[wasm_bindgen]
pub fn balancer_shutdown(number: u32) {
    verb(number, (), |balancer, _| balancer.channel.shutdown());
}

/// What to do next: 0 nothing, 1 resolve, 2 connect, 3 close; of the latter two the report's first word has the id.
#[wasm_bindgen]
pub fn balancer_action(number: u32) -> u32 {
    verb(number, 0, |balancer, shared| match balancer.channel.poll_action() {
        None => 0,
        Some(Action::Resolve) => 1,
        Some(Action::Connect(id)) => {
            shared.report[0] = word(id);
            2
        }
        Some(Action::Close(id)) => {
            shared.report[0] = word(id);
            3
        }
    })
}

/// Where a call goes: an id, or -1 to wait, -2 to fail, -3 to be dropped.
#[wasm_bindgen]
pub fn balancer_pick(number: u32, now: f64) -> f64 {
    verb(number, -2.0, |balancer, _| match balancer.channel.pick(instant(now), &balancer.position) {
        Pick::Subchannel(id) => word(id).into(),
        Pick::Queue => -1.0,
        Pick::Fail => -2.0,
        Pick::Drop => -3.0,
    })
}

/// Time passed.
#[wasm_bindgen]
pub fn balancer_timeout(number: u32, now: f64) {
    verb(number, (), |balancer, _| balancer.channel.handle_timeout(instant(now)));
}

/// When to call [`balancer_timeout`]; NaN: never.
#[wasm_bindgen]
pub fn balancer_next_timeout(number: u32) -> f64 {
    verb(number, f64::NAN, |balancer, _| {
        balancer.channel.poll_timeout().map_or(f64::NAN, |at| at.as_nanos() as f64 / 1e6)
    })
}

/// The state: 0 idle, 1 connecting, 2 ready, 3 transient failure, 4 shut down. Report: how many endpoints, how many of
/// them READY, the version of the picks.
#[wasm_bindgen]
pub fn balancer_state(number: u32) -> u32 {
    verb(number, 4, |balancer, shared| {
        shared.report[0] = balancer.channel.endpoint_count() as u32;
        shared.report[1] = balancer.channel.ready_count() as u32;
        shared.report[2] = balancer.channel.picker_version();
        state(balancer.channel.state())
    })
}

/// Where a subchannel goes. Report: place and length of the text; gives whether it is in use.
#[wasm_bindgen]
pub fn balancer_address(number: u32, subchannel: u32) -> bool {
    verb(number, false, |balancer, shared| match balancer.channel.address(id(subchannel)) {
        Some(address) => {
            shared.tell_address(address, &balancer.texts);
            true
        }
        None => false,
    })
}

/// Endpoint number `i`. Report: place and length of the address in use, the id, the state, the weight; gives whether there
/// is one.
#[wasm_bindgen]
pub fn balancer_endpoint(number: u32, i: u32) -> bool {
    verb(number, false, |balancer, shared| match balancer.channel.endpoint(i as usize) {
        Some(endpoint) => {
            shared.tell_address(endpoint.address, &balancer.texts);
            shared.report[2] = word(endpoint.id);
            shared.report[3] = state(endpoint.state);
            shared.report[4] = endpoint.weight;
            true
        }
        None => false,
    })
}

impl Shared {
    /// Leaves an address in the output as it was given.
    fn tell_address(&mut self, address: Address<'_>, texts: &[(SocketAddr, String)]) {
        self.output.clear();
        match address {
            Address::Ip(ip) => {
                let text = texts.iter().find(|(known, _)| *known == ip).map(|(_, text)| text.as_bytes());
                self.output.extend_from_slice(text.unwrap_or_default());
            }
            Address::Unix(path) => {
                self.output.extend_from_slice(b"unix:");
                self.output.extend_from_slice(path);
            }
            Address::Other(text) => self.output.extend_from_slice(text),
        }
        [self.report[0], self.report[1]] = place(&self.output);
    }
}
