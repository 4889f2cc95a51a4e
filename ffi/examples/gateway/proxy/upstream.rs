//! The backends: one reactor, driven by a task of the same event loop as the clients' connections.

use super::fields;
use grpclb::core::balancer::Connectivity;
use grpclb::host::reactor::{CallKey, Completion, Reactor};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// A channel to the backends. Calls keep it: one that was replaced lives until its last call has ended.
#[derive(Debug)]
pub(crate) struct Upstream {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reactor: RefCell<Reactor>,
    /// Who waits for news of a call, by the call's index.
    waiters: RefCell<Vec<Waiters>>,
    /// Of the task that drives.
    driver: RefCell<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Waiters {
    send: Option<Waker>,
    recv: Option<Waker>,
}

/// What came back first.
pub(crate) enum Head {
    /// Initial metadata, `-bin` values raw.
    Initial(fields::Entries),
    /// The call ended without any.
    Over(Box<Completion>),
}

/// What comes after the head; a message is in the caller's buffer.
pub(crate) enum Answer {
    Message,
    End(Box<Completion>),
}

impl Upstream {
    /// Begins to connect, and to drive.
    pub(crate) fn new(mut reactor: Reactor) -> io::Result<Upstream> {
        reactor.state(true);
        let readiness = Readiness::of(&reactor)?;
        let inner = Rc::new(Inner {
            reactor: RefCell::new(reactor),
            waiters: RefCell::default(),
            driver: RefCell::default(),
        });
        tokio::task::spawn_local(drive(Rc::downgrade(&inner), readiness));
        Ok(Upstream { inner })
    }

    pub(crate) fn start(&self, call: &grpclb::Call<'_>) -> Call {
        let key = self.inner.reactor.borrow_mut().start_stream(call);
        self.inner.kick();
        Call { inner: Rc::clone(&self.inner), key }
    }

    pub(crate) fn endpoints(&self) -> Vec<(String, Connectivity)> {
        self.inner.reactor.borrow_mut().endpoints()
    }
}

/// A call to a backend; cancelled when it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Call {
    inner: Rc<Inner>,
    key: CallKey,
}

impl Call {
    /// Sends a message, or the half-close alone; pending while the message before is on its way. Nothing once the call
    /// has ended.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, message: Option<&[u8]>, last: bool) -> Poll<()> {
        if !self.inner.reactor.borrow_mut().send(self.key, message, last) {
            self.inner.wait(self.key, |waiters| waiters.send = Some(cx.waker().clone()));
            return Poll::Pending;
        }
        self.inner.kick();
        Poll::Ready(())
    }

    pub(crate) fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Head> {
        let mut reactor = self.inner.reactor.borrow_mut();
        if reactor.progress(self.key).is_some_and(|progress| progress.has_headers) {
            return Poll::Ready(Head::Initial(fields::owned(reactor.headers(self.key))));
        }
        if let Some(over) = reactor.take(self.key) {
            return Poll::Ready(Head::Over(Box::new(over)));
        }
        self.inner.wait(self.key, |waiters| waiters.recv = Some(cx.waker().clone()));
        Poll::Pending
    }

    /// The next message into `message`, or the end; not to be asked again after that.
    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>, message: &mut Vec<u8>) -> Poll<Answer> {
        let mut reactor = self.inner.reactor.borrow_mut();
        if reactor.recv(self.key, message) {
            // It may have given the backend window.
            drop(reactor);
            self.inner.kick();
            return Poll::Ready(Answer::Message);
        }
        if let Some(over) = reactor.take(self.key) {
            return Poll::Ready(Answer::End(Box::new(over)));
        }
        self.inner.wait(self.key, |waiters| waiters.recv = Some(cx.waker().clone()));
        Poll::Pending
    }

    /// The backend that serves it.
    pub(crate) fn peer(&self) -> Option<std::sync::Arc<str>> {
        self.inner.reactor.borrow_mut().peer(self.key)
    }

    /// Ends it. Its senders find nothing to wait for.
    pub(crate) fn cancel(&self) {
        self.inner.reactor.borrow_mut().forget(self.key);
        self.inner.kick();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Inner {
    /// Has the driving task run after those that run now, so that what they all made leaves together.
    fn kick(&self) {
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    fn wait(&self, call: CallKey, set: impl FnOnce(&mut Waiters)) {
        let (mut waiters, index) = (self.waiters.borrow_mut(), call.index as usize);
        if index >= waiters.len() {
            waiters.resize_with(index + 1, Waiters::default);
        }
        set(&mut waiters[index]);
    }

    /// One turn of the reactor; how many things there were.
    fn turn(&self) -> io::Result<usize> {
        let mut reactor = self.reactor.borrow_mut();
        let count = reactor.process()?;
        let mut waiters = self.waiters.borrow_mut();
        while let Some(call) = reactor.poll_call() {
            if let Some(Waiters { send, recv }) = waiters.get_mut(call.index as usize) {
                send.take().into_iter().chain(recv.take()).for_each(Waker::wake);
            }
        }
        Ok(count)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reactor.get_mut().close();
        self.kick();
    }
}

/// Drives until nobody holds the channel any more.
async fn drive(inner: Weak<Inner>, mut readiness: Readiness) {
    let mut sleep = Box::pin(tokio::time::sleep(std::time::Duration::ZERO));
    poll_fn(|cx| {
        let Some(inner) = inner.upgrade() else { return Poll::Ready(()) };
        *inner.driver.borrow_mut() = Some(cx.waker().clone());
        loop {
            match inner.turn() {
                Ok(0) => {}
                Ok(_) => {
                    // Whom that woke runs first, and then this again.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => {
                    eprintln!("gateway: the poll of the backends' connections failed: {error}");
                    std::process::exit(1);
                }
            }
            if readiness.take(cx) {
                continue;
            }
            let Some(limit) = inner.reactor.borrow().poll_timeout() else { return Poll::Pending };
            sleep.as_mut().reset(Instant::now() + limit);
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

use readiness::Readiness;

#[cfg(unix)]
mod readiness {
    use super::Reactor;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::task::{Context, Poll};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// The reactor's descriptor among those that the event loop waits for.
    #[derive(Debug)]
    pub(super) struct Readiness(AsyncFd<OwnedFd>);

    impl Readiness {
        pub(super) fn of(reactor: &Reactor) -> io::Result<Readiness> {
            let descriptor = reactor.as_fd().try_clone_to_owned()?;
            // Its successor is `unsafe`: it asks that the descriptor stays open and the same, as an OwnedFd does.
            #[allow(deprecated)]
            Ok(Readiness(AsyncFd::with_interest(descriptor, Interest::READABLE)?))
        }

        /// Whether there is something; if not, the task will be woken.
        pub(super) fn take(&mut self, cx: &mut Context<'_>) -> bool {
            match self.0.poll_read_ready(cx) {
                Poll::Ready(Ok(mut ready)) => {
                    ready.clear_ready();
                    true
                }
                _ => false,
            }
        }
    }
}

#[cfg(not(unix))]
mod readiness {
    use super::Reactor;
    use std::future::Future;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    /// There is no descriptor to wait for on this system: a look every few milliseconds.
    #[derive(Debug)]
    pub(super) struct Readiness(Pin<Box<tokio::time::Sleep>>);

    const EVERY: Duration = Duration::from_millis(2);

    impl Readiness {
        pub(super) fn of(_: &Reactor) -> io::Result<Readiness> {
            Ok(Readiness(Box::pin(tokio::time::sleep(EVERY))))
        }

        pub(super) fn take(&mut self, cx: &mut Context<'_>) -> bool {
            match self.0.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    self.0.as_mut().reset(tokio::time::Instant::now() + EVERY);
                    true
                }
                Poll::Pending => false,
            }
        }
    }
}
