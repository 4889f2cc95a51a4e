//! A call that a worker thread handles: what the worker and the driving thread share.

use super::inbox::Inbox;
use super::metadata::Metadata;
use super::notes::{Note, Notes};
use super::outgoing::Outgoing;
use grpclb_core::call::CallId;
use grpclb_core::grpc::Code;
use grpclb_core::time::Instant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Where a call's connection stands in the driving thread's table. `generation` tells it from the one that had the
/// place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) generation: u64,
}

/// One call. Reused for another one as soon as nobody else holds it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) place: Place,
    pub(crate) call: CallId,
    /// Index of the method.
    pub(crate) method: usize,
    /// When the call ends by itself; [`Instant::NEVER`] without a deadline.
    pub(crate) deadline: Instant,
    pub(crate) metadata: Metadata,
    /// The message of a unary method.
    pub(crate) request: Vec<u8>,
    state: Mutex<State>,
    /// Rung for the worker: something arrived, there is room again, or the call is over.
    changed: Condvar,
    /// Whether a note of this call lies in `notes` already.
    noted: AtomicBool,
    notes: Arc<Notes>,
}

/// Both directions of the call.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) inbox: Inbox,
    /// No further request message comes.
    pub(crate) half_closed: bool,
    /// The call is over, whatever the handler still does.
    pub(crate) over: Option<Code>,
    /// Receive window to give back.
    pub(crate) release: usize,
    pub(crate) outgoing: Outgoing,
}

impl Work {
    pub(crate) fn new(notes: Arc<Notes>) -> Work {
        Work {
            place: Place { index: 0, generation: 0 },
            call: CallId { id: 0, slot: 0 },
            method: 0,
            deadline: Instant::NEVER,
            metadata: Metadata::default(),
            request: Vec::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
            noted: AtomicBool::new(false),
            notes,
        }
    }

    /// Makes it as new for another call.
    pub(crate) fn clear(&mut self) {
        self.metadata.clear();
        super::empty(&mut self.request);
        *self.noted.get_mut() = false;
        let state = self.state_mut();
        state.inbox.clear();
        state.outgoing.clear();
        (state.half_closed, state.over, state.release) = (false, None, 0);
    }

    /// Both sides hold it for the length of a copy of one message at most.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, before the call is shared.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the driving thread: has the worker look at the state.
    pub(crate) fn ring(&self) {
        self.changed.notify_all();
    }

    /// For the driving thread: changes the state and rings the worker.
    pub(crate) fn tell<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.ring();
        result
    }

    /// For the driving thread: the call is over.
    pub(crate) fn end(&self, code: Code) {
        self.tell(|state| state.over = state.over.or(Some(code)));
    }

    /// For the driving thread, before it looks at the state: later changes make a new note.
    pub(crate) fn note_taken(&self) {
        self.noted.store(false, Ordering::SeqCst);
    }

    /// For the worker: has the driving thread look at the state soon.
    pub(crate) fn note(self: &Arc<Self>) {
        if !self.noted.swap(true, Ordering::SeqCst) {
            self.notes.push(Note::Work(Arc::clone(self)));
        }
    }

    /// For the worker: the same, when it is done with the call. The driving thread gets the worker's own share, so
    /// that it is the last to hold the call and can use it again.
    pub(crate) fn note_last(work: Arc<Work>) {
        if !work.noted.swap(true, Ordering::SeqCst) {
            let notes = Arc::clone(&work.notes);
            notes.push(Note::Work(work));
        }
    }

    /// For the worker: waits for a change.
    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, but not longer than `time`.
    pub(crate) fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        time: std::time::Duration,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}
