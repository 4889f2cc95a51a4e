//! Reads a scenario, runs it on any balancer with the core's verbs, and prints what README.md says.
#![allow(unreachable_pub)] // a module of a test and of an example program

use grpclb_core::balancer::{Action, Address, Connectivity, Endpoint, Pick, SubchannelEvent, SubchannelId};
use grpclb_core::time::{Duration, Instant};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;

/// The core's verbs, as each door has them.
pub trait Balancer {
    fn handle_resolution(
        &mut self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        service_config: &str,
    ) -> Result<(), String>;
    fn handle_resolution_error(&mut self, now: Instant);
    fn handle_subchannel(&mut self, now: Instant, id: SubchannelId, event: SubchannelEvent);
    fn connect(&mut self, now: Instant);
    fn set_busy(&mut self, now: Instant, busy: bool);
    fn shutdown(&mut self);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_action(&mut self) -> Option<Action>;
    fn address(&mut self, id: SubchannelId) -> Option<String>;
    fn state(&mut self) -> Connectivity;
    fn pick(&mut self, now: Instant) -> Pick;
}

/// Runs the scenario in `text` on what `new` makes of its seed and position. `Err`: it is no scenario.
pub fn run<B: Balancer>(text: &str, new: impl FnOnce(u64, u64) -> B) -> Result<String, String> {
    let scenario: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut run = Run {
        balancer: new(number(&scenario, "seed")?, number(&scenario, "position")?),
        now: Instant::from_nanos(0),
        newest: HashMap::new(),
        addresses: HashMap::new(),
    };
    let mut out = String::new();
    for (number, step) in array(&scenario, "steps")?.iter().enumerate() {
        let wrong = |error: String| format!("step {}: {error}", number + 1);
        let step = step.as_object().ok_or_else(|| wrong("expected an object".into()))?;
        out += &run.step(step).map_err(wrong)?;
        out.push('\n');
    }
    Ok(out)
}

struct Run<B> {
    balancer: B,
    now: Instant,
    /// Of each address the id that was to be connected last.
    newest: HashMap<String, SubchannelId>,
    addresses: HashMap<SubchannelId, String>,
}

impl<B: Balancer> Run<B> {
    /// One line.
    fn step(&mut self, step: &Map<String, Value>) -> Result<String, String> {
        let (now, verb) = (self.now, string(step, "do")?);
        let mut details = Vec::new();
        match verb {
            "resolve" => {
                if let Err(error) = self.resolve(step)? {
                    details.push(format!("error: {error}"));
                }
            }
            "resolve_error" => self.balancer.handle_resolution_error(now),
            "connect" => self.balancer.connect(now),
            "shutdown" => self.balancer.shutdown(),
            "busy" => self.balancer.set_busy(now, number(step, "on")? != 0),
            "advance" => {
                self.now = now.after(Duration::from_millis(number(step, "ms")?));
                self.balancer.handle_timeout(self.now);
            }
            "ready" => self.event(step, SubchannelEvent::Ready)?,
            "failed" => self.event(step, SubchannelEvent::Failed)?,
            "lost" => self.event(step, SubchannelEvent::Lost)?,
            "pick" => {
                let picks: Vec<String> = (0..number(step, "count")?).map(|_| self.pick()).collect();
                details.push(picks.join(" "));
            }
            _ => return Err(format!("nothing that can be done: {verb:?}")),
        }
        let mut line = format!("{verb}: {}", state_name(self.balancer.state()));
        let actions = self.actions();
        if !actions.is_empty() {
            details.push(actions.join(", "));
        }
        for detail in details {
            let _ = write!(line, "; {detail}");
        }
        Ok(line)
    }

    /// The outer `Err`: the step is wrong; the inner one: the balancer did not take it.
    fn resolve(&mut self, step: &Map<String, Value>) -> Result<Result<(), String>, String> {
        let mut lists = Vec::new();
        for endpoint in array(step, "endpoints")? {
            let texts = endpoint.as_str().ok_or("\"endpoints\": expected strings")?;
            let parsed = texts.split(',').map(Address::parse).collect::<Result<Vec<_>, _>>();
            lists.push(parsed.map_err(|error| format!("{texts}: {error}"))?);
        }
        let weights = match step.get("weights") {
            Some(_) => array(step, "weights")?.as_slice(),
            None => &[],
        };
        if !weights.is_empty() && weights.len() != lists.len() {
            return Err("as many weights as endpoints".into());
        }
        let mut endpoints = Vec::new();
        for (i, addresses) in lists.iter().enumerate() {
            let weight = weights.get(i).map_or(Some(1), Value::as_u64);
            let weight =
                weight.and_then(|weight| u32::try_from(weight).ok()).ok_or("\"weights\": 0 to 2^32-1")?;
            endpoints.push(Endpoint { addresses, weight });
        }
        Ok(self.balancer.handle_resolution(self.now, &endpoints, string(step, "config")?))
    }

    fn event(&mut self, step: &Map<String, Value>, event: SubchannelEvent) -> Result<(), String> {
        let address = string(step, "address")?;
        let id = self.newest.get(address).ok_or_else(|| format!("{address} was never to be connected"))?;
        self.balancer.handle_subchannel(self.now, *id, event);
        Ok(())
    }

    fn pick(&mut self) -> String {
        match self.balancer.pick(self.now) {
            Pick::Subchannel(id) => self.balancer.address(id).unwrap_or_else(|| "out of use".into()),
            Pick::Queue => "queue".into(),
            Pick::Fail => "fail".into(),
            Pick::Drop => "drop".into(),
        }
    }

    fn actions(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(action) = self.balancer.poll_action() {
            actions.push(match action {
                Action::Resolve => "resolve".into(),
                Action::Connect(id) => {
                    let address = self.balancer.address(id).unwrap_or_else(|| "out of use".into());
                    self.newest.insert(address.clone(), id);
                    self.addresses.insert(id, address.clone());
                    format!("connect {address}")
                }
                // Its address may have gone out of use with it.
                Action::Close(id) => {
                    format!("close {}", self.addresses.get(&id).map_or("what was never connected", |a| a))
                }
            });
        }
        actions
    }
}

fn state_name(state: Connectivity) -> &'static str {
    match state {
        Connectivity::Idle => "IDLE",
        Connectivity::Connecting => "CONNECTING",
        Connectivity::Ready => "READY",
        Connectivity::TransientFailure => "TRANSIENT_FAILURE",
        Connectivity::Shutdown => "SHUTDOWN",
    }
}

fn number(object: &Map<String, Value>, name: &str) -> Result<u64, String> {
    object.get(name).and_then(Value::as_u64).ok_or_else(|| format!("{name:?}: expected a whole number"))
}

fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name:?}: expected a string"))
}

fn array<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Vec<Value>, String> {
    object.get(name).and_then(Value::as_array).ok_or_else(|| format!("{name:?}: expected an array"))
}
