//! Runs one of `core/tests/scenarios` through the host's picker and prints a line a step: the same octets as in every
//! other language. The format stands in `core/tests/scenarios/README.md`.

use grpclb::Picker;
use grpclb::core::balancer::{Action, Config, Connectivity, Endpoint, Pick, SubchannelEvent, SubchannelId};
use grpclb::core::time::Instant;

mod args;
#[path = "../../core/tests/scenarios/runner.rs"]
mod runner;

const USAGE: args::Usage = args::Usage {
    program: "scenario",
    about: "Runs a scenario of core/tests/scenarios through grpclb::Picker and prints a line a step.",
    operands: &["FILE"],
    flags: &[],
};

struct Door(Picker);

impl runner::Balancer for Door {
    fn handle_resolution(
        &mut self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        service_config: &str,
    ) -> Result<(), String> {
        self.0.handle_resolution(now, endpoints, service_config).map_err(|error| error.to_string())
    }
    fn handle_resolution_error(&mut self, now: Instant) {
        self.0.handle_resolution_error(now);
    }
    fn handle_subchannel(&mut self, now: Instant, id: SubchannelId, event: SubchannelEvent) {
        self.0.handle_subchannel(now, id, event);
    }
    fn connect(&mut self, now: Instant) {
        self.0.connect(now);
    }
    fn set_busy(&mut self, now: Instant, busy: bool) {
        self.0.set_busy(now, busy);
    }
    fn shutdown(&mut self) {
        self.0.shutdown();
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }
    fn poll_action(&mut self) -> Option<Action> {
        self.0.poll_action()
    }
    fn address(&mut self, id: SubchannelId) -> Option<String> {
        self.0.address(id)
    }
    fn state(&mut self) -> Connectivity {
        self.0.state()
    }
    fn pick(&mut self, now: Instant) -> Pick {
        self.0.pick(now)
    }
}

fn main() {
    let args = USAGE.parse();
    let file = args.operand(0);
    let printed = std::fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|text| {
        runner::run(&text, |seed, position| {
            Door(Picker::new(&Config { seed, ..Config::default() }, position))
        })
    });
    match printed {
        Ok(lines) => print!("{lines}"),
        Err(error) => {
            eprintln!("scenario: {file}: {error}");
            std::process::exit(2);
        }
    }
}
