//! What a handler answered, until the connection has taken it.

use super::metadata::Metadata;
use crate::host::carrier::Connection;
use grpclb_core::call::{CallId, End, SendError};
use grpclb_core::grpc::Code;
use std::collections::VecDeque;

/// Octets that may wait for the client's window before [`Outgoing::is_full`] makes a streaming handler wait.
const HIGH_WATER: usize = 64 * 1024;

/// Messages that may wait, however small.
const MAX_WAITING: usize = 256;

/// A response in order: initial metadata, messages, status with trailing metadata.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Initial metadata, sent before the first message (or alone, when `headers_due`).
    pub(crate) headers: Metadata,
    pub(crate) headers_due: bool,
    /// Headers or a message were given: too late for (other) headers.
    pub(crate) started: bool,
    pub(crate) trailers: Metadata,
    /// The status that ends the call.
    end: Option<(Code, String)>,
    messages: VecDeque<Vec<u8>>,
    /// Octets of the first message that were taken.
    taken: usize,
    /// Octets of all that wait.
    waiting: usize,
    /// Something could not be sent: INTERNAL takes its place, once.
    failed: bool,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

/// How far [`Outgoing::pump`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Everything there was is sent; the status has not been given yet.
    Drained,
    /// Wait for Writable.
    Blocked,
    /// The status is sent, or nobody is there to take it.
    Finished,
}

impl Outgoing {
    /// Queues a copy of one message.
    pub(crate) fn push(&mut self, message: &[u8]) {
        self.started = true;
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(message);
        self.waiting += buffer.len();
        self.messages.push_back(buffer);
    }

    /// Queues one message by swapping its buffer away.
    pub(crate) fn push_swapped(&mut self, message: &mut Vec<u8>) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        std::mem::swap(&mut buffer, message);
        self.waiting += buffer.len();
        self.messages.push_back(buffer);
    }

    /// Says how the call ends, after what is queued.
    pub(crate) fn finish(&mut self, result: Result<(), (Code, String)>) {
        self.end = Some(result.map_or_else(|end| end, |()| (Code::OK, String::new())));
    }

    /// Says how the call ends, instead of what is queued and not begun.
    pub(crate) fn abort(&mut self, code: Code, message: String) {
        self.headers.clear();
        self.trailers.clear();
        while let Some(message) = self.messages.pop_front() {
            self.keep(message);
        }
        (self.taken, self.waiting) = (0, 0);
        self.end = Some((code, message));
    }

    /// Whether a streaming handler should wait before it sends more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= HIGH_WATER || self.messages.len() >= MAX_WAITING
    }

    /// Gives the connection as much as it takes.
    pub(crate) fn pump(&mut self, connection: &mut Connection, call: CallId) -> Pumped {
        loop {
            match self.step(connection, call) {
                Ok(Some(pumped)) => return pumped,
                Ok(None) => {}
                Err(SendError::Blocked) => return Pumped::Blocked,
                Err(SendError::Closed) => return Pumped::Finished,
                Err(error) if !self.failed => self.fail(error),
                Err(_) => {
                    // Not even a bare status can be sent, in the middle of a message, say.
                    connection.cancel(call);
                    return Pumped::Finished;
                }
            }
        }
    }

    /// The next step; `Ok(None)`: there may be more to do.
    fn step(&mut self, connection: &mut Connection, call: CallId) -> Result<Option<Pumped>, SendError> {
        let follows = !self.messages.is_empty() || self.end.is_some();
        if self.headers_due || follows && !self.headers.is_empty() {
            self.headers.with_slices(|headers| connection.send_metadata(call, headers))?;
            self.headers_due = false;
            self.headers.clear();
        }
        if let Some(message) = self.messages.front() {
            let rest = message.get(self.taken..).unwrap_or_default();
            let n = connection.send_message(call, rest, End::More)?;
            self.taken += n;
            self.waiting = self.waiting.saturating_sub(n);
            if self.taken == message.len() {
                self.taken = 0;
                if let Some(message) = self.messages.pop_front() {
                    self.keep(message);
                }
            }
            return Ok(None);
        }
        let Some((code, message)) = &self.end else { return Ok(Some(Pumped::Drained)) };
        self.trailers
            .with_slices(|trailers| connection.send_status(call, *code, message.as_bytes(), trailers))?;
        Ok(Some(Pumped::Finished))
    }

    /// The handler gave something that cannot be sent: the call ends with INTERNAL, which needs nothing of it.
    fn fail(&mut self, error: SendError) {
        let part = if self.messages.is_empty() && self.headers.is_empty() { "trailing" } else { "initial" };
        let entry = |list: &Metadata, index: u16| match list.iter().nth(usize::from(index)) {
            Some((name, _)) => format!("{:?}", String::from_utf8_lossy(name)),
            None => format!("entry {index}"),
        };
        let reason = match error {
            SendError::BadMetadata(index) => {
                let list = if part == "trailing" { &self.trailers } else { &self.headers };
                format!("the handler gave {part} metadata that gRPC does not allow: {}", entry(list, index))
            }
            _ if !self.messages.is_empty() && self.headers.is_empty() => {
                "the handler gave a message that is too large to send".to_owned()
            }
            _ => format!("the handler gave {part} metadata or a status message that is too large to send"),
        };
        self.abort(Code::INTERNAL, reason);
        self.failed = true;
    }

    /// Empties it for the next call.
    pub(crate) fn clear(&mut self) {
        self.abort(Code::OK, String::new());
        self.end = None;
        (self.headers_due, self.started, self.failed) = (false, false, false);
        self.spare.truncate(4);
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        super::empty(&mut buffer);
        self.spare.push(buffer);
    }
}
