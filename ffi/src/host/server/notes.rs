//! What other threads want of the driving thread.

use super::work::Work;
use mio::Waker;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One wish.
#[derive(Debug)]
pub(crate) enum Note {
    /// A worker did something with its call.
    Work(Arc<Work>),
    /// A health status changed: watchers are to be told.
    Health,
    /// Retire every connection.
    Retire,
    /// Drain, and end after that long.
    GracefulStop(Duration),
    /// End at once.
    Stop,
}

/// The queue. Its lock is held for a push or a swap; only the first note of a batch wakes the driving thread.
#[derive(Debug)]
pub(crate) struct Notes {
    queue: Mutex<Vec<Note>>,
    waker: Waker,
}

impl Notes {
    pub(crate) fn new(waker: Waker) -> Notes {
        Notes { queue: Mutex::default(), waker }
    }

    pub(crate) fn push(&self, note: Note) {
        let first = {
            let mut queue = self.lock();
            queue.push(note);
            queue.len() == 1
        };
        if first {
            self.wake();
        }
    }

    /// Swaps what has come into `notes`, which is empty.
    pub(crate) fn take(&self, notes: &mut Vec<Note>) {
        std::mem::swap(&mut *self.lock(), notes);
    }

    fn wake(&self) {
        // It fails only when the system cannot keep one more event, and then the poll returns anyway: with EAGAIN
        // the counter of the waker is full, so it is awake already.
        if let Err(error) = self.waker.wake() {
            debug_assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
