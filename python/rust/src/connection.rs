//! One HTTP/2 connection and its calls without a socket: octets in, events out, octets out, the program's clock.
//! Moments are nanoseconds, a call is a number, an event a tuple that begins with its kind.

use crate::arguments::{Metadata, Moments, duration};
use crate::completion::pairs;
use grpclb::core::call::{
    self, CallHead, CallId, Config, Connection as Core, End, Fate, SendError, StartCallError,
};
use grpclb::core::grpc::Code;
use grpclb::core::http2::ConnectionError;
use grpclb::core::memory::{Boxed, Sizes};
use grpclb::core::time::Instant;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

create_exception!(
    grpclb,
    BlockedError,
    PyException,
    "There is no room for it now; an event says when there is: Writable, or Startable for start_call."
);
create_exception!(grpclb, ClosedError, PyException, "The call, or the connection, takes no more of it.");

#[pyclass(frozen, module = "grpclb._grpclb")]
pub(crate) struct Connection(Mutex<Inner>);

struct Inner {
    core: Core<Boxed>,
    error: Option<ConnectionError>,
}

/// An event without what it borrows.
enum Event {
    Ready,
    Call { call: CallId, path: Vec<u8>, authority: Vec<u8>, timeout: Option<f64>, metadata: Pairs, end: bool },
    Metadata { call: CallId, metadata: Pairs },
    Message { call: CallId, octets: Vec<u8>, offset: u32, len: u32, end: bool },
    End { call: CallId },
    Status { call: CallId, code: u32, message: Vec<u8>, trailers: Pairs, fate: u8 },
    Writable { call: CallId },
    Startable,
    GoAway { last: u32, code: u32, debug: Vec<u8> },
    Failed { code: u32, reason: &'static str },
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[pymethods]
impl Connection {
    #[new]
    fn new(
        server: bool,
        now: u64,
        max_calls: u16,
        max_message_size: u32,
        keepalive: Option<(Duration, Duration)>,
        seed: u64,
    ) -> Connection {
        let mut config = if server { Config::server() } else { Config::client() };
        config.max_message_size = max_message_size;
        config.http2.seed = seed;
        if let Some((time, timeout)) = keepalive {
            config.http2.keepalive_time = Some(time);
            config.http2.keepalive_timeout = timeout;
        }
        let storage = Boxed::new(&Sizes { streams: max_calls, ..Sizes::default() });
        let core = Core::new(storage, &config, Instant::from_nanos(now));
        Connection(Mutex::new(Inner { core, error: None }))
    }

    fn recv<'py>(&self, py: Python<'py>, now: u64, mut data: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let mut inner = self.lock()?;
        let mut events = Vec::new();
        while inner.error.is_none() {
            match inner.core.recv(Instant::from_nanos(now), &mut data) {
                Ok(Some(event)) => events.extend(own(event)),
                Ok(None) => break,
                Err(error) => inner.fail(error, &mut events),
            }
        }
        inner.poll(&mut events);
        drop(inner);
        list(py, events)
    }

    fn poll_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut events = Vec::new();
        self.lock()?.poll(&mut events);
        list(py, events)
    }

    fn data_to_send<'py>(&self, py: Python<'py>, now: u64) -> PyResult<Bound<'py, PyBytes>> {
        let mut inner = self.lock()?;
        let mut octets = Vec::new();
        loop {
            let part = inner.core.transmit(Instant::from_nanos(now));
            let n = part.len();
            if n == 0 {
                break;
            }
            octets.extend_from_slice(part);
            inner.core.transmitted(n);
        }
        drop(inner);
        Ok(PyBytes::new(py, &octets))
    }

    fn handle_timeout<'py>(&self, py: Python<'py>, now: u64) -> PyResult<Bound<'py, PyList>> {
        let mut inner = self.lock()?;
        let mut events = Vec::new();
        if let Err(error) = inner.core.handle_timeout(Instant::from_nanos(now)) {
            inner.fail(error, &mut events);
        }
        inner.poll(&mut events);
        drop(inner);
        list(py, events)
    }

    fn poll_timeout(&self) -> PyResult<Option<u64>> {
        Ok(self.lock()?.core.poll_timeout().and_nanos())
    }

    #[allow(clippy::too_many_arguments)] // one crossing a call
    fn start_call(
        &self,
        now: u64,
        path: &str,
        authority: &str,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
        secure: bool,
        user_agent: &str,
    ) -> PyResult<u64> {
        let metadata = Metadata::new(metadata)?;
        let metadata: Vec<_> =
            metadata.lend()?.into_iter().map(|(name, value)| (name.as_bytes(), value)).collect();
        if timeout.is_some_and(f64::is_nan) {
            return Err(PyValueError::new_err("timeout: expected seconds, got nan"));
        }
        let head = CallHead {
            path: path.as_bytes(),
            authority: authority.as_bytes(),
            secure,
            timeout: timeout.and_then(duration),
            metadata: &metadata,
            user_agent: user_agent.as_bytes(),
        };
        let started = self.lock()?.core.start_call(Instant::from_nanos(now), &head);
        started.map(number).map_err(|error| match error {
            StartCallError::Blocked => BlockedError::new_err("start_call: no room for another call now"),
            StartCallError::GoingAway | StartCallError::Closed => {
                ClosedError::new_err("start_call: this connection takes no new calls")
            }
            StartCallError::BadMetadata(at) => bad_metadata(at),
            StartCallError::BadPath => {
                PyValueError::new_err("path, authority or user_agent: gRPC does not allow one of them")
            }
            other => PyValueError::new_err(format!("start_call: {other:?}")),
        })
    }

    fn send_message(&self, call: u64, data: &[u8], end: bool) -> PyResult<usize> {
        let end = if end { End::Last } else { End::More };
        self.lock()?.core.send_message(id(call), data, end).map_err(refused)
    }

    fn half_close(&self, call: u64) -> PyResult<()> {
        self.lock()?.core.half_close(id(call)).map_err(refused)
    }

    fn send_metadata(&self, call: u64, metadata: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let metadata = Metadata::new(metadata)?;
        let metadata: Vec<_> =
            metadata.lend()?.into_iter().map(|(name, value)| (name.as_bytes(), value)).collect();
        self.lock()?.core.send_metadata(id(call), &metadata).map_err(refused)
    }

    fn send_status(
        &self,
        call: u64,
        code: u32,
        message: &str,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let metadata = Metadata::new(metadata)?;
        let metadata: Vec<_> =
            metadata.lend()?.into_iter().map(|(name, value)| (name.as_bytes(), value)).collect();
        self.lock()?.core.send_status(id(call), Code(code), message.as_bytes(), &metadata).map_err(refused)
    }

    fn release(&self, call: u64, octets: usize) -> PyResult<()> {
        self.lock()?.core.release(id(call), octets);
        Ok(())
    }

    fn cancel(&self, call: u64) -> PyResult<()> {
        self.lock()?.core.cancel(id(call));
        Ok(())
    }

    fn carrier_lost(&self, now: u64) -> PyResult<()> {
        self.lock()?.core.carrier_lost(Instant::from_nanos(now));
        Ok(())
    }

    fn shutdown(&self, now: u64) -> PyResult<()> {
        self.lock()?.core.shutdown(Instant::from_nanos(now));
        Ok(())
    }

    fn is_closed(&self) -> PyResult<bool> {
        Ok(self.lock()?.core.is_closed())
    }

    fn calls(&self) -> PyResult<usize> {
        Ok(self.lock()?.core.calls())
    }
}

impl Connection {
    fn lock(&self) -> PyResult<MutexGuard<'_, Inner>> {
        match self.0.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(inner)) => Ok(PoisonError::into_inner(inner)),
            Err(TryLockError::WouldBlock) => {
                Err(PyRuntimeError::new_err("this connection is used by another thread at the moment"))
            }
        }
    }
}

impl Inner {
    fn poll(&mut self, events: &mut Vec<Event>) {
        while let Some(event) = self.core.poll_event() {
            events.extend(own(event));
        }
    }

    /// The connection is over: its calls' statuses, and why. Told once.
    fn fail(&mut self, error: ConnectionError, events: &mut Vec<Event>) {
        if self.error.replace(error).is_none() {
            self.poll(events);
            events.push(Event::Failed { code: error.code.0, reason: error.reason });
        }
    }
}

fn own(event: call::Event<'_, '_>) -> Option<Event> {
    let copied = |fields: grpclb::core::http2::Fields<'_>| -> Pairs {
        fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    };
    Some(match event {
        call::Event::Ready => Event::Ready,
        call::Event::Call { call, path, authority, timeout, metadata, end } => Event::Call {
            call,
            path: path.to_vec(),
            authority: authority.to_vec(),
            timeout: timeout.map(|timeout| timeout.as_secs_f64()),
            metadata: copied(metadata),
            end,
        },
        call::Event::Metadata { call, metadata } => Event::Metadata { call, metadata: copied(metadata) },
        call::Event::Message { call, piece, end } => {
            Event::Message { call, octets: piece.bytes.to_vec(), offset: piece.offset, len: piece.len, end }
        }
        call::Event::End { call } => Event::End { call },
        call::Event::Status { call, status } => Event::Status {
            call,
            code: status.code.0,
            message: status.message.to_vec(),
            trailers: copied(status.trailers),
            fate: match status.fate {
                Fate::NeverLeft => 0,
                Fate::Refused => 1,
                Fate::Seen => 2,
            },
        },
        call::Event::Writable { call } => Event::Writable { call },
        call::Event::Startable => Event::Startable,
        call::Event::GoAway { last, code, debug } => {
            Event::GoAway { last, code: code.0, debug: debug.to_vec() }
        }
        // Kinds that are yet to come.
        _ => return None,
    })
}

/// Python's objects for them, once nothing is locked any more.
fn list(py: Python<'_>, events: Vec<Event>) -> PyResult<Bound<'_, PyList>> {
    let octets = |octets: &[u8]| PyBytes::new(py, octets);
    let text = |octets: &[u8]| PyString::new(py, &String::from_utf8_lossy(octets));
    let lent = |list: &Pairs| pairs(py, list.iter().map(|(name, value)| (&**name, &**value)));
    let list = PyList::empty(py);
    for event in events {
        let event = match event {
            Event::Ready => (0,).into_pyobject(py)?,
            Event::Call { call, path, authority, timeout, metadata, end } => {
                let (path, authority) = (text(&path), text(&authority));
                (1, number(call), path, authority, timeout, lent(&metadata)?, end).into_pyobject(py)?
            }
            Event::Metadata { call, metadata } => (2, number(call), lent(&metadata)?).into_pyobject(py)?,
            Event::Message { call, octets: data, offset, len, end } => {
                (3, number(call), octets(&data), offset, len, end).into_pyobject(py)?
            }
            Event::End { call } => (4, number(call)).into_pyobject(py)?,
            Event::Status { call, code, message, trailers, fate } => {
                (5, number(call), code, text(&message), lent(&trailers)?, fate).into_pyobject(py)?
            }
            Event::Writable { call } => (6, number(call)).into_pyobject(py)?,
            Event::Startable => (7,).into_pyobject(py)?,
            Event::GoAway { last, code, debug } => (8, last, code, octets(&debug)).into_pyobject(py)?,
            Event::Failed { code, reason } => (9, code, reason).into_pyobject(py)?,
        };
        list.append(event)?;
    }
    Ok(list)
}

fn refused(error: SendError) -> PyErr {
    match error {
        SendError::Blocked => BlockedError::new_err("no room for it now"),
        SendError::Closed => ClosedError::new_err("the call is over, or this side of it is closed"),
        SendError::HeadSent => ClosedError::new_err("the response's initial metadata was sent before"),
        SendError::BadMetadata(at) => bad_metadata(at),
        SendError::WrongLength => {
            PyValueError::new_err("data: expected exactly the rest of the message that was begun")
        }
        SendError::TooLarge => PyValueError::new_err("it is larger than can ever be sent"),
        other => PyValueError::new_err(format!("{other:?}")),
    }
}

fn bad_metadata(at: u16) -> PyErr {
    PyValueError::new_err(format!("metadata[{at}]: gRPC does not allow this name or value"))
}

fn number(call: CallId) -> u64 {
    u64::from(call.slot) << 32 | u64::from(call.id)
}

fn id(number: u64) -> CallId {
    CallId { id: number as u32, slot: (number >> 32) as u16 }
}
