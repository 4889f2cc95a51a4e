//! The channel that an event loop drives. Everything that happened in a turn comes out of one crossing.

use crate::arguments::{self, Metadata};
use crate::blocking::{numbered, state_number};
use crate::completion::{Completion, pairs};
use crate::process::Process;
use crate::settings;
use grpclb::host::reactor::{self, CallKey};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

#[pyclass(frozen, module = "grpclb._grpclb")]
pub(crate) struct Reactor {
    inner: Mutex<Inner>,
    descriptor: i32,
    made_in: Process,
}

struct Inner {
    reactor: reactor::Reactor,
    /// By the call's index; unary calls have none.
    streams: Vec<Option<Stream>>,
    /// Streams whose last message was taken after they had ended.
    drained: Vec<CallKey>,
}

/// What Python waits for on a stream.
#[derive(Clone, Copy)]
struct Stream {
    generation: u32,
    /// The next message.
    reading: bool,
    /// Room for the next message.
    writing: bool,
    /// The initial metadata.
    headers: bool,
}

/// Something new of a call.
enum News {
    /// The initial metadata, in the order that it came.
    Headers(Vec<(Vec<u8>, Vec<u8>)>),
    Message(Vec<u8>),
    /// There is room for the next message.
    Writable,
    Done(Box<reactor::Completion>),
}

#[pymethods]
impl Reactor {
    #[new]
    #[pyo3(signature = (target, **options))]
    fn new(target: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Reactor> {
        let builder = settings::builder(target, options)?;
        let reactor = reactor::Reactor::new(builder).map_err(settings::refused)?;
        let descriptor = reactor.as_raw_fd();
        let inner = Mutex::new(Inner { reactor, streams: Vec::new(), drained: Vec::new() });
        Ok(Reactor { inner, descriptor, made_in: Process::this() })
    }

    fn fileno(&self) -> i32 {
        self.descriptor
    }

    /// Seconds that the descriptor may be waited for; `None`: for ever.
    fn poll_timeout(&self) -> PyResult<Option<f64>> {
        Ok(self.lock()?.due())
    }

    /// A turn: what happened, as `(key, Completion | bytes | tuple | None)`, and `poll_timeout`.
    fn process<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Option<f64>)> {
        let mut inner = self.lock()?;
        inner.reactor.process().map_err(|error| PyOSError::new_err(error.to_string()))?;
        let mut news = Vec::new();
        while let Some(key) = inner.drained.pop().or_else(|| inner.reactor.poll_call()) {
            inner.look(key, &mut news);
        }
        let due = inner.due();
        // From here on Python's objects are made, which may run other code.
        drop(inner);
        let list = PyList::empty(py);
        for (key, news) in news {
            let news = match news {
                News::Done(mut done) => Bound::new(py, Completion::new(py, &mut done))?.into_any(),
                News::Message(message) => PyBytes::new(py, &message).into_any(),
                News::Headers(headers) => pairs(py, headers.iter().map(|(n, v)| (&**n, &**v)))?.into_any(),
                News::Writable => py.None().into_bound(py),
            };
            list.append((number(key), news))?;
        }
        Ok((list, due))
    }

    /// Writes what commands made; gives `poll_timeout`.
    fn flush(&self) -> PyResult<Option<f64>> {
        let mut inner = self.lock()?;
        inner.reactor.flush();
        Ok(inner.due())
    }

    /// Starts a unary call; `flush`: it goes out at once. Gives its key and `poll_timeout`.
    #[allow(clippy::too_many_arguments)] // one crossing a call
    fn start_unary(
        &self,
        path: &str,
        request: &[u8],
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
        wait_for_ready: bool,
        flush: bool,
    ) -> PyResult<(u64, Option<f64>)> {
        let metadata = Metadata::new(metadata)?;
        let metadata = metadata.lend()?;
        let call = arguments::call(path, timeout, wait_for_ready)?.metadata(&metadata);
        let mut inner = self.lock()?;
        let key = inner.reactor.start_call(&call, request);
        if flush {
            inner.reactor.flush();
        }
        Ok((number(key), inner.due()))
    }

    /// Starts a stream; its messages wait for `send`.
    fn start_stream(
        &self,
        path: &str,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
        wait_for_ready: bool,
    ) -> PyResult<u64> {
        let metadata = Metadata::new(metadata)?;
        let metadata = metadata.lend()?;
        let call = arguments::call(path, timeout, wait_for_ready)?.metadata(&metadata);
        let mut inner = self.lock()?;
        let key = inner.reactor.start_stream(&call);
        let index = key.index as usize;
        if index >= inner.streams.len() {
            inner.streams.resize(index + 1, None);
        }
        inner.streams[index] =
            Some(Stream { generation: key.generation, headers: true, reading: false, writing: false });
        Ok(number(key))
    }

    /// A stream's next message, or with `None` its half-close alone. `False`: the message before is still being sent,
    /// and `process` will say `(key, None)` when it is not. (A half-close waits for it by itself.)
    fn send(&self, key: u64, message: Option<&[u8]>, last: bool) -> PyResult<bool> {
        let mut inner = self.lock()?;
        let key = key_of(key);
        if message.is_none() {
            inner.reactor.half_close(key);
            return Ok(true);
        }
        let sent = inner.reactor.send(key, message, last);
        if let Some(stream) = inner.stream(key).filter(|_| !sent) {
            stream.writing = true;
        }
        Ok(sent)
    }

    /// The next message that came; `None`: there is none yet, and `process` will bring it, or the end.
    fn recv<'py>(&self, py: Python<'py>, key: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut inner = self.lock()?;
        let key = key_of(key);
        let mut message = Vec::new();
        if !inner.reactor.recv(key, &mut message) {
            if let Some(stream) = inner.stream(key) {
                stream.reading = true;
            }
            return Ok(None);
        }
        if inner.reactor.progress(key).is_some_and(|progress| progress.has_ended && progress.waiting == 0) {
            inner.drained.push(key);
        }
        drop(inner);
        Ok(Some(PyBytes::new(py, &message)))
    }

    /// Cancels a call and forgets it: nothing more is heard of it.
    fn cancel(&self, key: u64) -> PyResult<()> {
        let mut inner = self.lock()?;
        inner.reactor.forget(key_of(key));
        Ok(())
    }

    fn state(&self, connect: bool) -> PyResult<u8> {
        Ok(state_number(self.lock()?.reactor.state(connect)))
    }

    fn ready_endpoints(&self) -> PyResult<usize> {
        Ok(self.lock()?.reactor.ready_endpoints())
    }

    fn endpoints(&self) -> PyResult<Vec<(String, u8)>> {
        Ok(numbered(self.lock()?.reactor.endpoints()))
    }

    fn close(&self) -> PyResult<()> {
        self.lock()?.reactor.close();
        Ok(())
    }
}

impl Reactor {
    fn lock(&self) -> PyResult<MutexGuard<'_, Inner>> {
        self.made_in.check()?;
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(inner)) => Ok(PoisonError::into_inner(inner)),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "this channel is used by another thread: its event loop's alone may",
            )),
        }
    }
}

impl Inner {
    fn due(&self) -> Option<f64> {
        if !self.drained.is_empty() {
            return Some(0.0);
        }
        self.reactor.poll_timeout().map(|timeout| timeout.as_secs_f64())
    }

    fn stream(&mut self, key: CallKey) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(key.index as usize)?.as_mut();
        stream.filter(|stream| stream.generation == key.generation)
    }

    /// Notes what there is for a call.
    fn look(&mut self, key: CallKey, news: &mut Vec<(CallKey, News)>) {
        let Some(progress) = self.reactor.progress(key) else { return };
        let mut waiting = progress.waiting;
        if let Some(&Stream { reading, writing, headers, .. }) = self.stream(key).as_deref() {
            if headers && progress.has_headers {
                let pairs = self.reactor.headers(key).map(|(name, value)| (name.into(), value.into()));
                news.push((key, News::Headers(pairs.collect())));
            }
            if reading && waiting > 0 {
                let mut message = Vec::new();
                self.reactor.recv(key, &mut message);
                news.push((key, News::Message(message)));
                waiting -= 1;
            }
            if writing && !progress.is_sending {
                news.push((key, News::Writable));
            }
            if let Some(stream) = self.stream(key) {
                stream.headers &= !progress.has_headers;
                stream.reading &= progress.waiting == 0;
                stream.writing &= progress.is_sending;
            }
            if progress.is_late {
                waiting = 0;
            }
        } else {
            // A unary call's response stays where it is.
            waiting = 0;
        }
        if progress.has_ended
            && waiting == 0
            && let Some(done) = self.reactor.take(key)
        {
            news.push((key, News::Done(Box::new(done))));
        }
    }
}

fn number(key: CallKey) -> u64 {
    u64::from(key.generation) << 32 | u64::from(key.index)
}

fn key_of(number: u64) -> CallKey {
    CallKey { index: number as u32, generation: (number >> 32) as u32 }
}
