//! The six acts, in the order in which people meet them.

use crate::added;
use crate::backend::{Backend, EXTRA, TRIO};
use crate::load::Load;
use crate::paint::{Tone, span};
use crate::report::Row;
use crate::story::{
    Story, Told, addresses, connect, greetings, policy, start, start_one, target, weights, whole,
};
use crate::tally::Tally;
use grpclb::Channel;
use std::io::Write;
use std::time::{Duration, Instant};

/// Callers that keep all seven places of the three backends busy, twice over.
const CALLERS: usize = 14;

/// How long the acts wait for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Tells everything.
pub(crate) fn tell<W: Write>(story: &mut Story<W>) -> Told<()> {
    story.report.names = TRIO.iter().chain([&EXTRA]).map(|kind| kind.name).collect();
    policies(story)?;
    added::tell(story)?;
    retired(story)?;
    killed(story)
}

/// Acts 1 to 3: the same three backends and callers, three policies.
fn policies<W: Write>(story: &mut Story<W>) -> Told<()> {
    let backends = start(&TRIO, None)?;
    story.open(
        "pick_first: everything lands on one",
        "gRPC's default, and what a Kubernetes Service does to gRPC: one connection, so one backend gets every call. \
         Here it is the small one; its callers queue while two others idle.",
    );
    policy_act(story, "pick_first", &backends, &policy("pick_first"), 1, &[1.0, 0.0, 0.0])?;
    story.open(
        "round_robin: the same to each",
        "The client keeps a connection to each backend and picks one for each call, in turn. Equal shares of calls; \
         but the backends are not equal: the small one is swamped, a third of the calls wait for it, and its \
         callers have no time for the others.",
    );
    policy_act(story, "round_robin", &backends, &policy("round_robin"), 3, &[1.0 / 3.0; 3])?;
    story.open(
        "weighted_round_robin 1:2:4: to each what it can do",
        "Weights in the service config, as the backends' capacities are. Shares follow them to the call, nobody \
         queues long, and the same three backends answer far more calls.",
    );
    let shares = [1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0];
    policy_act(story, "weights 1:2:4", &backends, &weights(&backends), 3, &shares)
}

fn policy_act<W: Write>(
    story: &mut Story<W>,
    title: &'static str,
    backends: &[Backend],
    config: &str,
    ready: usize,
    expected: &[f64],
) -> Told<()> {
    let time = story.pace.policy;
    let channel = connect(Channel::builder(&target(backends)).service_config(config), ready)?;
    let load = Load::start(&channel, &greetings(CALLERS));
    let mut stage = story.stage(backends);
    stage.play(&[("", &load)], time, || false);
    let counted = load.stop();
    stage.settle(&[whole("", &counted)]);
    let row = Row::new(title, addresses(backends), counted);
    story.report.check_shares(&row, expected);
    story.report.check_none_lost(&row);
    story.report.rows.push(row);
    Ok(())
}

/// Act 5: connections have an end of their own, and no call notices.
fn retired<W: Write>(story: &mut Story<W>) -> Told<()> {
    let pace = story.pace;
    let backends = start(&TRIO, Some(pace.age))?;
    story.open(
        "Backends retire their connections by age",
        &format!(
            "Each connection ends after {}, give or take 10 % so that not all end at once. A first GOAWAY says \
             that the end is near, a second which call was the last; the calls before it are answered, the next ones \
             take a new connection. That is how long-lived clients get to know new backends without losing a call.",
            span(pace.age)
        ),
    );
    let channel = connect(Channel::builder(&target(&backends)).service_config(&weights(&backends)), 3)?;
    let load = Load::start(&channel, &greetings(CALLERS));
    let mut stage = story.stage(&backends);
    stage.play(&[("", &load)], pace.ages, || false);
    let counted = load.stop();
    // Each backend accepted one connection more than it retired.
    let retired: Vec<u64> =
        backends.iter().map(|backend| backend.server.connections_accepted().saturating_sub(1)).collect();
    let replaced: u64 = retired.iter().sum();
    stage.note(Tone::Good, format!("{replaced} connections retired and replaced"));
    stage.settle(&[whole("", &counted)]);
    let row = Row::new("retirement", addresses(&backends), counted);
    story.report.check_none_lost(&row);
    let every = retired.iter().all(|&retired| retired > 0);
    story.report.check(
        "retirement: each backend retires connections",
        every,
        format!("{retired:?} were retired"),
    );
    let remark = format!("{replaced} connections retired and replaced, {} calls failed", row.whole.failed);
    story.report.remarks.push(("retirement", remark));
    story.report.rows.push(row);
    Ok(())
}

/// Act 6: no goodbye.
fn killed<W: Write>(story: &mut Story<W>) -> Told<()> {
    let pace = story.pace;
    let mut backends = start(&TRIO, None)?;
    story.open(
        "A backend is killed",
        "No GOAWAY: its sockets close. The calls that it had in hand fail, since it may have done them (gRPC sends \
         nothing twice on its own account); calls that had not left the client go elsewhere. Then it comes back.",
    );
    let builder = Channel::builder(&target(&backends)).service_config(&weights(&backends));
    // Shorter than gRPC's 1 s to 120 s, so that the return can be watched.
    let builder = builder.backoff(Duration::from_millis(200), Duration::from_secs(1));
    let channel = connect(builder, 3)?;
    let load = Load::start(&channel, &greetings(CALLERS));
    let mut stage = story.stage(&backends);
    stage.play(&[("", &load)], pace.prelude, || false);

    let victim = backends.remove(1);
    let (address, kind) = (victim.address.clone(), victim.kind);
    let killed = Instant::now();
    drop(victim);
    stage.note(Tone::Bad, format!("{:?} is killed", kind.name));
    stage.play(&[("", &load)], pace.aftermath, || false);
    let tally = load.tally();
    let lost = tally.failed;
    let recovery = tally.last_failure.map_or(Duration::ZERO, |last| last.saturating_duration_since(killed));
    let fate = match lost {
        0 => "no call failed".into(),
        _ => format!("{lost} calls failed that it had in hand, the last {} after the kill", span(recovery)),
    };
    stage.note(Tone::Plain, fate.as_str());

    let back = start_one(kind, Some(&address), None)?;
    let (restarted, before) = (Instant::now(), tally.of(&address));
    backends.insert(1, back);
    stage.note(Tone::Strong, format!("{:?} is started again", kind.name));
    let returned = stage.play(&[("", &load)], PATIENCE, || load.tally().of(&address) > before);
    let took = restarted.elapsed();
    let after = if returned { format!("after {}", span(took)) } else { "never".into() };
    stage.note(Tone::Good, format!("it gets calls again {after}"));
    stage.play(&[("", &load)], pace.aftermath.mul_f64(0.6), || false);
    let counted = load.stop();
    stage.settle(&[whole("", &counted)]);

    let row = Row::new("one killed", addresses(&backends), counted);
    judge_kill(story, &row, lost, recovery);
    let soon = returned && took <= Duration::from_secs(3);
    story.report.check("one killed: it gets calls again within 3 s of its return", soon, after.clone());
    story.report.remarks.push(("one killed", format!("{fate}; started again, it got calls {after}")));
    story.report.rows.push(row);
    Ok(())
}

fn judge_kill<W>(story: &mut Story<W>, row: &Row, lost: u64, recovery: Duration) {
    let Tally { calls, failed, first_failure, .. } = &row.whole;
    let in_hand = *failed <= CALLERS as u64 && *failed == lost;
    let first = first_failure.as_deref().unwrap_or("none");
    let seen = format!("{failed} of {calls} calls failed, {lost} of them at the kill; the first: {first}");
    let what = format!("one killed: only calls fail that it had in hand, at most {CALLERS}");
    story.report.check(what, *calls > 0 && in_hand, seen);
    let soon = recovery <= Duration::from_secs(1);
    story.report.check("one killed: within 1 s no more calls fail", soon, span(recovery));
}
