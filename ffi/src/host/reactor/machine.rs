//! The two towers joined: the balancer's actions become connections, its picks give each call one, and what
//! connections and resolver say goes back to it. Nothing here waits: a [`Lead`](super::Lead) does that.

mod dispatch;
mod links;

use super::calls::{CallKey, List};
use super::connection::{Conn, Sink, Work, key};
use super::settings::{Settings, seed};
use crate::host::carrier::{Lost, READ_BUFFER, Turn};
use crate::host::clock;
use crate::host::growing::Room;
use crate::host::resolve::{Answer, Resolver};
use grpclb_core::balancer::{
    self, Action, Address, Connectivity, Endpoint, Position, ResolutionError, SubchannelEvent,
};
use grpclb_core::grpc::Code;
use grpclb_core::time::Instant;
use mio::{Events, Registry, Token, Waker};
use std::sync::Arc;

/// The poll token of the waker. A connection's has its index in these bits, and above them a serial number.
pub(crate) const WAKER: Token = Token(usize::MAX - 1);
const TOKEN_INDEX: usize = (1 << 20) - 1;

/// A channel without its waiting.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) work: Work,
    balancer: balancer::Channel<balancer::Boxed>,
    room: Room,
    position: Position,
    resolver: Resolver,
    settings: Settings,
    registry: Registry,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<u32>,
    /// Connections made so far.
    serial: usize,
    /// Connection by subchannel index. A subchannel's index is reused at once, so its connections are not found
    /// by it once they are retired.
    by_subchannel: Vec<u32>,
    /// Calls that wait for a pick.
    queue: List,
    picker_version: u32,
    picks: u64,
    /// Connections being made.
    connecting: usize,
    /// When time was last told.
    latest: Instant,
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
        let room = Room::new();
        Ok(Machine {
            work: Work::new(settings.authority()),
            balancer: balancer::Channel::new(room.storage(), &settings.balancer(seed)),
            room,
            position: Position::new(seed),
            resolver,
            settings,
            registry,
            conns: Vec::new(),
            free: Vec::new(),
            serial: 0,
            by_subchannel: Vec::new(),
            queue: List::new(),
            picker_version: 0,
            picks: 0,
            connecting: 0,
            latest: Instant::from_nanos(0),
            resolution_error: None,
            connect_error: None,
            ready: Vec::new(),
            dirty: Vec::new(),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            closed: false,
        })
    }

    /// When to call [`Machine::turn`] at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(Instant::from_nanos(0));
        }
        let (timers, balancer, resolver) =
            (self.work.timers.first(), self.balancer.poll_timeout(), self.resolver.poll_timeout());
        [timers, balancer, resolver].into_iter().flatten().min()
    }

    /// Whether there is something to write or to tell, before any wait.
    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.work.news.is_empty()
    }

    /// Notes what the poll said.
    pub(crate) fn ready(&mut self, events: &Events) {
        for event in events {
            // The waker says that the resolver has an answer: it is asked in every turn.
            let index = event.token().0 & TOKEN_INDEX;
            let Some(Some(conn)) = self.conns.get_mut(index) else { continue };
            // The connection that the event is of may have gone while the leader slept on.
            if conn.state.token != event.token() {
                continue;
            }
            conn.carrier.ready(event);
            if !std::mem::replace(&mut conn.state.listed, true) {
                self.ready.push(conn.state.index);
            }
        }
    }

    /// Does everything that is due: time, then reading, then what follows. Writing is [`Machine::flush`]'s, once the
    /// callers that were woken have had their turn.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.latest = now;
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
        while !self.dirty.is_empty() {
            while let Some(index) = self.dirty.pop() {
                // It may have gone since it was noted.
                let Some(Some(conn)) = self.conns.get_mut(index as usize) else { continue };
                let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
                let turn = conn.carrier.transmit(now, &mut sink);
                conn.state.dirty = false;
                self.follow(index, now, turn);
            }
            self.settle(now);
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.balancer.poll_timeout().is_some_and(|due| due <= now) {
            self.balancer.handle_timeout(now);
        }
        while let Some(due) = self.work.timers.pop_due(now) {
            match key::read(due) {
                key::Key::Connection(index) => self.expire_connection(index, now),
                key::Key::Call(index) => self.expire_call(index, now),
            }
        }
    }

    fn expire_connection(&mut self, index: u32, now: Instant) {
        let Some(Some(conn)) = self.conns.get_mut(index as usize) else { return };
        let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
        let turn = conn.carrier.expire(now, &mut sink);
        self.after(index, now, turn);
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
        let taken = self.room.handle_resolution(&mut self.balancer, now, &endpoints, &config);
        if let Err(error) = taken {
            self.resolution_error = Some(format!("{}: {error}", self.settings.target()));
            if let ResolutionError::TooMany { .. } = error {
                self.balancer.handle_resolution_error(now);
            }
        }
    }

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
            .filter_map(|i| self.balancer.endpoint(i).map(|one| (one.address.to_string(), one.state)))
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
    }

    /// Now, by the clock that all moments of a machine are of.
    pub(crate) fn now() -> Instant {
        clock::now()
    }
}
