//! The server: methods by path, one thread that drives, handlers in it or on worker threads.

use grpclb_core::grpc::Code;
use std::net::SocketAddr;
use std::time::Duration;

/// One unary request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The message.
    pub message: &'a [u8],
}

#[allow(unused_variables)]
impl Request<'_> {
    /// A value of the call's metadata, `-bin` decoded.
    pub fn metadata(&self, name: &str) -> Option<Vec<u8>> {
        todo!()
    }
    /// Time left, when the caller gave a deadline.
    pub fn time_left(&self) -> Option<Duration> {
        todo!()
    }
}

/// The answer being made: message bytes, and metadata on the way.
#[derive(Debug)]
pub struct Response<'a> {
    /// The message to send; empty at first.
    pub message: &'a mut Vec<u8>,
}

#[allow(unused_variables)]
impl Response<'_> {
    /// Adds initial metadata.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        todo!()
    }
    /// Adds trailing metadata.
    pub fn trailer(&mut self, name: &str, value: &[u8]) {
        todo!()
    }
}

/// A streaming call at the server, blocking, on a thread of its own.
#[derive(Debug)]
pub struct ServerStream {}

#[allow(unused_variables)]
impl ServerStream {
    /// The next message into `message`; `false` when the client half-closed; `Err` when the call is over (cancelled, deadline).
    pub fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool, Code> {
        todo!()
    }
    /// Sends one message; waits while the window is full.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Code> {
        todo!()
    }
    /// Sends initial metadata; before the first message.
    pub fn send_headers(&mut self, metadata: &[(&str, &[u8])]) -> Result<(), Code> {
        todo!()
    }
    /// Adds trailing metadata.
    pub fn trailer(&mut self, name: &str, value: &[u8]) {
        todo!()
    }
    /// A value of the call's metadata, `-bin` decoded.
    pub fn metadata(&self, name: &str) -> Option<Vec<u8>> {
        todo!()
    }
    /// Waits, but not longer than the call lives; `Err` when it is over.
    pub fn sleep(&mut self, time: Duration) -> Result<(), Code> {
        todo!()
    }
}

/// How a handler ends a call that is not OK.
pub type Handler<T> = Result<T, (Code, String)>;

/// Settings and methods of a server.
#[derive(Debug)]
pub struct ServerBuilder {}

#[allow(unused_variables)]
impl ServerBuilder {
    /// A unary method that answers at once, on the driving thread.
    #[must_use]
    pub fn unary(
        self,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Response<'_>) -> Handler<()> + Send + Sync + 'static,
    ) -> Self {
        todo!()
    }
    /// A unary method that may block, on a worker thread.
    #[must_use]
    pub fn unary_blocking(
        self,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Response<'_>) -> Handler<()> + Send + Sync + 'static,
    ) -> Self {
        todo!()
    }
    /// A streaming method of any kind, on a worker thread.
    #[must_use]
    pub fn streaming(
        self,
        path: &str,
        handler: impl Fn(&mut ServerStream) -> Handler<()> + Send + Sync + 'static,
    ) -> Self {
        todo!()
    }
    /// GOAWAY to each connection at this age, jittered ±10 %; close it `grace` later whatever runs (`None`: wait).
    #[must_use]
    pub fn max_connection_age(self, age: Duration, grace: Option<Duration>) -> Self {
        todo!()
    }
    /// Registers grpc.health.v1.Health (Check and Watch); SERVING from the start.
    #[must_use]
    pub fn health(self) -> Self {
        todo!()
    }
    /// Listens: `127.0.0.1:0`, `[::]:50051` or `unix:/path`.
    pub fn bind(self, address: &str) -> std::io::Result<Server> {
        todo!()
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// Begins a server.
    pub fn builder() -> ServerBuilder {
        todo!()
    }
    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// A handle to stop it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        todo!()
    }
    /// Serves on this thread until it is stopped.
    pub fn serve(self) -> std::io::Result<()> {
        todo!()
    }
    /// Serves on a thread of its own.
    pub fn spawn(self) -> ServerHandle {
        todo!()
    }
}

/// Stops a server; cloned freely.
#[derive(Clone, Debug)]
pub struct ServerHandle {}

#[allow(unused_variables)]
impl ServerHandle {
    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// Connections accepted since the start.
    pub fn connections_accepted(&self) -> u64 {
        todo!()
    }
    /// No new connections; two-step GOAWAY; waits for the calls up to `grace`, then ends them.
    pub fn graceful_stop(&self, grace: Duration) {
        todo!()
    }
    /// At once: sockets are closed.
    pub fn stop(&self) {
        todo!()
    }
    /// Retires every connection now, as its age would (for demos and drains).
    pub fn retire_connections(&self) {
        todo!()
    }
    /// Waits until it has ended.
    pub fn join(&self) {
        todo!()
    }
}
