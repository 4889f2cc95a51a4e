//! The compiled part of the Python package `grpclb`: the host library's two forms, blocking and driven by an event loop,
//! as Python objects of octets and numbers. What a Python program sees is made of them in `src/grpclb/*.py`.
//!
//! Rules: no Python code runs under a lock of this crate or of the host library (arguments are read before, objects made
//! after), and whoever waits has let the interpreter go.
#![deny(unsafe_code)]
#![allow(missing_docs)] // what Python sees is documented in `_grpclb.pyi`

mod arguments;
mod blocking;
mod completion;
mod connection;
mod interrupt;
mod picker;
mod process;
mod reactor;
mod settings;
mod stream;

use pyo3::prelude::*;

/// Python's memory is aligned to 16 octets and no further, whatever a Rust type asks for: what asks for more is boxed.
const fn fits<T>() {
    assert!(align_of::<T>() <= 16);
}
const _: () = {
    fits::<blocking::Channel>();
    fits::<completion::Completion>();
    fits::<connection::Connection>();
    fits::<picker::Picker>();
    fits::<reactor::Reactor>();
    fits::<stream::Stream>();
};

#[pymodule]
mod _grpclb {
    #[pymodule_export]
    use super::blocking::Channel;
    #[pymodule_export]
    use super::completion::Completion;
    #[pymodule_export]
    use super::connection::{BlockedError, ClosedError, Connection};
    #[pymodule_export]
    use super::picker::Picker;
    #[pymodule_export]
    use super::reactor::Reactor;
    #[pymodule_export]
    use super::stream::Stream;
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        process::watch(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
