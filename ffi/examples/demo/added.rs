//! Act 4: a backend is added. Two clients side by side: one reads a file, one asks as DNS is asked.

use crate::acts::PATIENCE;
use crate::backend::{EXTRA, TRIO};
use crate::list::List;
use crate::load::Load;
use crate::paint::{Tone, span};
use crate::report::Row;
use crate::story::{Story, Told, addresses, connect, greetings, policy, start, start_one, whole};
use crate::tally::Tally;
use grpclb::{Channel, ChannelBuilder};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So few that no backend is swamped: the act is not about capacity.
const CALLERS: usize = 4;

/// How often a channel looks at the file of a `file:///` target.
const FILE_LOOKS: Duration = Duration::from_secs(1);

/// Who notices, and after how long?
pub(crate) fn tell<W: Write>(story: &mut Story<W>) -> Told<()> {
    let pace = story.pace;
    // Young enough to be watched, old enough that the file's client is measured undisturbed before.
    let age = pace.prelude + FILE_LOOKS + pace.aftermath + Duration::from_millis(400);
    let while_counted = pace.aftermath.mul_f64(0.6);
    let mut backends = start(&TRIO, Some(age))?;
    story.open(
        "A backend is added: who notices, and when?",
        "One client reads its backends from a file (file:///...) and looks at it every second. The other asks as DNS \
         is asked: again only when it loses a connection. While all connections are well it never learns of the \
         new backend; so let backends retire connections by age (here after a few seconds, in practice minutes).",
    );
    let list = List::create("added", &addresses(&backends))?;
    let names = Names::create(&addresses(&backends))?;
    let mut file =
        Client::start("by file", "by file: looked at every second", Channel::builder(&list.target()))?;
    let mut name = Client::start("as by DNS", "as by DNS: asked when a connection is lost", names.channel())?;
    let mut stage = story.stage(&backends);
    stage.play(&[file.shown(), name.shown()], pace.prelude, || false);

    let newcomer = start_one(EXTRA, None, Some(age))?;
    let (address, since) = (newcomer.address.clone(), Instant::now());
    stage.who.push((&newcomer).into());
    backends.push(newcomer);
    names.set(&addresses(&backends))?;
    list.write(&addresses(&backends))?;
    stage.note(Tone::Strong, format!("a fourth backend starts: {:?}", EXTRA.name));

    stage.play(&[file.shown(), name.shown()], PATIENCE, || file.noticed(&address, since).is_some());
    let by_file = file.noticed(&address, since);
    stage.note(Tone::Good, file.tells(by_file));
    file.afresh();
    stage.play(&[file.shown(), name.shown()], while_counted, || false);
    let counted = file.afresh();

    stage.play(&[file.shown(), name.shown()], PATIENCE, || name.noticed(&address, since).is_some());
    let by_name = name.noticed(&address, since);
    stage.note(Tone::Good, format!("{}, when a connection was retired", name.tells(by_name)));
    name.afresh();
    stage.play(&[file.shown(), name.shown()], while_counted, || false);
    let name_counted = name.afresh();
    stage.settle(&[whole(file.heading, &counted), whole(name.heading, &name_counted)]);

    let mut row = Row::new("one added", addresses(&backends), counted);
    row.whole = file.end();
    row.whole.add(&name.end());
    judge(story, row, age, by_file, by_name);
    Ok(())
}

fn judge<W>(
    story: &mut Story<W>,
    row: Row,
    age: Duration,
    by_file: Option<Duration>,
    by_name: Option<Duration>,
) {
    let report = &mut story.report;
    report.check_shares(&row, &[0.25; 4]);
    report.check_none_lost(&row);
    let seen = |noticed: Option<Duration>| noticed.map_or_else(|| "never".into(), span);
    let soon = by_file.is_some_and(|noticed| noticed <= FILE_LOOKS + Duration::from_secs(1));
    report.check("one added: called within 2 s by file", soon, seen(by_file));
    let in_time = by_name.is_some_and(|noticed| noticed <= age + Duration::from_secs(2));
    let what = format!("one added: called as by DNS when a connection is retired, at about {}", span(age));
    report.check(what, in_time, seen(by_name));
    let (by_file, by_name) = (seen(by_file), seen(by_name));
    report.remarks.push((
        "one added",
        format!("by file the first call came after {by_file}, as by DNS after {by_name}, when a connection was retired"),
    ));
    report.rows.push(row);
}

/// One of the two clients. Its callers can start afresh; what all of them did is kept.
#[derive(Debug)]
struct Client {
    name: &'static str,
    heading: &'static str,
    channel: Channel,
    load: Load,
    before: Tally,
}

impl Client {
    fn start(name: &'static str, heading: &'static str, builder: ChannelBuilder) -> Told<Client> {
        let channel = connect(builder.service_config(&policy("round_robin")), TRIO.len())?;
        let load = Load::start(&channel, &greetings(CALLERS));
        Ok(Client { name, heading, channel, load, before: Tally::default() })
    }

    /// As the stage shows it.
    fn shown(&self) -> (&'static str, &Load) {
        (self.heading, &self.load)
    }

    /// How long after `since` it had its first answer of `address`.
    fn noticed(&self, address: &str, since: Instant) -> Option<Duration> {
        self.load.tally().served.get(address).map(|served| served.first.saturating_duration_since(since))
    }

    fn tells(&self, noticed: Option<Duration>) -> String {
        match noticed {
            Some(after) => format!("{}: first call after {}", self.name, span(after)),
            None => format!("{}: no call within {}", self.name, span(PATIENCE)),
        }
    }

    /// Other callers, so that whole rounds are counted from the first call; what those before counted.
    fn afresh(&mut self) -> (Tally, Duration) {
        // These end before the others begin: two rounds at a time would not be whole.
        let counted = self.load.halt();
        self.before.add(&counted.0);
        self.load = Load::start(&self.channel, &greetings(CALLERS));
        counted
    }

    /// All that its callers did.
    fn end(mut self) -> Tally {
        self.before.add(&self.load.halt().0);
        self.before
    }
}

/// A name server of one name, in place of DNS, which the demo could not change.
#[derive(Debug, Default)]
struct Names {
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Names {
    fn create(addresses: &[String]) -> Told<Names> {
        let names = Names::default();
        names.set(addresses).map(|()| names)
    }

    fn set(&self, addresses: &[String]) -> Told<()> {
        let parsed: Result<Vec<SocketAddr>, _> = addresses.iter().map(|address| address.parse()).collect();
        let parsed = parsed.map_err(|error| format!("{addresses:?}: {error}"))?;
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = parsed;
        Ok(())
    }

    /// A channel that asks this name server where it would ask DNS.
    fn channel(&self) -> ChannelBuilder {
        let addresses = self.addresses.clone();
        Channel::builder("dns:///backends.demo:50051")
            .resolver(move || Ok(addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}
