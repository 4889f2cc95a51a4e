//! After a fork the sockets belong to two processes, and a lock perhaps to a thread that is not there.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Forks between the first process and this one, as Python tells of them: asking the system who we are would cost a
/// system call each time.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Another number in each process.
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// The process that made a channel.
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn this() -> Process {
        Process(forks())
    }

    /// Refuses any other one.
    pub(crate) fn check(&self) -> PyResult<()> {
        match self.0 == forks() {
            true => Ok(()),
            false => Err(PyRuntimeError::new_err(
                "this channel was made before a fork: make one of its own in the child process",
            )),
        }
    }
}

#[pyfunction]
fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Has Python tell of forks.
pub(crate) fn watch(py: Python<'_>) -> PyResult<()> {
    let options = pyo3::types::PyDict::new(py);
    options.set_item("after_in_child", wrap_pyfunction!(forked, py)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&options))?;
    Ok(())
}
