//! The scenarios of `scenarios/` on the core alone. The same files run in every language (scenarios/README.md).
#![cfg(not(miri))] // reads files

use grpclb_core::balancer::{
    Action, Channel, Config, Connectivity, Endpoint, Inline, Pick, Position, ServiceConfig, SubchannelEvent,
    SubchannelId,
};
use grpclb_core::time::Instant;
use std::path::Path;

#[path = "scenarios/runner.rs"]
mod runner;

struct Core {
    channel: Channel<Inline<64, 512>>,
    position: Position,
    /// The last good one, which an update with a wrong one goes by (gRFC A21).
    service_config: Option<String>,
}

impl runner::Balancer for Core {
    fn handle_resolution(
        &mut self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        service_config: &str,
    ) -> Result<(), String> {
        let parsed = ServiceConfig::parse(service_config);
        let wrong = parsed.err().map(|error| format!("service config: {}", error.display(service_config)));
        if wrong.is_none() {
            self.service_config = Some(service_config.into());
        }
        match &self.service_config {
            None => self.channel.handle_resolution_error(now),
            Some(good) => {
                let good = ServiceConfig::parse(good).expect("it was good");
                self.channel.handle_resolution(now, endpoints, &good).map_err(|error| error.to_string())?;
            }
        }
        wrong.map_or(Ok(()), Err)
    }
    fn handle_resolution_error(&mut self, now: Instant) {
        self.channel.handle_resolution_error(now);
    }
    fn handle_subchannel(&mut self, now: Instant, id: SubchannelId, event: SubchannelEvent) {
        self.channel.handle_subchannel(now, id, event);
    }
    fn connect(&mut self, now: Instant) {
        self.channel.connect(now);
    }
    fn set_busy(&mut self, now: Instant, busy: bool) {
        self.channel.set_busy(now, busy);
    }
    fn shutdown(&mut self) {
        self.channel.shutdown();
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.channel.handle_timeout(now);
    }
    fn poll_action(&mut self) -> Option<Action> {
        self.channel.poll_action()
    }
    fn address(&mut self, id: SubchannelId) -> Option<String> {
        self.channel.address(id).map(|address| address.to_string())
    }
    fn state(&mut self) -> Connectivity {
        self.channel.state()
    }
    fn pick(&mut self, now: Instant) -> Pick {
        self.channel.pick(now, &self.position)
    }
}

fn run(text: &str) -> Result<String, String> {
    runner::run(text, |seed, position| Core {
        channel: Channel::new(Inline::new(), &Config { seed, ..Config::default() }),
        position: Position::new(position),
        service_config: None,
    })
}

#[test]
fn every_scenario_prints_what_is_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "{}", names.len());
    let mut wrong = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).expect("a scenario");
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        let got = run(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if got != expected {
            let first = got.lines().zip(expected.lines()).position(|(got, expected)| got != expected);
            let line = first.unwrap_or(got.lines().count().min(expected.lines().count()));
            let at = |text: &str| text.lines().nth(line).unwrap_or("(nothing)").to_string();
            wrong.push(format!(
                "{}, line {}\n  expected {}\n  printed  {}",
                path.with_extension("txt").display(),
                line + 1,
                at(&expected),
                at(&got)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_scenario_is_refused() {
    for (text, error) in [
        ("{", "EOF"),
        (r#"{"position":0,"steps":[]}"#, "\"seed\""),
        (r#"{"seed":1,"position":0,"steps":[1]}"#, "step 1"),
        (r#"{"seed":1,"position":0,"steps":[{"do":"dance"}]}"#, "dance"),
        (r#"{"seed":1,"position":0,"steps":[{"do":"ready","address":"10.0.0.1:1"}]}"#, "never"),
        (r#"{"seed":1,"position":0,"steps":[{"do":"pick","count":-1}]}"#, "\"count\""),
        (r#"{"seed":1,"position":0,"steps":[{"do":"resolve","endpoints":["x"],"config":"{}"}]}"#, "x"),
    ] {
        let got = run(text).expect_err(text);
        assert!(got.contains(error), "{text}: {got}");
    }
}
