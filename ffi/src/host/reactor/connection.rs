//! One connection of a channel and its calls: what its events mean to the table of calls. Events only note; what
//! follows from them is done when the batch is over, here for this connection, in the machine for the rest.

use super::super::carrier::{Carrier, Connection, Handler, Lost};
use super::super::timers::Timers;
use super::calls::{Calls, Kind, List, NONE, Record, Stage};
use grpclb_core::balancer::{SubchannelEvent, SubchannelId};
use grpclb_core::call::{CallHead, CallId, End, Event, Fate, Piece, SendError, StartCallError, Status};
use grpclb_core::error::ErrorCode;
use grpclb_core::grpc::Code;
use grpclb_core::time::Instant;
use mio::Token;
use std::fmt::Write;
use std::sync::Arc;

/// Messages that may wait in one call. Empty ones cost no receive window, so something else must bound them.
const MAX_WAITING_MESSAGES: usize = 1 << 18;

/// What a message may claim to be long before its octets arrive.
const MAX_RESERVE: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) carrier: Carrier,
    pub(crate) state: State,
}

/// What the channel knows of a connection.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: u32,
    /// The poll's name of it.
    pub(crate) token: Token,
    /// The balancer's name of it.
    pub(crate) id: SubchannelId,
    /// Whether the balancer still counts on it; otherwise it lets its calls end.
    pub(crate) current: bool,
    /// The peer's SETTINGS arrived.
    pub(crate) usable: bool,
    /// It counts among the attempts.
    pub(crate) attempt: bool,
    pub(crate) peer: Arc<str>,
    /// Calls by their slot: record and stream.
    calls: Vec<(u32, u32)>,
    /// Calls that wait for room on it.
    pub(crate) blocked: List,
    startable: bool,
    going_away: bool,
    /// Why it is over.
    pub(crate) lost: Option<String>,
    /// It is among those to read.
    pub(crate) listed: bool,
    /// It is among those to write.
    pub(crate) dirty: bool,
}

/// What all connections of a channel work on.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) calls: Calls,
    pub(crate) timers: Timers,
    /// To tell the balancer.
    pub(crate) events: Vec<(SubchannelId, SubchannelEvent)>,
    /// Calls to start again.
    pub(crate) restart: Vec<u32>,
    /// Calls that ended, or streams with something new.
    pub(crate) news: Vec<u32>,
    /// Calls that can go on sending.
    writable: Vec<u32>,
    /// `:authority`.
    authority: String,
    /// The peer complained of keepalive (gRFC A8).
    pub(crate) too_many_pings: bool,
}

/// Timer keys: connections and calls in turn. (Balancer and resolver know their own moments.)
pub(crate) mod key {
    pub(crate) enum Key {
        Connection(u32),
        Call(u32),
    }
    pub(crate) const fn of_connection(index: u32) -> u32 {
        2 * index
    }
    pub(crate) const fn of_call(index: u32) -> u32 {
        2 * index + 1
    }
    pub(crate) const fn read(key: u32) -> Key {
        if key.is_multiple_of(2) { Key::Connection(key / 2) } else { Key::Call(key / 2) }
    }
}

impl Work {
    pub(crate) fn new(authority: String) -> Work {
        Work {
            calls: Calls::default(),
            timers: Timers::default(),
            events: Vec::new(),
            restart: Vec::new(),
            news: Vec::new(),
            writable: Vec::new(),
            authority,
            too_many_pings: false,
        }
    }

    /// Ends a call that is on no connection and in no list.
    pub(crate) fn end(&mut self, index: u32, code: Code, message: &[u8]) {
        self.timers.set(key::of_call(index), None);
        let record = self.calls.at(index);
        record.stage = Stage::Ended;
        record.sending = false;
        record.outcome.code = Some(code);
        record.outcome.message.clear();
        record.outcome.message.extend_from_slice(message);
        self.note(index);
    }

    /// Puts a call among those to tell its caller of.
    pub(crate) fn note(&mut self, index: u32) {
        let record = self.calls.at(index);
        if !record.noted {
            record.noted = true;
            self.news.push(index);
        }
    }

    fn start_again(&mut self, index: u32) {
        let record = self.calls.at(index);
        record.stage = Stage::Again;
        record.rewind();
        self.restart.push(index);
    }
}

/// How starting a call on a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// It has a stream.
    Running,
    /// It waits in the connection's queue, or should.
    Blocked,
    /// The connection takes no new calls.
    Unavailable,
    /// The call can never be started: it ended.
    Ended,
}

impl State {
    pub(crate) fn new(index: u32, token: Token, id: SubchannelId, peer: Arc<str>) -> State {
        State {
            index,
            token,
            id,
            current: true,
            usable: false,
            attempt: true,
            peer,
            calls: Vec::new(),
            blocked: List::new(),
            startable: false,
            going_away: false,
            lost: None,
            listed: false,
            dirty: false,
        }
    }

    /// The record of a stream; `None` when its caller has no interest any more.
    fn record(&self, call: CallId) -> Option<u32> {
        match self.calls.get(usize::from(call.slot)) {
            Some(&(index, id)) if id == call.id && index != NONE => Some(index),
            _ => None,
        }
    }

    fn attach(&mut self, call: CallId, index: u32) {
        let slot = usize::from(call.slot);
        if slot >= self.calls.len() {
            self.calls.resize(slot + 1, (NONE, 0));
        }
        self.calls[slot] = (index, call.id);
    }

    /// The call's events are of no interest from now on.
    pub(crate) fn detach(&mut self, call: CallId) {
        if let Some(place) = self.calls.get_mut(usize::from(call.slot)).filter(|(_, id)| *id == call.id) {
            *place = (NONE, 0);
        }
    }

    /// The balancer does not count on it any more; who waits for room on it goes elsewhere.
    pub(crate) fn retire(&mut self, work: &mut Work) {
        self.current = false;
        while let Some(index) = self.blocked.pop(&mut work.calls) {
            work.start_again(index);
        }
    }
}

/// A connection's handler: its own state, and what all connections share.
pub(crate) struct Sink<'a> {
    pub(crate) now: Instant,
    pub(crate) state: &'a mut State,
    pub(crate) work: &'a mut Work,
}

impl Sink<'_> {
    /// Starts a call and sends what there is of it. A blocked one is left as it was.
    pub(crate) fn start(&mut self, connection: &mut Connection, index: u32) -> Started {
        let Work { calls, authority, .. } = &mut *self.work;
        let record = calls.at(index);
        if let Some(entry) = record.sent_metadata.oversize() {
            self.work.end(index, Code::INTERNAL, too_long(entry).as_bytes());
            return Started::Ended;
        }
        let timeout = record.time_left(self.now);
        let started = record.sent_metadata.with_pairs(|metadata| {
            connection.start_call(
                self.now,
                &CallHead {
                    path: record.path.as_bytes(),
                    authority: authority.as_bytes(),
                    secure: false,
                    timeout,
                    metadata,
                    user_agent: b"",
                },
            )
        });
        let id = match started {
            Ok(id) => id,
            Err(StartCallError::Blocked) => return Started::Blocked,
            Err(StartCallError::GoingAway | StartCallError::Closed) => return Started::Unavailable,
            Err(error) => {
                let (code, message) = explain(error, record);
                self.work.end(index, code, message.as_bytes());
                return Started::Ended;
            }
        };
        record.stage = Stage::Running { conn: self.state.index, id };
        record.outcome.peer = Some(self.state.peer.clone());
        self.state.attach(id, index);
        self.work.timers.set(key::of_call(index), None);
        self.send(connection, id, index);
        Started::Running
    }

    /// Sends as much of the call's message, and of its half-close, as the connection takes.
    pub(crate) fn send(&mut self, connection: &mut Connection, id: CallId, index: u32) {
        let record = self.work.calls.at(index);
        while record.sending {
            let end = if record.half_close { End::Last } else { End::More };
            match connection.send_message(id, &record.request[record.sent..], end) {
                Ok(n) => {
                    record.sent += n;
                    if record.sent == record.request.len() {
                        record.sending = false;
                        record.half_closed |= record.half_close;
                    }
                }
                Err(SendError::Blocked) => return,
                // The call is over for the peer: its Status says how.
                Err(SendError::Closed) => record.sending = false,
                Err(error) => {
                    let message = format!("message of {} octets: {error:?}", record.request.len());
                    self.fail(connection, id, index, Code::INTERNAL, &message);
                    return;
                }
            }
        }
        if record.half_close && !record.half_closed {
            match connection.half_close(id) {
                Err(SendError::Blocked) => return,
                // Over anyway when it is closed.
                _ => record.half_closed = true,
            }
        }
        if record.kind == Kind::Stream {
            self.work.note(index);
        }
    }

    /// Ends a call for what was found on this side.
    fn fail(&mut self, connection: &mut Connection, call: CallId, index: u32, code: Code, message: &str) {
        connection.cancel(call);
        self.state.detach(call);
        self.work.end(index, code, message.as_bytes());
    }

    fn status(&mut self, call: CallId, status: &Status<'_>) {
        let Some(index) = self.state.record(call) else { return };
        self.state.detach(call);
        let record = self.work.calls.at(index);
        if record.can_restart() && !record.has_header {
            let again = match status.fate {
                // gRFC A6, transparent retries: what never left, until the deadline; what was refused, once.
                Fate::NeverLeft => status.code == Code::UNAVAILABLE,
                Fate::Refused => record.refused_by.is_none(),
                Fate::Seen => false,
            };
            if again {
                if status.fate == Fate::Refused {
                    record.refused_by = Some(self.state.id);
                }
                self.work.start_again(index);
                return;
            }
        }
        record.outcome.metadata.set_trailer(status.trailers);
        let missing = record.kind == Kind::Unary && record.inbox.whole.is_empty();
        match (status.code, &self.state.lost) {
            // statuscodes.md, "Response cardinality violation".
            (Code::OK, _) if missing => {
                self.work.end(index, Code::UNIMPLEMENTED, b"the response to a unary call has no message");
            }
            (Code::UNAVAILABLE, Some(lost)) => {
                let message = format!("{}: {lost}", self.state.peer);
                self.work.end(index, status.code, message.as_bytes());
            }
            _ => self.work.end(index, status.code, status.message),
        }
    }
}

impl Handler for Sink<'_> {
    fn event(&mut self, event: Event<'_, '_>) {
        match event {
            Event::Ready => {
                self.state.usable = true;
                if self.state.current {
                    self.work.events.push((self.state.id, SubchannelEvent::Ready));
                }
            }
            Event::Metadata { call, metadata } => {
                let Some(index) = self.state.record(call) else { return };
                let record = self.work.calls.at(index);
                record.outcome.metadata.set_header(metadata);
                record.has_header = true;
                if record.kind == Kind::Stream {
                    self.work.note(index);
                }
            }
            Event::Status { call, status } => self.status(call, &status),
            Event::Writable { call } => self.work.writable.extend(self.state.record(call)),
            Event::Startable => self.state.startable = true,
            Event::GoAway { code, debug, .. } => {
                self.state.going_away = true;
                self.work.too_many_pings |=
                    code == ErrorCode::ENHANCE_YOUR_CALM && debug == b"too_many_pings";
            }
            // The rest is the server's.
            _ => {}
        }
    }

    fn message(&mut self, connection: &mut Connection, call: CallId, piece: Piece<'_>, _end: bool) {
        let Some(index) = self.state.record(call) else {
            connection.release(call, piece.bytes.len());
            return;
        };
        let record = self.work.calls.at(index);
        if piece.offset == 0 {
            if let Some((code, message)) = refuse(record, &piece) {
                self.fail(connection, call, index, code, &message);
                return;
            }
            record.inbox.count += 1;
            record.outcome.response.reserve((piece.len as usize).min(MAX_RESERVE));
        }
        record.outcome.response.extend_from_slice(piece.bytes);
        // The message that the caller takes next must come in whole, whatever the window. What is behind it holds
        // the window until it is taken: that is the back-pressure.
        if record.inbox.whole.is_empty() || record.kind == Kind::Unary {
            connection.release(call, piece.bytes.len());
        } else {
            record.inbox.held += piece.bytes.len();
        }
        if piece.offset as usize + piece.bytes.len() == piece.len as usize {
            record.inbox.whole.push_back(piece.len);
            if record.kind == Kind::Stream {
                self.work.note(index);
            }
        }
    }

    fn settle(&mut self, connection: &mut Connection) {
        while let Some(index) = self.work.writable.pop() {
            if let Stage::Running { id, .. } = self.work.calls.at(index).stage {
                self.send(connection, id, index);
            }
        }
        if std::mem::take(&mut self.state.going_away) && self.state.current {
            self.work.events.push((self.state.id, SubchannelEvent::Lost));
            self.state.retire(self.work);
        }
        if std::mem::take(&mut self.state.startable) {
            while let Some(index) = self.state.blocked.first() {
                match self.start(connection, index) {
                    Started::Blocked => break,
                    Started::Running | Started::Ended => {
                        self.state.blocked.remove(&mut self.work.calls, index);
                    }
                    Started::Unavailable => {
                        self.state.blocked.remove(&mut self.work.calls, index);
                        self.work.start_again(index);
                    }
                }
            }
        }
    }

    fn lost(&mut self, lost: &Lost) {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{lost}");
        self.state.lost = Some(text);
    }
}

/// Why a message that begins cannot be taken.
fn refuse(record: &Record, piece: &Piece<'_>) -> Option<(Code, String)> {
    if piece.compressed {
        // compression.md: what this side did not offer is INTERNAL.
        return Some((Code::INTERNAL, "the response is compressed, which was not offered".into()));
    }
    if record.kind == Kind::Unary && record.inbox.count > 0 {
        // statuscodes.md, "Response cardinality violation".
        return Some((Code::UNIMPLEMENTED, "the response to a unary call has more than one message".into()));
    }
    if piece.len > record.max_message {
        let message = format!("message of {} octets is larger than {}", piece.len, record.max_message);
        return Some((Code::RESOURCE_EXHAUSTED, message));
    }
    if record.inbox.whole.len() >= MAX_WAITING_MESSAGES {
        return Some((Code::RESOURCE_EXHAUSTED, "too many messages wait to be taken".into()));
    }
    None
}

fn explain(error: StartCallError, record: &Record) -> (Code, String) {
    match error {
        StartCallError::TooLarge => {
            (Code::RESOURCE_EXHAUSTED, "the call's path and metadata are larger than can be sent".into())
        }
        StartCallError::BadMetadata(entry) => {
            let name = record.sent_metadata.pairs().nth(usize::from(entry)).map_or(&b""[..], |pair| pair.0);
            let name = String::from_utf8_lossy(name);
            (Code::INTERNAL, format!("metadata {name:?}: gRPC does not allow this name or value"))
        }
        StartCallError::BadPath => (Code::INTERNAL, format!("{:?} is no path of a method", record.path)),
        other => (Code::INTERNAL, format!("the call cannot be started: {other:?}")),
    }
}

fn too_long(entry: u16) -> String {
    format!("metadata entry {entry} is longer than 65535 octets")
}
