//! Calls `helloworld.Greeter/SayHello` over a balanced channel and tells which peers served the calls.
//!
//! Exit codes: 0 when every call was OK, 2 for bad arguments (a target or service config that does not parse
//! included), else 64 + the status code of the first call that failed, with `NAME: message` on standard error.

mod args;
mod proto;

use args::{Flag, Usage};
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, Status};
use prost::Message;
use proto::helloworld::{HelloReply, HelloRequest, SAY_HELLO};
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const USAGE: Usage = Usage {
    program: "greeter_client",
    about: "Calls helloworld.Greeter/SayHello over a balanced channel and tells which peers served the calls.\n\
            Exit code: 0 all calls OK; 2 bad arguments; else 64 + status code of the first call that failed.",
    operands: &[],
    flags: &[
        Flag::required(
            "target",
            "TARGET",
            "dns:///host:port, ipv4:a:p,b:p, ipv6:, unix:path or file:///path",
        ),
        Flag::optional("service-config", "JSON", "gRPC's service config; without it: pick_first"),
        Flag::with_default("calls", "N", "1", "how many calls"),
        Flag::with_default("concurrency", "C", "1", "how many of them at a time, a thread each"),
        Flag::optional("deadline-ms", "D", "deadline of each call; without it: none"),
        Flag::with_default("interval-ms", "N", "0", "each thread waits so long between its calls"),
        Flag::optional("wait-ready", "K", "start the calls when K endpoints are READY (waits 30 s at most)"),
        Flag::switch("wait-for-ready", "calls wait through TRANSIENT_FAILURE instead of failing fast"),
        Flag::with_default("name", "NAME", "world", "whom to greet"),
        Flag::switch("json", "print one line of JSON"),
    ],
};

/// How long `--wait-ready` waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many picks `picks_first` shows.
const PICKS: usize = 64;

fn main() -> ExitCode {
    let args = USAGE.parse();
    let (calls, concurrency): (u64, usize) = (args.number("calls"), args.number("concurrency"));
    if !(1..=4096).contains(&concurrency) {
        args.fail(&format!("--concurrency {concurrency}: expected a number from 1 to 4096"));
    }
    let mut call = Call::new(SAY_HELLO).wait_for_ready(args.on("wait-for-ready"));
    if let Some(ms) = args.optional_number("deadline-ms") {
        call = call.timeout(Duration::from_millis(ms));
    }
    let mut builder = Channel::builder(args.text("target"));
    if let Some(json) = args.optional("service-config") {
        builder = builder.service_config(json);
    }
    let wait_ready: Option<usize> = args.optional_number("wait-ready");
    let channel = builder.build().unwrap_or_else(|error| args.fail(&error.to_string()));

    if let Some(count) = wait_ready
        && !channel.wait_for_ready_endpoints(count, PATIENCE)
    {
        let states: Vec<String> =
            channel.endpoints().iter().map(|(at, state)| format!("{at} {state:?}")).collect();
        let states = if states.is_empty() { "no endpoints".into() } else { states.join(", ") };
        return fail(&Status {
            code: Code::UNAVAILABLE,
            message: format!("not {count} endpoints were READY within {} s: {states}", PATIENCE.as_secs()),
            peer: None,
        });
    }
    let interval = Duration::from_millis(args.number("interval-ms"));
    let run = Run {
        channel,
        call,
        interval,
        request: HelloRequest { name: args.text("name").into() }.encode_to_vec(),
    };
    let start = Instant::now();
    let tally = run.all(calls, concurrency);
    let text = if args.on("json") { tally.json() } else { tally.table(start.elapsed(), concurrency) };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        eprintln!("greeter_client: standard output: {error}");
        return ExitCode::FAILURE;
    }
    tally.failure.as_ref().map_or(ExitCode::SUCCESS, fail)
}

fn fail(status: &Status) -> ExitCode {
    eprintln!("{}", one_line(&status.to_string()));
    ExitCode::from(u8::try_from(status.code.0.saturating_add(64)).unwrap_or(u8::MAX))
}

/// What all calls share.
struct Run<'a> {
    channel: Channel,
    call: Call<'a>,
    /// Between the calls of a thread.
    interval: Duration,
    request: Vec<u8>,
}

impl Run<'_> {
    /// Makes `calls` calls on `concurrency` threads.
    fn all(&self, calls: u64, concurrency: usize) -> Tally {
        let started = AtomicU64::new(0);
        // The first failure in time, whichever thread it happens on.
        let failure = Mutex::new(None);
        let mut whole = Tally::default();
        std::thread::scope(|scope| {
            let some = || self.some(calls, &started, &failure);
            let threads: Vec<_> = (0..concurrency).map(|_| scope.spawn(some)).collect();
            for thread in threads {
                match thread.join() {
                    Ok(part) => whole.add(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        whole.failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        whole
    }

    /// One thread's part of them.
    fn some(&self, calls: u64, started: &AtomicU64, failure: &Mutex<Option<Status>>) -> Tally {
        let mut tally = Tally::default();
        let mut response = Vec::new();
        for turn in 0_u64.. {
            if started.fetch_add(1, Ordering::Relaxed) >= calls {
                break;
            }
            if turn > 0 && !self.interval.is_zero() {
                std::thread::sleep(self.interval);
            }
            let outcome = self.channel.unary(&self.call, &self.request, &mut response).and_then(|reply| {
                let peer = reply.peer();
                tally.served(peer, reply.pick_order());
                tally.answer = HelloReply::decode(response.as_slice())
                    .map_err(|error| not_a_reply(peer, &error))?
                    .message;
                Ok(())
            });
            let code = outcome.as_ref().map_or_else(|status| status.code, |()| Code::OK);
            tally.ended(code);
            if let Err(status) = outcome {
                if let Some(peer) = &status.peer {
                    tally.reached(peer);
                }
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(status);
            }
        }
        tally
    }
}

/// What a server sent stays on its line, and moves no cursor.
fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn not_a_reply(peer: &str, error: &prost::DecodeError) -> Status {
    // Its peer was counted already.
    Status { code: Code::INTERNAL, message: format!("{peer} answered no HelloReply: {error}"), peer: None }
}

/// What came of the calls.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    /// Calls by the peer that they reached, whatever came of them.
    peers: BTreeMap<String, u64>,
    status: BTreeMap<u32, u64>,
    /// The earliest picks: their number and peer, the latest of them on top.
    picks: BinaryHeap<(u64, String)>,
    answer: String,
    failure: Option<Status>,
}

impl Tally {
    fn served(&mut self, peer: &str, pick: u64) {
        self.reached(peer);
        if self.picks.len() < PICKS || self.picks.peek().is_some_and(|(latest, _)| pick < *latest) {
            self.pick(pick, peer.into());
        }
    }

    fn pick(&mut self, pick: u64, peer: String) {
        self.picks.push((pick, peer));
        if self.picks.len() > PICKS {
            self.picks.pop();
        }
    }

    fn reached(&mut self, peer: &str) {
        match self.peers.get_mut(peer) {
            Some(calls) => *calls += 1,
            None => {
                self.peers.insert(peer.into(), 1);
            }
        }
    }

    fn ended(&mut self, code: Code) {
        self.calls += 1;
        *self.status.entry(code.0).or_default() += 1;
    }

    fn add(&mut self, part: Tally) {
        self.calls += part.calls;
        for (peer, calls) in part.peers {
            *self.peers.entry(peer).or_default() += calls;
        }
        for (code, calls) in part.status {
            *self.status.entry(code).or_default() += calls;
        }
        for (pick, peer) in part.picks {
            self.pick(pick, peer);
        }
        if !part.answer.is_empty() {
            self.answer = part.answer;
        }
    }

    /// `{"calls":N,"peers":{…},"status":{…},"picks_first":[…]}`
    fn json(&self) -> String {
        let counts = |counts: &mut dyn Iterator<Item = (String, u64)>| {
            counts.map(|(key, calls)| format!("{}:{calls}", quoted(&key))).collect::<Vec<_>>().join(",")
        };
        let peers = counts(&mut self.peers.iter().map(|(peer, calls)| (peer.clone(), *calls)));
        let status = counts(&mut self.status.iter().map(|(code, calls)| (Code(*code).to_string(), *calls)));
        let mut picks: Vec<_> = self.picks.iter().collect();
        picks.sort();
        let picks: Vec<String> = picks.iter().map(|(_, peer)| quoted(peer)).collect();
        let (calls, picks) = (self.calls, picks.join(","));
        format!(r#"{{"calls":{calls},"peers":{{{peers}}},"status":{{{status}}},"picks_first":[{picks}]}}"#)
            + "\n"
    }

    fn table(&self, took: Duration, concurrency: usize) -> String {
        let seconds = took.as_secs_f64();
        let mut text = format!(
            "{} {}, {concurrency} at a time, in {seconds:.2} s",
            self.calls,
            if self.calls == 1 { "call" } else { "calls" }
        );
        if seconds > 0.0 {
            let _ = write!(text, " ({:.0} a second)", self.calls as f64 / seconds);
        }
        text.push('\n');
        let width = self.peers.keys().map(|peer| peer.chars().count()).max().unwrap_or(0).max(6);
        let all: u64 = self.peers.values().sum();
        for (peer, calls) in &self.peers {
            let _ =
                writeln!(text, "  {peer:width$}  {calls:>8}  {:5.1} %", *calls as f64 / all as f64 * 100.0);
        }
        for (code, calls) in &self.status {
            let _ = writeln!(text, "  {:width$}  {calls:>8}", Code(*code).to_string());
        }
        if !self.answer.is_empty() {
            let _ = writeln!(text, "the last answer: {}", one_line(&self.answer));
        }
        text
    }
}

/// A JSON string (RFC 8259 section 7).
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_line_is_as_specified() {
        let (mut whole, mut part) = (Tally::default(), Tally::default());
        for pick in (0..100).rev() {
            let tally = if pick % 3 == 0 { &mut whole } else { &mut part };
            tally.served(if pick % 2 == 0 { "127.0.0.1:50061" } else { "127.0.0.1:50062" }, pick);
            tally.ended(Code::OK);
        }
        part.reached("unix:/a\"b");
        part.ended(Code::UNAVAILABLE);
        whole.add(part);
        let picks = [r#""127.0.0.1:50061","127.0.0.1:50062""#; 32].join(",");
        let json = r#"{"calls":101,"peers":{"127.0.0.1:50061":50,"127.0.0.1:50062":50,"unix:/a\"b":1},"#
            .to_owned()
            + r#""status":{"OK":100,"UNAVAILABLE":1},"picks_first":["#
            + &picks
            + "]}\n";
        assert_eq!(whole.json(), json);
    }

    #[test]
    fn no_calls_make_an_empty_line() {
        assert_eq!(Tally::default().json(), "{\"calls\":0,\"peers\":{},\"status\":{},\"picks_first\":[]}\n");
    }

    #[test]
    fn messages_stay_on_their_line() {
        assert_eq!(one_line("a \u{e9} 'b'\r\n\u{1b}[2J"), "a \u{e9} 'b'\\r\\n\\u{1b}[2J");
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(quoted("a\"\\\n\u{1}é"), "\"a\\\"\\\\\\u000a\\u0001é\"");
    }
}
