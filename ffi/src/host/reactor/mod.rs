//! The reactor: a channel that its caller drives. It owns the sockets and says what it waits for, one pollable
//! descriptor and one timeout; one verb drives it. An event loop that has both (epoll, kqueue, libuv, asyncio, a Go
//! poller) waits for it among its own things, and there is no thread that the program did not make.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use grpclb::{Call, Channel, host::reactor::Reactor};
//! let mut reactor = Reactor::new(Channel::builder("ipv4:127.0.0.1:50051"))?;
//! let call = reactor.start_call(&Call::new("/helloworld.Greeter/SayHello"), b"\x0a\x05world");
//! loop {
//!     while reactor.process()? > 0 {}
//!     if let Some(done) = reactor.take(call) {
//!         println!("{} from {}", done.code, done.reply.peer());
//!         break;
//!     }
//!     reactor.wait(None)?; // or: poll the descriptor for at most `poll_timeout`
//! }
//! # Ok(())
//! # }
//! ```

pub(crate) mod calls;
mod connection;
pub(crate) mod machine;
pub(crate) mod metadata;
pub(crate) mod settings;

use super::call::{Call, Reply};
use super::channel::{ChannelBuilder, ConnectError};
pub use calls::CallKey;
use calls::{Kind, Outcome, Stage};
use grpclb_core::balancer::Connectivity;
use grpclb_core::grpc::Code;
use grpclb_core::time::Instant;
use machine::{Machine, WAKER};
use mio::{Events, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Readiness events that one poll takes.
const EVENTS: usize = 256;

/// The part that waits. Who holds it leads: it alone polls.
#[derive(Debug)]
pub(crate) struct Lead {
    poll: Poll,
    pub(crate) events: Events,
}

impl Lead {
    /// Waits for readiness, a wake or the time limit; `None`: for ever. An interrupted wait (EINTR) is an error.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.poll.poll(&mut self.events, limit)
    }
}

/// A machine, its lead, and the waker that ends a wait of the lead.
pub(crate) fn new(settings: settings::Settings) -> Result<(Machine, Lead, Arc<Waker>), ConnectError> {
    settings.check_target().map_err(ConnectError::Target)?;
    settings.check_service_config().map_err(ConnectError::ServiceConfig)?;
    let poll = Poll::new().map_err(ConnectError::Io)?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(ConnectError::Io)?);
    let registry = poll.registry().try_clone().map_err(ConnectError::Io)?;
    let machine = Machine::new(settings, registry, waker.clone()).map_err(ConnectError::Target)?;
    Ok((machine, Lead { poll, events: Events::with_capacity(EVENTS) }, waker))
}

/// Time until a moment, for a wait: rounded up, or the wait would end just before and turn once for nothing.
pub(crate) fn until(now: Instant, when: Option<Instant>) -> Option<Duration> {
    when.map(|when| match when.since(now) {
        Duration::ZERO => Duration::ZERO,
        wait => wait.saturating_add(Duration::from_micros(1)),
    })
}

/// A channel that its caller drives. See [the module](self).
#[derive(Debug)]
pub struct Reactor {
    machine: Machine,
    lead: Lead,
    /// News that were not taken yet, in order.
    news: std::collections::VecDeque<CallKey>,
}

/// What a call that ended left.
#[derive(Debug)]
pub struct Completion {
    /// How it ended.
    pub code: Code,
    /// Why, in words.
    pub message: String,
    /// The response of a unary call that is OK.
    pub response: Vec<u8>,
    /// Who served it, and the metadata that came.
    pub reply: Reply,
}

impl Default for Completion {
    /// UNKNOWN, and nothing else.
    fn default() -> Completion {
        let (message, response, reply) = (String::new(), Vec::new(), Reply::default());
        Completion { code: Code::UNKNOWN, message, response, reply }
    }
}

impl Completion {
    /// Takes over what a call left; the buffers change places.
    pub(crate) fn take(&mut self, outcome: &mut Outcome, pick_order: u64) {
        self.code = outcome.code.unwrap_or(Code::UNKNOWN);
        self.message.clear();
        self.message.push_str(&String::from_utf8_lossy(&outcome.message));
        std::mem::swap(&mut self.response, &mut outcome.response);
        self.reply = Reply::take(outcome, pick_order);
    }
}

/// How far a stream is: what its caller can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The initial metadata came: [`Reactor::headers`] has it.
    pub has_headers: bool,
    /// Messages that wait for [`Reactor::recv`].
    pub waiting: usize,
    /// A message, or the half-close, is still being sent.
    pub is_sending: bool,
    /// It is over. [`Reactor::take`] forgets the messages that still wait.
    pub has_ended: bool,
    /// It ended at its own deadline: who asks for the status then waits for no reader.
    pub is_late: bool,
}

impl Reactor {
    /// A reactor over a channel's settings; connects to nothing yet.
    pub fn new(builder: ChannelBuilder) -> Result<Reactor, ConnectError> {
        let (machine, lead, _) = new(builder.into_settings())?;
        Ok(Reactor { machine, lead, news: std::collections::VecDeque::new() })
    }

    /// How long the descriptor may be waited for; `None`: for ever. Zero after commands, which [`Reactor::process`]
    /// writes: an event loop that asks before it waits sends what it started in one turn in one go.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.machine.has_work() {
            return Some(Duration::ZERO);
        }
        until(Machine::now(), self.machine.poll_timeout())
    }

    /// Takes what the descriptor has, does what is due, writes what there is to write. Call it when the descriptor is
    /// ready or the time has come, until it yields 0: how many things there were. It never waits.
    pub fn process(&mut self) -> io::Result<usize> {
        self.wait(Some(Duration::ZERO))
    }

    /// Waits for the descriptor, at most `limit`, and then does what [`Reactor::process`] does: for programs without
    /// an event loop of their own. 0 also when a signal interrupted it.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        self.step(limit, false)
    }

    /// As [`Reactor::process`], but what it makes is not written while there is news: those who get it may have more to
    /// write in the same go, and then ask again.
    #[cfg(feature = "capi")]
    pub(crate) fn process_and_hold(&mut self) -> io::Result<usize> {
        self.step(Some(Duration::ZERO), true)
    }

    fn step(&mut self, limit: Option<Duration>, hold: bool) -> io::Result<usize> {
        let now = Machine::now();
        // What commands made has to go out before anyone waits for its answer.
        self.machine.flush(now);
        let due = until(now, self.machine.poll_timeout());
        let limit = if self.machine.has_work() { Some(Duration::ZERO) } else { limit };
        let limit = [limit, due].into_iter().flatten().min();
        match self.lead.wait(limit) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        let now = Machine::now();
        let mut count = self.lead.events.iter().count();
        self.machine.ready(&self.lead.events);
        self.machine.turn(now);
        if !hold || self.machine.work.news.is_empty() {
            self.machine.flush(now);
        }
        count += self.machine.work.news.len();
        for index in self.machine.work.news.drain(..) {
            let record = self.machine.work.calls.at(index);
            record.noted = false;
            self.news.push_back(CallKey { index, generation: record.generation });
        }
        Ok(count)
    }

    /// The next call that ended, or stream with something new.
    pub fn poll_call(&mut self) -> Option<CallKey> {
        while let Some(key) = self.news.pop_front() {
            if self.machine.work.calls.get(key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// Starts a unary call. Its HEADERS and message are written by the next [`Reactor::process`].
    pub fn start_call(&mut self, call: &Call<'_>, request: &[u8]) -> CallKey {
        self.machine.start(Machine::now(), Kind::Unary, call, request, false)
    }

    /// Starts a call of any kind.
    pub fn start_stream(&mut self, call: &Call<'_>) -> CallKey {
        self.machine.start(Machine::now(), Kind::Stream, call, &[], false)
    }

    /// A stream's next message; `last`: it is, so that the half-close goes along. `None`: the half-close alone. `false`:
    /// the message before is still being sent, and [`Reactor::poll_call`] will name the call when it is not.
    pub fn send(&mut self, call: CallKey, message: Option<&[u8]>, last: bool) -> bool {
        if self.machine.work.calls.get(call).is_some_and(|record| record.sending) {
            return false;
        }
        self.put(call, message, last);
        true
    }

    /// No more messages on a stream; one that is being sent goes out before.
    pub fn half_close(&mut self, call: CallKey) {
        self.put(call, None, true);
    }

    fn put(&mut self, call: CallKey, message: Option<&[u8]>, last: bool) {
        let noted = self.machine.work.calls.get(call).is_some_and(|record| record.noted);
        self.machine.send(Machine::now(), call, message, last);
        let Some(record) = self.machine.work.calls.get(call) else { return };
        if !noted && !record.sending && record.stage != Stage::Ended {
            // It was taken at once: no news to who sent it.
            self.unnote(call);
        }
    }

    fn unnote(&mut self, call: CallKey) {
        if self.machine.work.calls.get(call).is_some_and(|record| std::mem::take(&mut record.noted)) {
            self.machine.work.news.retain(|index| *index != call.index);
        }
    }

    /// The next message that came on a stream, into `message` (cleared first).
    pub fn recv(&mut self, call: CallKey, message: &mut Vec<u8>) -> bool {
        self.machine.take_message(Machine::now(), call, message)
    }

    /// How far a stream is; `None`: it is gone.
    pub fn progress(&mut self, call: CallKey) -> Option<Progress> {
        let record = self.machine.work.calls.get(call)?;
        let late = record.outcome.code == Some(Code::DEADLINE_EXCEEDED)
            && record.deadline.is_some_and(|deadline| deadline <= Machine::now());
        Some(Progress {
            has_headers: record.has_header,
            waiting: record.inbox.whole.len(),
            is_sending: record.sending || record.half_close && !record.half_closed,
            has_ended: record.stage == Stage::Ended,
            is_late: record.stage == Stage::Ended && late,
        })
    }

    /// The initial metadata of a stream that has not been taken, in order, `-bin` values decoded. A stream whose status
    /// came alone has none.
    pub fn headers(&mut self, call: CallKey) -> impl Iterator<Item = (&[u8], &[u8])> {
        let record = self.machine.work.calls.get(call).filter(|record| record.has_header);
        record.into_iter().flat_map(|record| record.outcome.metadata.header())
    }

    /// The endpoint that serves a call, once it has one.
    pub fn peer(&mut self, call: CallKey) -> Option<Arc<str>> {
        self.machine.work.calls.get(call)?.outcome.peer.clone()
    }

    /// Cancels a call: it ends with CANCELLED.
    pub fn cancel(&mut self, call: CallKey) {
        self.machine.abort(Machine::now(), call, Code::CANCELLED, "cancelled by the caller");
    }

    /// What a call that ended left; `None` while it runs. The call is gone then.
    pub fn take(&mut self, call: CallKey) -> Option<Completion> {
        let record = self.machine.work.calls.get(call)?;
        if record.stage != Stage::Ended {
            return None;
        }
        let mut completion = Completion::default();
        completion.take(&mut record.outcome, record.pick_order);
        self.machine.finish(call);
        Some(completion)
    }

    /// Cancels a call if it runs, and forgets it: [`Reactor::poll_call`] will not name it, [`Reactor::take`] not find it.
    pub fn forget(&mut self, call: CallKey) {
        self.cancel(call);
        // Or it would name the next call of that index.
        self.unnote(call);
        self.machine.finish(call);
    }

    /// Writes what commands made, and nothing else.
    pub fn flush(&mut self) {
        self.machine.flush(Machine::now());
    }

    /// The record of a call.
    #[cfg(feature = "capi")]
    pub(crate) fn record(&mut self, call: CallKey) -> Option<&mut calls::Record> {
        self.machine.work.calls.get(call)
    }

    /// Calls that [`Reactor::poll_call`] will name, at most.
    #[cfg(feature = "capi")]
    pub(crate) fn news(&self) -> usize {
        self.news.len()
    }

    /// The channel's state; `connect` leaves IDLE.
    pub fn state(&mut self, connect: bool) -> Connectivity {
        self.machine.state(Machine::now(), connect)
    }

    /// Endpoints that are READY.
    pub fn ready_endpoints(&self) -> usize {
        self.machine.ready_endpoints()
    }

    /// Each endpoint's address and state, for diagnosis.
    pub fn endpoints(&mut self) -> Vec<(String, Connectivity)> {
        self.machine.endpoints()
    }

    /// Ends the channel: calls with CANCELLED, later ones with UNAVAILABLE.
    pub fn close(&mut self) {
        self.machine.close(Machine::now());
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Reactor {
    /// Readable when [`Reactor::process`] has something to do. It may be polled level- or edge-triggered.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.lead.poll.registry().as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for Reactor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.lead.poll)
    }
}
