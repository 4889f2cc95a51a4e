//! The six acts, in the order in which people meet them.

use crate::backend::{Backend, EXTRA, TRIO};
use crate::load::Load;
use crate::paint::{Tone, span};
use crate::report::Row;
use crate::story::{
    Story, Told, addresses, connect, finish, greetings, policy, row, start, start_one, target, weights, whole,
};
use grpclb::Channel;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that keep all seven places of the three backends busy, twice over.
const CALLERS: usize = 14;

/// So few that no backend is swamped, where the act is not about capacity.
const FEW: usize = 4;

/// How often a channel looks at the file of a `file:///` target.
const FILE_LOOKS: Duration = Duration::from_secs(1);

/// How long the acts wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(15);

/// Tells everything.
pub(crate) fn tell<W: Write>(story: &mut Story<W>) -> Told<()> {
    story.report.names = TRIO.iter().chain([&EXTRA]).map(|kind| kind.name).collect();
    policies(story)?;
    added(story)?;
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
    let counted = finish(load);
    stage.settle(&[whole("", &counted)]);
    let row = row(title, backends, counted);
    story.report.check_shares(&row, expected);
    story.report.check_none_lost(&row);
    story.report.rows.push(row);
    Ok(())
}

/// Act 4: two clients, one that reads a file and one that asks as DNS is asked.
fn added<W: Write>(story: &mut Story<W>) -> Told<()> {
    let pace = story.pace;
    // Young enough to be watched, old enough that the file's client is measured undisturbed before.
    let age = pace.prelude + FILE_LOOKS + pace.aftermath + Duration::from_millis(400);
    let mut backends = start(&TRIO, Some(age))?;
    story.open(
        "A backend is added: who notices, and when?",
        "One client reads its backends from a file (file:///...) and looks at it every second. The other asks as DNS \
         is asked: again only when it loses a connection. While all connections are well it never learns of the \
         new backend; so let backends retire connections by age (here after a few seconds, in practice minutes).",
    );
    let file = List::create(&addresses(&backends))?;
    let names = Arc::new(Names::default());
    names.set(&addresses(&backends))?;
    let by_file = connect(Channel::builder(&file.target()).service_config(&policy("round_robin")), 3)?;
    let ask = {
        let names = names.clone();
        move || Ok(names.get())
    };
    let builder = Channel::builder("dns:///backends.demo:50051").resolver(ask);
    let by_name = connect(builder.service_config(&policy("round_robin")), 3)?;

    let (file_load, name_load) =
        (Load::start(&by_file, &greetings(FEW)), Load::start(&by_name, &greetings(FEW)));
    let (file_says, name_says) =
        ("by file: looked at every second", "as by DNS: asked when a connection is lost");
    let mut stage = story.stage(&backends);
    stage.play(&[(file_says, &file_load), (name_says, &name_load)], pace.prelude, || false);

    let newcomer = start_one(EXTRA, None, Some(age))?;
    let address = newcomer.address.clone();
    stage.who.push((&newcomer).into());
    backends.push(newcomer);
    let start = Instant::now();
    names.set(&addresses(&backends))?;
    file.write(&addresses(&backends))?;
    stage.note(Tone::Strong, format!("a fourth backend starts: {:?}", EXTRA.name));

    let clients = [(file_says, &file_load), (name_says, &name_load)];
    let reached = |load: &Load| load.tally().served.get(&address).map(|served| served.first - start);
    stage.play(&clients, PATIENCE, || reached(&file_load).is_some());
    let file_noticed = reached(&file_load);
    stage.note(Tone::Good, noticed("by file", file_noticed));
    // Callers that start afresh: whole rounds of four from the first call.
    let before = finish(file_load);
    let file_load = Load::start(&by_file, &greetings(FEW));
    let clients = [(file_says, &file_load), (name_says, &name_load)];
    stage.play(&clients, pace.aftermath.mul_f64(0.6), || false);
    let counted = finish(file_load);

    let file_load = Load::start(&by_file, &greetings(FEW));
    let clients = [(file_says, &file_load), (name_says, &name_load)];
    stage.play(&clients, PATIENCE, || reached(&name_load).is_some());
    let name_noticed = reached(&name_load);
    stage.note(Tone::Good, format!("{}, when a connection was retired", noticed("as by DNS", name_noticed)));
    let name_before = finish(name_load);
    let name_load = Load::start(&by_name, &greetings(FEW));
    let clients = [(file_says, &file_load), (name_says, &name_load)];
    stage.play(&clients, pace.aftermath.mul_f64(0.6), || false);
    let (after, name_after) = (finish(file_load), finish(name_load));
    stage.settle(&[whole(file_says, &counted), whole(name_says, &name_after)]);

    let mut row = row("one added", &backends, counted);
    for (tally, _) in [before, after, name_before, name_after] {
        row.calls.0 += tally.calls;
        row.calls.1 += tally.failed;
    }
    story.report.check_shares(&row, &[0.25; 4]);
    story.report.check_none_lost(&row);
    let seen = |noticed: Option<Duration>| noticed.map_or_else(|| "never".into(), span);
    let soon = file_noticed.is_some_and(|noticed| noticed <= Duration::from_secs(2));
    story.report.check("one added: called within 2 s by file", soon, seen(file_noticed));
    let in_time = name_noticed.is_some_and(|noticed| noticed <= age + Duration::from_secs(2));
    let what = format!("one added: called as by DNS when a connection is retired, at about {}", span(age));
    story.report.check(what, in_time, seen(name_noticed));
    story.report.remarks.push((
        "one added",
        format!(
            "by file the first call came after {}, as by DNS after {}, when a connection was retired",
            seen(file_noticed),
            seen(name_noticed)
        ),
    ));
    story.report.rows.push(row);
    Ok(())
}

fn noticed(who: &str, after: Option<Duration>) -> String {
    match after {
        Some(after) => format!("{who}: first call after {}", span(after)),
        None => format!("{who}: no call within {}", span(PATIENCE)),
    }
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
    let counted = finish(load);
    let accepted: u64 = backends.iter().map(|backend| backend.server.connections_accepted()).sum();
    let replaced = accepted.saturating_sub(TRIO.len() as u64);
    stage.note(Tone::Good, format!("{replaced} connections retired and replaced"));
    stage.settle(&[whole("", &counted)]);
    let row = row("retirement", &backends, counted);
    story.report.check_none_lost(&row);
    let what = "retirement: each backend's connection is replaced, more than once in all";
    story.report.check(what, replaced > 3, format!("{replaced} were"));
    let remark = format!("{replaced} connections retired and replaced, {} calls failed", row.calls.1);
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
    let counted = finish(load);
    stage.settle(&[whole("", &counted)]);

    let row = row("one killed", &backends, counted);
    judge_kill(story, &row, lost, recovery);
    let soon = returned && took <= Duration::from_secs(3);
    story.report.check("one killed: it gets calls again within 3 s of its return", soon, after.clone());
    story.report.remarks.push(("one killed", format!("{fate}; started again, it got calls {after}")));
    story.report.rows.push(row);
    Ok(())
}

fn judge_kill<W>(story: &mut Story<W>, row: &Row, lost: u64, recovery: Duration) {
    let Row { calls: (calls, failed), tally, .. } = row;
    let in_hand = *failed <= CALLERS as u64 && *failed == lost;
    let first = tally.first_failure.as_deref().unwrap_or("none");
    let seen = format!("{failed} of {calls} calls failed, {lost} of them at the kill; the first: {first}");
    let what = format!("one killed: only calls fail that it had in hand, at most {CALLERS}");
    story.report.check(what, *calls > 0 && in_hand, seen);
    let soon = recovery <= Duration::from_secs(1);
    story.report.check("one killed: within 1 s no more calls fail", soon, span(recovery));
}

/// The file of a `file:///` target, removed at the end.
#[derive(Debug)]
struct List {
    path: PathBuf,
}

impl List {
    fn create(addresses: &[String]) -> Told<List> {
        let list =
            List { path: std::env::temp_dir().join(format!("grpclb-demo-{}.txt", std::process::id())) };
        list.write(addresses).map(|()| list)
    }

    fn target(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// As deployment tools do: written beside it and renamed over it, so that nobody reads half a list.
    fn write(&self, addresses: &[String]) -> Told<()> {
        let draft: &Path = &self.path.with_extension("new");
        std::fs::write(draft, addresses.join("\n") + "\n")
            .and_then(|()| std::fs::rename(draft, &self.path))
            .map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Nothing to be done about a temporary file that cannot be removed.
        std::fs::remove_file(&self.path).ok();
    }
}

/// A name server of one name.
#[derive(Debug, Default)]
struct Names {
    addresses: Mutex<Vec<SocketAddr>>,
}

impl Names {
    fn set(&self, addresses: &[String]) -> Told<()> {
        let parsed: Result<Vec<SocketAddr>, _> = addresses.iter().map(|address| address.parse()).collect();
        let parsed = parsed.map_err(|error| format!("{addresses:?}: {error}"))?;
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = parsed;
        Ok(())
    }

    fn get(&self) -> Vec<SocketAddr> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
