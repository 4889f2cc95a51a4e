//! What a call that ended left.

use grpclb::Reply;
use grpclb::core::grpc::Code;
use grpclb::host::reactor;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// What a call that ended left; its metadata is made into Python objects when it is asked for.
#[pyclass(frozen, module = "grpclb._grpclb")]
pub(crate) struct Completion {
    #[pyo3(get)]
    code: u32,
    #[pyo3(get)]
    message: String,
    #[pyo3(get)]
    response: Option<Py<PyBytes>>,
    reply: Reply,
}

impl Completion {
    /// Takes over all but the response's buffer, which may be used again.
    pub(crate) fn new(py: Python<'_>, done: &mut reactor::Completion) -> Completion {
        Completion {
            code: done.code.0,
            message: std::mem::take(&mut done.message),
            response: (done.code == Code::OK).then(|| PyBytes::new(py, &done.response).unbind()),
            reply: std::mem::take(&mut done.reply),
        }
    }
}

#[pymethods]
impl Completion {
    #[getter]
    fn peer(&self) -> &str {
        self.reply.peer()
    }

    #[getter]
    fn pick_order(&self) -> u64 {
        self.reply.pick_order()
    }

    #[getter]
    fn initial_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        pairs(py, self.reply.headers())
    }

    #[getter]
    fn trailing_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        pairs(py, self.reply.trailers())
    }
}

/// Metadata as Python has it: values of names that end in `-bin` are bytes, the others text.
pub(crate) fn pairs<'py, 'a>(
    py: Python<'py>,
    metadata: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> PyResult<Bound<'py, PyTuple>> {
    let pair = |(name, value): (&[u8], &[u8])| {
        let value = match name.ends_with(b"-bin") {
            true => PyBytes::new(py, value).into_any(),
            false => PyString::new(py, &String::from_utf8_lossy(value)).into_any(),
        };
        (PyString::new(py, &String::from_utf8_lossy(name)), value).into_pyobject(py)
    };
    PyTuple::new(py, metadata.map(pair).collect::<PyResult<Vec<_>>>()?)
}
