//! The calls of one connection, at the driving thread: from events to handlers, and from answers to commands.

use super::context::Context;
use super::metadata::Metadata;
use super::methods::{Method, guard};
use super::outgoing::{Outgoing, Pumped};
use super::request::{Request, Response};
use super::work::{Place, Work};
use crate::host::carrier::{self, Connection, Lost};
use crate::host::health;
use grpclb_core::call::{CallId, Event, Piece};
use grpclb_core::grpc::Code;
use grpclb_core::http2::Fields;
use grpclb_core::time::{Duration, Instant};
use std::sync::Arc;

/// The calls of one connection, by slot.
#[derive(Debug)]
pub(crate) struct Calls {
    place: Place,
    slots: Vec<Slot>,
    /// Slots with something to do at the next settling.
    touched: Vec<u16>,
}

/// One call's place. Buffers stay for the next call.
#[derive(Debug, Default)]
struct Slot {
    /// The stream's id; 0 while free.
    id: u32,
    stage: Stage,
    touched: bool,
    method: usize,
    deadline: Instant,
    metadata: Metadata,
    /// The request of a unary method, as far as it came.
    request: Vec<u8>,
    /// Whether a request message has begun.
    begun: bool,
    /// What the driving thread itself answers.
    outgoing: Outgoing,
    /// The call, while it is a worker's.
    work: Option<Arc<Work>>,
    /// The status that a watcher was told.
    told: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Free,
    /// A unary request arrives.
    Collecting,
    /// It is complete; its handler runs at the next settling.
    Complete,
    /// A worker handles it.
    Working,
    /// A watcher of a service's health, named in `request`.
    Watching,
    /// The answer waits for window or room.
    Sending,
}

/// One connection's calls and what all connections share, put together to handle a carrier's events.
pub(crate) struct Turn<'a> {
    pub(crate) calls: &'a mut Calls,
    pub(crate) context: &'a mut Context,
}

impl Calls {
    pub(crate) fn new(place: Place) -> Calls {
        Calls { place, slots: Vec::new(), touched: Vec::new() }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    fn touch(&mut self, slot: u16) {
        if let Some(entry) = self.slots.get_mut(usize::from(slot))
            && !entry.touched
        {
            entry.touched = true;
            self.touched.push(slot);
        }
    }

    /// The slot of a call that runs.
    fn find(&mut self, call: CallId) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(call.slot)).filter(|slot| slot.id == call.id)
    }
}

impl carrier::Handler for Turn<'_> {
    fn event(&mut self, event: Event<'_, '_>) {
        match event {
            Event::Call { call, path, timeout, metadata, end, .. } => {
                self.begin(call, path, timeout, metadata, end);
            }
            Event::End { call } => self.half_closed(call),
            Event::Status { call, status } if self.calls.find(call).is_some() => {
                self.free(call.slot, status.code);
            }
            Event::Writable { call } if self.calls.find(call).is_some() => self.calls.touch(call.slot),
            _ => {}
        }
    }

    fn message(&mut self, connection: &mut Connection, call: CallId, piece: Piece<'_>, end: bool) {
        let octets = piece.bytes.len();
        let Some(slot) = self.calls.find(call) else { return connection.release(call, octets) };
        if piece.compressed && matches!(slot.stage, Stage::Collecting | Stage::Working) {
            connection.release(call, octets);
            return self.refuse(call.slot, Code::UNIMPLEMENTED, "compressed messages are not supported");
        }
        match slot.stage {
            Stage::Collecting => {
                connection.release(call, octets);
                self.collect(connection, call, piece, end);
            }
            Stage::Working => {
                let release = self.deliver(call, piece, end);
                connection.release(call, release);
            }
            _ => connection.release(call, octets),
        }
    }

    fn settle(&mut self, connection: &mut Connection) {
        while let Some(slot) = self.calls.touched.pop() {
            let Some(entry) = self.calls.slots.get_mut(usize::from(slot)) else { continue };
            entry.touched = false;
            let call = CallId { id: entry.id, slot };
            match entry.stage {
                Stage::Free | Stage::Collecting => {}
                Stage::Complete => self.complete(connection, call),
                Stage::Working => self.pump_work(connection, call),
                Stage::Watching => self.pump_watch(connection, call),
                Stage::Sending => self.pump(connection, call),
            }
        }
    }

    fn lost(&mut self, _: &Lost) {}
}

impl Turn<'_> {
    /// A worker did something with `work`.
    pub(crate) fn note(&mut self, connection: &mut Connection, work: &Arc<Work>) {
        // A slot that has been reused belongs to another one.
        let current = self.calls.find(work.call).and_then(|slot| slot.work.as_ref());
        if current.is_some_and(|current| Arc::ptr_eq(current, work)) {
            self.pump_work(connection, work.call);
        }
    }

    /// Tells watchers what has changed.
    pub(crate) fn health_changed(&mut self, connection: &mut Connection) {
        for index in 0..self.calls.slots.len() {
            if self.calls.slots[index].stage == Stage::Watching {
                self.calls.touch(index as u16);
            }
        }
        carrier::Handler::settle(self, connection);
    }

    /// Ends every call that still runs, with this status.
    pub(crate) fn end_all(&mut self, connection: &mut Connection, code: Code, message: &str) {
        for index in 0..self.calls.slots.len() {
            if self.calls.slots[index].stage != Stage::Free {
                self.refuse(index as u16, code, message);
            }
        }
        carrier::Handler::settle(self, connection);
    }

    /// A new call.
    fn begin(
        &mut self,
        call: CallId,
        path: &[u8],
        timeout: Option<Duration>,
        metadata: Fields<'_>,
        end: bool,
    ) {
        let index = usize::from(call.slot);
        if index >= self.calls.slots.len() {
            self.calls.slots.resize_with(index + 1, Slot::default);
        }
        // A call whose last event was lost would be a fault of core; its worker must not wait for ever.
        debug_assert_eq!(self.calls.slots[index].stage, Stage::Free);
        self.free(call.slot, Code::CANCELLED);
        let slot = &mut self.calls.slots[index];
        slot.id = call.id;
        let Some(method) = self.context.methods.find(path) else {
            let path = String::from_utf8_lossy(path);
            let message = format!("unknown method {path:.200}");
            return self.refuse(call.slot, Code::UNIMPLEMENTED, &message);
        };
        slot.method = method;
        slot.deadline = timeout.map_or(Instant::NEVER, |timeout| self.context.now.after(timeout));
        for (name, value) in metadata {
            slot.metadata.push(name, value);
        }
        if let Method::Streaming(_) = self.context.methods.get(method) {
            self.start_work(call, end);
        } else {
            slot.stage = Stage::Collecting;
            if end {
                self.half_closed(call);
            }
        }
    }

    /// A part of a unary request.
    fn collect(&mut self, connection: &mut Connection, call: CallId, piece: Piece<'_>, end: bool) {
        let Some(slot) = self.calls.find(call) else { return };
        if piece.is_first() && std::mem::replace(&mut slot.begun, true) {
            // grpc/doc/statuscodes.md: a violated cardinality of the request is UNIMPLEMENTED.
            return self.refuse(call.slot, Code::UNIMPLEMENTED, "expected one request message, got several");
        }
        let inline = matches!(self.context.methods.get(slot.method), Method::Unary(_));
        if let (true, true, Some(message)) = (inline, end, piece.whole()) {
            // The common case: nothing is copied.
            return self.run(connection, call, message);
        }
        slot.request.extend_from_slice(piece.bytes);
        if end {
            self.complete(connection, call);
        }
    }

    /// A part of a message for a worker. Returns how many octets to release.
    fn deliver(&mut self, call: CallId, piece: Piece<'_>, end: bool) -> usize {
        let window = self.context.stream_window;
        let Some(work) = self.calls.find(call).and_then(|slot| slot.work.as_ref()) else {
            return piece.bytes.len();
        };
        let (release, full) = work.tell(|state| {
            let release = state.inbox.put(piece.offset, piece.len, piece.bytes);
            state.half_closed |= end;
            (release, state.inbox.is_full(window))
        });
        if full {
            self.refuse(call.slot, Code::RESOURCE_EXHAUSTED, "too many messages wait for the handler");
        }
        release
    }

    fn half_closed(&mut self, call: CallId) {
        let Some(slot) = self.calls.find(call) else { return };
        match (slot.stage, &slot.work) {
            (Stage::Collecting, _) if !slot.begun => {
                self.refuse(call.slot, Code::UNIMPLEMENTED, "expected one request message, got none");
            }
            (Stage::Collecting, _) => {
                slot.stage = Stage::Complete;
                self.calls.touch(call.slot);
            }
            (Stage::Working, Some(work)) => work.tell(|state| state.half_closed = true),
            _ => {}
        }
    }

    /// A unary request is there: to its handler.
    fn complete(&mut self, connection: &mut Connection, call: CallId) {
        let Some(slot) = self.calls.find(call) else { return };
        match self.context.methods.get(slot.method) {
            Method::Unary(_) => {
                let request = std::mem::take(&mut slot.request);
                self.run(connection, call, &request);
                // The buffer goes back, also when the call is over: for the next one.
                let slot = &mut self.calls.slots[usize::from(call.slot)];
                slot.request = request;
                super::empty(&mut slot.request);
            }
            Method::Blocking(_) | Method::Streaming(_) => self.start_work(call, true),
            Method::Watch => match health::decode_request(&slot.request) {
                Ok(_) => {
                    slot.stage = Stage::Watching;
                    self.pump_watch(connection, call);
                }
                Err(reason) => self.refuse(call.slot, Code::INTERNAL, reason),
            },
        }
    }

    /// Runs a unary handler on this thread, and sends what it answers.
    fn run(&mut self, connection: &mut Connection, call: CallId, message: &[u8]) {
        let Context { methods, scratch, .. } = &mut *self.context;
        let slot = &mut self.calls.slots[usize::from(call.slot)];
        let Method::Unary(handler) = methods.get(slot.method) else { return };
        let request = Request { message, metadata: &slot.metadata, deadline: slot.deadline, work: None };
        let mut response = Response {
            message: scratch,
            headers: &mut slot.outgoing.headers,
            trailers: &mut slot.outgoing.trailers,
        };
        let result = guard(|| handler(&request, &mut response));
        let plain = slot.outgoing.headers.is_empty() && slot.outgoing.trailers.is_empty();
        // The common case: all in one step. Otherwise (no room, metadata, an error) it goes in pieces.
        if !(plain && result.is_ok() && connection.reply(call, scratch).is_ok()) {
            if result.is_ok() {
                slot.outgoing.push_swapped(scratch);
            }
            slot.outgoing.finish(result);
            slot.stage = Stage::Sending;
            self.pump(connection, call);
        } else {
            self.free(call.slot, Code::OK);
        }
        super::empty(&mut self.context.scratch);
    }

    /// Hands a call to a worker.
    fn start_work(&mut self, call: CallId, half_closed: bool) {
        let place = self.calls.place;
        let Some(slot) = self.calls.find(call) else { return };
        let work = self.context.work(|work| {
            (work.place, work.call, work.method, work.deadline) = (place, call, slot.method, slot.deadline);
            std::mem::swap(&mut work.metadata, &mut slot.metadata);
            std::mem::swap(&mut work.request, &mut slot.request);
            work.state_mut().half_closed = half_closed;
        });
        slot.stage = Stage::Working;
        slot.work = Some(Arc::clone(&work));
        if self.context.pool.submit(work).is_err() {
            self.refuse(call.slot, Code::RESOURCE_EXHAUSTED, "all workers are busy, and their queue is full");
        }
    }

    /// Ends a call from this side: nothing more of it is read, a worker's answer is not wanted any more.
    fn refuse(&mut self, slot: u16, code: Code, message: &str) {
        let entry = &mut self.calls.slots[usize::from(slot)];
        if let Some(work) = entry.work.take() {
            work.end(code);
            // What it had begun to send ends here, too.
            work.tell(|state| std::mem::swap(&mut state.outgoing, &mut entry.outgoing));
            self.context.recycle(work);
        }
        entry.outgoing.abort(code, message.to_owned());
        entry.stage = Stage::Sending;
        self.calls.touch(slot);
    }

    /// Gives the connection what the driving thread answers.
    fn pump(&mut self, connection: &mut Connection, call: CallId) {
        let Some(slot) = self.calls.find(call) else { return };
        if slot.outgoing.pump(connection, call) == Pumped::Finished {
            self.free(call.slot, Code::OK);
        }
    }

    /// Gives the connection what a worker answers, and the window what it took.
    fn pump_work(&mut self, connection: &mut Connection, call: CallId) {
        let Some(work) = self.calls.find(call).and_then(|slot| slot.work.as_ref()) else { return };
        let mut state = work.lock();
        let release = std::mem::take(&mut state.release);
        let was_full = state.outgoing.is_full();
        let pumped = state.outgoing.pump(connection, call);
        let room = was_full && !state.outgoing.is_full();
        drop(state);
        if release > 0 {
            connection.release(call, release);
        }
        if room {
            work.ring();
        }
        if pumped == Pumped::Finished {
            self.free(call.slot, Code::CANCELLED);
        }
    }

    /// Tells a watcher the status, when it is another one than the last.
    fn pump_watch(&mut self, connection: &mut Connection, call: CallId) {
        let Some(slot) = self.calls.find(call) else { return };
        loop {
            match slot.outgoing.pump(connection, call) {
                Pumped::Drained => {}
                Pumped::Blocked => return,
                Pumped::Finished => return self.free(call.slot, Code::OK),
            }
            let service = health::decode_request(&slot.request).unwrap_or_default();
            let Some(health) = &self.context.health else { return };
            let status = health.watched(service);
            if slot.told != Some(status) {
                slot.told = Some(status);
                let mut message = Vec::new();
                health::encode_response(status, &mut message);
                slot.outgoing.push_swapped(&mut message);
            } else if self.context.stopping {
                // A watch has no end of its own, and must not hold up the end of the server.
                slot.outgoing.finish(Err((Code::UNAVAILABLE, "the server stops".to_owned())));
            } else {
                return;
            }
        }
    }

    /// Makes the slot free; `code`: what a worker that still handles the call is told.
    fn free(&mut self, slot: u16, code: Code) {
        let entry = &mut self.calls.slots[usize::from(slot)];
        if entry.stage == Stage::Free {
            return;
        }
        if let Some(work) = entry.work.take() {
            work.end(code);
            self.context.recycle(work);
        }
        (entry.id, entry.stage, entry.begun, entry.told) = (0, Stage::Free, false, None);
        entry.metadata.clear();
        super::empty(&mut entry.request);
        entry.outgoing.clear();
    }
}
