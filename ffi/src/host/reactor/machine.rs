//! The two towers joined: the balancer's actions become connections, its picks give each call one, and what
//! connections and resolver say goes back to it. Nothing here waits: a [`Lead`](super::Lead) does that.

use super::super::call::Call;
use super::super::carrier::{Carrier, Lost, READ_BUFFER, Turn};
use super::super::clock;
use super::super::resolve::{Answer, Resolver};
use super::super::socket::{self, Socket};
use super::calls::{CallKey, Kind, List, NONE, Stage};
use super::connection::{Conn, Sink, Started, State, Work, key};
use super::settings::{Settings, seed};
use grpclb_core::balancer::{
    self, Action, Address, Connectivity, Endpoint, Pick, Position, ResolutionError, Sizes, SubchannelEvent,
    SubchannelId,
};
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};
use mio::{Events, Registry, Token, Waker};
use std::io;
use std::sync::Arc;

/// The poll token of the waker; connections have their index.
pub(crate) const WAKER: Token = Token(usize::MAX - 1);

/// How often a pick is repeated to get away from the endpoint that refused a call.
const OTHER_ENDPOINT_PICKS: usize = 8;

/// A channel without its waiting.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) work: Work,
    balancer: balancer::Channel<balancer::Boxed>,
    /// What the balancer's storage holds; it only grows.
    room: Sizes,
    position: Position,
    resolver: Resolver,
    settings: Settings,
    registry: Registry,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<u32>,
    /// Connection by subchannel index. A subchannel's index is reused at once, so its connections are not found
    /// by it once they are retired.
    by_subchannel: Vec<u32>,
    /// Calls that wait for a pick.
    queue: List,
    picker_version: u32,
    picks: u64,
    /// Connections being made.
    connecting: usize,
    busy: bool,
    /// Why calls fail, when they do.
    resolution_error: Option<String>,
    connect_error: Option<String>,
    /// Connections to read, and to write.
    ready: Vec<u32>,
    dirty: Vec<u32>,
    buffer: Box<[u8]>,
    closed: bool,
}

impl Machine {
    pub(crate) fn new(settings: Settings, registry: Registry, waker: Arc<Waker>) -> Result<Machine, String> {
        let resolver = settings.resolver(waker)?;
        let seed = seed();
        let room = Sizes { addresses: 16, text: 256 };
        Ok(Machine {
            work: Work::new(settings.authority()),
            balancer: balancer::Channel::new(balancer::Boxed::new(room), &settings.balancer(seed)),
            room,
            position: Position::new(seed),
            resolver,
            settings,
            registry,
            conns: Vec::new(),
            free: Vec::new(),
            by_subchannel: Vec::new(),
            queue: List::new(),
            picker_version: 0,
            picks: 0,
            connecting: 0,
            busy: false,
            resolution_error: None,
            connect_error: None,
            ready: Vec::new(),
            dirty: Vec::new(),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            closed: false,
        })
    }

    // ---- time and readiness ----

    /// When to call [`Machine::turn`] at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if !self.ready.is_empty() { Some(Instant::from_nanos(0)) } else { self.work.timers.first() }
    }

    /// Whether there is something to write or to tell, before any wait.
    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.work.news.is_empty()
    }

    /// Notes what the poll said.
    pub(crate) fn ready(&mut self, events: &Events) {
        for event in events {
            // The waker says that the resolver has an answer: it is asked in every turn.
            let Some(Some(conn)) = self.conns.get_mut(event.token().0) else { continue };
            conn.carrier.ready(event);
            if !std::mem::replace(&mut conn.state.listed, true) {
                self.ready.push(event.token().0 as u32);
            }
        }
    }

    /// Does everything that is due: time, then reading, then what follows. Writing is [`Machine::flush`]'s, once the
    /// callers that were woken have had their turn.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.expire(now);
        let count = self.ready.len();
        for at in 0..count {
            let index = self.ready[at];
            let Some(Some(conn)) = self.conns.get_mut(index as usize) else { continue };
            conn.state.listed = false;
            let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
            let turn = conn.carrier.receive(now, &mut self.buffer, &mut sink);
            self.after(index, now, turn);
        }
        self.ready.drain(..count);
        self.ask_resolver(now);
        self.settle(now);
    }

    /// Writes what there is to write.
    pub(crate) fn flush(&mut self, now: Instant) {
        while let Some(index) = self.dirty.pop() {
            let Some(Some(conn)) = self.conns.get_mut(index as usize) else { continue };
            let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
            let turn = conn.carrier.transmit(now, &mut sink);
            conn.state.dirty = false;
            self.follow(index, now, turn);
            if self.dirty.is_empty() {
                self.settle(now);
            }
        }
        self.rest(now);
    }

    fn expire(&mut self, now: Instant) {
        while let Some(due) = self.work.timers.pop_due(now) {
            match due {
                key::BALANCER => self.balancer.handle_timeout(now),
                // Asked below in the same turn.
                key::RESOLVER => {}
                due if due % 2 == 0 => self.expire_connection((due - 2) / 2, now),
                due => self.expire_call((due - 3) / 2, now),
            }
        }
    }

    fn expire_connection(&mut self, index: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(index as usize) else { return };
        let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
        let turn = conn.carrier.expire(now, &mut sink);
        self.after(index, now, turn);
    }

    /// The deadline, or the end of the patience, of a call that is not running.
    fn expire_call(&mut self, index: u32, now: Instant) {
        let record = self.work.calls.at(index);
        let over = record.deadline.is_some_and(|deadline| deadline <= now);
        match record.stage {
            Stage::Queued => {
                self.queue.remove(&mut self.work.calls, index);
                self.begin(index, now);
            }
            Stage::Blocked { conn } if over => {
                self.leave_blocked(conn, index);
                let message = b"no room on the connection before the deadline";
                self.work.end(index, Code::DEADLINE_EXCEEDED, message);
            }
            _ => {}
        }
    }

    /// After a step of a connection that may have made something to write.
    fn after(&mut self, index: u32, now: Instant, turn: Turn) {
        self.follow(index, now, turn);
        self.touch(index);
    }

    /// What a connection's step leaves to do.
    fn follow(&mut self, index: u32, now: Instant, turn: Turn) {
        let Some(Some(conn)) = self.conns.get_mut(index as usize) else { return };
        if conn.state.usable && std::mem::take(&mut conn.state.attempt) {
            self.connecting -= 1;
            self.connect_error = None;
        }
        match turn {
            Turn::Over => return self.remove(index),
            Turn::Again if !std::mem::replace(&mut conn.state.listed, true) => self.ready.push(index),
            _ => {}
        }
        if !conn.state.current && conn.carrier.connection().calls() == 0 {
            // Retired, and its last call is over.
            conn.carrier.connection().shutdown(now);
            let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
            conn.carrier.abandon(now, Lost::Closed { ready: true }, &mut sink);
            return self.remove(index);
        }
        self.work.timers.set(key::of_connection(index), conn.carrier.poll_timeout());
    }

    /// The connection has something to write, perhaps.
    fn touch(&mut self, index: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(index as usize)
            && !std::mem::replace(&mut conn.state.dirty, true)
        {
            self.dirty.push(index);
        }
    }

    // ---- the balancer ----

    /// Tells the balancer what happened, does what it says, and gives waiting calls their picks, until all is quiet.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            for (id, event) in self.work.events.drain(..) {
                quiet = false;
                self.balancer.handle_subchannel(now, id, event);
            }
            if std::mem::take(&mut self.work.too_many_pings) {
                self.settings.double_keepalive();
            }
            while let Some(action) = self.balancer.poll_action() {
                quiet = false;
                self.act(action, now);
            }
            let version = self.balancer.picker_version();
            if version != self.picker_version || !quiet {
                self.picker_version = version;
                self.pick_for_queue(now);
            }
            let mut restart = std::mem::take(&mut self.work.restart);
            for index in restart.drain(..) {
                quiet = false;
                self.begin(index, now);
            }
            if self.work.restart.is_empty() {
                self.work.restart = restart;
            }
            if quiet {
                break;
            }
        }
        self.rest(now);
    }

    /// Before rest: whether calls run, and when the balancer and the resolver are to be asked again.
    fn rest(&mut self, now: Instant) {
        let busy = self.work.calls.len() > 0;
        if busy != self.busy {
            self.busy = busy;
            self.balancer.set_busy(now, busy);
        }
        self.work.timers.set(key::BALANCER, self.balancer.poll_timeout());
        self.work.timers.set(key::RESOLVER, self.resolver.poll_timeout());
    }

    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Resolve => {
                self.resolver.request(now);
                self.ask_resolver(now);
            }
            Action::Connect(id) => {
                if let Err(error) = self.connect(id, now) {
                    self.connect_error = Some(error);
                    self.work.events.push((id, SubchannelEvent::Failed));
                }
            }
            Action::Close(id) => self.close_connection(id, now),
        }
    }

    fn ask_resolver(&mut self, now: Instant) {
        if let Some(answer) = self.resolver.poll(now) {
            self.resolved(answer, now);
        }
    }

    fn resolved(&mut self, answer: Answer, now: Instant) {
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                self.resolution_error = Some(error);
                return self.balancer.handle_resolution_error(now);
            }
        };
        self.resolution_error =
            found.is_empty().then(|| format!("no endpoints for {}", self.settings.target()));
        let addresses: Vec<[Address<'_>; 1]> = found.iter().map(|found| [found.address.lend()]).collect();
        let endpoints: Vec<Endpoint<'_>> = found
            .iter()
            .zip(&addresses)
            .map(|(found, addresses)| Endpoint { addresses, weight: found.weight })
            .collect();
        let config = self.settings.service_config();
        loop {
            match self.balancer.handle_resolution(now, &endpoints, &config) {
                Ok(()) => return,
                Err(ResolutionError::TooMany { needed }) => {
                    // Room to grow, so that a list that grows step by step is not moved at every step.
                    self.room = Sizes {
                        addresses: self.room.addresses.max((needed.addresses * 5 / 4).min(65_535)),
                        text: self.room.text.max(needed.text * 5 / 4),
                    };
                    if self.room.addresses < needed.addresses
                        || self.balancer.grow(balancer::Boxed::new(self.room)).is_err()
                    {
                        let error = ResolutionError::TooMany { needed };
                        self.resolution_error = Some(format!("{}: {error}", self.settings.target()));
                        return self.balancer.handle_resolution_error(now);
                    }
                }
                Err(error) => {
                    self.resolution_error = Some(format!("{}: {error}", self.settings.target()));
                    return;
                }
            }
        }
    }

    // ---- connections ----

    fn connect(&mut self, id: SubchannelId, now: Instant) -> Result<(), String> {
        let Some(address) = self.balancer.address(id) else { return Ok(()) };
        let peer = socket::name(&address);
        let failed = |error: io::Error| format!("{peer}: {error}");
        let socket = Socket::connect(&address).map_err(failed)?;
        let (sizes, config) = self.settings.connection();
        let mut carrier = Carrier::connecting(socket, &sizes, &config, now);
        let index = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            (self.conns.len() - 1) as u32
        });
        if let Err(error) = carrier.register(&self.registry, Token(index as usize)) {
            self.free.push(index);
            return Err(failed(error));
        }
        let state = State::new(index, id, peer.into());
        self.work.timers.set(key::of_connection(index), carrier.poll_timeout());
        self.conns[index as usize] = Some(Box::new(Conn { carrier, state }));
        self.connecting += 1;
        let place = usize::from(id.index);
        if place >= self.by_subchannel.len() {
            self.by_subchannel.resize(place + 1, NONE);
        }
        self.by_subchannel[place] = index;
        Ok(())
    }

    /// The current connection of a subchannel.
    fn connection_of(&self, id: SubchannelId) -> Option<u32> {
        let index = *self.by_subchannel.get(usize::from(id.index))?;
        let conn = self.conns.get(index as usize)?.as_ref()?;
        (conn.state.current && conn.state.id == id).then_some(index)
    }

    /// The balancer wants it closed: its calls end first.
    fn close_connection(&mut self, id: SubchannelId, now: Instant) {
        let Some(index) = self.connection_of(id) else { return };
        let Some(Some(conn)) = self.conns.get_mut(index as usize) else { return };
        conn.state.retire(&mut self.work);
        if conn.state.usable {
            conn.carrier.connection().shutdown(now);
            self.after(index, now, Turn::Done);
        } else {
            let reason = if conn.carrier.is_connecting() {
                "no connection in time"
            } else {
                "no HTTP/2 SETTINGS in time"
            };
            self.connect_error = Some(format!("{}: {reason}", conn.state.peer));
            self.remove(index);
        }
    }

    /// A connection is over; all its calls had their last event.
    fn remove(&mut self, index: u32) {
        let Some(mut conn) = self.conns[index as usize].take() else { return };
        self.free.push(index);
        self.work.timers.set(key::of_connection(index), None);
        // Closing the socket takes it out of the poll as well; this is for systems where it does not.
        let _ = conn.carrier.deregister(&self.registry);
        if conn.state.attempt {
            self.connecting -= 1;
        }
        if conn.state.current {
            if let Some(lost) = conn.state.lost.take() {
                self.connect_error = Some(format!("{}: {lost}", conn.state.peer));
            }
            conn.state.retire(&mut self.work);
            let event = if conn.state.usable { SubchannelEvent::Lost } else { SubchannelEvent::Failed };
            self.work.events.push((conn.state.id, event));
        }
    }

    // ---- calls ----

    /// A new call: unary with its only message, or a stream. `patient`: nobody has driven this channel for a while,
    /// so attempts to connect that were overdue get a moment before the call fails.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        kind: Kind,
        call: &Call<'_>,
        request: &[u8],
        patient: bool,
    ) -> CallKey {
        let call_key = self.work.calls.open(now, kind, call);
        let method = self.settings.method(call.path);
        let record = self.work.calls.at(call_key.index);
        record.wait_for_ready |= method.wait_for_ready.unwrap_or_default();
        if let Some(timeout) = method.timeout {
            let deadline = now.after(timeout);
            record.deadline = Some(record.deadline.map_or(deadline, |own| own.min(deadline)));
        }
        record.max_message = method.max_response_message_bytes.unwrap_or(u32::MAX);
        record.max_request = method.max_request_message_bytes.unwrap_or(u32::MAX);
        record.patience = patient.then(|| now.after(Duration::from_secs(1)));
        if kind == Kind::Unary
            && let Err(message) = record.put(request, true)
        {
            self.work.end(call_key.index, Code::RESOURCE_EXHAUSTED, message.as_bytes());
            return call_key;
        }
        if self.closed {
            self.work.end(call_key.index, Code::UNAVAILABLE, b"the channel is closed");
            return call_key;
        }
        if !self.busy {
            self.busy = true;
            self.balancer.set_busy(now, true);
        }
        self.begin(call_key.index, now);
        self.settle(now);
        call_key
    }

    /// Picks for a call that is in no list, and starts it or lets it wait.
    fn begin(&mut self, index: u32, now: Instant) {
        let record = self.work.calls.at(index);
        if record.deadline.is_some_and(|deadline| deadline <= now) {
            let message = match (&self.resolution_error, &self.connect_error) {
                (Some(error), _) | (None, Some(error)) => {
                    format!("no connection before the deadline; last error: {error}")
                }
                (None, None) => "no connection before the deadline".into(),
            };
            return self.work.end(index, Code::DEADLINE_EXCEEDED, message.as_bytes());
        }
        let refused_by = record.refused_by;
        let mut pick = self.balancer.pick(now, &self.position);
        if let Some(refused_by) = refused_by {
            for _ in 0..OTHER_ENDPOINT_PICKS {
                if pick != Pick::Subchannel(refused_by) {
                    break;
                }
                pick = self.balancer.pick(now, &self.position);
            }
        }
        self.place(index, pick, now);
    }

    /// Does what the pick says with a call that is in no list. Whether it has a connection or is over.
    fn place(&mut self, index: u32, pick: Pick, now: Instant) -> bool {
        match pick {
            Pick::Subchannel(id) => match self.connection_of(id) {
                Some(conn) => return self.start_on(conn, index, now),
                // Its loss is among the events that the balancer has not seen yet.
                None => self.wait(index),
            },
            Pick::Queue => self.wait(index),
            Pick::Fail if self.waits_out_failure(index, now) => self.wait(index),
            Pick::Fail => {
                let message = self.failure();
                self.work.end(index, Code::UNAVAILABLE, message.as_bytes());
                return true;
            }
            Pick::Drop => {
                self.work.end(index, Code::UNAVAILABLE, b"dropped by the balancing policy");
                return true;
            }
        }
        false
    }

    /// Into the queue of those that wait for a pick.
    fn wait(&mut self, index: u32) {
        let record = self.work.calls.at(index);
        record.stage = Stage::Queued;
        let due = match (record.deadline, record.patience) {
            (Some(deadline), Some(patience)) => Some(deadline.min(patience)),
            (deadline, patience) => deadline.or(patience),
        };
        self.work.timers.set(key::of_call(index), due);
        self.queue.push(&mut self.work.calls, index);
    }

    fn waits_out_failure(&mut self, index: u32, now: Instant) -> bool {
        let trying = self.connecting > 0 || self.resolver.is_running();
        let record = self.work.calls.at(index);
        record.patience = record.patience.filter(|until| trying && *until > now);
        record.wait_for_ready || record.patience.is_some()
    }

    /// Why calls fail.
    fn failure(&self) -> String {
        match (&self.resolution_error, &self.connect_error) {
            (Some(error), _) if self.balancer.endpoint_count() == 0 => error.clone(),
            (_, Some(error)) => format!("failed to connect to all addresses; last error: {error}"),
            (Some(error), None) => error.clone(),
            (None, None) => "no endpoint can be reached".into(),
        }
    }

    /// New picks for the calls that wait, first come, first served.
    fn pick_for_queue(&mut self, now: Instant) {
        let mut next = self.queue.first();
        while let Some(index) = next {
            let pick = self.balancer.pick(now, &self.position);
            if pick == Pick::Queue {
                // It says the same to all of them.
                return;
            }
            next = self.queue.after(&mut self.work.calls, index);
            if pick == Pick::Fail && self.waits_out_failure(index, now) {
                continue;
            }
            self.queue.remove(&mut self.work.calls, index);
            if !self.place(index, pick, now) {
                // It is at the end of the queue again, until the balancer has heard of the loss.
                return;
            }
        }
    }

    /// Starts a call on a connection, or lets it wait for room there. Whether it found a place.
    fn start_on(&mut self, conn_index: u32, index: u32, now: Instant) -> bool {
        let Some(Some(conn)) = self.conns.get_mut(conn_index as usize) else { return false };
        self.work.calls.at(index).pick_order = self.picks;
        let started = if conn.state.blocked.is_empty() {
            let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
            sink.start(conn.carrier.connection(), index)
        } else {
            Started::Blocked
        };
        match started {
            Started::Running => {}
            Started::Blocked => {
                let record = self.work.calls.at(index);
                record.stage = Stage::Blocked { conn: conn_index };
                let deadline = record.deadline;
                self.work.timers.set(key::of_call(index), deadline);
                conn.state.blocked.push(&mut self.work.calls, index);
            }
            Started::Ended => return true,
            Started::Unavailable => {
                // Out of stream ids, or closing: the balancer has to hear of it before it can pick another.
                self.work.events.push((conn.state.id, SubchannelEvent::Lost));
                conn.state.retire(&mut self.work);
                self.after(conn_index, now, Turn::Done);
                self.wait(index);
                return false;
            }
        }
        self.picks += 1;
        let due = conn.carrier.poll_timeout();
        self.work.timers.set(key::of_connection(conn_index), due);
        self.touch(conn_index);
        true
    }

    fn leave_blocked(&mut self, conn: u32, index: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(conn as usize) {
            conn.state.blocked.remove(&mut self.work.calls, index);
        }
    }

    /// Goes on with a running call after a command for it: `what` gets the connection's sink.
    fn with_running(
        &mut self,
        now: Instant,
        key: CallKey,
        what: impl FnOnce(&mut Sink<'_>, &mut Carrier, grpclb_core::call::CallId),
    ) {
        let Some(record) = self.work.calls.get(key) else { return };
        let Stage::Running { conn: conn_index, id } = record.stage else { return };
        let Some(Some(conn)) = self.conns.get_mut(conn_index as usize) else { return };
        let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
        what(&mut sink, &mut conn.carrier, id);
        self.touch(conn_index);
    }

    /// A stream's next message, and whether it is the last. Only when none is being sent.
    pub(crate) fn send(&mut self, now: Instant, key: CallKey, message: Option<&[u8]>, last: bool) {
        let Some(record) = self.work.calls.get(key).filter(|record| record.stage != Stage::Ended) else {
            return;
        };
        match message {
            Some(message) => {
                if let Err(error) = record.put(message, last) {
                    return self.abort(now, key, Code::RESOURCE_EXHAUSTED, &error);
                }
            }
            None => record.half_close |= last,
        }
        self.with_running(now, key, |sink, carrier, id| sink.send(carrier.connection(), id, key.index));
    }

    /// The next message that came, into `message` (cleared first).
    pub(crate) fn take_message(&mut self, now: Instant, key: CallKey, message: &mut Vec<u8>) -> bool {
        let Some(record) = self.work.calls.get(key) else { return false };
        let Some(released) = record.take_message(message) else { return false };
        if released > 0 {
            self.with_running(now, key, |_, carrier, id| carrier.connection().release(id, released));
        }
        true
    }

    /// Ends a call from this side.
    pub(crate) fn abort(&mut self, now: Instant, key: CallKey, code: Code, message: &str) {
        let Some(record) = self.work.calls.get(key) else { return };
        match record.stage {
            Stage::Free | Stage::Ended => return,
            Stage::Queued => self.queue.remove(&mut self.work.calls, key.index),
            Stage::Blocked { conn } => self.leave_blocked(conn, key.index),
            Stage::Again => self.work.restart.retain(|index| *index != key.index),
            Stage::Running { .. } => self.with_running(now, key, |sink, carrier, id| {
                carrier.connection().cancel(id);
                sink.state.detach(id);
            }),
        }
        self.work.end(key.index, code, message.as_bytes());
    }

    /// The caller has taken the outcome: the record is free again.
    pub(crate) fn finish(&mut self, key: CallKey) {
        if self.work.calls.get(key).is_some_and(|record| record.stage == Stage::Ended) {
            self.work.calls.close(key.index);
        }
    }

    // ---- the channel ----

    /// The state; `connect` leaves IDLE.
    pub(crate) fn state(&mut self, now: Instant, connect: bool) -> Connectivity {
        if connect && !self.closed && self.balancer.state() == Connectivity::Idle {
            self.balancer.connect(now);
            self.settle(now);
        }
        self.balancer.state()
    }

    /// Changes with every change of any endpoint's state.
    pub(crate) fn version(&self) -> u32 {
        self.balancer.picker_version()
    }

    pub(crate) fn ready_endpoints(&self) -> usize {
        self.balancer.ready_count()
    }

    /// Each endpoint's name and state.
    pub(crate) fn endpoints(&mut self) -> Vec<(String, Connectivity)> {
        let count = self.balancer.endpoint_count();
        (0..count)
            .filter_map(|i| self.balancer.endpoint(i).map(|one| (socket::name(&one.address), one.state)))
            .collect()
    }

    /// Ends everything: calls with CANCELLED, connections with a GOAWAY as far as the sockets take it.
    pub(crate) fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let keys: Vec<CallKey> = self.work.calls.keys().collect();
        for key in keys {
            self.abort(now, key, Code::CANCELLED, "the channel was closed");
        }
        self.balancer.shutdown();
        self.settle(now);
        for index in 0..self.conns.len() as u32 {
            if let Some(Some(conn)) = self.conns.get_mut(index as usize) {
                conn.state.current = false;
                conn.carrier.connection().shutdown(now);
                let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
                conn.carrier.abandon(now, Lost::Closed { ready: true }, &mut sink);
                self.remove(index);
            }
        }
        self.rest(now);
    }

    /// Now, by the clock that all moments of a machine are of.
    pub(crate) fn now() -> Instant {
        clock::now()
    }
}
