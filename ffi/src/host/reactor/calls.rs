//! The table of calls: what each was asked, how far it is, and what came back. A record and its buffers are used
//! again by later calls, so a call allocates nothing once the table has its size.

use super::super::call::Call;
use super::metadata::Packed;
use grpclb_core::balancer::SubchannelId;
use grpclb_core::call::CallId;
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

/// No record, no place in a list.
pub(crate) const NONE: u32 = u32::MAX;

/// A buffer that grew beyond this is given back when its call ends.
const KEEP: usize = 1 << 20;

/// A call of a reactor, until [`Reactor::take`](super::Reactor::take) gave its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// Dense, so that an application can keep its own state of a call in an array.
    pub index: u32,
    /// Tells successors at the same index apart.
    pub generation: u32,
}

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One message out, one back.
    Unary,
    /// Any number of messages, both ways.
    Stream,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The record is not in use.
    Free,
    /// Waits for a pick, in the reactor's queue.
    Queued,
    /// Waits for the connection to take another call, in its queue.
    Blocked {
        /// The connection's index.
        conn: u32,
    },
    /// Has a stream.
    Running {
        /// The connection's index.
        conn: u32,
        /// The stream.
        id: CallId,
    },
    /// Is to be started again.
    Again,
    /// Over; the outcome waits to be taken.
    Ended,
}

/// How a call ended, and what came back.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The unary call's response; a stream's messages that were not taken yet.
    pub(crate) response: Vec<u8>,
    /// Metadata as core packs it: initial, from `trailers_at` on trailing.
    pub(crate) metadata: Packed,
    /// Valid once the call has ended.
    pub(crate) code: Option<Code>,
    /// Why, in words; UTF-8 unless the peer sent something else.
    pub(crate) message: Vec<u8>,
    /// Who served it.
    pub(crate) peer: Option<Arc<str>>,
}

impl Outcome {
    /// Empties it for the next call; the buffers stay, unless they have grown very large.
    pub(crate) fn clear(&mut self) {
        reuse(&mut self.response);
        reuse(&mut self.message);
        self.metadata.clear();
        self.code = None;
        self.peer = None;
    }
}

fn reuse(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEEP {
        *buffer = Vec::new();
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    /// What was asked.
    pub(crate) path: String,
    pub(crate) sent_metadata: Packed,
    pub(crate) deadline: Option<Instant>,
    pub(crate) wait_for_ready: bool,
    /// Octets of a message, in and out.
    pub(crate) max_message: u32,
    pub(crate) max_request: u32,
    /// The how-manieth pick of the channel it was.
    pub(crate) pick_order: u64,
    /// Until then a pick that fails is tried again: attempts that were overdue are under way.
    pub(crate) patience: Option<Instant>,
    /// The endpoint that refused it: it was tried again once already, and not there if there is another.
    pub(crate) refused_by: Option<SubchannelId>,
    /// The message being sent: kept until the next one, since the call may have to be started again.
    pub(crate) request: Vec<u8>,
    /// Octets of it that the connection took.
    pub(crate) sent: usize,
    /// Whether a message is being sent.
    pub(crate) sending: bool,
    /// Messages begun, over all of the call.
    pub(crate) messages_out: u64,
    /// No more messages are to be sent.
    pub(crate) half_close: bool,
    /// And the connection knows.
    pub(crate) half_closed: bool,
    pub(crate) inbox: Inbox,
    pub(crate) outcome: Outcome,
    /// Initial metadata arrived.
    pub(crate) has_header: bool,
    /// It is among those to tell the caller of.
    pub(crate) noted: bool,
    /// Its place in the list that it is in (see [`List`]).
    previous: u32,
    next: u32,
}

/// The messages that arrived, in order; their octets lie in `Outcome::response`.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Lengths of those that are whole.
    pub(crate) whole: VecDeque<u32>,
    /// Octets in front that were taken already.
    pub(crate) taken: usize,
    /// Octets whose receive window was not given back.
    pub(crate) held: usize,
    /// Messages that arrived, over all of the call.
    pub(crate) count: u64,
}

impl Inbox {
    fn clear(&mut self) {
        self.whole.clear();
        self.taken = 0;
        self.held = 0;
        self.count = 0;
    }
}

impl Record {
    fn new() -> Record {
        Record {
            generation: 0,
            kind: Kind::Unary,
            stage: Stage::Free,
            path: String::new(),
            sent_metadata: Packed::default(),
            deadline: None,
            wait_for_ready: false,
            max_message: 0,
            max_request: 0,
            pick_order: 0,
            patience: None,
            refused_by: None,
            request: Vec::new(),
            sent: 0,
            sending: false,
            messages_out: 0,
            half_close: false,
            half_closed: false,
            inbox: Inbox::default(),
            outcome: Outcome::default(),
            has_header: false,
            noted: false,
            previous: NONE,
            next: NONE,
        }
    }

    /// Takes over what `call` says.
    fn ask(&mut self, now: Instant, kind: Kind, call: &Call<'_>) {
        self.kind = kind;
        self.path.clear();
        self.path.push_str(call.path);
        self.sent_metadata.clear();
        for (name, value) in call.metadata {
            self.sent_metadata.push(name.as_bytes(), value);
        }
        self.deadline = call.timeout.map(|timeout| now.after(timeout));
        self.wait_for_ready = call.wait_for_ready;
        self.max_message = u32::MAX;
        self.max_request = u32::MAX;
        self.pick_order = 0;
        self.patience = None;
        self.refused_by = None;
        self.request.clear();
        self.sent = 0;
        self.sending = false;
        self.messages_out = 0;
        self.half_close = false;
        self.half_closed = false;
        self.inbox.clear();
        self.outcome.clear();
        self.has_header = false;
        self.noted = false;
    }

    /// The next message to send, and whether it is the last. `Err`: it is too large, and why.
    pub(crate) fn put(&mut self, message: &[u8], last: bool) -> Result<(), String> {
        debug_assert!(!self.sending);
        // The length prefix of gRPC/HTTP2 has 32 bits.
        let limit = self.max_request as usize;
        if message.len() > limit {
            return Err(format!("message of {} octets is larger than {limit}", message.len()));
        }
        self.request.clear();
        self.request.extend_from_slice(message);
        self.sent = 0;
        self.sending = true;
        self.messages_out += 1;
        self.half_close |= last;
        Ok(())
    }

    /// Moves the next message that came whole into `message`; `None` when there is none. Otherwise how many octets
    /// of receive window it and what it held up give back.
    pub(crate) fn take_message(&mut self, message: &mut Vec<u8>) -> Option<usize> {
        let len = self.inbox.whole.pop_front()? as usize;
        let queue = &mut self.outcome.response;
        let (from, to) = (self.inbox.taken, self.inbox.taken + len);
        if from == 0 && to == queue.len() {
            // Alone: the buffers change places.
            std::mem::swap(message, queue);
            queue.clear();
        } else {
            message.clear();
            message.extend_from_slice(&queue[from..to]);
            self.inbox.taken = to;
            // What is left moves to the front once it is the smaller part, so that each octet moves about once.
            if to * 2 >= queue.len() {
                queue.drain(..to);
                self.inbox.taken = 0;
            }
        }
        // The next message, or what has come of it, is now the one to come in whole.
        let released = if self.inbox.whole.is_empty() { self.inbox.held } else { self.inbox.held.min(len) };
        self.inbox.held -= released;
        Some(released)
    }

    /// Whether all that the caller sent is still at hand, so that the call can be started again.
    pub(crate) fn can_restart(&self) -> bool {
        self.messages_out <= 1 && self.inbox.count == 0
    }

    /// Back to the state before it had a stream.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
        self.sending = self.messages_out > 0;
        self.half_closed = false;
        self.has_header = false;
        self.outcome.metadata.clear();
        self.outcome.peer = None;
    }

    /// What is left until the deadline; `None`: no deadline.
    pub(crate) fn time_left(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.since(now))
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    records: Vec<Record>,
    free: Vec<u32>,
}

impl Calls {
    /// A record for a new call.
    pub(crate) fn open(&mut self, now: Instant, kind: Kind, call: &Call<'_>) -> CallKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.records.push(Record::new());
            // Room to free every record, so that freeing never allocates.
            self.free.reserve(self.records.len());
            (self.records.len() - 1) as u32
        });
        let record = &mut self.records[index as usize];
        record.ask(now, kind, call);
        record.stage = Stage::Queued;
        CallKey { index, generation: record.generation }
    }

    /// Gives a record back; the call must be in no list and on no connection.
    pub(crate) fn close(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        debug_assert!(record.previous == NONE && record.next == NONE);
        record.stage = Stage::Free;
        record.generation = record.generation.wrapping_add(1);
        reuse(&mut record.request);
        record.outcome.clear();
        self.free.push(index);
    }

    /// The record of that index.
    pub(crate) fn at(&mut self, index: u32) -> &mut Record {
        &mut self.records[index as usize]
    }

    /// The record of a key, unless the call has gone.
    pub(crate) fn get(&mut self, key: CallKey) -> Option<&mut Record> {
        let record = self.records.get_mut(key.index as usize)?;
        (record.generation == key.generation && record.stage != Stage::Free).then_some(record)
    }

    /// Calls that are in the table, ended ones that were not taken included.
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// All that are in the table.
    pub(crate) fn keys(&self) -> impl Iterator<Item = CallKey> + use<'_> {
        self.records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.stage != Stage::Free)
            .map(|(index, record)| CallKey { index: index as u32, generation: record.generation })
    }
}

/// A first-in, first-out list of calls, linked through their records: a call in the middle leaves at once, when
/// its deadline passes. A call is in one list at most.
#[derive(Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
}

impl List {
    pub(crate) const fn new() -> List {
        List { first: NONE, last: NONE }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The call that waits longest.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// The one behind `index`.
    pub(crate) fn after(&self, calls: &mut Calls, index: u32) -> Option<u32> {
        let next = calls.at(index).next;
        (next != NONE).then_some(next)
    }

    pub(crate) fn push(&mut self, calls: &mut Calls, index: u32) {
        let record = calls.at(index);
        record.previous = self.last;
        record.next = NONE;
        match self.last {
            NONE => self.first = index,
            last => calls.at(last).next = index,
        }
        self.last = index;
    }

    pub(crate) fn remove(&mut self, calls: &mut Calls, index: u32) {
        let record = calls.at(index);
        let (previous, next) = (record.previous, record.next);
        (record.previous, record.next) = (NONE, NONE);
        match previous {
            NONE => self.first = next,
            previous => calls.at(previous).next = next,
        }
        match next {
            NONE => self.last = previous,
            next => calls.at(next).previous = previous,
        }
    }

    pub(crate) fn pop(&mut self, calls: &mut Calls) -> Option<u32> {
        let index = self.first()?;
        self.remove(calls, index);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_the_order_and_lets_any_leave() {
        let (mut calls, mut list) = (Calls::default(), List::new());
        let call = Call::new("/s/m");
        let now = Instant::from_nanos(0);
        let keys: Vec<_> = (0..5).map(|_| calls.open(now, Kind::Unary, &call)).collect();
        for key in &keys {
            list.push(&mut calls, key.index);
        }
        list.remove(&mut calls, 2);
        list.remove(&mut calls, 0);
        list.remove(&mut calls, 4);
        list.push(&mut calls, 0);
        let order: Vec<_> = std::iter::from_fn(|| list.pop(&mut calls)).collect();
        assert_eq!(order, [1, 3, 0]);
        assert!(list.is_empty());
    }

    #[test]
    fn a_key_dies_with_its_call() {
        let mut calls = Calls::default();
        let now = Instant::from_nanos(0);
        let key = calls.open(now, Kind::Unary, &Call::new("/s/m"));
        assert!(calls.get(key).is_some());
        calls.close(key.index);
        assert!(calls.get(key).is_none());
        let next = calls.open(now, Kind::Stream, &Call::new("/s/n"));
        assert_eq!(next.index, key.index);
        assert!(calls.get(key).is_none() && calls.get(next).is_some());
    }
}
