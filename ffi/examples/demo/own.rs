//! `TARGET=…`: the user's own servers instead of the story.

use crate::load::{Job, Load};
use crate::paint::{Line, Table, Tone, line, percent, span, thousands, wrap};
use crate::screen::Screen;
use crate::stage::{Stage, View, Who};
use grpclb::{Call, Channel, core::balancer::Connectivity};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Eight callers, each at most 25 calls a second: enough to see shares, little for a server.
const CALLERS: usize = 8;
const EVERY: Duration = Duration::from_millis(40);

/// How long it runs when nobody ends it.
const LONG: Duration = Duration::from_secs(30);
const ONCE: Duration = Duration::from_secs(3);

/// How long the first server may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// As in gRPC: `dns:///host:port` and so on.
    pub(crate) target: String,
    /// Service config.
    pub(crate) config: String,
    /// With a leading slash.
    pub(crate) method: String,
    /// A short run.
    pub(crate) once: bool,
}

/// Balances over the user's servers.
pub(crate) fn run<W: Write>(screen: &mut Screen<W>, own: &Own) -> ExitCode {
    let channel = match Channel::builder(&own.target).service_config(&own.config).build() {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::from(2);
        }
    };
    let time = if own.once { ONCE } else { LONG };
    introduce(screen, own, time);
    if !channel.wait_for_ready_endpoints(1, PATIENCE) {
        let mut response = Vec::new();
        let why = channel.unary(&Call::new(&own.method).timeout(PATIENCE), &[], &mut response);
        let why =
            why.err().map_or_else(|| "it answers only now; try again".into(), |status| status.to_string());
        let why = why.replace(char::is_control, " ");
        eprintln!("demo: no server is reached at {} within {}: {why}", own.target, span(PATIENCE));
        return ExitCode::FAILURE;
    }
    // The others may take a moment longer; who does not come in it is not waited for.
    channel.wait_for_ready_endpoints(channel.endpoints().len(), Duration::from_secs(1));
    let job = Job {
        path: own.method.clone(),
        request: Vec::new(),
        callers: CALLERS,
        every: EVERY,
        timeout: PATIENCE,
        unimplemented_is_fine: true,
    };
    let load = Load::start(&channel, &job);
    let ended = watch_for_enter();
    let mut stage = Stage::new(screen, cast(&channel, &[]));
    // In slices, so that endpoints that come and go are seen.
    while load.elapsed() < time && !ended.load(Ordering::Relaxed) {
        let slice = Duration::from_millis(500).min(time.saturating_sub(load.elapsed()));
        stage.play(&[("", &load)], slice, || ended.load(Ordering::Relaxed));
        let known = std::mem::take(&mut stage.who);
        stage.who = cast(&channel, &known);
    }
    let (tally, time) = load.stop();
    let states = channel.endpoints();
    let failed = tally.failed;
    let view = View { heading: String::new(), tally, time, failed };
    stage.settle(std::slice::from_ref(&view));
    let who = std::mem::take(&mut stage.who);
    screen.print(&summary(&who, &states, &view, screen.width, screen.unicode));
    if failed == 0 && view.tally.calls > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn introduce<W: Write>(screen: &mut Screen<W>, own: &Own, time: Duration) {
    let words = format!(
        "Calls {} with an empty request, at most {} times a second, for {}{}. An answer UNIMPLEMENTED counts as \
         answered. Service config: {}",
        own.method,
        CALLERS as u128 * 1_000 / EVERY.as_millis(),
        span(time),
        if std::io::stdin().is_terminal() { " (press Enter to end it sooner)" } else { "" },
        own.config
    );
    let mut lines = vec![line(Tone::Strong, format!("Balancing over {}", own.target))];
    let words = wrap(&words, screen.width.min(96) - 4);
    lines.extend(words.into_iter().map(|words| line(Tone::Plain, "   ").add(Tone::Faint, words)));
    screen.print(&lines);
}

/// Everybody known so far, and those that the channel knows now.
fn cast(channel: &Channel, known: &[Who]) -> Vec<Who> {
    let mut who = known.to_vec();
    for (address, state) in channel.endpoints() {
        let detail = describe(state).to_owned();
        match who.iter_mut().find(|who| who.address == address) {
            Some(who) => who.detail = detail,
            None => who.push(Who { name: address.clone(), detail, address }),
        }
    }
    who
}

fn describe(state: Connectivity) -> &'static str {
    match state {
        Connectivity::Idle => "idle",
        Connectivity::Connecting => "connecting",
        Connectivity::Ready => "ready",
        Connectivity::TransientFailure => "failing",
        Connectivity::Shutdown => "gone",
    }
}

/// Ends at Enter, where standard input is a terminal: signals would need unsafe code or another crate.
fn watch_for_enter() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    if std::io::stdin().is_terminal() {
        let ended = ended.clone();
        // Not joined: it sleeps in the read until the process ends.
        std::thread::spawn(move || {
            if std::io::stdin().read_line(&mut String::new()).is_ok() {
                ended.store(true, Ordering::Relaxed);
            }
        });
    }
    ended
}

fn summary(
    who: &[Who],
    states: &[(String, Connectivity)],
    view: &View,
    width: usize,
    unicode: bool,
) -> Vec<Line> {
    let mut table = Table::new(&["endpoint", "calls", "share", "state"]);
    for (n, who) in who.iter().enumerate() {
        let state = states.iter().find(|(address, _)| *address == who.address);
        let (calls, share) = (view.tally.of(&who.address), view.tally.share(&who.address));
        table.row(vec![
            (Tone::Backend(n), who.name.clone()),
            (Tone::Plain, thousands(calls)),
            (Tone::Plain, percent(share)),
            (Tone::Faint, state.map_or("gone", |(_, state)| describe(*state)).into()),
        ]);
    }
    let mut lines = vec![Line::new()];
    lines.extend(table.lines(unicode));
    lines.push(Line::new());
    let tone = if view.failed == 0 { Tone::Good } else { Tone::Bad };
    lines.push(line(
        tone,
        format!("{} of {} calls failed", thousands(view.failed), thousands(view.tally.calls)),
    ));
    if let Some(first) = &view.tally.first_failure {
        lines.extend(
            wrap(&format!("the first: {first}"), width - 1).into_iter().map(|words| line(Tone::Bad, words)),
        );
    }
    lines
}
