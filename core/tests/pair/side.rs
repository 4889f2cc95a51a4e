//! One end of the link: a connection under the driver's rule, and the application above it, which checks what it is
//! told while it is told.

use crate::heap::{Heap, Sizes};
use crate::link::Link;
use grpclb_core::call::{CallId, Config, Connection, End, Event, Fate, SendError};
use grpclb_core::grpc::Code;
use grpclb_core::http2::Fields;
use grpclb_core::time::{Duration, Instant};
use std::collections::{HashMap, VecDeque};

/// Owned metadata, in order.
pub type Metadata = Vec<(String, Vec<u8>)>;

pub fn owned(fields: Fields<'_>) -> Metadata {
    fields.map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec())).collect()
}

pub fn borrowed(metadata: &Metadata) -> Vec<(&[u8], &[u8])> {
    metadata.iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect()
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: Code,
    pub message: String,
    pub trailers: Metadata,
    pub fate: Fate,
    pub at: Instant,
}

/// What one side knows of a call.
#[derive(Default)]
pub struct Call {
    pub id: Option<CallId>,
    pub path: String,
    pub authority: String,
    pub timeout: Option<Duration>,
    /// Of the request (server), or of the response's head (client).
    pub metadata: Option<Metadata>,
    /// Complete ones.
    pub messages: Vec<Vec<u8>>,
    partial: Option<Vec<u8>>,
    pub peer_ended: bool,
    pub status: Option<Ended>,
    /// Messages to send, and how much of the first is gone.
    pub sending: VecDeque<Vec<u8>>,
    sent: usize,
    /// To be said when all is sent.
    finish: Option<Finish>,
    pub finished: bool,
    /// For applications that answer once.
    pub answered: bool,
}

/// How this side of a call is to end.
#[derive(Clone, Debug)]
pub enum Finish {
    HalfClose,
    Status { code: Code, message: String, trailers: Metadata },
}

/// What an application does about what it is told.
pub trait Application {
    /// Called after each event of a call, with the call's number.
    fn told(&mut self, side: &mut Side, call: usize, now: Instant);
}

/// One end.
pub struct Side {
    pub name: &'static str,
    pub connection: Connection<Heap>,
    pub calls: Vec<Call>,
    by_id: HashMap<CallId, usize>,
    /// Calls that run, by slot: two must never share one.
    by_slot: HashMap<u16, usize>,
    pub ready: bool,
    pub startable: bool,
    pub goaway: Option<u32>,
    pub error: Option<grpclb_core::http2::ConnectionError>,
    /// Whether bytes of messages are released as soon as they are read.
    pub releases: bool,
    /// Events so far, for tests that look for stillness.
    pub events: usize,
    pub gone: bool,
}

impl Side {
    pub fn new(name: &'static str, sizes: Sizes, config: &Config, now: Instant) -> Side {
        Side {
            name,
            connection: Connection::new(Heap::new(sizes), config, now),
            calls: Vec::new(),
            by_id: HashMap::new(),
            by_slot: HashMap::new(),
            ready: false,
            startable: false,
            goaway: None,
            error: None,
            releases: true,
            events: 0,
            gone: false,
        }
    }

    /// Notes a call that was started here.
    pub fn started(&mut self, id: CallId, path: &str) -> usize {
        self.occupy(id, Call { id: Some(id), path: path.to_owned(), ..Call::default() })
    }

    fn occupy(&mut self, id: CallId, call: Call) -> usize {
        let number = self.calls.len();
        self.calls.push(call);
        assert!(self.by_id.insert(id, number).is_none(), "{}: {id:?} again", self.name);
        if let Some(other) = self.by_slot.insert(id.slot, number) {
            panic!("{}: slot of {id:?} is still call {other}'s", self.name);
        }
        number
    }

    /// The call is over on this side: its slot may be another's.
    fn vacate(&mut self, number: usize) {
        if let Some(id) = self.calls[number].id
            && self.by_slot.get(&id.slot) == Some(&number)
        {
            self.by_slot.remove(&id.slot);
        }
    }

    /// Bytes in, events to the application. The rule: after `recv`, `poll_event` until nothing.
    pub fn receive(&mut self, now: Instant, mut input: &[u8], app: &mut dyn Application) {
        loop {
            let told = match self.connection.recv(now, &mut input) {
                Ok(Some(event)) => Told::of(event),
                Ok(None) => {
                    assert!(input.is_empty(), "{}: input is left", self.name);
                    break;
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                    break;
                }
            };
            self.tell(told, now, app);
        }
        self.poll(now, app);
    }

    /// `poll_event` until nothing.
    pub fn poll(&mut self, now: Instant, app: &mut dyn Application) {
        while let Some(event) = self.connection.poll_event() {
            let told = Told::of(event);
            self.tell(told, now, app);
        }
    }

    pub fn transmit(&mut self, now: Instant, link: &mut Link, app: &mut dyn Application) -> bool {
        let mut wrote = false;
        loop {
            let bytes = self.connection.transmit(now);
            if bytes.is_empty() {
                return wrote;
            }
            let n = link.write(now, bytes);
            wrote = true;
            self.connection.transmitted(n);
            self.poll(now, app);
        }
    }

    pub fn lose(&mut self, now: Instant, app: &mut dyn Application) {
        self.gone = true;
        self.connection.carrier_lost(now);
        self.poll(now, app);
        assert_eq!(self.connection.calls(), 0, "{}", self.name);
        assert!(self.connection.is_closed());
    }

    fn tell(&mut self, told: Told, now: Instant, app: &mut dyn Application) {
        self.events += 1;
        let number = match told {
            Told::Ready => {
                assert!(!std::mem::replace(&mut self.ready, true), "{}: READY twice", self.name);
                return;
            }
            Told::Startable => {
                self.startable = true;
                return;
            }
            Told::GoAway(last) => {
                self.goaway = Some(last);
                return;
            }
            Told::Call(id, call) => {
                let number = self.occupy(id, *call);
                assert_eq!(self.calls[number].status, None);
                number
            }
            Told::Metadata(id, metadata) => {
                let number = self.running(id);
                let call = &mut self.calls[number];
                assert!(call.metadata.is_none() && call.messages.is_empty() && call.partial.is_none());
                call.metadata = Some(metadata);
                number
            }
            Told::Message { id, bytes, offset, len, end } => {
                let number = self.running(id);
                let call = &mut self.calls[number];
                assert!(!call.peer_ended && call.metadata.is_some());
                let mut partial = call.partial.take().unwrap_or_default();
                assert_eq!(partial.len(), offset, "{}: parts in order", self.name);
                partial.extend(&bytes);
                assert!(partial.len() <= len);
                assert!(!bytes.is_empty() || len == 0, "an empty part of a message that is not");
                if partial.len() == len {
                    call.messages.push(partial)
                } else {
                    call.partial = Some(partial)
                }
                assert!(!end || call.partial.is_none());
                call.peer_ended = end;
                if self.releases {
                    self.connection.release(id, bytes.len());
                }
                number
            }
            Told::End(id) => {
                let number = self.running(id);
                let call = &mut self.calls[number];
                assert!(!std::mem::replace(&mut call.peer_ended, true) && call.partial.is_none());
                number
            }
            Told::Status(id, mut ended) => {
                let number = self.running(id);
                ended.at = now;
                if ended.code == Code::OK {
                    assert!(self.calls[number].partial.is_none(), "OK within a message");
                }
                self.calls[number].status = Some(*ended);
                self.vacate(number);
                number
            }
            Told::Writable(id) => {
                let number = self.running(id);
                self.pump(number);
                number
            }
        };
        app.told(self, number, now);
    }

    /// The number of a call that has not ended: no event may come after its last.
    fn running(&self, id: CallId) -> usize {
        let number = *self.by_id.get(&id).unwrap_or_else(|| panic!("{}: event of unknown {id:?}", self.name));
        let call = &self.calls[number];
        assert!(call.status.is_none() && !call.finished, "{}: event after the last of {id:?}", self.name);
        number
    }

    /// Sends as much as is taken, and then the end.
    pub fn send(
        &mut self,
        number: usize,
        messages: impl IntoIterator<Item = Vec<u8>>,
        finish: Option<Finish>,
    ) {
        let call = &mut self.calls[number];
        call.sending.extend(messages);
        call.finish = finish.or(call.finish.take());
        self.pump(number);
    }

    fn pump(&mut self, number: usize) {
        let call = &mut self.calls[number];
        let Some(id) = call.id else { return };
        while let Some(message) = call.sending.front() {
            let last = call.sending.len() == 1 && matches!(call.finish, Some(Finish::HalfClose));
            let end = if last { End::Last } else { End::More };
            match self.connection.send_message(id, &message[call.sent..], end) {
                Ok(n) => {
                    call.sent += n;
                    if call.sent < message.len() {
                        return;
                    }
                    call.sent = 0;
                    call.sending.pop_front();
                    if last {
                        call.finish = None;
                        return;
                    }
                }
                Err(SendError::Blocked) => return,
                Err(SendError::Closed) => {
                    call.sending.clear();
                    call.finish = None;
                    return;
                }
                Err(error) => panic!("{}: {error:?}", self.name),
            }
        }
        let result = match &call.finish {
            None => return,
            Some(Finish::HalfClose) => self.connection.half_close(id),
            Some(Finish::Status { code, message, trailers }) => {
                self.connection.send_status(id, *code, message.as_bytes(), &borrowed(trailers))
            }
        };
        match result {
            Err(SendError::Blocked) => return,
            Ok(()) if matches!(call.finish, Some(Finish::Status { .. })) => {
                call.finished = true;
                call.finish = None;
                self.vacate(number);
                return;
            }
            Ok(()) | Err(SendError::Closed) => {}
            Err(error) => panic!("{}: {error:?}", self.name),
        }
        self.calls[number].finish = None;
    }
}

/// An event without borrows.
enum Told {
    Ready,
    Startable,
    GoAway(u32),
    Call(CallId, Box<Call>),
    Metadata(CallId, Metadata),
    Message { id: CallId, bytes: Vec<u8>, offset: usize, len: usize, end: bool },
    End(CallId),
    Status(CallId, Box<Ended>),
    Writable(CallId),
}

impl Told {
    fn of(event: Event<'_, '_>) -> Told {
        match event {
            Event::Ready => Told::Ready,
            Event::Startable => Told::Startable,
            Event::GoAway { last, .. } => Told::GoAway(last),
            Event::Call { call, path, authority, timeout, metadata, end } => Told::Call(
                call,
                Box::new(Call {
                    id: Some(call),
                    path: String::from_utf8(path.to_vec()).unwrap(),
                    authority: String::from_utf8(authority.to_vec()).unwrap(),
                    timeout,
                    metadata: Some(owned(metadata)),
                    peer_ended: end,
                    ..Call::default()
                }),
            ),
            Event::Metadata { call, metadata } => Told::Metadata(call, owned(metadata)),
            Event::Message { call, piece, end } => Told::Message {
                id: call,
                bytes: piece.bytes.to_vec(),
                offset: piece.offset as usize,
                len: piece.len as usize,
                end,
            },
            Event::End { call } => Told::End(call),
            Event::Status { call, status } => Told::Status(
                call,
                Box::new(Ended {
                    code: status.code,
                    message: String::from_utf8_lossy(status.message).into_owned(),
                    trailers: owned(status.trailers),
                    fate: status.fate,
                    at: Instant::default(),
                }),
            ),
            Event::Writable { call } => Told::Writable(call),
            other => panic!("{other:?}"),
        }
    }
}
