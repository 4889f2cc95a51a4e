//! gRPC's service config (grpc/doc/service_config.md), as JSON.

use super::address;
use super::endpoint::{Address, Key};
use super::json::{Reader, Str, error, write_path};
use super::policy::Policy;
use super::text;
use crate::time::Duration;
use core::fmt;

/// A checked service config. What is long in it (weights, methods) stays in the text: who owns the text keeps the last
/// good one.
///
/// ```
/// use grpclb_core::balancer::{Policy, ServiceConfig};
/// let text = r#"{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{"10.0.0.1":4}}}]}"#;
/// assert_eq!(ServiceConfig::parse(text).unwrap().policy(), Policy::WeightedRoundRobin);
///
/// let text = r#"{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{"10.0.0.1":-4}}}]}"#;
/// let error = ServiceConfig::parse(text).unwrap_err();
/// assert_eq!(
///     error.display(text).to_string(),
///     r#"$.loadBalancingConfig[0].weighted_round_robin.weights["10.0.0.1"]: expected a whole number from 0 to 4294967295"#
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ServiceConfig<'j> {
    policy: Policy,
    shuffle: bool,
    /// The object.
    weights: Option<&'j str>,
    /// The array.
    methods: Option<&'j str>,
}

/// What the service config says of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodConfig {
    /// The call's deadline is the smaller of this and its own.
    pub timeout: Option<Duration>,
    /// Unless the call says otherwise.
    pub wait_for_ready: Option<bool>,
    /// Octets; the smaller of this and the channel's setting.
    pub max_request_message_bytes: Option<u32>,
    /// Octets; the smaller of this and the channel's setting.
    pub max_response_message_bytes: Option<u32>,
}

/// A config that is wrong. [`ConfigError::display`] names the JSON path, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Octets before the place that is wrong.
    pub at: u32,
    /// What should stand there.
    pub expected: &'static str,
}

impl ConfigError {
    /// `$.loadBalancingConfig[0].weighted_round_robin.weights["10.0.0.1"]: expected …`; `text` is what was parsed.
    pub fn display<'a>(&self, text: &'a str) -> impl fmt::Display + use<'a> {
        struct Shown<'a>(ConfigError, &'a str);
        impl fmt::Display for Shown<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_path(f, self.1, self.0.at as usize)?;
                write!(f, ": expected {}", self.0.expected)
            }
        }
        Shown(*self, text)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service config, octet {}: expected {}", self.at, self.expected)
    }
}
impl core::error::Error for ConfigError {}

const A_POLICY: &str = "a known policy: pick_first, round_robin or weighted_round_robin";
const ONCE: &str = "each name once";
const SECONDS: &str = "seconds as a string, like \"1.5s\"";
const WEIGHT: &str = "a whole number from 0 to 4294967295";
const WEIGHT_KEY: &str = "an address: `ip:port`, or `ip` for all its ports";
const A_WEIGHT: &str = "at least one weight above 0";
const SIZE: &str = "a number of octets from 0 to 4294967295";

type Result<T> = core::result::Result<T, ConfigError>;

impl<'j> ServiceConfig<'j> {
    /// `{}`: pick_first.
    pub const DEFAULT: ServiceConfig<'static> =
        ServiceConfig { policy: Policy::PickFirst, shuffle: false, weights: None, methods: None };

    /// Checks all of `text`. Any known field that is wrong makes the whole config wrong (gRFC A21); unknown ones are
    /// ignored.
    pub fn parse(text: &'j str) -> Result<ServiceConfig<'j>> {
        let mut config = ServiceConfig::DEFAULT;
        let (mut by_name, mut by_config) = (None, None);
        let mut once = Once::default();
        let mut reader = Reader::new(text);
        reader.object("an object", |reader, name, at| {
            let known = ["loadBalancingPolicy", "loadBalancingConfig", "methodConfig", "healthCheckConfig"];
            let Some(field) = once.field(name, at, &known)? else { return reader.skip() };
            if reader.null() {
                return Ok(()); // as if absent, as protobuf's JSON has it
            }
            match field {
                0 => by_name = Some(policy_by_name(reader)?),
                1 => by_config = Some(policy_config(reader)?),
                2 => {
                    let from = reader.at();
                    methods(reader)?;
                    config.methods = Some(reader.since(from));
                }
                _ => health_check(reader)?,
            }
            Ok(())
        })?;
        reader.end()?;
        // `loadBalancingPolicy` is the older field: it counts when the other is not there.
        match (by_config, by_name) {
            (Some(chosen), _) => {
                config.policy = chosen.policy;
                config.shuffle = chosen.shuffle;
                config.weights = chosen.weights;
            }
            (None, Some(policy)) => config.policy = policy,
            (None, None) => {}
        }
        Ok(config)
    }

    /// The policy chosen.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// pick_first's `shuffleAddressList`.
    pub fn shuffle_address_list(&self) -> bool {
        self.shuffle
    }

    /// The configured weights: IP, port (`None`: all), weight.
    pub(super) fn weights(&self) -> Option<Weights<'j>> {
        self.weights.map(|text| Weights { text })
    }

    /// Whether there is a `methodConfig` at all.
    pub fn has_methods(&self) -> bool {
        self.methods.is_some()
    }

    /// For `path` (`/package.Service/Method`): exact name, else the service's, else the default. Walks the text of
    /// `methodConfig`: look it up once per method, not once per call.
    pub fn method(&self, path: &str) -> MethodConfig {
        let Some(text) = self.methods else { return MethodConfig::default() };
        let path = path.strip_prefix('/').unwrap_or(path);
        let (service, method) = text::cut_last(path, b'/').unwrap_or((path, ""));
        let mut best = (0, MethodConfig::default());
        let walked = Reader::new(text).array("", |reader| {
            let mut rank = 0;
            let config = method_config(reader, &mut |_, name: Name<'_>| {
                let fits = match (name.service.is_empty(), name.method.is_empty()) {
                    (true, _) => 1,
                    (false, true) if name.service.is(service) => 2,
                    (false, false) if name.service.is(service) && name.method.is(method) => 3,
                    _ => 0,
                };
                rank = rank.max(fits);
                Ok(())
            })?;
            if rank > best.0 {
                best = (rank, config);
            }
            Ok(())
        });
        debug_assert!(walked.is_ok(), "checked by parse");
        best.1
    }
}

/// The names met so far of one object: a known one may come once (RFC 8259 §4 leaves it open; a config that says two
/// things has a mistake in it).
#[derive(Default)]
struct Once(u32);

impl Once {
    fn field(&mut self, name: Str<'_>, at: usize, known: &[&str]) -> Result<Option<usize>> {
        let Some(field) = known.iter().position(|known| name.is(known)) else { return Ok(None) };
        let bit = 1u32.wrapping_shl(field as u32);
        if self.0 & bit != 0 {
            return error(at, ONCE);
        }
        self.0 |= bit;
        Ok(Some(field))
    }
}

fn policy_by_name(reader: &mut Reader<'_>) -> Result<Policy> {
    let at = reader.at();
    let name = reader.string("the name of a policy")?;
    let same = |policy: &Policy| name.chars().map(|c| c.to_ascii_lowercase()).eq(policy.name().chars());
    match Policy::ALL.into_iter().find(same) {
        Some(policy) => Ok(policy),
        None => error(at, A_POLICY),
    }
}

#[derive(Clone, Copy, Default)]
struct Chosen<'j> {
    policy: Policy,
    shuffle: bool,
    weights: Option<&'j str>,
}

/// A list of objects with one policy each; the first known one counts.
fn policy_config<'j>(reader: &mut Reader<'j>) -> Result<Chosen<'j>> {
    let at = reader.at();
    let mut chosen = None;
    reader.array("a list of policies", |reader| {
        let at = reader.at();
        let mut names = 0u32;
        reader.object("an object with one policy", |reader, name, name_at| {
            names = names.saturating_add(1);
            if names > 1 {
                return error(name_at, "one policy in each object");
            }
            match Policy::ALL.into_iter().find(|policy| name.is(policy.name())) {
                Some(policy) if chosen.is_none() => {
                    chosen = Some(match policy {
                        Policy::PickFirst => pick_first(reader)?,
                        Policy::RoundRobin => {
                            reader.object("an object", |reader, _, _| reader.skip())?;
                            Chosen { policy, ..Chosen::default() }
                        }
                        Policy::WeightedRoundRobin => weighted_round_robin(reader)?,
                    });
                    Ok(())
                }
                _ => reader.skip(),
            }
        })?;
        if names == 0 { error(at, "an object with one policy") } else { Ok(()) }
    })?;
    match chosen {
        Some(chosen) => Ok(chosen),
        None => error(at, A_POLICY),
    }
}

fn pick_first<'j>(reader: &mut Reader<'j>) -> Result<Chosen<'j>> {
    let mut shuffle = false;
    let mut once = Once::default();
    reader.object("an object", |reader, name, at| {
        if once.field(name, at, &["shuffleAddressList"])?.is_none() {
            return reader.skip();
        }
        if !reader.null() {
            shuffle = reader.boolean()?;
        }
        Ok(())
    })?;
    Ok(Chosen { policy: Policy::PickFirst, shuffle, weights: None })
}

/// gRFC A58's fields are for measured weights: checked here, as they must be, and without effect yet.
fn weighted_round_robin<'j>(reader: &mut Reader<'j>) -> Result<Chosen<'j>> {
    const FIELDS: [&str; 7] = [
        "weights",
        "enableOobLoadReport",
        "errorUtilizationPenalty",
        "oobReportingPeriod",
        "blackoutPeriod",
        "weightExpirationPeriod",
        "weightUpdatePeriod",
    ];
    let mut weights = None;
    let mut once = Once::default();
    reader.object("an object", |reader, name, at| {
        let Some(field) = once.field(name, at, &FIELDS)? else { return reader.skip() };
        let at = reader.at();
        if reader.null() {
            return Ok(());
        }
        match field {
            0 => {
                check_weights(reader)?;
                weights = Some(reader.since(at));
            }
            1 => _ = reader.boolean()?,
            2 => {
                if reader.number("a number, 0 or more")?.starts_with('-') {
                    return error(at, "a number, 0 or more");
                }
            }
            _ => _ = seconds(reader)?,
        }
        Ok(())
    })?;
    Ok(Chosen { policy: Policy::WeightedRoundRobin, shuffle: false, weights })
}

/// One entry of `weights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    /// The address; without a port: all its ports.
    pub(super) key: Key,
    pub(super) any_port: bool,
    pub(super) weight: u32,
}

/// The checked text of `weights`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights<'j> {
    text: &'j str,
}

impl Weights<'_> {
    pub(super) fn for_each(&self, mut entry: impl FnMut(Weight)) {
        let walked = Reader::new(self.text).object("", |reader, name, at| {
            let (key, any_port) = weight_key(name, at)?;
            entry(Weight { key, any_port, weight: reader.u32(WEIGHT)? });
            Ok(())
        });
        debug_assert!(walked.is_ok(), "checked by parse");
    }
}

fn check_weights(reader: &mut Reader<'_>) -> Result<()> {
    let start = reader.at();
    let whole = reader.clone();
    let (mut count, mut above_zero) = (0u32, false);
    reader.object("an object with a weight for each address", |reader, name, at| {
        weight_key(name, at)?;
        count = count.saturating_add(1);
        above_zero |= reader.u32(WEIGHT)? > 0;
        Ok(())
    })?;
    // Duplicates: some keys at a time, as many as the filter can tell apart.
    let turns = (count / 256).saturating_add(1);
    for turn in 0..turns {
        let mut seen = Seen::default();
        whole.clone().object("", |reader, name, at| {
            let (key, any_port) = weight_key(name, at)?;
            let hash = key.hash(u64::from(any_port));
            if hash.checked_rem(turns) == Some(turn)
                && seen.maybe(hash)
                && already(whole.clone(), key, any_port, at)?
            {
                return error(at, ONCE);
            }
            reader.skip()
        })?;
    }
    if count > 0 && !above_zero { error(start, A_WEIGHT) } else { Ok(()) }
}

/// Whether the same key stands before `end`.
fn already(mut reader: Reader<'_>, key: Key, any_port: bool, end: usize) -> Result<bool> {
    let mut found = false;
    let walked = reader.object("", |reader, name, at| {
        if at >= end {
            return error(at, ""); // far enough
        }
        found |= weight_key(name, at)? == (key, any_port);
        reader.skip()
    });
    debug_assert!(walked.is_err());
    Ok(found)
}

fn weight_key(name: Str<'_>, at: usize) -> Result<(Key, bool)> {
    // The longest: six groups, an IPv4 address, a zone and a port.
    let mut buffer = [0; 80];
    let Some(text) = name.decode(&mut buffer) else { return error(at, WEIGHT_KEY) };
    match address::ip_and_port(text) {
        Ok((ip, zone, port)) => {
            let address = Address::Ip(address::socket(ip, zone, port.unwrap_or(0)));
            Ok((Key::of(&address), port.is_none()))
        }
        Err(_) => error(at, WEIGHT_KEY),
    }
}

/// What was perhaps seen before, so that only then the text is walked again: a Bloom filter of 2 bits in 4096.
struct Seen([u64; 64]);

impl Default for Seen {
    fn default() -> Seen {
        Seen([0; 64])
    }
}

impl Seen {
    fn maybe(&mut self, hash: u32) -> bool {
        let mut all = true;
        for bit in [hash, hash >> 16] {
            let mask = 1u64.wrapping_shl(bit);
            if let Some(word) = self.0.get_mut((bit >> 6 & 63) as usize) {
                all &= *word & mask != 0;
                *word |= mask;
            }
        }
        all
    }
}

/// `name` of `methodConfig`.
#[derive(Clone, Copy)]
struct Name<'j> {
    service: Str<'j>,
    method: Str<'j>,
}

impl Name<'_> {
    fn hash(&self) -> u32 {
        let octets = self.service.chars().chain(['/']).chain(self.method.chars());
        octets.fold(0x811c_9dc5, |hash, c| (hash ^ u32::from(c)).wrapping_mul(0x0100_0193)) // FNV-1a
    }

    fn same(&self, other: &Name<'_>) -> bool {
        self.service.chars().eq(other.service.chars()) && self.method.chars().eq(other.method.chars())
    }
}

fn methods(reader: &mut Reader<'_>) -> Result<()> {
    let whole = reader.clone();
    let mut seen = Seen::default();
    reader.array("a list of method configs", |reader| {
        method_config(reader, &mut |at, name: Name<'_>| {
            if seen.maybe(name.hash()) && already_named(whole.clone(), name, at) {
                return error(at, "each method once in all of methodConfig");
            }
            Ok(())
        })?;
        Ok(())
    })
}

/// Whether the same name stands before `end`.
fn already_named(mut reader: Reader<'_>, name: Name<'_>, end: usize) -> bool {
    let mut found = false;
    // Ends with an error at `end`.
    let _ = reader.array("", |reader| {
        method_config(reader, &mut |at, other: Name<'_>| {
            if at >= end {
                return error(at, "");
            }
            found |= name.same(&other);
            Ok(())
        })?;
        Ok(())
    });
    found
}

fn method_config<'j>(
    reader: &mut Reader<'j>,
    named: &mut dyn FnMut(usize, Name<'j>) -> Result<()>,
) -> Result<MethodConfig> {
    const FIELDS: [&str; 5] =
        ["name", "timeout", "waitForReady", "maxRequestMessageBytes", "maxResponseMessageBytes"];
    let mut config = MethodConfig::default();
    let mut once = Once::default();
    reader.object("an object", |reader, field, at| {
        let Some(field) = once.field(field, at, &FIELDS)? else { return reader.skip() };
        if reader.null() {
            return Ok(());
        }
        match field {
            0 => reader.array("a list of names", |reader| {
                let at = reader.at();
                let name = name(reader)?;
                named(at, name)
            })?,
            1 => config.timeout = Some(seconds(reader)?),
            2 => config.wait_for_ready = Some(reader.boolean()?),
            3 => config.max_request_message_bytes = Some(reader.u32(SIZE)?),
            _ => config.max_response_message_bytes = Some(reader.u32(SIZE)?),
        }
        Ok(())
    })?;
    Ok(config)
}

fn name<'j>(reader: &mut Reader<'j>) -> Result<Name<'j>> {
    let at = reader.at();
    let mut name = Name { service: Str::default(), method: Str::default() };
    let mut once = Once::default();
    reader.object("an object with service and method", |reader, field, at| {
        let Some(field) = once.field(field, at, &["service", "method"])? else { return reader.skip() };
        if !reader.null() {
            let text = reader.string("a string")?;
            if field == 0 { name.service = text } else { name.method = text }
        }
        Ok(())
    })?;
    if name.service.is_empty() && !name.method.is_empty() {
        return error(at, "a service to go with the method");
    }
    Ok(name)
}

fn health_check(reader: &mut Reader<'_>) -> Result<()> {
    let mut once = Once::default();
    reader.object("an object", |reader, name, at| {
        if once.field(name, at, &["serviceName"])?.is_none() {
            return reader.skip();
        }
        if !reader.null() {
            reader.string("a string")?;
        }
        Ok(())
    })
}

/// protobuf's Duration, not negative: whole seconds up to 315 576 000 000, up to nine places, `s`.
fn seconds(reader: &mut Reader<'_>) -> Result<Duration> {
    let at = reader.at();
    let text = reader.string(SECONDS)?.raw();
    let parsed = text.strip_suffix('s').and_then(|number| {
        let (whole, fraction) = text::cut(number, b'.');
        let fraction = match fraction {
            Some("") => return None,
            fraction => fraction.unwrap_or_default(),
        };
        if whole.is_empty() || whole.len() > 12 || fraction.len() > 9 {
            return None;
        }
        let digits = |text: &str| {
            text.bytes().try_fold(0u64, |value, digit| {
                let digit = char::from(digit).to_digit(10)?;
                value.checked_mul(10)?.checked_add(u64::from(digit))
            })
        };
        let seconds = digits(whole).filter(|&seconds| seconds <= 315_576_000_000)?;
        let scale = (fraction.len()..9).fold(1u64, |scale, _| scale.saturating_mul(10));
        let nanos = digits(fraction)?.checked_mul(scale)?;
        Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos))
    });
    match parsed {
        Some(duration) => Ok(duration),
        None => error(at, SECONDS),
    }
}
