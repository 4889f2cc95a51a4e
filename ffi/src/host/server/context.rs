//! What the connections of one server share, at the driving thread.

use super::methods::Methods;
use super::notes::Notes;
use super::pool::Pool;
use super::work::Work;
use crate::host::health::Health;
use grpclb_core::time::Instant;
use std::sync::Arc;

/// Works that wait to be used again.
const SPARE_WORKS: usize = 64;

/// Shared by all connections, lent to the one that has its turn.
pub(crate) struct Context {
    pub(crate) methods: Arc<Methods>,
    pub(crate) pool: Pool,
    pub(crate) health: Option<Arc<Health>>,
    pub(crate) notes: Arc<Notes>,
    /// When this turn began.
    pub(crate) now: Instant,
    /// A graceful stop is under way.
    pub(crate) stopping: bool,
    /// The receive window of a stream, octets.
    pub(crate) stream_window: usize,
    /// Where inline handlers write their answer.
    pub(crate) scratch: Vec<u8>,
    pub(crate) spare: Vec<Arc<Work>>,
}

impl Context {
    /// A work for a new call, made by `set`.
    pub(crate) fn work(&mut self, set: impl FnOnce(&mut Work)) -> Arc<Work> {
        let mut work = match self.spare.pop() {
            Some(work) => work,
            None => Arc::new(Work::new(Arc::clone(&self.notes))),
        };
        // Nobody else holds a spare one, see below.
        if let Some(work) = Arc::get_mut(&mut work) {
            set(work);
        }
        work
    }

    /// Keeps a work for another call, when nobody else holds it any more. (Otherwise the last one frees it.)
    pub(crate) fn recycle(&mut self, mut work: Arc<Work>) {
        if self.spare.len() < SPARE_WORKS
            && let Some(unshared) = Arc::get_mut(&mut work)
        {
            unshared.clear();
            self.spare.push(work);
        }
    }
}
