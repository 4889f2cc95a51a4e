//! HTTP/2, by this library's own core: one task reads and writes a connection, and each request has one that answers it.

use super::body::Body;
use super::socket::Socket;
use super::{HEAD_TIMEOUT, Service, fields, words};
use grpclb::core::bytes::Fields;
use grpclb::core::error::ErrorCode;
use grpclb::core::hpack::{Field, Indexing};
use grpclb::core::http2::{Config, Connection, Event, HeadersKind, StreamError, StreamKey};
use grpclb::core::memory::{Boxed, Sizes};
use grpclb::core::time::Instant;
use hyper::body::{Body as HttpBody, Bytes, Frame};
use hyper::rt::Write;
use hyper::{HeaderMap, Method, StatusCode, http};
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::task::AbortHandle;

/// What a client may have sent and not seen taken, for a request and for all of a connection, octets.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A client that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Reads in a row: a fast client may not starve the others.
const READS: usize = 16;

/// Serves a connection to its end.
pub(crate) async fn serve(service: &Rc<Service>, mut socket: Socket) {
    let line = Rc::new(RefCell::new(Line::new()));
    let mut sleep = pin!(tokio::time::sleep(HEAD_TIMEOUT));
    let end = poll_fn(|cx| drive(service, &line, &mut socket, sleep.as_mut(), cx)).await;
    line.borrow_mut().end();
    if let End::Closing = end {
        socket.linger().await;
    }
}

/// How a connection ends.
enum End {
    /// The client has gone.
    Gone,
    /// This side has said its last.
    Closing,
}

/// Reads, minds the clock and writes until there is nothing to do now.
fn drive(
    service: &Rc<Service>,
    line: &Rc<RefCell<Line>>,
    socket: &mut Socket,
    mut sleep: Pin<&mut tokio::time::Sleep>,
    cx: &mut Context<'_>,
) -> Poll<End> {
    line.borrow_mut().driver = Some(cx.waker().clone());
    for read in 1.. {
        let mut begun = Vec::new();
        let taken = socket.poll_take(cx, usize::MAX, |octets| {
            line.borrow_mut().take(octets, &mut begun);
            octets.len()
        });
        for (stream, request) in begun {
            if line.borrow_mut().at(stream, |place| place.lost) != Some(false) {
                continue;
            }
            let answer = answer(Rc::clone(service), Rc::clone(line), stream, request);
            let task = tokio::task::spawn_local(answer).abort_handle();
            line.borrow_mut().at(stream, |place| place.task = Some(task));
        }
        match taken {
            Poll::Ready(Ok(1..)) if read < READS => {}
            Poll::Ready(Ok(1..)) => {
                cx.waker().wake_by_ref();
                break;
            }
            Poll::Ready(_) => return Poll::Ready(End::Gone),
            Poll::Pending => break,
        }
    }
    loop {
        if write(line, socket, cx).is_err() {
            return Poll::Ready(End::Gone);
        }
        let line = &mut *line.borrow_mut();
        let now = line.now();
        if line.connection.is_closed() && line.connection.transmit(now).is_empty() {
            return Poll::Ready(End::Closing);
        }
        let first = line.connection.poll_timeout().into_iter().chain(line.handshake).min();
        let Some(due) = first else { return Poll::Pending };
        sleep.as_mut().reset(tokio::time::Instant::now() + due.since(now));
        ready!(sleep.as_mut().poll(cx));
        line.expire();
    }
}

/// Writes what there is, as far as the client takes it.
fn write(line: &RefCell<Line>, socket: &mut Socket, cx: &mut Context<'_>) -> io::Result<()> {
    let line = &mut *line.borrow_mut();
    loop {
        let now = line.now();
        let octets = line.connection.transmit(now);
        if octets.is_empty() {
            return Ok(());
        }
        match pin!(&mut *socket).poll_write(cx, octets) {
            Poll::Ready(n) => line.connection.transmitted(n?),
            Poll::Pending => return Ok(()),
        }
        line.poll();
    }
}

/// A connection and its requests, by slot.
struct Line {
    connection: Connection<Boxed>,
    places: Vec<Place>,
    /// The task that reads and writes.
    driver: Option<Waker>,
    began: std::time::Instant,
    /// Until then the client must have sent its SETTINGS; `None`: it has.
    handshake: Option<Instant>,
}

/// One request.
#[derive(Default)]
struct Place {
    /// The stream's; 0: none.
    id: u32,
    /// Octets of the body that were not taken yet.
    incoming: Vec<u8>,
    /// All of it has come.
    ended: bool,
    /// The stream is over before its time.
    lost: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    task: Option<AbortHandle>,
}

type Begun = (StreamKey, Result<http::Request<Incoming>, StatusCode>);

impl Line {
    fn new() -> Line {
        let mut config = Config::server();
        config.stream_window = STREAM_WINDOW;
        config.connection_window = CONNECTION_WINDOW;
        config.keepalive_time = Some(KEEPALIVE);
        // The keys of the standard library's hash maps are random.
        config.seed = RandomState::new().hash_one(0);
        let connection = Connection::new(Boxed::new(&Sizes::default()), &config, Instant::default());
        Line {
            connection,
            places: Vec::new(),
            driver: None,
            began: std::time::Instant::now(),
            handshake: Some(Instant::default().after(HEAD_TIMEOUT)),
        }
    }

    fn now(&self) -> Instant {
        Instant::default().after(self.began.elapsed())
    }

    /// Has the driving task write what a request's task has made.
    fn kick(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// The place of a stream that is not over.
    fn at<R>(&mut self, stream: StreamKey, what: impl FnOnce(&mut Place) -> R) -> Option<R> {
        self.places.get_mut(usize::from(stream.slot)).filter(|place| place.id == stream.id).map(what)
    }

    /// Octets from the client.
    fn take(&mut self, mut input: &[u8], begun: &mut Vec<Begun>) {
        let now = self.now();
        while !input.is_empty() {
            let Line { connection, places, handshake, .. } = self;
            match connection.recv(now, &mut input) {
                Ok(Some(Event::Headers { stream, kind: HeadersKind::Request, fields, end, too_large })) => {
                    let slot = usize::from(stream.slot);
                    if slot >= places.len() {
                        places.resize_with(slot + 1, Place::default);
                    }
                    places[slot] = Place { id: stream.id, ended: end, ..Place::default() };
                    let head = if too_large {
                        Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
                    } else {
                        head(fields)
                    };
                    begun.push((stream, head));
                }
                Ok(Some(event)) => {
                    if matches!(event, Event::Ready) {
                        *handshake = None;
                    }
                    note(places, event);
                }
                // What is wrong stands in the GOAWAY; `is_closed` ends the connection.
                Ok(None) | Err(_) => break,
            }
        }
        self.poll();
    }

    /// Events that nothing received has made.
    fn poll(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            note(&mut self.places, event);
        }
    }

    /// Does what is due by the clock.
    fn expire(&mut self) {
        let now = self.now();
        if self.handshake.is_some_and(|due| due <= now) {
            self.connection.close(ErrorCode::NO_ERROR, "no SETTINGS came");
            self.handshake = None;
        }
        // A connection that has died of silence is closed from now on.
        let _ = self.connection.handle_timeout(now);
        self.poll();
    }

    /// The connection is over: so are its requests.
    fn end(&mut self) {
        for place in &mut self.places {
            lose(place);
        }
    }
}

/// Tells a request's task what happened.
fn note(places: &mut [Place], event: Event<'_, '_>) {
    let (stream, end) = match event {
        Event::Data { stream, end, .. } | Event::Headers { stream, end, .. } => (stream, end),
        Event::Writable { stream } | Event::Reset { stream, .. } => (stream, false),
        _ => return,
    };
    let place = places.get_mut(usize::from(stream.slot)).filter(|place| place.id == stream.id);
    let Some(place) = place else { return };
    match event {
        Event::Data { bytes, .. } => place.incoming.extend_from_slice(bytes),
        Event::Writable { .. } => wake(&mut place.writer),
        Event::Reset { .. } => return lose(place),
        _ => {}
    }
    place.ended |= end;
    if end || !place.incoming.is_empty() {
        wake(&mut place.reader);
    }
}

fn wake(waker: &mut Option<Waker>) {
    waker.take().into_iter().for_each(Waker::wake);
}

/// A stream is over before its time: its task is dropped, and with it the call to a backend.
fn lose(place: &mut Place) {
    (place.lost, place.incoming) = (true, Vec::new());
    if let Some(task) = place.task.take() {
        task.abort();
    }
}

/// A request's head, for the service that answers HTTP/1.1 too.
fn head(list: Fields<'_>) -> Result<http::Request<Incoming>, StatusCode> {
    let mut request = http::Request::builder().version(http::Version::HTTP_2);
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        match name {
            b":method" => request = request.method(value),
            b":path" => request = request.uri(value),
            // RFC 9113 §8.3.1: it stands for Host.
            b":authority" => fields::put(&mut headers, b"host", value),
            [b':', ..] => {}
            b"host" if headers.contains_key("host") => {}
            _ => fields::put(&mut headers, name, value),
        }
    }
    let mut request = request.body(Incoming::default()).map_err(|_| StatusCode::BAD_REQUEST)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A request's body as it comes. What was taken gives the client room for more once the next is asked for.
#[derive(Default)]
pub(crate) struct Incoming {
    of: Option<(Rc<RefCell<Line>>, StreamKey)>,
    taken: usize,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Incoming { of: Some((line, stream)), taken } = &mut *self else { return Poll::Ready(None) };
        let mut line = line.borrow_mut();
        if *taken > 0 {
            line.connection.release(*stream, std::mem::take(taken));
            line.kick();
        }
        let polled = line.at(*stream, |place| {
            if place.lost {
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
            }
            if !place.incoming.is_empty() {
                *taken = place.incoming.len();
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut place.incoming).into()))));
            }
            if place.ended {
                return Poll::Ready(None);
            }
            place.reader = Some(cx.waker().clone());
            Poll::Pending
        });
        polled.unwrap_or(Poll::Ready(None))
    }

    fn is_end_stream(&self) -> bool {
        self.of.as_ref().is_none_or(|(line, stream)| {
            line.borrow_mut().at(*stream, |place| place.ended && place.incoming.is_empty()).unwrap_or(true)
        })
    }
}

/// Answers a request, and ends its stream.
async fn answer(
    service: Rc<Service>,
    line: Rc<RefCell<Line>>,
    stream: StreamKey,
    request: Result<http::Request<Incoming>, StatusCode>,
) {
    let (mut no_body, response) = match request {
        Ok(request) => {
            let no_body = request.method() == Method::HEAD;
            let request = request.map(|_| Incoming { of: Some((Rc::clone(&line), stream)), taken: 0 });
            (no_body, service.answer(request).await)
        }
        Err(status) => (false, words(status, "the request's head cannot be taken")),
    };
    let (head, mut body) = response.into_parts();
    let mut headers = head.headers;
    if let Some(len) = body.size_hint().exact().filter(|_| !matches!(body, Body::Empty)) {
        headers.insert("content-length", len.into());
    }
    no_body |= body.is_end_stream();
    let done = send_head(&line, stream, Some(head.status), &headers, no_body).await.is_ok()
        && (no_body || send_body(&line, stream, &mut body).await);
    let mut line = line.borrow_mut();
    let read_all = line.at(stream, |place| {
        // From here on the slot may be another stream's.
        place.id = 0;
        place.ended
    });
    // RFC 9113 §8.1: a response that is complete before its request asks for no more of that.
    if !done || read_all == Some(false) {
        let code = if done { ErrorCode::NO_ERROR } else { ErrorCode::INTERNAL_ERROR };
        line.connection.reset(stream, code);
    }
    line.kick();
}

/// Sends all of a body, with END_STREAM at its end; `false`: it broke off, or nobody is there to take it.
async fn send_body(line: &RefCell<Line>, stream: StreamKey, body: &mut Body) -> bool {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return false };
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                if send_data(line, stream, &data, last).await.is_err() {
                    return false;
                }
                if last {
                    return true;
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return send_head(line, stream, None, &trailers, true).await.is_ok();
            }
        }
    }
    send_data(line, stream, &[], true).await.is_ok()
}

/// Sends a response's head or, without a status, its trailers.
async fn send_head(
    line: &RefCell<Line>,
    stream: StreamKey,
    status: Option<StatusCode>,
    headers: &HeaderMap,
    end: bool,
) -> Result<(), StreamError> {
    let field = |name, value| Field { name, value, indexing: Indexing::Incremental };
    let status = status.as_ref().map(|status| field(&b":status"[..], status.as_str().as_bytes()));
    let rest = headers.iter().map(|(name, value)| {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        // Long values are not worth their room in the table.
        let indexing = if value.len() > 128 { Indexing::Without } else { Indexing::Incremental };
        Field { name, value, indexing }
    });
    let list: Vec<Field<'_>> = status.into_iter().chain(rest).collect();
    send(line, stream, |connection| connection.send_headers(stream, list.iter().copied(), end)).await
}

async fn send_data(
    line: &RefCell<Line>,
    stream: StreamKey,
    mut octets: &[u8],
    end: bool,
) -> Result<(), StreamError> {
    loop {
        let sent = send(line, stream, |connection| connection.send_data(stream, octets, end)).await?;
        octets = &octets[sent..];
        if octets.is_empty() {
            return Ok(());
        }
    }
}

/// Sends something once there is room for it.
async fn send<R>(
    line: &RefCell<Line>,
    stream: StreamKey,
    mut what: impl FnMut(&mut Connection<Boxed>) -> Result<R, StreamError>,
) -> Result<R, StreamError> {
    poll_fn(|cx| {
        let mut line = line.borrow_mut();
        let sent = what(&mut line.connection);
        line.kick();
        match sent {
            Err(StreamError::Blocked) => {
                line.at(stream, |place| place.writer = Some(cx.waker().clone()));
                Poll::Pending
            }
            other => Poll::Ready(other),
        }
    })
    .await
}
