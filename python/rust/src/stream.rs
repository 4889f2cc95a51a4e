//! Streaming calls of the blocking channel. One thread may send while another receives.

use crate::completion::{Completion, pairs};
use crate::interrupt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::cell::Cell;

thread_local! {
    /// The buffer of the thread's last message.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that grew beyond this is not kept.
pub(crate) const KEEP: usize = 1 << 20;

#[pyclass(frozen, module = "grpclb._grpclb")]
pub(crate) struct Stream(pub(crate) grpclb::Stream);

#[pymethods]
impl Stream {
    /// Sends a message, or with `None` the half-close; waits for room. `False`: the call is over.
    fn send(&self, py: Python<'_>, message: Option<&[u8]>) -> PyResult<bool> {
        let sent = py.detach(|| match message {
            Some(message) => self.0.send(message),
            None => self.0.half_close(),
        });
        interrupt::check().map(|()| sent.is_ok())
    }

    /// Waits for the next message; `None`: there are no more, and `finish` says why.
    fn recv<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut message = SPARE.take();
        let received = py.detach(|| self.0.recv(&mut message));
        let result = interrupt::check().map(|()| match received {
            Ok(true) => Some(PyBytes::new(py, &message)),
            _ => None,
        });
        if message.capacity() <= KEEP {
            SPARE.set(message);
        }
        result
    }

    /// Waits for the initial metadata.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let headers = py.detach(|| self.0.headers()).unwrap_or_default();
        interrupt::check()?;
        pairs(py, headers.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// Waits for the end.
    fn finish(&self, py: Python<'_>) -> PyResult<Completion> {
        let finished = py.detach(|| self.0.finish());
        interrupt::check()?;
        let mut done = finished.unwrap_or_else(|status| grpclb::host::reactor::Completion {
            code: status.code,
            message: status.message,
            ..Default::default()
        });
        Ok(Completion::new(py, &mut done))
    }

    fn has_ended(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.has_ended())
    }

    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.0.cancel());
    }
}
