//! The blocking channel: waits with the interpreter let go.

use crate::arguments::{self, Metadata, duration};
use crate::completion::Completion;
use crate::process::Process;
use crate::stream::{KEEP, Stream};
use crate::{interrupt, settings};
use grpclb::core::balancer::Connectivity;
use grpclb::host::reactor;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::Cell;
use std::time::Duration;

/// What "no limit" is to the host library.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

thread_local! {
    /// Buffers of the thread's last call.
    static SPARE: Cell<reactor::Completion> = Cell::default();
}

#[pyclass(frozen, module = "grpclb._grpclb")]
pub(crate) struct Channel {
    channel: grpclb::Channel,
    made_in: Process,
}

#[pymethods]
impl Channel {
    #[new]
    #[pyo3(signature = (target, **options))]
    fn new(target: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Channel> {
        let builder = settings::builder(target, options)?.interrupt(interrupt::hook);
        let channel = builder.build().map_err(settings::refused)?;
        Ok(Channel { channel, made_in: Process::this() })
    }

    fn unary(
        &self,
        py: Python<'_>,
        path: &str,
        request: &[u8],
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
        wait_for_ready: bool,
    ) -> PyResult<Completion> {
        self.made_in.check()?;
        let metadata = Metadata::new(metadata)?;
        let metadata = metadata.lend()?;
        let call = arguments::call(path, timeout, wait_for_ready)?.metadata(&metadata);
        let mut done = SPARE.take();
        py.detach(|| self.channel.complete(&call, request, &mut done));
        let result = interrupt::check().map(|()| Completion::new(py, &mut done));
        if done.response.capacity() <= KEEP {
            SPARE.set(done);
        }
        result
    }

    /// Starts a streaming call, perhaps with its only request; does not wait.
    #[allow(clippy::too_many_arguments)] // one crossing a call
    fn stream(
        &self,
        py: Python<'_>,
        path: &str,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
        wait_for_ready: bool,
        request: Option<&[u8]>,
    ) -> PyResult<Stream> {
        self.made_in.check()?;
        let metadata = Metadata::new(metadata)?;
        let metadata = metadata.lend()?;
        let call = arguments::call(path, timeout, wait_for_ready)?.metadata(&metadata);
        let stream = py.detach(|| match request {
            Some(request) => self.channel.stream_of_one(&call, request),
            None => self.channel.stream(&call),
        });
        stream.map(Stream).map_err(|status| PyRuntimeError::new_err(status.message))
    }

    fn state(&self, py: Python<'_>, connect: bool) -> PyResult<u8> {
        self.made_in.check()?;
        let state = py.detach(|| self.channel.state(connect));
        interrupt::check().map(|()| state_number(state))
    }

    fn wait_for_state_change(&self, py: Python<'_>, last: u8, timeout: Option<f64>) -> PyResult<bool> {
        self.made_in.check()?;
        let (last, limit) = (state_of(last)?, limit(timeout)?);
        let changed = py.detach(|| self.channel.wait_for_state_change(last, limit));
        interrupt::check().map(|()| changed)
    }

    fn wait_for_ready_endpoints(&self, py: Python<'_>, count: usize, timeout: Option<f64>) -> PyResult<bool> {
        self.made_in.check()?;
        let limit = limit(timeout)?;
        let ready = py.detach(|| self.channel.wait_for_ready_endpoints(count, limit));
        interrupt::check().map(|()| ready)
    }

    fn endpoints(&self, py: Python<'_>) -> PyResult<Vec<(String, u8)>> {
        self.made_in.check()?;
        let endpoints = py.detach(|| self.channel.endpoints());
        interrupt::check().map(|()| numbered(endpoints))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.channel.close());
    }
}

fn limit(timeout: Option<f64>) -> PyResult<Duration> {
    match timeout {
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err("timeout: expected seconds, got nan")),
        Some(seconds) => Ok(duration(seconds).unwrap_or(FOR_EVER)),
        None => Ok(FOR_EVER),
    }
}

/// Numbers of connectivity states: those of `grpclb.ChannelConnectivity`.
pub(crate) fn state_number(state: Connectivity) -> u8 {
    match state {
        Connectivity::Idle => 0,
        Connectivity::Connecting => 1,
        Connectivity::Ready => 2,
        Connectivity::TransientFailure => 3,
        Connectivity::Shutdown => 4,
    }
}

fn state_of(number: u8) -> PyResult<Connectivity> {
    const STATES: [Connectivity; 5] = [
        Connectivity::Idle,
        Connectivity::Connecting,
        Connectivity::Ready,
        Connectivity::TransientFailure,
        Connectivity::Shutdown,
    ];
    STATES.get(usize::from(number)).copied().ok_or_else(|| PyValueError::new_err("state: expected 0 to 4"))
}

/// Endpoints with their states' numbers.
pub(crate) fn numbered(endpoints: Vec<(String, Connectivity)>) -> Vec<(String, u8)> {
    endpoints.into_iter().map(|(address, state)| (address, state_number(state))).collect()
}
