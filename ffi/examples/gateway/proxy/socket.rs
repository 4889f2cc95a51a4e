//! A client's socket, and what hyper wants to know of it and of the clock.

use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long a connection that was ended is still read, and without an octet of it.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_IDLE: Duration = Duration::from_secs(1);

thread_local! {
    /// Where reads go first: hyper's buffers cannot be read into without `unsafe`.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into_boxed_slice());
}

/// A socket, of which the first octets were read already.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// The octets that were read, until they are taken.
    first: Vec<u8>,
    /// A client that takes no octet for so long is gone.
    patience: Duration,
    /// Runs while it takes nothing.
    stalled: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Socket {
        // Frames are written whole: waiting for more (Nagle) only delays them. It fails for a dead socket alone.
        let _ = stream.set_nodelay(true);
        Socket { stream, first: Vec::new(), patience, stalled: None }
    }

    /// Reads until it is decided whether the first octets are `preface`.
    pub(crate) async fn starts_with(&mut self, preface: &[u8]) -> io::Result<bool> {
        loop {
            if !preface.starts_with(&self.first[..self.first.len().min(preface.len())]) {
                return Ok(false);
            }
            if self.first.len() >= preface.len() {
                return Ok(true);
            }
            let mut octets = [0; 64];
            let n = poll_fn(|cx| self.poll_some(cx, &mut octets)).await?;
            if n == 0 {
                return Ok(false);
            }
            self.first.extend_from_slice(&octets[..n]);
        }
    }

    /// Ends the connection from this side. What still comes is read for a while: the system would answer it by a reset,
    /// which takes along what was sent (an answer to a request that was too large, say).
    pub(crate) async fn linger(mut self) {
        if poll_fn(|cx| pin!(&mut self).poll_shutdown(cx)).await.is_err() {
            return;
        }
        let drain = async {
            loop {
                let read = poll_fn(|cx| self.poll_take(cx, usize::MAX, <[u8]>::len));
                if !matches!(tokio::time::timeout(LINGER_IDLE, read).await, Ok(Ok(1..))) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    /// Reads from the socket alone; 0 at its end.
    fn poll_some(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(pin!(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Has the next octets, at most `limit`, taken by `take`; none at the end.
    pub(crate) fn poll_take<R>(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        if !self.first.is_empty() {
            let n = limit.min(self.first.len());
            let taken = take(&self.first[..n]);
            self.first.drain(..n);
            return Poll::Ready(Ok(taken));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let limit = limit.min(buffer.len());
            let n = ready!(self.poll_some(cx, &mut buffer[..limit]))?;
            Poll::Ready(Ok(take(&buffer[..n])))
        })
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = to.remaining();
        self.poll_take(cx, limit, |octets| to.put_slice(octets))
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = pin!(&mut self.stream).poll_write(cx, octets);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_shutdown(cx)
    }
}

/// Tokio's clock for hyper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

struct Waiting(Pin<Box<tokio::time::Sleep>>);

impl Future for Waiting {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for Waiting {}

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting(Box::pin(tokio::time::sleep(duration))))
    }
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }
}
