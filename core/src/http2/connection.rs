//! The public form of the machine, for HTTP/2 alone.

use super::{Config, ConnectionError, Engine, Fields, HeadersKind, OpenError, Parts, ResetCause, State};
use super::{StreamError, StreamKey, Token};
use crate::error::ErrorCode;
use crate::hpack::Field;
use crate::time::Instant;

/// Lends a connection its memory.
pub trait Storage {
    /// The parts; the same memory at each call, all zero at first.
    fn parts(&mut self) -> Parts<'_>;
}

/// What happened: a [`Token`] with its fields read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'c, 'i> {
    /// [`Token::Headers`].
    Headers {
        /// Whose.
        stream: StreamKey,
        /// Which.
        kind: HeadersKind,
        /// The list.
        fields: Fields<'c>,
        /// The peer's side of the stream ends here.
        end: bool,
        /// The list was larger than is taken, and is not whole.
        too_large: bool,
    },
    /// [`Token::Data`].
    Data {
        /// Whose.
        stream: StreamKey,
        /// In the caller's input.
        bytes: &'i [u8],
        /// The peer's side of the stream ends behind them.
        end: bool,
    },
    /// [`Token::Reset`].
    Reset {
        /// Whose.
        stream: StreamKey,
        /// Why.
        code: ErrorCode,
        /// By whom.
        cause: ResetCause,
    },
    /// [`Token::Ready`].
    Ready,
    /// [`Token::GoAway`].
    GoAway {
        /// The last of our streams that was or may be processed.
        last: u32,
        /// Why.
        code: ErrorCode,
        /// Words for people.
        debug: &'c [u8],
    },
    /// [`Token::Writable`].
    Writable {
        /// Which.
        stream: StreamKey,
    },
    /// [`Token::Openable`].
    Openable,
}

/// One HTTP/2 connection over lent memory.
///
/// A driver calls [`poll_event`](Connection::poll_event) after [`recv`](Connection::recv),
/// [`transmitted`](Connection::transmitted) and [`handle_timeout`](Connection::handle_timeout) until it gives nothing,
/// acts on the events, then writes what [`transmit`](Connection::transmit) lends.
///
/// ```
/// use grpclb_core::hpack::{Field, Indexing};
/// use grpclb_core::http2::{Config, Connection, Event, HeadersKind, Storage};
/// use grpclb_core::memory::Inline;
/// use grpclb_core::time::Instant;
///
/// let now = Instant::from_nanos(0);
/// let mut client = Connection::new(Inline::<4>::new(), &Config::client(), now);
/// let mut server = Connection::new(Inline::<4>::new(), &Config::server(), now);
///
/// let field = |name, value| Field { name, value, indexing: Indexing::Incremental };
/// let request = [field(b":method", b"GET"), field(b":scheme", b"http"), field(b":path", b"/hello")];
/// client.open(now, request.into_iter(), true).unwrap();
///
/// // What would go over a socket.
/// fn carry<A: Storage, B: Storage>(from: &mut Connection<A>, to: &mut Connection<B>, mut told: impl FnMut(Event<'_, '_>)) {
///     let now = Instant::from_nanos(0);
///     let bytes = from.transmit(now);
///     let (n, mut input) = (bytes.len(), bytes);
///     while let Some(event) = to.recv(now, &mut input).unwrap() {
///         told(event);
///     }
///     from.transmitted(n);
/// }
///
/// let mut asked = None;
/// carry(&mut client, &mut server, |event| {
///     if let Event::Headers { stream, kind: HeadersKind::Request, fields, .. } = event {
///         assert_eq!(fields.get(b":path"), Some(&b"/hello"[..]));
///         asked = Some(stream);
///     }
/// });
/// let stream = asked.unwrap();
/// server.send_headers(stream, [field(b":status", b"200")].into_iter(), false).unwrap();
/// assert_eq!(server.send_data(stream, b"Hello!", true), Ok(6));
///
/// let mut body = Vec::new();
/// carry(&mut server, &mut client, |event| {
///     if let Event::Data { bytes, .. } = event {
///         body.extend_from_slice(bytes);
///     }
/// });
/// assert_eq!(body, b"Hello!");
/// ```
#[derive(Debug)]
pub struct Connection<S> {
    state: State,
    storage: S,
}

impl<S: Storage> Connection<S> {
    /// A new connection.
    pub fn new(storage: S, config: &Config, now: Instant) -> Connection<S> {
        Connection { state: State::new(config, now), storage }
    }

    fn engine(&mut self) -> Engine<'_> {
        Engine { state: &mut self.state, parts: self.storage.parts() }
    }

    fn event<'c, 'i>(&'c mut self, token: Token<'i>) -> Event<'c, 'i> {
        let engine = self.engine();
        let arena: &'c [u8] = engine.parts.arena;
        let octets = |span: super::Span| {
            let at = span.at as usize;
            arena.get(at..at.saturating_add(span.len as usize)).unwrap_or_default()
        };
        match token {
            Token::Headers { stream, kind, fields, end, too_large } => {
                Event::Headers { stream, kind, fields: Fields::new(octets(fields)), end, too_large }
            }
            Token::Data { stream, bytes, end } => Event::Data { stream, bytes, end },
            Token::Reset { stream, code, cause } => Event::Reset { stream, code, cause },
            Token::Ready => Event::Ready,
            Token::GoAway { last, code, debug } => Event::GoAway { last, code, debug: octets(debug) },
            Token::Writable { stream } => Event::Writable { stream },
            Token::Openable => Event::Openable,
        }
    }

    /// Bytes in, an event at a time; moves `input` forward; `Ok(None)` when all was taken. Octets of DATA count against
    /// the windows until they are given back by [`release`](Connection::release).
    ///
    /// # Errors
    /// Terminal and sticky; `transmit` still yields the GOAWAY.
    pub fn recv<'c, 'i>(
        &'c mut self,
        now: Instant,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'c, 'i>>, ConnectionError> {
        self.state.arena_clear();
        match self.engine().recv(now, input)? {
            Some(token) => Ok(Some(self.event(token))),
            None => Ok(None),
        }
    }

    /// An event made by time, by a command or by `transmitted`: until `None`, after each of them and after `recv`.
    pub fn poll_event(&mut self) -> Option<Event<'_, 'static>> {
        let token = self.engine().poll()?;
        Some(self.event(token))
    }

    /// See [`Engine::open`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open<'f>(
        &mut self,
        now: Instant,
        fields: impl Iterator<Item = Field<'f>> + Clone,
        end: bool,
    ) -> Result<StreamKey, OpenError> {
        self.engine().open(now, fields, end)
    }

    /// See [`Engine::send_headers`].
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn send_headers<'f>(
        &mut self,
        stream: StreamKey,
        fields: impl Iterator<Item = Field<'f>> + Clone,
        end: bool,
    ) -> Result<(), StreamError> {
        self.engine().send_headers(stream, fields, end)
    }

    /// Sends as much of `bytes` as outbox and windows take: see [`Engine::send_data`].
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn send_data(&mut self, stream: StreamKey, bytes: &[u8], end: bool) -> Result<usize, StreamError> {
        self.engine().send_data(stream, &[], bytes, end)
    }

    /// See [`Engine::release`].
    pub fn release(&mut self, stream: StreamKey, n: usize) {
        self.engine().release(stream, u32::try_from(n).unwrap_or(u32::MAX));
    }

    /// See [`Engine::reset`].
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        self.engine().reset(stream, code);
    }

    /// See [`Engine::shutdown`].
    pub fn shutdown(&mut self, now: Instant) {
        self.engine().shutdown(now);
    }

    /// See [`Engine::close`].
    pub fn close(&mut self, code: ErrorCode, reason: &'static str) {
        self.engine().close(code, reason);
    }

    /// See [`State::is_closed`].
    pub fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    /// Open streams.
    pub fn open_streams(&mut self) -> u32 {
        self.engine().open_streams()
    }

    /// Streams that could be opened now.
    pub fn room(&mut self) -> u32 {
        self.engine().room()
    }

    /// The outbox, lent.
    pub fn transmit(&mut self, now: Instant) -> &[u8] {
        self.engine().transmit(now)
    }

    /// Octets of it that were written.
    pub fn transmitted(&mut self, n: usize) {
        self.engine().transmitted(n);
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state.poll_timeout()
    }

    /// The clock reached `poll_timeout`.
    ///
    /// # Errors
    /// See [`Engine::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.engine().handle_timeout(now)
    }
}
