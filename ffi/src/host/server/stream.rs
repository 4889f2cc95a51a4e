//! A streaming call as its handler sees it: blocking, on a worker thread.

use super::metadata::Metadata;
use super::request;
use super::work::Work;
use grpclb_core::grpc::Code;
use std::sync::Arc;
use std::time::Duration;

/// Octets of receive window that are given back together: a note to the driving thread for each small message would
/// cost more than the message. Less than that is kept back, which is little beside a stream's window (1 MiB).
const RELEASE_AT_ONCE: usize = 4096;

/// A streaming call at the server, blocking, on a thread of its own.
///
/// Both directions have back-pressure: the client's window grows only as [`recv`](ServerStream::recv) takes messages,
/// and [`send`](ServerStream::send) waits while the client does not take them.
#[derive(Debug)]
pub struct ServerStream {
    work: Arc<Work>,
    trailers: Metadata,
}

impl ServerStream {
    pub(crate) fn new(work: &Arc<Work>) -> ServerStream {
        ServerStream { work: Arc::clone(work), trailers: Metadata::default() }
    }

    /// The next message into `message` (cleared first); `false` when the client half-closed. `Err` when the call is
    /// over: CANCELLED by the client, or with its connection; DEADLINE_EXCEEDED.
    pub fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool, Code> {
        message.clear();
        let mut state = self.work.lock();
        loop {
            if let Some(code) = state.over {
                return Err(code);
            }
            if let Some(release) = state.inbox.take(message) {
                state.release += release;
                let due = state.release >= RELEASE_AT_ONCE;
                drop(state);
                if due {
                    self.work.note();
                }
                return Ok(true);
            }
            if state.half_closed {
                return Ok(false);
            }
            state = self.work.wait(state);
        }
    }

    /// The only message of a method that takes exactly one; UNIMPLEMENTED when the client sent none or several, as
    /// gRPC's list of status codes prescribes.
    pub fn recv_only(&mut self, message: &mut Vec<u8>) -> Result<(), (Code, String)> {
        let over = |code| (code, "the call is over".to_owned());
        if !self.recv(message).map_err(over)? {
            return Err((Code::UNIMPLEMENTED, "expected one request message, got none".to_owned()));
        }
        let mut second = Vec::new();
        if self.recv(&mut second).map_err(over)? {
            return Err((Code::UNIMPLEMENTED, "expected one request message, got several".to_owned()));
        }
        Ok(())
    }

    /// Sends one message; waits while the client's window is full. `Err` when the call is over.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Code> {
        let mut state = self.work.lock();
        loop {
            if let Some(code) = state.over {
                return Err(code);
            }
            if !state.outgoing.is_full() {
                break;
            }
            state = self.work.wait(state);
        }
        state.outgoing.push(message);
        drop(state);
        self.work.note();
        Ok(())
    }

    /// Sends initial metadata, before the first message: FAILED_PRECONDITION after it, or a second time. `Err` also
    /// when the call is over.
    pub fn send_headers(&mut self, metadata: &[(&str, &[u8])]) -> Result<(), Code> {
        let mut state = self.work.lock();
        if let Some(code) = state.over {
            return Err(code);
        }
        if state.outgoing.started {
            return Err(Code::FAILED_PRECONDITION);
        }
        for (name, value) in metadata {
            state.outgoing.headers.push(name.as_bytes(), value);
        }
        state.outgoing.headers_due = true;
        state.outgoing.started = true;
        drop(state);
        self.work.note();
        Ok(())
    }

    /// Adds trailing metadata. Names are lower-case (`[0-9a-z_.-]`, not `grpc-…`), values printable ASCII, or anything
    /// for names that end in `-bin`; otherwise the call ends with INTERNAL.
    pub fn trailer(&mut self, name: &str, value: &[u8]) {
        self.trailers.push(name.as_bytes(), value);
    }

    /// The first value of that name in the call's metadata; those of `-bin` names are decoded.
    pub fn metadata(&self, name: &str) -> Option<Vec<u8>> {
        request::value(&self.work.metadata, name)
    }

    /// Time left, when the caller gave a deadline; zero when it has passed.
    pub fn time_left(&self) -> Option<Duration> {
        request::time_left(self.work.deadline)
    }

    /// Why the call is over, when it is.
    pub fn over(&self) -> Option<Code> {
        self.work.lock().over
    }

    /// Waits, but not longer than the call lives; `Err` when it is over.
    pub fn sleep(&mut self, time: Duration) -> Result<(), Code> {
        request::sleep(&self.work, time)
    }

    /// Trailing metadata, once the handler has returned.
    pub(crate) fn into_trailers(self) -> Metadata {
        self.trailers
    }
}
