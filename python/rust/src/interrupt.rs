//! Ctrl-C: the host library asks, every now and then while a thread waits, whether the wait is to end. Python handles
//! signals on its main thread only, so the other threads are not asked.

use crate::process;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Asking takes the interpreter from whoever runs: not at every turn of a busy channel.
const PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    /// What the signal's handler raised.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    /// Whether this is the main thread, and of which process: a fork makes the thread that forks the main one.
    static IS_MAIN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The host library's interrupt hook.
pub(crate) fn hook() -> bool {
    let process = process::forks();
    let known = IS_MAIN.get().filter(|(of, _)| *of == process);
    if known == Some((process, false)) {
        return false;
    }
    let now = Instant::now();
    if ASKED.get().is_some_and(|asked| now - asked < PAUSE) {
        return false;
    }
    ASKED.set(Some(now));
    // An interpreter that is ending has nothing to say.
    let interrupted = Python::try_attach(|py| {
        if known.is_none() {
            IS_MAIN.set(is_main(py).ok().map(|is| (process, is)));
        }
        match py.check_signals() {
            Ok(()) => false,
            Err(error) => {
                RAISED.with_borrow_mut(|raised| *raised = Some(error));
                true
            }
        }
    });
    interrupted.unwrap_or(false)
}

/// What a handler raised during the wait that ended.
pub(crate) fn check() -> PyResult<()> {
    RAISED.with_borrow_mut(|raised| raised.take().map_or(Ok(()), Err))
}

fn is_main(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}
