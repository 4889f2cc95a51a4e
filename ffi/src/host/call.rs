//! What a caller says of a call, and what it gets.

use super::blocking::{Big, Waited};
use super::channel::Channel;
use super::reactor::calls::{Outcome, Stage};
use super::reactor::metadata::Packed;
use super::reactor::{CallKey, Completion};
use grpclb_core::grpc::Code;
use grpclb_core::http2::Fields;
use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A call to make: path and options, borrowed, built without allocation.
///
/// ```
/// use grpclb::Call;
/// use std::time::Duration;
/// let call = Call::new("/helloworld.Greeter/SayHello")
///     .timeout(Duration::from_secs(2))
///     .metadata(&[("x-tenant", b"blue"), ("x-trace-bin", &[0, 255])])
///     .wait_for_ready(true);
/// # assert_eq!(call.metadata.len(), 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `/package.Service/Method`.
    pub path: &'a str,
    /// From now; `None`: no deadline.
    pub timeout: Option<Duration>,
    /// Custom metadata in order. Names are lower-case ASCII; values printable ASCII, but those of names that end in `-bin`
    /// any octets (base64 is made of them on the wire). What gRPC does not allow ends the call with INTERNAL.
    pub metadata: &'a [(&'a str, &'a [u8])],
    /// Wait through TRANSIENT_FAILURE instead of failing fast.
    pub wait_for_ready: bool,
    /// Largest response message taken, octets; the channel's and the service config's limits hold as well.
    pub max_response_size: Option<u32>,
}

impl<'a> Call<'a> {
    /// A call without deadline or metadata.
    pub fn new(path: &'a str) -> Call<'a> {
        Call { path, timeout: None, metadata: &[], wait_for_ready: false, max_response_size: None }
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
    /// Takes no response message larger than this; one ends the call with RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn max_response_size(self, octets: u32) -> Call<'a> {
        Call { max_response_size: Some(octets), ..self }
    }
}

/// What stands beside a response that was OK.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    peer: Option<Arc<str>>,
    pick_order: u64,
    metadata: Packed,
}

thread_local! {
    /// A buffer of replies that are gone, for the next one.
    static SPARE: Cell<Packed> = const { Cell::new(Packed::new()) };
}

impl Reply {
    /// Takes what belongs to the reply out of an outcome, and leaves a spare buffer there.
    pub(crate) fn take(outcome: &mut Outcome, pick_order: u64) -> Reply {
        // A thread that is ending may have lost its thread-locals.
        let spare = SPARE.try_with(Cell::take).unwrap_or_default();
        let metadata = std::mem::replace(&mut outcome.metadata, spare);
        outcome.metadata.clear();
        Reply { peer: outcome.peer.take(), pick_order, metadata }
    }

    /// The endpoint that served the call, as `ip:port`, `[ip]:port` or `unix:path`.
    pub fn peer(&self) -> &str {
        self.peer.as_deref().unwrap_or_default()
    }

    /// The how-manieth pick of the channel this call was, from 0: with several threads calls end in another
    /// order than they were picked in.
    pub fn pick_order(&self) -> u64 {
        self.pick_order
    }

    /// Initial metadata: the values of a name, joined by `,` when there are several; `-bin` values decoded, and of those
    /// the first. [`Reply::headers`] has them one by one.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        values(self.metadata.header(), name)
    }

    /// Trailing metadata, as [`Reply::header`].
    pub fn trailer(&self, name: &str) -> Option<Vec<u8>> {
        values(self.metadata.trailer(), name)
    }

    /// All initial metadata in order, `-bin` values decoded.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.metadata.header()
    }

    /// All trailing metadata in order, `-bin` values decoded.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.metadata.trailer()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let metadata = std::mem::take(&mut self.metadata);
        if metadata.is_allocated() {
            let _ = SPARE.try_with(|spare| spare.set(metadata));
        }
    }
}

fn values(fields: Fields<'_>, name: &str) -> Option<Vec<u8>> {
    let mut values = fields.filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value);
    let mut joined = values.next()?.to_vec();
    // Binary values may hold commas of their own.
    if !name.ends_with("-bin") {
        for value in values {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
    }
    Some(joined)
}

/// How a call failed.
///
/// UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL and UNKNOWN may be this
/// library's own words (statuscodes.md of the gRPC project says when); every other code is the server's.
#[derive(Clone, Debug)]
pub struct Status {
    /// The gRPC code.
    pub code: Code,
    /// What went wrong, in words.
    pub message: String,
    /// The endpoint that was used, when there was one.
    pub peer: Option<String>,
}

impl Status {
    pub(crate) fn of(outcome: &Outcome) -> Status {
        Status {
            code: outcome.code.unwrap_or(Code::UNKNOWN),
            message: String::from_utf8_lossy(&outcome.message).into_owned(),
            peer: outcome.peer.as_deref().map(str::to_owned),
        }
    }

    fn interrupted() -> Status {
        Status { code: Code::CANCELLED, message: "interrupted".into(), peer: None }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
impl std::error::Error for Status {}

/// Metadata in order, copied.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A streaming call, blocking. Dropped before its end, it is cancelled. Threads may share it: one sends, another receives.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use grpclb::{Call, Channel, Server};
/// # let server = Server::builder()
/// #     .streaming("/chat.Chat/Echo", |stream| {
/// #         let mut message = Vec::new();
/// #         while stream.recv(&mut message).map_err(|code| (code, String::new()))? {
/// #             stream.send(&message).map_err(|code| (code, String::new()))?;
/// #         }
/// #         Ok(())
/// #     })
/// #     .bind("127.0.0.1:0")?
/// #     .spawn();
/// # let channel = Channel::builder(&format!("ipv4:{}", server.local_addr().expect("an address"))).build()?;
/// let stream = channel.stream(&Call::new("/chat.Chat/Echo"))?;
/// let mut answer = Vec::new();
/// for word in ["one", "two"] {
///     stream.send(word.as_bytes())?;
///     assert!(stream.recv(&mut answer)?);
///     assert_eq!(answer, word.as_bytes());
/// }
/// stream.half_close()?;
/// assert!(!stream.recv(&mut answer)?, "the server has ended the call with OK");
/// # server.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream {
    channel: Channel,
    key: CallKey,
    peer: OnceLock<Arc<str>>,
}

impl Stream {
    pub(crate) fn new(channel: Channel, key: CallKey) -> Stream {
        Stream { channel, key, peer: OnceLock::new() }
    }

    /// Sends one message; waits while the peer's window is full. After the end of the call: its status (a server may
    /// end a call with OK before it has read everything).
    pub fn send(&self, message: &[u8]) -> Result<(), Status> {
        self.put(Some(message), false)
    }

    /// No more messages.
    pub fn half_close(&self) -> Result<(), Status> {
        match self.put(None, true) {
            // There is nothing left to close.
            Err(status) if status.code == Code::OK => Ok(()),
            other => other,
        }
    }

    fn put(&self, message: Option<&[u8]>, last: bool) -> Result<(), Status> {
        let key = self.key;
        self.wait(
            |big| Self::is_sent(big, key),
            |big| match Self::ended(big, key) {
                Some(status) => Err(status),
                None => {
                    big.machine.send(super::clock::now(), key, message, last);
                    Ok(())
                }
            },
        )??;
        let sent = self.wait(
            |big| Self::is_sent(big, key),
            // OK may well have come while the last message was still leaving.
            |big| Self::ended(big, key).filter(|status| status.code != Code::OK).map_or(Ok(()), Err),
        )?;
        if sent.is_err() {
            // Too large a message, say: who reads meanwhile, and drives for everyone, hears nothing of it from the peer.
            self.channel.shared()?.wake();
        }
        sent
    }

    fn is_sent(big: &mut Big, key: CallKey) -> bool {
        let record = big.machine.work.calls.at(key.index);
        record.stage == Stage::Ended || !(record.sending || record.half_close && !record.half_closed)
    }

    fn ended(big: &mut Big, key: CallKey) -> Option<Status> {
        let record = big.machine.work.calls.at(key.index);
        (record.stage == Stage::Ended).then(|| Status::of(&record.outcome))
    }

    /// The next message into `message` (cleared first); `false` when the call ended with OK.
    pub fn recv(&self, message: &mut Vec<u8>) -> Result<bool, Status> {
        let key = self.key;
        message.clear();
        self.wait(
            |big| {
                let record = big.machine.work.calls.at(key.index);
                !record.inbox.whole.is_empty() || record.stage == Stage::Ended
            },
            |big| {
                if big.machine.take_message(super::clock::now(), key, message) {
                    return Ok(true);
                }
                match Self::ended(big, key) {
                    Some(status) if status.code != Code::OK => Err(status),
                    _ => Ok(false),
                }
            },
        )?
    }

    /// Waits for the initial metadata and gives a value of it, as [`Reply::header`]. `Err`: the call failed before any came.
    pub fn header(&self, name: &str) -> Result<Option<Vec<u8>>, Status> {
        let key = self.key;
        self.wait(
            |big| {
                let record = big.machine.work.calls.at(key.index);
                record.has_header || record.stage == Stage::Ended
            },
            |big| {
                let record = big.machine.work.calls.at(key.index);
                if record.has_header {
                    return Ok(values(record.outcome.metadata.header(), name));
                }
                match Self::ended(big, key) {
                    Some(status) if status.code != Code::OK => Err(status),
                    _ => Ok(None),
                }
            },
        )?
    }

    /// Waits for the initial metadata, and gives all of it in order, `-bin` values decoded; nothing when the call ended
    /// without. `Err`: the wait was interrupted, or this is another process.
    pub fn headers(&self) -> Result<Pairs, Status> {
        let key = self.key;
        self.wait(
            |big| {
                let record = big.machine.work.calls.at(key.index);
                record.has_header || record.stage == Stage::Ended
            },
            |big| {
                let record = big.machine.work.calls.at(key.index);
                let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
                record.outcome.metadata.header().map(owned).collect()
            },
        )
    }

    /// Trailing metadata, after the end, as [`Reply::trailer`].
    pub fn trailer(&self, name: &str) -> Option<Vec<u8>> {
        let mut big = self.channel.shared().ok()?.lock();
        values(big.machine.work.calls.at(self.key.index).outcome.metadata.trailer(), name)
    }

    /// The endpoint that serves it, once picked.
    pub fn peer(&self) -> Option<&str> {
        if self.peer.get().is_none() {
            let mut big = self.channel.shared().ok()?.lock();
            let peer = big.machine.work.calls.at(self.key.index).outcome.peer.clone()?;
            return Some(self.peer.get_or_init(|| peer));
        }
        self.peer.get().map(|peer| &**peer)
    }

    /// Cancels the call: it ends with CANCELLED, unless it has ended. A thread that waits on it hears of it.
    pub fn cancel(&self) {
        if let Ok(shared) = self.channel.shared() {
            shared.command(|big, now| {
                big.machine.abort(now, self.key, Code::CANCELLED, "cancelled by the caller");
            });
            shared.wake();
        }
    }

    /// Whether it is over; messages that came before may still wait for [`Stream::recv`].
    pub fn has_ended(&self) -> bool {
        let Ok(shared) = self.channel.shared() else { return true };
        shared.lock().machine.work.calls.at(self.key.index).stage == Stage::Ended
    }

    /// What cancels it, from any thread.
    #[cfg(feature = "capi")]
    pub(crate) fn canceller(&self) -> Canceller {
        Canceller { channel: self.channel.clone(), key: self.key }
    }

    /// Waits for the end, and gives what the call left (its messages apart). `Err`: the wait was interrupted, or this is
    /// another process.
    pub fn finish(&self) -> Result<Completion, Status> {
        self.outcome(|outcome, pick_order| {
            let Status { code, message, .. } = Status::of(outcome);
            let (peer, metadata) = (outcome.peer.clone(), outcome.metadata.clone());
            Completion { code, message, response: Vec::new(), reply: Reply { peer, pick_order, metadata } }
        })
    }

    /// Waits for the end, and lends the outcome and the number of the pick.
    pub(crate) fn outcome<R>(&self, take: impl FnOnce(&Outcome, u64) -> R) -> Result<R, Status> {
        let key = self.key;
        self.wait(
            |big| big.machine.work.calls.at(key.index).stage == Stage::Ended,
            |big| {
                let record = big.machine.work.calls.at(key.index);
                take(&record.outcome, record.pick_order)
            },
        )
    }

    /// Waits until something holds, then does something, both under the lock.
    fn wait<R>(
        &self,
        holds: impl FnMut(&mut Big) -> bool,
        then: impl FnOnce(&mut Big) -> R,
    ) -> Result<R, Status> {
        let key = self.key;
        self.channel.shared()?.on_stream(key, holds, |big, waited| {
            if waited == Waited::Interrupted {
                big.machine.abort(super::clock::now(), key, Code::CANCELLED, "interrupted");
                return Err(Status::interrupted());
            }
            Ok(then(big))
        })
    }
}

/// Cancels a stream while another thread waits on it. Of no effect after the stream's end.
#[cfg(feature = "capi")]
#[derive(Debug)]
pub(crate) struct Canceller {
    channel: Channel,
    key: CallKey,
}

#[cfg(feature = "capi")]
impl Canceller {
    pub(crate) fn cancel(&self) {
        if let Ok(shared) = self.channel.shared() {
            shared.command(|big, now| {
                big.machine.abort(now, self.key, Code::CANCELLED, "cancelled by the caller");
            });
            shared.wake();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Ok(shared) = self.channel.shared() {
            shared.command(|big, now| {
                big.machine.abort(now, self.key, Code::CANCELLED, "dropped by the caller");
                big.machine.finish(self.key);
            });
        }
    }
}
