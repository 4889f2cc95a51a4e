//! Callers: threads that call over one channel, one call after the other.

use crate::tally::Tally;
use grpclb::{Call, Channel, Reply, Status, core::grpc::Code};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the callers do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// `/package.Service/Method`.
    pub(crate) path: String,
    /// The request.
    pub(crate) request: Vec<u8>,
    /// How many call at a time.
    pub(crate) callers: usize,
    /// Each caller starts a call no oftener than this.
    pub(crate) every: Duration,
    /// Deadline of a call.
    pub(crate) timeout: Duration,
    /// A server that does not know the method has answered, too.
    pub(crate) unimplemented_is_fine: bool,
}

/// Callers at work.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
}

#[derive(Debug)]
struct Shared {
    channel: Channel,
    job: Job,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

impl Load {
    /// Sets the callers to work.
    pub(crate) fn start(channel: &Channel, job: &Job) -> Load {
        let shared = Arc::new(Shared {
            channel: channel.clone(),
            job: job.clone(),
            stop: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        let threads = (0..job.callers).map(|_| {
            std::thread::spawn({
                let shared = shared.clone();
                move || shared.call()
            })
        });
        Load { threads: threads.collect(), shared, started: Instant::now() }
    }

    /// The tally so far.
    pub(crate) fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// No new calls; the tally when the running ones have ended, and how long it all took.
    pub(crate) fn stop(mut self) -> (Tally, Duration) {
        self.halt()
    }

    /// The same for callers that others will replace.
    pub(crate) fn halt(&mut self) -> (Tally, Duration) {
        self.end();
        (self.tally(), self.elapsed())
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) {
        let call = Call::new(&self.job.path).timeout(self.job.timeout);
        let mut response = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            let outcome = self.channel.unary(&call, &self.job.request, &mut response);
            let now = Instant::now();
            let (peer, failure) = self.judge(&outcome);
            self.tally().count(now, now - start, peer, failure);
            let rest = self.job.every.saturating_sub(now - start);
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
        }
    }

    fn judge<'o>(&self, outcome: &'o Result<Reply, Status>) -> (Option<&'o str>, Option<String>) {
        match outcome {
            Ok(reply) => (Some(reply.peer()), None),
            Err(status) => {
                let fine = self.job.unimplemented_is_fine
                    && status.code == Code::UNIMPLEMENTED
                    && status.peer.is_some();
                (status.peer.as_deref(), (!fine).then(|| status.to_string()))
            }
        }
    }
}
