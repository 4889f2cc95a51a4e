//! The driving thread: accepts, drives every connection's carrier, keeps time.

use super::calls::{Calls, Turn};
use super::context::Context;
use super::listen::Listener;
use super::notes::Note;
use super::work::{Place, Work};
use crate::host::carrier::{self, Carrier, Lost};
use crate::host::clock;
use crate::host::socket::Socket;
use crate::host::timers::Timers;
use grpclb_core::call::Config;
use grpclb_core::grpc::Code;
use grpclb_core::memory::Sizes;
use grpclb_core::time::Instant;
use mio::{Events, Poll, Token};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// The token of the connection at index 0.
const FIRST: usize = 2;

/// Connections accepted a turn: a flood of them may not starve those that are there.
const ACCEPTS_PER_TURN: usize = 64;

/// How long to wait when the system has no descriptor or memory for another connection, unless one ends before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits and settings of the connections.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) config: Config,
    pub(crate) sizes: Sizes,
    pub(crate) max_connections: usize,
    /// How long a client may take to say that it speaks HTTP/2.
    pub(crate) handshake: Duration,
}

/// The server's loop and what it owns.
pub(crate) struct Driver {
    poll: Poll,
    listener: Option<Listener>,
    limits: Limits,
    context: Context,
    peers: Vec<Option<Box<Peer>>>,
    free: Vec<usize>,
    connections: usize,
    /// Connections since the start, for whoever asks.
    accepted: Arc<AtomicU64>,
    generation: u64,
    /// By index of the connection.
    timers: Timers,
    /// Connections with something to do in this turn.
    turns: Vec<usize>,
    /// The same, noted for the next turn.
    again: Vec<usize>,
    /// There may be connections to accept; not before that moment.
    accept: Option<Instant>,
    /// A graceful stop ends by then.
    stop_at: Option<Instant>,
    notes: Vec<Note>,
    buffer: Box<[u8]>,
}

/// One connection.
struct Peer {
    carrier: Carrier,
    calls: Calls,
    /// What its timer is set to; [`Instant::NEVER`] when it is not.
    armed: Instant,
    /// The client must have shown that it speaks HTTP/2 by then.
    handshake: Instant,
    /// Whether it is among [`Driver::turns`] or [`Driver::again`].
    queued: bool,
    /// There is more to read.
    more: bool,
}

impl Driver {
    pub(crate) fn new(
        poll: Poll,
        mut listener: Listener,
        limits: Limits,
        context: Context,
        accepted: Arc<AtomicU64>,
    ) -> io::Result<Driver> {
        listener.register(poll.registry(), LISTENER)?;
        Ok(Driver {
            poll,
            listener: Some(listener),
            limits,
            context,
            peers: Vec::new(),
            free: Vec::new(),
            connections: 0,
            accepted,
            generation: 0,
            timers: Timers::default(),
            turns: Vec::new(),
            again: Vec::new(),
            accept: None,
            stop_at: None,
            notes: Vec::new(),
            buffer: vec![0; carrier::READ_BUFFER].into_boxed_slice(),
        })
    }

    /// Serves until it is stopped.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let result = loop {
            if let Err(error) = self.poll.poll(&mut events, self.timeout())
                && error.kind() != io::ErrorKind::Interrupted
            {
                break Err(error);
            }
            self.context.now = clock::now();
            std::mem::swap(&mut self.turns, &mut self.again);
            for event in &events {
                self.ready(event);
            }
            if !self.take_notes() {
                break Ok(());
            }
            self.accept();
            self.expire();
            self.receive();
            self.transmit();
            if self.stop_at.is_some_and(|at| self.connections == 0 || at <= self.context.now) {
                break Ok(());
            }
        };
        self.end();
        result
    }

    /// How long the poll may wait.
    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = [self.timers.first(), self.accept, self.stop_at].into_iter().flatten().min()?;
        Some(due.since(clock::now()))
    }

    fn ready(&mut self, event: &mio::event::Event) {
        match event.token() {
            WAKER => {}
            LISTENER => self.accept = Some(self.context.now),
            Token(token) => {
                if let Some(Some(peer)) = self.peers.get_mut(token.wrapping_sub(FIRST)) {
                    peer.carrier.ready(event);
                    queue(peer, &mut self.turns);
                }
            }
        }
    }

    /// Does what other threads want; `false`: stop.
    fn take_notes(&mut self) -> bool {
        let mut notes = std::mem::take(&mut self.notes);
        self.context.notes.take(&mut notes);
        let mut go_on = true;
        for note in notes.drain(..) {
            match note {
                Note::Work(work) => self.work(work),
                Note::Health => self.health_changed(),
                Note::Retire => self.retire(),
                Note::GracefulStop(grace) => self.graceful_stop(grace),
                Note::Stop => go_on = false,
            }
        }
        self.notes = notes;
        go_on
    }

    fn work(&mut self, work: Arc<Work>) {
        work.note_taken();
        if let Some(Some(peer)) = self.peers.get_mut(work.place.index)
            && peer.calls.place() == work.place
        {
            queue(peer, &mut self.turns);
            let Peer { carrier, calls, .. } = &mut **peer;
            Turn { calls, context: &mut self.context }.note(carrier.connection(), &work);
        }
        self.context.recycle(work);
    }

    fn health_changed(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            queue(peer, &mut self.turns);
            let Peer { carrier, calls, .. } = &mut **peer;
            Turn { calls, context: &mut self.context }.health_changed(carrier.connection());
        }
    }

    /// Two-step GOAWAY to every connection.
    fn retire(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            queue(peer, &mut self.turns);
            peer.carrier.connection().shutdown(self.context.now);
        }
    }

    fn graceful_stop(&mut self, grace: Duration) {
        let at = self.context.now.after(grace);
        self.stop_at = Some(self.stop_at.map_or(at, |earlier| earlier.min(at)));
        if std::mem::replace(&mut self.context.stopping, true) {
            return;
        }
        self.close_listener();
        if let Some(health) = &self.context.health {
            health.stop();
        }
        self.health_changed();
        self.retire();
        // There is nobody to wait for behind a connection that has not said anything.
        for index in 0..self.peers.len() {
            if self.peers[index].as_ref().is_some_and(|peer| !peer.carrier.is_usable()) {
                self.abandon(index);
            }
        }
    }

    /// Accepts what waits.
    fn accept(&mut self) {
        let Some(listener) =
            self.listener.as_ref().filter(|_| self.accept.is_some_and(|at| at <= self.context.now))
        else {
            return;
        };
        let mut accepted = Vec::new();
        self.accept = Some(self.context.now);
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                // Above the limit: closed at once, so that the client hears of it and tries another server.
                Ok(_) if self.connections + accepted.len() >= self.limits.max_connections => {}
                Ok(socket) => accepted.push(socket),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.accept = None;
                        break;
                    }
                    // Of that one connection: it has gone already.
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::PermissionDenied => {}
                    // EMFILE, ENFILE, ENOBUFS, ENOMEM: it would fail again at once.
                    _ => {
                        self.accept = Some(self.context.now.after(ACCEPT_PAUSE));
                        break;
                    }
                },
            }
        }
        for socket in accepted {
            self.add(socket);
        }
    }

    /// A new connection.
    fn add(&mut self, socket: Socket) {
        let now = self.context.now;
        self.generation += 1;
        let mut config = self.limits.config.clone();
        // Spreads the ages of connections that come at once.
        config.http2.seed ^= self.generation.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let index = self.free.pop().unwrap_or(self.peers.len());
        let mut carrier = Carrier::accepted(socket, &self.limits.sizes, &config, now);
        if carrier.register(self.poll.registry(), Token(FIRST + index)).is_err() {
            // The system has no room for it: the client hears of it as the socket is dropped.
            if index < self.peers.len() {
                self.free.push(index);
            }
            return;
        }
        let mut peer = Box::new(Peer {
            carrier,
            calls: Calls::new(Place { index, generation: self.generation }),
            armed: Instant::NEVER,
            handshake: now.after(self.limits.handshake),
            queued: false,
            more: false,
        });
        queue(&mut peer, &mut self.turns);
        self.connections += 1;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if index == self.peers.len() {
            self.peers.push(Some(peer));
        } else {
            self.peers[index] = Some(peer);
        }
    }

    /// Does what is due by the clock.
    fn expire(&mut self) {
        let now = self.context.now;
        while let Some(key) = self.timers.pop_due(now) {
            let index = key as usize;
            let Some(Some(peer)) = self.peers.get_mut(index) else { continue };
            peer.armed = Instant::NEVER;
            queue(peer, &mut self.turns);
            if peer.handshake <= now && !peer.carrier.is_usable() {
                self.abandon(index);
                continue;
            }
            let Peer { carrier, calls, .. } = &mut **peer;
            let mut handler = Turn { calls, context: &mut self.context };
            if carrier.expire(now, &mut handler) == carrier::Turn::Over {
                self.remove(index);
            }
        }
    }

    /// Reads every connection that has its turn.
    fn receive(&mut self) {
        for at in 0..self.turns.len() {
            let index = self.turns[at];
            let Some(Some(peer)) = self.peers.get_mut(index) else { continue };
            let Peer { carrier, calls, more, .. } = &mut **peer;
            let now = self.context.now;
            let mut handler = Turn { calls, context: &mut self.context };
            match carrier.receive(now, &mut self.buffer, &mut handler) {
                carrier::Turn::Done => {}
                carrier::Turn::Again => *more = true,
                carrier::Turn::Over => self.remove(index),
            }
        }
    }

    /// Writes what all that made, and sets the timers.
    fn transmit(&mut self) {
        let mut turns = std::mem::take(&mut self.turns);
        for index in turns.drain(..) {
            let Some(Some(peer)) = self.peers.get_mut(index) else { continue };
            let Peer { carrier, calls, .. } = &mut **peer;
            let now = self.context.now;
            let mut handler = Turn { calls, context: &mut self.context };
            if carrier.transmit(now, &mut handler) == carrier::Turn::Over {
                self.remove(index);
                continue;
            }
            peer.queued = false;
            if std::mem::take(&mut peer.more) {
                queue(peer, &mut self.again);
            }
            let handshake = if peer.carrier.is_usable() { Instant::NEVER } else { peer.handshake };
            let due = peer.carrier.poll_timeout().unwrap_or(Instant::NEVER).min(handshake);
            // A later moment than the one that is set costs nothing now: it is looked up when that one has come.
            if due < peer.armed {
                peer.armed = due;
                self.timers.set(index as u32, Some(due));
            }
        }
        self.turns = turns;
    }

    /// Ends a connection from this side.
    fn abandon(&mut self, index: usize) {
        let Some(Some(peer)) = self.peers.get_mut(index) else { return };
        let Peer { carrier, calls, .. } = &mut **peer;
        let ready = carrier.is_usable();
        let now = self.context.now;
        let mut handler = Turn { calls, context: &mut self.context };
        carrier.abandon(now, Lost::Closed { ready }, &mut handler);
        self.remove(index);
    }

    /// Forgets a connection whose calls have ended.
    fn remove(&mut self, index: usize) {
        let Some(mut peer) = self.peers.get_mut(index).and_then(Option::take) else { return };
        self.timers.set(index as u32, None);
        // It fails only for a socket that is not registered, and this one is.
        let _ = peer.carrier.deregister(self.poll.registry());
        self.free.push(index);
        self.connections -= 1;
        if let Some(at) = &mut self.accept {
            *at = self.context.now; // there is a descriptor again
        }
    }

    fn close_listener(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            // As above.
            let _ = listener.deregister(self.poll.registry());
        }
        self.accept = None;
    }

    /// Ends what is left: after a grace that was too short, each call is told so, as far as its socket takes it.
    fn end(&mut self) {
        self.close_listener();
        let now = self.context.now;
        let graceful = self.stop_at.is_some();
        for index in 0..self.peers.len() {
            let Some(Some(peer)) = self.peers.get_mut(index) else { continue };
            if graceful {
                let Peer { carrier, calls, .. } = &mut **peer;
                let mut handler = Turn { calls, context: &mut self.context };
                handler.end_all(carrier.connection(), Code::UNAVAILABLE, "the server has stopped");
                if carrier.transmit(now, &mut handler) == carrier::Turn::Over {
                    self.remove(index);
                    continue;
                }
            }
            self.abandon(index);
        }
        self.context.pool.close();
    }
}

/// Gives a connection its turn.
fn queue(peer: &mut Peer, turns: &mut Vec<usize>) {
    if !std::mem::replace(&mut peer.queued, true) {
        turns.push(peer.calls.place().index);
    }
}
