//! The frame of the story: what an act is made of. The acts themselves are in `acts`.

use crate::backend::{Backend, Kind};
use crate::load::Job;
use crate::paint::{Line, Tone, line, wrap};
use crate::proto::helloworld::{HelloRequest, SAY_HELLO};
use crate::report::Report;
use crate::screen::Screen;
use crate::stage::{Stage, View, Who};
use crate::tally::Tally;
use grpclb::{Channel, ChannelBuilder};
use prost::Message;
use std::io::Write;
use std::time::Duration;

/// How long connecting may take on loopback.
const PATIENCE: Duration = Duration::from_secs(10);

/// What ends the story early, in words for the user.
pub(crate) type Told<T> = Result<T, String>;

/// How fast the story is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// An act with one policy.
    pub(crate) policy: Duration,
    /// Before something happens in an act.
    pub(crate) prelude: Duration,
    /// After it happened.
    pub(crate) aftermath: Duration,
    /// Connection age where backends retire connections.
    pub(crate) age: Duration,
    /// How long that is watched.
    pub(crate) ages: Duration,
}

/// To read along.
pub(crate) const LIVE: Pace = Pace {
    policy: Duration::from_millis(5_000),
    prelude: Duration::from_millis(2_000),
    aftermath: Duration::from_millis(2_500),
    age: Duration::from_millis(1_500),
    ages: Duration::from_millis(6_000),
};

/// To check: `ONCE=1`.
pub(crate) const QUICK: Pace = Pace {
    policy: Duration::from_millis(1_000),
    prelude: Duration::from_millis(300),
    aftermath: Duration::from_millis(700),
    age: Duration::from_millis(400),
    ages: Duration::from_millis(1_600),
};

/// The teller.
#[derive(Debug)]
pub(crate) struct Story<W> {
    pub(crate) screen: Screen<W>,
    pub(crate) pace: Pace,
    pub(crate) report: Report,
    act: usize,
}

impl<W: Write> Story<W> {
    /// A story that has not begun.
    pub(crate) fn new(screen: Screen<W>, pace: Pace) -> Story<W> {
        Story { screen, pace, report: Report::default(), act: 0 }
    }

    /// The title of the next act and the words beside it.
    pub(crate) fn open(&mut self, title: &str, words: &str) {
        self.act += 1;
        let mut lines = vec![Line::new(), line(Tone::Strong, format!("{}. {title}", self.act))];
        let words = wrap(words, self.screen.width.min(96) - 4);
        lines.extend(words.into_iter().map(|words| line(Tone::Plain, "   ").add(Tone::Faint, words)));
        self.screen.print(&lines);
    }

    /// A stage with these backends.
    pub(crate) fn stage(&mut self, backends: &[Backend]) -> Stage<'_, W> {
        Stage::new(&mut self.screen, backends.iter().map(Who::from).collect())
    }
}

/// Starts backends, each retiring its connections at `age`.
pub(crate) fn start(kinds: &[Kind], age: Option<Duration>) -> Told<Vec<Backend>> {
    kinds.iter().map(|kind| start_one(*kind, None, age)).collect()
}

/// Starts one backend, on `address` again where it had one.
pub(crate) fn start_one(kind: Kind, address: Option<&str>, age: Option<Duration>) -> Told<Backend> {
    Backend::start(kind, address, age).map_err(|error| {
        format!(
            "cannot start the backend {:?} on {}: {error}",
            kind.name,
            address.unwrap_or("a loopback port")
        )
    })
}

/// `ipv4:127.0.0.1:1,127.0.0.1:2`.
pub(crate) fn target(backends: &[Backend]) -> String {
    format!("ipv4:{}", addresses(backends).join(","))
}

/// The addresses in order.
pub(crate) fn addresses(backends: &[Backend]) -> Vec<String> {
    backends.iter().map(|backend| backend.address.clone()).collect()
}

/// The service config of a policy without settings.
pub(crate) fn policy(name: &str) -> String {
    format!(r#"{{"loadBalancingConfig":[{{"{name}":{{}}}}]}}"#)
}

/// The service config that gives each backend the weight of its places.
pub(crate) fn weights(backends: &[Backend]) -> String {
    let weight = |backend: &Backend| format!(r#""{}":{}"#, backend.address, backend.kind.places);
    let weights: Vec<String> = backends.iter().map(weight).collect();
    format!(
        r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"weights":{{{}}}}}}}]}}"#,
        weights.join(",")
    )
}

/// Makes the channel and waits until `ready` endpoints are READY, so that the shares are exact from the first call.
pub(crate) fn connect(builder: ChannelBuilder, ready: usize) -> Told<Channel> {
    let channel = builder.build().map_err(|error| error.to_string())?;
    if !channel.wait_for_ready_endpoints(ready, PATIENCE) {
        let states: Vec<String> =
            channel.endpoints().iter().map(|(at, state)| format!("{at} {state:?}")).collect();
        return Err(format!("not {ready} backends were READY within {PATIENCE:?}: {}", states.join(", ")));
    }
    Ok(channel)
}

/// What this many callers do: greet, as fast as they are answered.
pub(crate) fn greetings(callers: usize) -> Job {
    Job {
        path: SAY_HELLO.into(),
        request: HelloRequest { name: "demo".into() }.encode_to_vec(),
        callers,
        every: Duration::ZERO,
        timeout: Duration::from_secs(5),
        unimplemented_is_fine: false,
    }
}

/// The last frame of a client: all that it did.
pub(crate) fn whole(heading: &str, (tally, time): &(Tally, Duration)) -> View {
    View { heading: heading.into(), tally: tally.clone(), time: *time, failed: tally.failed }
}
