//! What handlers get: a unary request and its response.

use super::metadata::Metadata;
use super::work::Work;
use crate::host::clock;
use grpclb_core::grpc::Code;
use grpclb_core::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// One unary request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The message.
    pub message: &'a [u8],
    pub(crate) metadata: &'a Metadata,
    /// [`Instant::NEVER`] without a deadline.
    pub(crate) deadline: Instant,
    /// On a worker thread alone.
    pub(crate) work: Option<&'a Arc<Work>>,
}

impl Request<'_> {
    /// The first value of that name in the call's metadata; those of `-bin` names are decoded.
    pub fn metadata(&self, name: &str) -> Option<Vec<u8>> {
        value(self.metadata, name)
    }

    /// Time left, when the caller gave a deadline; zero when it has passed.
    pub fn time_left(&self) -> Option<Duration> {
        time_left(self.deadline)
    }

    /// Why the call is over already, though no answer was given yet: CANCELLED by the client, or with its connection;
    /// or DEADLINE_EXCEEDED. What the handler answers then reaches nobody.
    ///
    /// A handler that blocks asks now and then. One on the driving thread ([`ServerBuilder::unary`]) is never
    /// interrupted, so there this is `None`.
    ///
    /// [`ServerBuilder::unary`]: super::ServerBuilder::unary
    pub fn over(&self) -> Option<Code> {
        self.work.and_then(|work| work.lock().over)
    }

    /// Waits, but not longer than the call lives: `Err` with [`Request::over`]'s code.
    ///
    /// A handler on the driving thread must not wait: there this returns FAILED_PRECONDITION at once. Register it by
    /// [`ServerBuilder::unary_blocking`](super::ServerBuilder::unary_blocking).
    pub fn sleep(&self, time: Duration) -> Result<(), Code> {
        self.work.map_or(Err(Code::FAILED_PRECONDITION), |work| sleep(work, time))
    }
}

/// The answer being made: message bytes, and metadata on the way.
#[derive(Debug)]
pub struct Response<'a> {
    /// The message to send; empty at first. Not sent when the handler returns an error.
    pub message: &'a mut Vec<u8>,
    pub(crate) headers: &'a mut Metadata,
    pub(crate) trailers: &'a mut Metadata,
}

impl Response<'_> {
    /// Adds initial metadata. Names are lower-case (`[0-9a-z_.-]`, not `grpc-…`), values printable ASCII, or anything for
    /// names that end in `-bin`; otherwise the call ends with INTERNAL.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        self.headers.push(name.as_bytes(), value);
    }

    /// Adds trailing metadata; the same rules.
    pub fn trailer(&mut self, name: &str, value: &[u8]) {
        self.trailers.push(name.as_bytes(), value);
    }
}

/// The first value of a name.
pub(crate) fn value(metadata: &Metadata, name: &str) -> Option<Vec<u8>> {
    metadata.iter().find(|(candidate, _)| *candidate == name.as_bytes()).map(|(_, value)| value.to_vec())
}

pub(crate) fn time_left(deadline: Instant) -> Option<Duration> {
    (deadline != Instant::NEVER).then(|| deadline.since(clock::now()))
}

/// Waits, but not longer than the call lives.
pub(crate) fn sleep(work: &Work, time: Duration) -> Result<(), Code> {
    let until = clock::now().after(time);
    let mut state = work.lock();
    loop {
        if let Some(code) = state.over {
            return Err(code);
        }
        let left = until.since(clock::now());
        if left.is_zero() {
            return Ok(());
        }
        state = work.wait_for(state, left);
    }
}
