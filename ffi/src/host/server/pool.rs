//! Worker threads: as many as there is work, up to a bound; those that find none for a while end.

use super::work::Work;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a worker waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Runs one call.
type Run = dyn Fn(Arc<Work>) + Send + Sync;

/// The pool. Clones share it.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Rung for idle workers.
    work: Condvar,
    max_threads: usize,
    max_waiting: usize,
    idle_time: Duration,
    run: Box<Run>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Work>>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    /// At most `max_threads` at work and `max_waiting` calls that wait for one of them.
    pub(crate) fn new(
        max_threads: usize,
        max_waiting: usize,
        run: impl Fn(Arc<Work>) + Send + Sync + 'static,
    ) -> Pool {
        Pool::with_idle_time(max_threads, max_waiting, IDLE, run)
    }

    fn with_idle_time(
        max_threads: usize,
        max_waiting: usize,
        idle_time: Duration,
        run: impl Fn(Arc<Work>) + Send + Sync + 'static,
    ) -> Pool {
        let (queue, work) = (Mutex::default(), Condvar::new());
        let shared = Shared { queue, work, max_threads, max_waiting, idle_time, run: Box::new(run) };
        Pool { shared: Arc::new(shared) }
    }

    /// Queues a call; gives it back when there is no room, or no thread can be had.
    pub(crate) fn submit(&self, work: Arc<Work>) -> Result<(), Arc<Work>> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(work);
        }
        if queue.waiting.len() < queue.idle {
            queue.waiting.push_back(work);
            self.shared.work.notify_one();
            return Ok(());
        }
        if queue.threads < self.shared.max_threads && self.grow(&mut queue) {
            queue.waiting.push_back(work);
            return Ok(());
        }
        // A pool without threads would keep it for ever.
        if queue.threads == 0 || queue.waiting.len() - queue.idle >= self.shared.max_waiting {
            return Err(work);
        }
        queue.waiting.push_back(work);
        Ok(())
    }

    /// No further work; what waits is dropped, what runs goes on.
    pub(crate) fn close(&self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.waiting.clear();
        self.shared.work.notify_all();
    }

    /// Starts a thread. The system may have none left; those that run take the work then.
    fn grow(&self, queue: &mut Queue) -> bool {
        let shared = Arc::clone(&self.shared);
        let started =
            std::thread::Builder::new().name("grpclb-worker".to_owned()).spawn(move || shared.worker());
        queue.threads += usize::from(started.is_ok());
        started.is_ok()
    }
}

impl Shared {
    fn worker(&self) {
        let mut queue = self.lock();
        while !queue.closed {
            if let Some(work) = queue.waiting.pop_front() {
                drop(queue);
                (self.run)(work);
                queue = self.lock();
                continue;
            }
            queue.idle += 1;
            let (woken, timeout) =
                self.work.wait_timeout(queue, self.idle_time).unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            queue.idle -= 1;
            if timeout.timed_out() && queue.waiting.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::server::notes::Notes;
    use std::sync::mpsc;

    const WAIT: Duration = Duration::from_secs(20);

    fn work() -> Arc<Work> {
        let poll = mio::Poll::new().expect("poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("waker");
        Arc::new(Work::new(Arc::new(Notes::new(waker))))
    }

    #[test]
    fn grows_to_its_bound_queues_refuses_and_shrinks() {
        let (started, starts) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let pool = Pool::with_idle_time(2, 1, Duration::from_millis(20), move |_| {
            started.send(()).expect("test listens");
            gate.lock().expect("gate").recv().expect("test opens");
        });
        assert!(pool.submit(work()).is_ok());
        assert!(pool.submit(work()).is_ok());
        for _ in 0..2 {
            starts.recv_timeout(WAIT).expect("two threads run");
        }
        assert!(pool.submit(work()).is_ok(), "one may wait");
        assert!(pool.submit(work()).is_err(), "a second one may not");
        assert_eq!(pool.shared.lock().threads, 2);
        for _ in 0..3 {
            go.send(()).expect("gate");
        }
        starts.recv_timeout(WAIT).expect("the one that waited runs");
        let deadline = std::time::Instant::now() + WAIT;
        while pool.shared.lock().threads > 0 {
            assert!(std::time::Instant::now() < deadline, "idle threads do not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        pool.close();
        assert!(pool.submit(work()).is_err());
    }
}
