//! What a caller says of a call, and what it gets.

use grpclb_core::grpc::Code;
use std::time::Duration;

/// A call to make: path and options, borrowed, built without allocation.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `/package.Service/Method`.
    pub path: &'a str,
    /// From now; `None`: no deadline.
    pub timeout: Option<Duration>,
    /// Custom metadata in order; `-bin` values raw.
    pub metadata: &'a [(&'a str, &'a [u8])],
    /// Wait through TRANSIENT_FAILURE instead of failing fast.
    pub wait_for_ready: bool,
}

impl<'a> Call<'a> {
    /// A call without deadline or metadata.
    pub fn new(path: &'a str) -> Call<'a> {
        Call { path, timeout: None, metadata: &[], wait_for_ready: false }
    }
    /// Sets the deadline, from now.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Call<'a> {
        Call { timeout: Some(timeout), ..self }
    }
    /// Sets custom metadata.
    #[must_use]
    pub fn metadata(self, metadata: &'a [(&'a str, &'a [u8])]) -> Call<'a> {
        Call { metadata, ..self }
    }
    /// Waits through TRANSIENT_FAILURE.
    #[must_use]
    pub fn wait_for_ready(self, wait: bool) -> Call<'a> {
        Call { wait_for_ready: wait, ..self }
    }
}

/// What stands beside a response that was OK.
#[derive(Clone, Debug, Default)]
pub struct Reply {}

impl Reply {
    /// The endpoint that served the call, as `ip:port`, `[ip]:port` or `unix:path`.
    pub fn peer(&self) -> &str {
        todo!()
    }
    /// The how-manieth pick of the channel this call was, from 0: with several threads calls end in another
    /// order than they were picked in.
    pub fn pick_order(&self) -> u64 {
        todo!()
    }
    /// Initial metadata (all values of a name, `-bin` decoded).
    pub fn header(&self, _name: &str) -> Option<Vec<u8>> {
        todo!()
    }
    /// Trailing metadata.
    pub fn trailer(&self, _name: &str) -> Option<Vec<u8>> {
        todo!()
    }
}

/// How a call failed.
#[derive(Clone, Debug)]
pub struct Status {
    /// The gRPC code.
    pub code: Code,
    /// What went wrong, in words.
    pub message: String,
    /// The endpoint that was used, when there was one.
    pub peer: Option<String>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
impl std::error::Error for Status {}

/// A streaming call, blocking. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub struct Stream {}

#[allow(unused_variables)]
impl Stream {
    /// Sends one message; waits while the peer's window is full.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Status> {
        todo!()
    }
    /// No more messages.
    pub fn half_close(&mut self) -> Result<(), Status> {
        todo!()
    }
    /// The next message into `message` (cleared first); `false` when the call ended with OK.
    pub fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool, Status> {
        todo!()
    }
    /// Waits for the initial metadata and gives a value of it.
    pub fn header(&mut self, name: &str) -> Result<Option<Vec<u8>>, Status> {
        todo!()
    }
    /// Trailing metadata, after the end.
    pub fn trailer(&self, name: &str) -> Option<Vec<u8>> {
        todo!()
    }
    /// The endpoint that serves it, once picked.
    pub fn peer(&self) -> Option<&str> {
        todo!()
    }
    /// Cancels the call.
    pub fn cancel(&mut self) {
        todo!()
    }
}
