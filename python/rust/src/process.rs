//! After a fork the sockets belong to two processes, and a lock perhaps to a thread that is not there.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The process that made a channel.
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn this() -> Process {
        Process(std::process::id())
    }

    /// Refuses any other one.
    pub(crate) fn check(&self) -> PyResult<()> {
        match self.0 == std::process::id() {
            true => Ok(()),
            false => Err(PyRuntimeError::new_err(
                "this channel was made before a fork: make one of its own in the child process",
            )),
        }
    }
}
