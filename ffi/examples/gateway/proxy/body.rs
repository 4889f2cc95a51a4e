//! Bodies of responses.

use super::call::Answering;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Octets of a file that are read at a time.
const PIECE: usize = 64 * 1024;

/// What is sent behind a response's head.
#[derive(Debug, Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    /// Something small.
    Whole(Bytes),
    /// A file, and how much of it is left.
    File(File, u64),
    /// A stream without an end.
    Events(Box<Events>),
    /// The answer of a backend.
    Call(Box<Answering>),
}

/// Server-sent events, made one at a time.
pub(crate) struct Events {
    every: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    next: Box<dyn FnMut() -> Option<String>>,
}

impl Events {
    /// Asks `next` at once and then at every interval for the data of an event; `None` ends the stream.
    pub(crate) fn new(every: Duration, next: impl FnMut() -> Option<String> + 'static) -> Events {
        Events { every, sleep: None, next: Box::new(next) }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let every = self.every;
        match &mut self.sleep {
            None => self.sleep = Some(Box::pin(tokio::time::sleep(every))),
            Some(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                sleep.as_mut().reset(tokio::time::Instant::now() + every);
            }
        }
        Poll::Ready((self.next)().map(|data| {
            let mut event = String::new();
            for line in data.lines() {
                event.push_str("data: ");
                event.push_str(line);
                event.push('\n');
            }
            event.push('\n');
            Frame::data(event.into())
        }))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events(every {:?})", self.every)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        match body {
            Body::Empty => Poll::Ready(None),
            Body::Whole(octets) => {
                let octets = std::mem::take(octets);
                *body = Body::Empty;
                Poll::Ready((!octets.is_empty()).then(|| Ok(Frame::data(octets))))
            }
            Body::File(file, left) => {
                let mut piece = vec![0; usize::try_from(*left).unwrap_or(PIECE).min(PIECE)];
                // From a disk of this machine: too short a wait to go elsewhere for it.
                if let Err(error) = file.read_exact(&mut piece) {
                    return Poll::Ready(Some(Err(error)));
                }
                *left -= piece.len() as u64;
                Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece.into()))))
            }
            Body::Events(events) => events.poll_frame(cx).map(|frame| frame.map(Ok)),
            Body::Call(answering) => answering.poll_frame(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::File(_, 0) => true,
            Body::Whole(octets) => octets.is_empty(),
            Body::Call(answering) => answering.is_over(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Whole(octets) => SizeHint::with_exact(octets.len() as u64),
            Body::File(_, left) => SizeHint::with_exact(*left),
            _ => SizeHint::default(),
        }
    }
}
