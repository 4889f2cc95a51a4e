//! One socket and its [`call::Connection`]; client and server share it. The driver's rule stands here, once:
//!
//! 1. [`Carrier::ready`] notes what the poll said, for every carrier it named;
//! 2. [`Carrier::receive`] reads, and hands every event to a [`Handler`] ([`Carrier::expire`] does so when the
//!    clock has reached [`Carrier::poll_timeout`]);
//! 3. the callers that those events woke run once and give their next commands;
//! 4. [`Carrier::transmit`] writes what all that made. (A write at once would double the writes a call.)
//!
//! Any of them may answer [`Turn::Over`]: every call was given its last event then, and the carrier is dropped.
//!
//! Sockets are edge-triggered. A short read ends the turn, since the next octet brings an event of its own, but
//! for a socket that the peer has closed: that one is read to its end.

use super::socket::Socket;
use grpclb_core::call::{self, CallId, Config, Event, Piece};
use grpclb_core::http2::ConnectionError;
use grpclb_core::memory::{Boxed, Sizes};
use grpclb_core::time::Instant;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::fmt;
use std::io::{self, Read, Write};

/// A connection of calls over heap storage.
pub(crate) type Connection = call::Connection<Boxed>;

/// Octets of a read buffer that makes a turn's reads few. One buffer serves all carriers of a thread, as core
/// takes all it is given.
pub(crate) const READ_BUFFER: usize = 64 * 1024;

/// Reads a turn: a fast peer may not starve the others.
const READS_PER_TURN: usize = 16;

/// Readiness is edge-triggered by the kernel on epoll and kqueue; where mio has something else underneath, only
/// WouldBlock arms it again.
const SHORT_READ_ENDS: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "freebsd"));

/// Who handles a carrier's events.
pub(crate) trait Handler {
    /// Something happened, messages apart. The event borrows the connection: note it, act in [`Handler::settle`].
    fn event(&mut self, event: Event<'_, '_>);

    /// A part of a message. It borrows the read buffer only, so the handler may command the connection here:
    /// send, reply, [`release`](call::Connection::release) what it has taken.
    fn message(&mut self, connection: &mut Connection, call: CallId, piece: Piece<'_>, end: bool);

    /// A batch of events is over: act on what was noted. Called at least once after any event.
    fn settle(&mut self, connection: &mut Connection);

    /// The connection is over and why; every call's last event follows.
    fn lost(&mut self, lost: &Lost);
}

/// What a step left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Turn {
    /// Nothing until the next readiness, timeout or command.
    Done,
    /// There is more to read at once; others first.
    Again,
    /// The connection is over: drop the carrier.
    Over,
}

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The socket could not be connected.
    Connect(io::Error),
    /// The peer closed, or both sides were done.
    Closed {
        /// Whether its SETTINGS had arrived.
        ready: bool,
    },
    /// Reading or writing failed.
    Io(io::Error),
    /// HTTP/2's rules were broken.
    Protocol(ConnectionError),
    /// The peer's first octets are not HTTP/2, but something well known.
    Speaks(&'static str),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Connect(error) => fmt::Display::fmt(error, f),
            Lost::Closed { ready: true } => f.write_str("connection closed by the peer"),
            Lost::Closed { ready: false } => {
                f.write_str("connection closed before the peer's SETTINGS arrived")
            }
            Lost::Io(error) => write!(f, "connection broken: {error}"),
            Lost::Protocol(error) => write!(f, "{}: {}", error.code, error.reason),
            Lost::Speaks(protocol) => write!(f, "the peer speaks {protocol}, not HTTP/2"),
        }
    }
}

/// A socket and its connection.
#[derive(Debug)]
pub(crate) struct Carrier {
    socket: Socket,
    connection: Connection,
    /// A connection attempt is under way.
    connecting: bool,
    /// The peer's SETTINGS arrived.
    usable: bool,
    readable: bool,
    writable: bool,
    /// The peer closed its side: there will be no further edge.
    read_closed: bool,
    /// The first octets of the peer, until it has proved that it speaks HTTP/2.
    first: First,
}

impl Carrier {
    /// A carrier over a socket that is connecting (client).
    pub(crate) fn connecting(socket: Socket, sizes: &Sizes, config: &Config, now: Instant) -> Carrier {
        Carrier {
            connecting: true,
            readable: false,
            writable: false,
            ..Carrier::accepted(socket, sizes, config, now)
        }
    }

    /// A carrier over a socket that stands (server).
    pub(crate) fn accepted(socket: Socket, sizes: &Sizes, config: &Config, now: Instant) -> Carrier {
        Carrier {
            socket,
            connection: call::Connection::new(Boxed::new(sizes), config, now),
            connecting: false,
            usable: false,
            readable: true,
            writable: true,
            read_closed: false,
            first: First::default(),
        }
    }

    /// Registers the socket for reading and writing, once: edges need no change of interest later.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes the socket out of the poll, before it is dropped.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }

    /// Notes what the poll said of this socket.
    pub(crate) fn ready(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.read_closed |= event.is_read_closed() || event.is_error();
    }

    /// For commands: `start_call`, `send_message`, `release`, … What they make is written by the next
    /// [`Carrier::transmit`], which also delivers the events that they cause.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Whether the peer's SETTINGS arrived.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Whether the socket is still on its way to the peer.
    pub(crate) fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// When [`Carrier::expire`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Reads what is there, at most a few `buffer`s full, and delivers its events.
    pub(crate) fn receive(&mut self, now: Instant, buffer: &mut [u8], handler: &mut impl Handler) -> Turn {
        if self.connecting && !matches!(self.finish_connecting(now, handler), Ok(true)) {
            return if self.connecting { Turn::Done } else { Turn::Over };
        }
        for _ in 0..READS_PER_TURN {
            if !self.readable {
                return Turn::Done;
            }
            match self.socket.read(buffer) {
                Ok(0) => return self.lose(now, Lost::Closed { ready: self.usable }, handler),
                Ok(n) => {
                    if n < buffer.len() && SHORT_READ_ENDS && !self.read_closed {
                        self.readable = false;
                    }
                    if let Err(error) = self.take(now, &buffer[..n], handler) {
                        return self.fail(now, error, handler);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return self.lose(now, Lost::Io(error), handler),
                },
            }
        }
        if self.readable { Turn::Again } else { Turn::Done }
    }

    /// Delivers what is due by the clock. Costs a comparison when nothing is.
    pub(crate) fn expire(&mut self, now: Instant, handler: &mut impl Handler) -> Turn {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Turn::Done;
        }
        match self.connection.handle_timeout(now) {
            Ok(()) => {
                self.deliver(false, handler);
                Turn::Done
            }
            Err(error) => self.fail(now, error, handler),
        }
    }

    /// Delivers the events of earlier commands, and writes until the outbox is empty or the socket full.
    pub(crate) fn transmit(&mut self, now: Instant, handler: &mut impl Handler) -> Turn {
        self.deliver(false, handler);
        if self.connecting {
            return Turn::Done;
        }
        match self.write(now, Some(handler)) {
            Ok(()) if self.connection.is_closed() && self.connection.transmit(now).is_empty() => {
                self.lose(now, Lost::Closed { ready: self.usable }, handler)
            }
            Ok(()) => Turn::Done,
            Err(error) => {
                // The peer may have said why (GOAWAY, a response) before it closed.
                self.read_rest(now, handler);
                self.lose(now, Lost::Io(error), handler)
            }
        }
    }

    /// Ends the connection from this side: every call gets its last event; what was to be said (GOAWAY) is
    /// written as far as the socket takes it. Then the carrier is dropped.
    pub(crate) fn abandon(&mut self, now: Instant, lost: Lost, handler: &mut impl Handler) {
        self.last_words(now);
        let _ = self.lose(now, lost, handler);
    }

    /// Whether the connection attempt came to its end: `Err` when it failed.
    fn finish_connecting(&mut self, now: Instant, handler: &mut impl Handler) -> Result<bool, ()> {
        if !self.writable && !self.readable {
            return Ok(false);
        }
        match self.socket.connected() {
            Ok(true) => {
                self.connecting = false;
                // What came along with the connection may not bring an edge again.
                self.readable = true;
                self.writable = true;
                Ok(true)
            }
            Ok(false) => {
                self.writable = false;
                self.readable = false;
                Ok(false)
            }
            Err(error) => {
                self.connecting = false;
                let _ = self.lose(now, Lost::Connect(error), handler);
                Err(())
            }
        }
    }

    /// Gives `input` to the connection and its events to `handler`.
    fn take(
        &mut self,
        now: Instant,
        mut input: &[u8],
        handler: &mut impl Handler,
    ) -> Result<(), ConnectionError> {
        if !self.usable {
            self.first.note(input);
        }
        let mut any = false;
        loop {
            match self.connection.recv(now, &mut input) {
                Ok(Some(Event::Message { call, piece, end })) => {
                    handler.message(&mut self.connection, call, piece, end);
                }
                Ok(Some(event)) => {
                    self.usable |= matches!(event, Event::Ready);
                    handler.event(event);
                }
                Ok(None) => break,
                // The statuses that follow from it are delivered with the reason.
                Err(error) => return Err(error),
            }
            any = true;
        }
        self.deliver(any, handler);
        Ok(())
    }

    /// Hands over the connection's own events, and settles until neither makes the other necessary. `any`: there
    /// were events already.
    fn deliver(&mut self, mut any: bool, handler: &mut impl Handler) {
        loop {
            while let Some(event) = self.connection.poll_event() {
                let writable = matches!(event, Event::Writable { .. });
                handler.event(event);
                any = true;
                if writable {
                    // It sends before the next is told: told all at once, they would all run for the same room, and
                    // the work of a write would grow with the number of streams that wait.
                    handler.settle(&mut self.connection);
                }
            }
            if !any {
                return;
            }
            handler.settle(&mut self.connection);
            any = false;
        }
    }

    /// Writes the outbox. Room in it may make events, and those more to write: done is when it is empty.
    fn write(&mut self, now: Instant, mut handler: Option<&mut impl Handler>) -> io::Result<()> {
        while self.writable {
            let bytes = self.connection.transmit(now);
            if bytes.is_empty() {
                break;
            }
            match self.socket.write(bytes) {
                Ok(n) => {
                    self.connection.transmitted(n);
                    if let Some(handler) = &mut handler {
                        self.deliver(false, *handler);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.writable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Reads a broken socket to its end, for what the peer said last. Bounded as any turn is.
    fn read_rest(&mut self, now: Instant, handler: &mut impl Handler) {
        let mut buffer = [0; 4096];
        for _ in 0..READS_PER_TURN {
            match self.socket.read(&mut buffer) {
                Ok(n) if n > 0 && self.take(now, &buffer[..n], handler).is_ok() => {}
                _ => return,
            }
        }
    }

    fn fail(&mut self, now: Instant, error: ConnectionError, handler: &mut impl Handler) -> Turn {
        self.last_words(now);
        self.lose(now, Lost::Protocol(error), handler)
    }

    /// What core still has to say (GOAWAY), as far as it goes without waiting.
    fn last_words(&mut self, now: Instant) {
        // Nobody is left to tell when this fails, too.
        let _ = self.write(now, None::<&mut NoHandler>);
        self.socket.shutdown_write();
    }

    /// The end: every call's last event. What lies in the outbox stays there, so that calls know that they never left.
    fn lose(&mut self, now: Instant, lost: Lost, handler: &mut impl Handler) -> Turn {
        match self.first.protocol() {
            Some(protocol) if !self.usable => handler.lost(&Lost::Speaks(protocol)),
            _ => handler.lost(&lost),
        }
        self.connection.carrier_lost(now);
        self.deliver(true, handler);
        Turn::Over
    }
}

/// Names the type of a handler that is not there.
enum NoHandler {}

impl Handler for NoHandler {
    fn event(&mut self, _: Event<'_, '_>) {
        match *self {}
    }
    fn message(&mut self, _: &mut Connection, _: CallId, _: Piece<'_>, _: bool) {
        match *self {}
    }
    fn settle(&mut self, _: &mut Connection) {
        match *self {}
    }
    fn lost(&mut self, _: &Lost) {
        match *self {}
    }
}

/// The first octets that a peer sent: enough to tell who answers on a wrong port.
#[derive(Debug, Default)]
struct First {
    octets: [u8; 8],
    len: usize,
}

impl First {
    fn note(&mut self, input: &[u8]) {
        let n = input.len().min(self.octets.len() - self.len);
        self.octets[self.len..self.len + n].copy_from_slice(&input[..n]);
        self.len += n;
    }

    /// What the peer speaks, when it is something well known and not HTTP/2.
    fn protocol(&self) -> Option<&'static str> {
        let octets = &self.octets[..self.len];
        // TLS records: content type (20 to 23), then version 3.x (RFC 8446 §5.1).
        if let [0x14..=0x17, 3, 0..=4, ..] = octets {
            return Some("TLS");
        }
        // Requests, as a server sees them; `PRI` alone is HTTP/2's.
        const METHODS: [&[u8]; 8] =
            [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT "];
        if octets.starts_with(b"HTTP/1.") || METHODS.iter().any(|method| octets.starts_with(method)) {
            return Some("HTTP/1.1");
        }
        octets.starts_with(b"SSH-").then_some("SSH")
    }
}

#[cfg(test)]
mod tests {
    use super::First;

    #[test]
    fn first_octets_tell_the_protocol() {
        let protocol = |octets: &[u8]| {
            let mut first = First::default();
            for octet in octets {
                first.note(&[*octet]);
            }
            first.protocol()
        };
        assert_eq!(protocol(b"HTTP/1.1 400 Bad Request\r\n"), Some("HTTP/1.1"));
        assert_eq!(protocol(b"GET / HTTP/1.1\r\n"), Some("HTTP/1.1"));
        assert_eq!(protocol(b"CONNECT example.org:443"), Some("HTTP/1.1"));
        assert_eq!(protocol(b"\x15\x03\x01\0\x02\x02\x28"), Some("TLS"));
        assert_eq!(protocol(b"\x16\x03\x01\x02\0\x01"), Some("TLS"));
        assert_eq!(protocol(b"SSH-2.0-OpenSSH_9.6"), Some("SSH"));
        assert_eq!(protocol(b"\0\0\x12\x04\0\0\0\0\0"), None);
        assert_eq!(protocol(b""), None);
    }
}
