//! The four verbs.

use super::event::{CallId, Event, Token};
use super::head::CallHead;
use super::machine::{Machine, State};
use super::reason::Reason;
use super::slot::CallSlot;
use super::{Config, End, SendError, StartCallError, Storage};
use crate::bytes::Exact;
use crate::grpc::Code;
use crate::http2::{self, ConnectionError, Engine};
use crate::time::Instant;

/// One HTTP/2 connection and its calls.
#[derive(Debug)]
pub struct Connection<S> {
    storage: S,
    http2: http2::State,
    state: State,
}

impl<S: Storage> Connection<S> {
    /// A new connection over lent memory. Whatever the slots held is forgotten.
    pub fn new(mut storage: S, config: &Config, now: Instant) -> Connection<S> {
        storage.parts().calls.fill(CallSlot::FREE);
        let http2 = http2::State::new(&config.http2, now);
        let mut connection = Connection { storage, http2, state: State::new(config) };
        connection.machine().engine.ensure_begun();
        connection
    }

    /// Bytes in, an event at a time; moves `input` forward; `Ok(None)` when all was taken. What is left in `input`
    /// after an event is to be passed again, with more behind it if there is. Errors are terminal and sticky; the calls'
    /// statuses then come from [`poll_event`](Self::poll_event).
    pub fn recv<'c, 'i>(
        &'c mut self,
        now: Instant,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'c, 'i>>, ConnectionError> {
        loop {
            if let Some(token) = self.machine().next(now, input, false)? {
                return Ok(Some(self.event(token)));
            }
            // Nothing that was lent is still held; with input left, the arena was full.
            self.http2.arena_clear();
            if input.is_empty() {
                return Ok(None);
            }
        }
    }

    /// The same machine without the lending: hands each token and the octets of `input` that are taken by then to
    /// `sink`, until all is taken, `sink` returns false, or the arena has no room for a further header list. What tokens
    /// refer to is read by [`event`](Self::event), until the next `recv` or `recv_batch`; with input left, call it again.
    pub fn recv_batch<'i>(
        &mut self,
        now: Instant,
        input: &mut &'i [u8],
        mut sink: impl FnMut(Token<'i>, usize) -> bool,
    ) -> Result<(), ConnectionError> {
        let whole = input.len();
        self.http2.arena_clear();
        let mut machine = self.machine();
        machine.engine.state.arena_clear();
        while let Some(token) = machine.next(now, input, true)? {
            if !sink(token, whole.minus(input.len())) {
                break;
            }
        }
        Ok(())
    }

    /// What a token stands for.
    pub fn event<'c, 'i>(&'c mut self, token: Token<'i>) -> Event<'c, 'i> {
        token.lend(self.storage.parts().http2.arena)
    }

    /// An event made by time, by a command, by the connection's end or by `transmitted`: see [the driver's
    /// rule](super#the-drivers-rule).
    pub fn poll_event(&mut self) -> Option<Event<'_, 'static>> {
        let token = self.poll_token()?;
        Some(self.event(token))
    }

    /// [`poll_event`](Self::poll_event) without the lending.
    pub fn poll_token(&mut self) -> Option<Token<'static>> {
        self.machine().poll()
    }

    /// Client: starts a call; its HEADERS wait in the outbox.
    pub fn start_call(&mut self, now: Instant, head: &CallHead<'_>) -> Result<CallId, StartCallError> {
        self.machine().start_call(now, head)
    }

    /// Sends (a part of) one message: the first call's length is the message's, later calls pass exactly the rest
    /// (but see [`begin_message`](Self::begin_message)).
    /// Returns the octets taken; `Ok(0)` only for an empty message. `end` counts when all is taken.
    ///
    /// The length prefix is not cut, and goes out with at least one octet of the message: a peer that keeps its windows
    /// under 12 octets gets no messages.
    pub fn send_message(&mut self, call: CallId, bytes: &[u8], end: End) -> Result<usize, SendError> {
        self.machine().send_message(call, bytes, end)
    }

    /// Announces a message of `len` octets that is not at hand as a whole: then [`send_message`](Self::send_message)
    /// takes it in pieces of any size (an empty one too, if `len` is 0). Nothing is sent yet.
    pub fn begin_message(&mut self, call: CallId, len: u32) -> Result<(), SendError> {
        self.machine().begin_message(call, len)
    }

    /// Client: no more messages.
    pub fn half_close(&mut self, call: CallId) -> Result<(), SendError> {
        self.machine().half_close(call)
    }

    /// Server: the response's initial metadata, before the first message (sent by itself, empty, if it was not).
    pub fn send_metadata(&mut self, call: CallId, metadata: &[(&[u8], &[u8])]) -> Result<(), SendError> {
        self.machine().send_metadata(call, metadata)
    }

    /// Server: ends the call. Trailers-Only when nothing was sent before. `message` is percent-encoded here.
    pub fn send_status(
        &mut self,
        call: CallId,
        code: Code,
        message: &[u8],
        trailers: &[(&[u8], &[u8])],
    ) -> Result<(), SendError> {
        self.machine().send_status(call, code, message, trailers)
    }

    /// Server: head (if it was not sent), one message and status OK, all or nothing. `TooLarge`: the message does not
    /// fit the outbox or a window; [`send_message`](Self::send_message) takes it in parts.
    pub fn reply(&mut self, call: CallId, bytes: &[u8]) -> Result<(), SendError> {
        self.machine().reply(call, bytes)
    }

    /// Gives `n` octets of message bytes back to the receive window. Does nothing when the call is over.
    pub fn release(&mut self, call: CallId, n: usize) {
        let mut machine = self.machine();
        if machine.call(call).is_some() {
            machine.engine.release(call.key(), u32::try_from(n).unwrap_or(u32::MAX));
        }
    }

    /// Ends the call: RST_STREAM(CANCEL). A client's Status CANCELLED comes from [`poll_event`](Self::poll_event); a
    /// server's call has no further event. Does nothing when the call is over.
    pub fn cancel(&mut self, call: CallId) {
        self.machine().cancel(call);
    }

    /// The socket is gone: every call ends, with its fate. The statuses come from [`poll_event`](Self::poll_event).
    pub fn carrier_lost(&mut self, _now: Instant) {
        self.machine().end_all(Reason::Connection.text());
        self.state.lost = true;
    }

    /// Graceful end: no new calls, those that run go on.
    pub fn shutdown(&mut self, now: Instant) {
        self.machine().engine.shutdown(now);
    }

    /// Whether everything is said and done: close the socket once `transmit` is empty.
    pub fn is_closed(&self) -> bool {
        self.state.lost || self.http2.is_closed()
    }

    /// Calls that run.
    pub fn calls(&self) -> usize {
        self.state.running.into()
    }

    /// The outbox, lent.
    pub fn transmit(&mut self, now: Instant) -> &[u8] {
        if self.state.lost {
            return &[];
        }
        self.machine().engine.transmit(now)
    }

    /// Octets of [`transmit`](Self::transmit) that were written.
    pub fn transmitted(&mut self, n: usize) {
        self.machine().engine.transmitted(n);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due: deadlines, keepalive, connection age.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let http2 = if self.state.lost { None } else { self.http2.poll_timeout() };
        match (self.state.timers.first().map(|(_, at)| at), http2) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The clock reached [`poll_timeout`](Self::poll_timeout). A keepalive without an answer is a connection error.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.machine().handle_timeout(now)
    }

    /// The storage, to lend an idle connection less.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    fn machine(&mut self) -> Machine<'_> {
        let mut parts = self.storage.parts();
        // A slot has a stream and a call, or there is no such slot.
        let slots = parts.calls.len().min(parts.http2.streams.len());
        parts.http2.streams = parts.http2.streams.get_mut(..slots).unwrap_or_default();
        Machine {
            engine: Engine { state: &mut self.http2, parts: parts.http2 },
            calls: parts.calls,
            state: &mut self.state,
        }
    }
}
