//! A gateway: browsers' gRPC-Web and plain gRPC on one port, each call balanced over the backends.
//!
//! The example program `gateway` is a command line around this module; another program takes it in by
//!
//! ```ignore
//! #[path = "../gateway/proxy/mod.rs"]
//! mod proxy;
//!
//! let backends = grpclb::Channel::builder("ipv4:127.0.0.1:50051").service_config(ROUND_ROBIN);
//! let gateway = proxy::Gateway::bind("127.0.0.1:8080", backends)?
//!     .files(Path::new("page"))?
//!     .routes(|request| match (request.method, request.path) {
//!         ("GET", "/state") => Some(proxy::Reply::events(Duration::from_millis(250), || Some(state()))),
//!         ("POST", "/kill") => Some(proxy::Reply::json(200, kill(request.query))),
//!         _ => None,
//!     });
//! println!("listening on {}", gateway.local_addr());
//! let handle = gateway.spawn()?; // or: gateway.serve()
//! handle.switch(grpclb::Channel::builder("ipv4:127.0.0.1:50051,127.0.0.1:50052"))?; // calls that run go on
//! handle.stop();
//! ```
//!
//! A request is, in this order: a gRPC or gRPC-Web call (POST, by its content-type), a CORS preflight, a route of the
//! program's, a file (GET, HEAD). Routes run on the gateway's thread: they answer from what they have, and do not wait. They
//! are not for pages of other origins: those get 403, unless they only read (GET, HEAD), whose answers browsers keep from
//! them.
//!
//! One thread, one event loop, one reactor: picks of all clients are in one order, so shares are exact.

#![allow(dead_code)] // each program uses a part of it

mod body;
mod call;
mod cors;
mod fields;
mod files;
mod form;
mod http1;
mod http2;
mod route;
mod socket;
mod upstream;

pub(crate) use route::{Reply, Request};

use body::Body;
use files::Files;
use form::{Form, Spoken, Status};
use grpclb::core::grpc::Code;
use grpclb::host::reactor::Reactor;
use grpclb::{ChannelBuilder, ConnectError};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode, http};
use route::Routes;
use socket::Socket;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use upstream::Upstream;

/// Clients at once; further ones are closed, so that they try elsewhere.
const MAX_CONNECTIONS: usize = 4_096;

/// How long a client may take to say what it speaks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may stand still in the middle of something.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How every HTTP/2 connection begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A gateway that listens.
#[derive(Debug)]
pub(crate) struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    reactor: Reactor,
    files: Option<Files>,
    routes: Option<Routes>,
    patience: Duration,
    commands: (mpsc::UnboundedSender<Command>, mpsc::UnboundedReceiver<Command>),
}

#[derive(Debug)]
enum Command {
    Switch(Box<Reactor>),
    Stop,
}

/// Why there is no gateway.
#[derive(Debug)]
pub(crate) enum BindError {
    Backends(ConnectError),
    Listen(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Backends(error) => error.fmt(f),
            BindError::Listen(error) => write!(f, "cannot listen: {error}"),
        }
    }
}

/// Commands a gateway that serves, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// Takes new calls to these backends from now on; those that run end where they are.
    pub(crate) fn switch(&self, backends: ChannelBuilder) -> Result<(), ConnectError> {
        let reactor = Box::new(Reactor::new(backends)?);
        // A gateway that has ended needs none.
        let _ = self.commands.send(Command::Switch(reactor));
        Ok(())
    }

    /// Ends it: sockets are closed.
    pub(crate) fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }
}

impl Gateway {
    /// Listens at `ip:port`, `[ip]:port`, `host:port` or `:port` (every interface); port 0 takes a free one.
    ///
    /// # Errors
    /// Target or service config are wrong, or it cannot listen there.
    pub(crate) fn bind(address: &str, backends: ChannelBuilder) -> Result<Gateway, BindError> {
        let reactor = Reactor::new(backends).map_err(BindError::Backends)?;
        let listener = listen(address).map_err(BindError::Listen)?;
        let address = listener.local_addr().map_err(BindError::Listen)?;
        Ok(Gateway {
            listener,
            address,
            reactor,
            files: None,
            routes: None,
            patience: PATIENCE,
            commands: mpsc::unbounded_channel(),
        })
    }

    /// Serves the files of a folder. Links that lead out of it are not followed.
    pub(crate) fn files(mut self, folder: &Path) -> io::Result<Gateway> {
        self.files = Some(Files::of(folder)?);
        Ok(self)
    }

    /// Has `routes` answer requests; `None`: not this one.
    pub(crate) fn routes(
        mut self,
        routes: impl Fn(&Request<'_>) -> Option<Reply> + Send + 'static,
    ) -> Gateway {
        self.routes = Some(Routes(Box::new(routes)));
        self
    }

    /// How long a client may stand still (default 60 s). One that takes no octet of what waits for it is gone then; a call
    /// over HTTP/1.1 whose body does not come ends with CANCELLED. (Over HTTP/2 a stream may rest; its connection is asked
    /// now and then whether it lives.)
    pub(crate) fn patience(mut self, patience: Duration) -> Gateway {
        self.patience = patience;
        self
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// To command it.
    pub(crate) fn handle(&self) -> Handle {
        Handle { commands: self.commands.0.clone() }
    }

    /// Waits until so many backends are READY; `false` when the time ran out.
    pub(crate) fn wait_for_ready_endpoints(&mut self, count: usize, patience: Duration) -> io::Result<bool> {
        let until = std::time::Instant::now() + patience;
        self.reactor.state(true);
        while self.reactor.ready_endpoints() < count {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.reactor.wait(Some(left))?;
        }
        Ok(true)
    }

    /// Serves on a thread of its own.
    pub(crate) fn spawn(self) -> io::Result<Handle> {
        let handle = self.handle();
        std::thread::Builder::new().name("gateway".into()).spawn(move || {
            if let Err(error) = self.serve() {
                eprintln!("gateway: {error}");
            }
        })?;
        Ok(handle)
    }

    /// Serves on this thread until it is stopped.
    pub(crate) fn serve(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, self.run())
    }

    async fn run(self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let (_kept, mut commands) = self.commands;
        let service = Rc::new(Service {
            upstream: RefCell::new(Rc::new(Upstream::new(self.reactor)?)),
            files: self.files,
            routes: self.routes,
            patience: self.patience,
            clients: Cell::new(0),
        });
        loop {
            let next = poll_fn(|cx| {
                if let std::task::Poll::Ready(Some(command)) = commands.poll_recv(cx) {
                    return std::task::Poll::Ready(Ok(Some(command)));
                }
                listener.poll_accept(cx).map(|accepted| match accepted {
                    Ok((socket, _)) => {
                        service.accepted(socket);
                        Ok(None)
                    }
                    Err(error) => Err(error),
                })
            });
            match next.await {
                Ok(None) => {}
                Ok(Some(Command::Switch(reactor))) => match Upstream::new(*reactor) {
                    Ok(upstream) => *service.upstream.borrow_mut() = Rc::new(upstream),
                    // For want of descriptors: no reason to end the calls that run.
                    Err(error) => eprintln!("gateway: the backends stay who they were: {error}"),
                },
                Ok(Some(Command::Stop)) => return Ok(()),
                // Of that one connection, or for want of descriptors, which it would be at once again.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

fn listen(address: &str) -> io::Result<TcpListener> {
    match address.strip_prefix(':') {
        // [::] takes IPv4 as well, where the system has IPv6 at all.
        Some(port) => TcpListener::bind(format!("[::]:{port}"))
            .or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}"))),
        None => TcpListener::bind(address),
    }
}

/// What all clients' connections share.
#[derive(Debug)]
struct Service {
    upstream: RefCell<Rc<Upstream>>,
    files: Option<Files>,
    routes: Option<Routes>,
    patience: Duration,
    clients: Cell<usize>,
}

/// Counts a client while it is there.
struct Client(Rc<Service>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
    }
}

impl Service {
    fn accepted(self: &Rc<Self>, socket: tokio::net::TcpStream) {
        if self.clients.get() >= MAX_CONNECTIONS {
            return;
        }
        self.clients.set(self.clients.get() + 1);
        let client = Client(Rc::clone(self));
        tokio::task::spawn_local(async move {
            let mut socket = Socket::new(socket, client.0.patience);
            let speaks = tokio::time::timeout(HEAD_TIMEOUT, socket.starts_with(PREFACE));
            match speaks.await {
                Ok(Ok(true)) => http2::serve(&client.0, socket).await,
                Ok(Ok(false)) => http1::serve(&client.0, socket).await,
                // Whoever says nothing in time is closed.
                _ => {}
            }
        });
    }

    /// Answers a request of either HTTP.
    async fn answer<B>(self: &Rc<Self>, request: http::Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Unpin + 'static,
    {
        let (head, body) = request.into_parts();
        let spoken = Form::of(&head.headers);
        if head.method == Method::POST {
            match spoken {
                Spoken::Form(form) => {
                    let mut response = self.call(&form, &head, body).await;
                    if !matches!(form, Form::Grpc) {
                        cors::expose(response.headers_mut());
                    }
                    return response;
                }
                Spoken::Format(format) => {
                    return not_taken(&format!(
                        "messages of format {format:?} are not taken: proto alone is"
                    ));
                }
                Spoken::Other => {}
            }
        }
        if cors::is_preflight(&head) {
            return cors::preflight(&head);
        }
        let head_or_get = matches!(head.method, Method::GET | Method::HEAD);
        if let Some(routes) = &self.routes {
            let foreign = route::is_foreign(&head.headers, head.uri.authority().map(|name| name.as_str()));
            let body = match tokio::time::timeout(self.patience, read(body, route::MAX_BODY)).await {
                Ok(Ok(body)) => body,
                Ok(Err(status)) => return words(status, "the request's body is too large, or broke off"),
                Err(_) => return words(StatusCode::REQUEST_TIMEOUT, "the request's body stands still"),
            };
            let request = Request {
                method: head.method.as_str(),
                path: head.uri.path(),
                query: head.uri.query().unwrap_or_default(),
                headers: &head.headers,
                body: &body,
            };
            if foreign && !head_or_get {
                return words(StatusCode::FORBIDDEN, "not for pages of other origins");
            }
            if let Some(reply) = (routes.0)(&request) {
                return reply.into_response();
            }
        }
        match &self.files {
            Some(files) if head_or_get => files.serve(head.uri.path()),
            _ if head.method == Method::POST => not_taken(
                "this is a gRPC gateway: content-type must be application/grpc-web, application/grpc-web-text or, over \
                 HTTP/2, application/grpc",
            ),
            files => {
                let mut response = words(StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST requests");
                let allow = if files.is_some() { "GET, HEAD, OPTIONS, POST" } else { "OPTIONS, POST" };
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
                response
            }
        }
    }

    async fn call<B>(&self, form: &Form, head: &http::request::Parts, body: B) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Unpin + 'static,
    {
        if matches!(form, Form::Grpc) && head.version != http::Version::HTTP_2 {
            return not_taken("gRPC needs HTTP/2; over HTTP/1.1 content-type must be application/grpc-web");
        }
        if !grpclb::core::grpc::path::is_valid(head.uri.path().as_bytes()) {
            let path = head.uri.path();
            let status = Status::own(Code::UNIMPLEMENTED, format!("{path:.200} is no path of a method"));
            return call::refusal(form, &status);
        }
        let upstream = Rc::clone(&self.upstream.borrow());
        let patience = (head.version != http::Version::HTTP_2).then_some(self.patience);
        call::proxy(&upstream, form, head, body, patience).await
    }
}

/// An answer in words.
fn words(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::Whole(format!("{text}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// 415, which pages of other origins may read as well: their authors have to.
fn not_taken(text: &str) -> Response<Body> {
    let mut response = words(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    cors::expose(response.headers_mut());
    response
}

/// A whole body, when it is not too large.
async fn read<B>(mut body: B, limit: usize) -> Result<Vec<u8>, StatusCode>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut octets = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        if let Ok(data) = frame.into_data() {
            if octets.len() + data.len() > limit {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            octets.extend_from_slice(&data);
        }
    }
    Ok(octets)
}
