//! Leader and followers: how threads that block share one reactor without a thread of its own.
//!
//! The thread that finds the [`Lead`] takes it and drives the reactor until its own call is done; the others sleep,
//! each on its own [`Slot`]. Holding the lead *is* the leadership: it is moved out of [`Big`] while somebody waits, and
//! waiting runs without the lock. Rules:
//!
//! * lock order: `Big`, then a slot; a follower whose call is done never takes `Big`;
//! * a thread enlists under the lock in which it saw the lead missing, so no wake-up is lost;
//! * who stops leading nominates the newest sleeper, whose memory is warmest; bells ring outside the lock, and only
//!   for who sleeps;
//! * a follower sleeps until its own deadline at most, and then looks after the time itself; for any other moment
//!   that is nearer than what the leader waits for, the leader is woken.

mod sleepers;

use super::call::Call;
use super::reactor::calls::{Kind, Outcome, Stage};
use super::reactor::machine::Machine;
use super::reactor::{CallKey, Lead, until};
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};
use mio::Waker;
use sleepers::{NOBODY, Sleepers, Slot, SlotState, ring};
use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After so long without anyone driving, sockets are looked at before a call is picked: a connection that the peer
/// closed meanwhile would lose it. Calls that follow one another without a pause do not pay for that.
const STALE: Duration = Duration::from_millis(1);

/// After so long, attempts to connect may be overdue as well: a call gives them a moment before it fails.
const ASLEEP: Duration = Duration::from_millis(50);

/// The longest wait between two questions to the interrupt hook.
const SLICE: Duration = Duration::from_millis(100);

/// Asks whether a wait is to end early; `true` ends it.
pub(crate) type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// A channel that threads share.
pub(crate) struct Shared {
    big: Mutex<Big>,
    waker: Arc<Waker>,
    interrupt: Option<Interrupt>,
    /// Of the process that made it.
    process: u32,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("process", &self.process).finish_non_exhaustive()
    }
}

/// What is under the lock.
#[derive(Debug)]
pub(crate) struct Big {
    pub(crate) machine: Machine,
    /// `None`: somebody leads.
    lead: Option<Lead>,
    /// Until when the leader waits at most.
    waits_until: Instant,
    sleepers: Sleepers,
    /// The sleepers of a call, the first of a chain, by the call's index. (On a stream one may send, another receive.)
    by_call: Vec<u32>,
    /// Sleepers to wake when any state changes.
    watchers: Vec<u32>,
    /// The sleeper that is to lead whenever it can: the background thread.
    background: Option<u32>,
    version: u32,
    driven: Instant,
    closed: bool,
}

/// What each thread has, and uses again for each call.
#[derive(Debug, Default)]
struct Own {
    slot: Arc<Slot>,
    /// Slots to ring once the lock is free.
    ring: Vec<Arc<Slot>>,
    /// The interrupt hook's panic, which goes on once the wait has ended in order.
    panic: Option<Box<dyn Any + Send>>,
}

impl Own {
    /// Asks the hook; one that panics ends the wait as well. Nobody's lock may be held: it is foreign code.
    fn is_interrupted(&mut self, hook: &Interrupt) -> bool {
        catch_unwind(AssertUnwindSafe(|| hook())).unwrap_or_else(|panic| {
            self.panic = Some(panic);
            true
        })
    }
}

thread_local! {
    static OWN: Cell<Option<Own>> = const { Cell::new(None) };
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The condition holds.
    Holds,
    /// The call is done, and its outcome lies in the thread's slot.
    InSlot,
    /// The time ran out.
    TimedOut,
    /// The interrupt hook said so.
    Interrupted,
}

/// The lead in the hands of a thread. Should it panic, the others find the lead again.
struct Held<'s> {
    shared: &'s Shared,
    lead: Option<Lead>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(lead) = self.lead.take() {
            let mut ringing = Vec::new();
            let mut big = self.shared.lock();
            big.lead = Some(lead);
            big.nominate(&mut ringing);
            drop(big);
            ring(&mut ringing);
        }
    }
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// A unary call: whoever finds it done puts the outcome into the slot.
    Unary(CallKey),
    /// Something new on a stream.
    Stream(CallKey),
    /// A change of state.
    State,
    /// To drive for everyone.
    Background,
}

impl Shared {
    pub(crate) fn new(
        machine: Machine,
        lead: Lead,
        waker: Arc<Waker>,
        interrupt: Option<Interrupt>,
    ) -> Shared {
        let big = Big {
            version: machine.version(),
            machine,
            lead: Some(lead),
            waits_until: Instant::NEVER,
            sleepers: Sleepers::default(),
            by_call: Vec::new(),
            watchers: Vec::new(),
            background: None,
            driven: Machine::now(),
            closed: false,
        };
        Shared { big: Mutex::new(big), waker, interrupt, process: std::process::id() }
    }

    /// Whether this is the process that made the channel. After a fork the sockets belong to two processes and
    /// the lock perhaps to a thread that is not there: nothing of it may be touched.
    pub(crate) fn is_own_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// The lock, for commands. A thread that panicked under it left nothing half done that matters to others.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Big> {
        self.big.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One unary call from start to end. `taken` gets the outcome and the number of the pick.
    pub(crate) fn unary<R>(
        &self,
        call: &Call<'_>,
        request: &[u8],
        taken: impl FnOnce(&mut Outcome, u64) -> R,
    ) -> R {
        self.with_own(|own| {
            let now = Machine::now();
            let mut big = self.lock();
            let asleep = big.catch_up(now);
            let key = big.machine.start(now, Kind::Unary, call, request, asleep);
            let waited = self.drive(big, own, now, Purpose::Unary(key), None, |big| big.is_ended(key));
            match waited {
                (Waited::InSlot, guard) => {
                    drop(guard);
                    let mut inner = own.slot.lock();
                    let order = inner.pick_order;
                    taken(&mut inner.outcome, order)
                }
                (waited, guard) => {
                    let mut big = guard.unwrap_or_else(|| self.lock());
                    if waited != Waited::Holds {
                        big.machine.abort(Machine::now(), key, Code::CANCELLED, "interrupted");
                    }
                    let record = big.machine.work.calls.at(key.index);
                    let order = record.pick_order;
                    let result = taken(&mut record.outcome, order);
                    big.machine.finish(key);
                    if waited != Waited::Holds {
                        // The server hears of it now, not when somebody drives again.
                        big.machine.flush(Machine::now());
                        self.let_go(big, own);
                    }
                    result
                }
            }
        })
    }

    /// Starts a stream, perhaps with its only message.
    pub(crate) fn start_stream(&self, call: &Call<'_>, only: Option<&[u8]>) -> CallKey {
        let now = Machine::now();
        let mut big = self.lock();
        let asleep = big.catch_up(now);
        let key = big.machine.start(now, Kind::Stream, call, &[], asleep);
        if only.is_some() {
            big.machine.send(now, key, only, true);
        }
        big.machine.flush(now);
        self.with_own(|own| self.let_go(big, own));
        key
    }

    /// Waits until something holds for a stream: asked whenever something is new for it. `then` runs under the lock.
    pub(crate) fn on_stream<R>(
        &self,
        key: CallKey,
        holds: impl FnMut(&mut Big) -> bool,
        then: impl FnOnce(&mut Big, Waited) -> R,
    ) -> R {
        self.wait_and(Purpose::Stream(key), None, holds, then)
    }

    /// Waits until something holds for the channel's state, at most `limit`.
    pub(crate) fn on_state<R>(
        &self,
        limit: Option<Duration>,
        holds: impl FnMut(&mut Big) -> bool,
        then: impl FnOnce(&mut Big, Waited) -> R,
    ) -> R {
        self.wait_and(Purpose::State, limit, holds, then)
    }

    fn wait_and<R>(
        &self,
        purpose: Purpose,
        limit: Option<Duration>,
        holds: impl FnMut(&mut Big) -> bool,
        then: impl FnOnce(&mut Big, Waited) -> R,
    ) -> R {
        self.with_own(|own| {
            let now = Machine::now();
            let mut big = self.lock();
            big.catch_up(now);
            let end = limit.map(|limit| now.after(limit));
            let (waited, guard) = self.drive(big, own, now, purpose, end, holds);
            let mut big = guard.unwrap_or_else(|| self.lock());
            let result = then(&mut big, waited);
            self.let_go(big, own);
            result
        })
    }

    /// Commands that need no wait: what they make is written before this returns.
    pub(crate) fn command<R>(&self, what: impl FnOnce(&mut Big, Instant) -> R) -> R {
        let now = Machine::now();
        let mut big = self.lock();
        let result = what(&mut big, now);
        big.machine.flush(now);
        self.with_own(|own| self.let_go(big, own));
        result
    }

    /// Drives until the channel is closed.
    pub(crate) fn drive_in_background(&self) {
        self.with_own(|own| {
            let big = self.lock();
            let now = Machine::now();
            let (_, guard) = self.drive(big, own, now, Purpose::Background, None, |big| big.closed);
            drop(guard);
        });
    }

    /// Ends the channel.
    pub(crate) fn close(&self) {
        self.command(|big, now| {
            big.machine.close(now);
            big.closed = true;
        });
        self.wake();
    }

    /// Makes the leader look at its own condition: it is not among the sleepers, whom news reach, and what a command
    /// ended may be the very call that it waits for on the wire.
    pub(crate) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// The loop of every wait: lead if nobody does, follow otherwise.
    fn drive<'s>(
        &'s self,
        mut big: MutexGuard<'s, Big>,
        own: &mut Own,
        mut now: Instant,
        purpose: Purpose,
        end: Option<Instant>,
        mut holds: impl FnMut(&mut Big) -> bool,
    ) -> (Waited, Option<MutexGuard<'s, Big>>) {
        loop {
            // What commands made goes out before anyone waits for an answer.
            big.machine.flush(now);
            big.deliver(&mut own.ring);
            if holds(&mut big) {
                return (Waited::Holds, Some(self.pass_on(big, own)));
            }
            if end.is_some_and(|end| end <= now) {
                return (Waited::TimedOut, Some(self.pass_on(big, own)));
            }
            if let Some(lead) = big.lead.take() {
                let held = Held { shared: self, lead: Some(lead) };
                let (waited, guard) = self.lead(held, big, own, now, purpose, end, &mut holds);
                return (waited, Some(guard));
            }
            match self.follow(big, own, purpose, end, now) {
                Ok((guard, later)) => (big, now) = (guard, later),
                Err(waited) => return (waited, None),
            }
        }
    }

    /// Leads until the condition holds. (`held` stands first, so that a panic drops `big` before it.)
    #[allow(clippy::too_many_arguments)] // all of a wait's state, which `drive` holds together
    fn lead<'s>(
        &'s self,
        mut held: Held<'s>,
        mut big: MutexGuard<'s, Big>,
        own: &mut Own,
        mut now: Instant,
        purpose: Purpose,
        end: Option<Instant>,
        holds: &mut impl FnMut(&mut Big) -> bool,
    ) -> (Waited, MutexGuard<'s, Big>) {
        let interrupt = self.interrupt_of(purpose);
        let waited = loop {
            let Some(lead) = &mut held.lead else { break Waited::Interrupted };
            let mut due = big.machine.poll_timeout();
            due = [due, end].into_iter().flatten().min();
            let mut limit = until(now, due);
            if interrupt.is_some() {
                limit = Some(limit.map_or(SLICE, |limit| limit.min(SLICE)));
            }
            big.waits_until = due.unwrap_or(Instant::NEVER);
            drop(big);
            ring(&mut own.ring);
            let polled = lead.wait(limit);
            big = self.lock();
            now = Machine::now();
            match polled {
                Ok(()) => big.machine.ready(&lead.events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A poll that fails will fail again: calls end at their deadlines, nothing else is left to do.
                Err(_) => std::thread::yield_now(),
            }
            big.machine.turn(now);
            big.driven = now;
            big.deliver(&mut own.ring);
            if holds(&mut big) {
                break Waited::Holds;
            }
            if let Some(interrupt) = interrupt {
                // Asked once the events are taken in, which come only once, and whoever they woke is rung.
                drop(big);
                ring(&mut own.ring);
                let interrupted = own.is_interrupted(interrupt);
                big = self.lock();
                if interrupted {
                    break Waited::Interrupted;
                }
            }
            if end.is_some_and(|end| end <= now) {
                break Waited::TimedOut;
            }
            big.machine.flush(now);
            big.deliver(&mut own.ring);
            if holds(&mut big) {
                break Waited::Holds;
            }
        };
        big.machine.flush(now);
        big.deliver(&mut own.ring);
        big.lead = held.lead.take();
        (waited, self.pass_on(big, own))
    }

    /// Sleeps until somebody has news for this thread, or its deadline comes.
    fn follow<'s>(
        &'s self,
        mut big: MutexGuard<'s, Big>,
        own: &mut Own,
        purpose: Purpose,
        end: Option<Instant>,
        now: Instant,
    ) -> Result<(MutexGuard<'s, Big>, Instant), Waited> {
        let mut deadline = end;
        if let Purpose::Unary(key) | Purpose::Stream(key) = purpose {
            let record = big.machine.work.calls.get(key);
            deadline = [deadline, record.and_then(|record| record.deadline)].into_iter().flatten().min();
        }
        let first = big.machine.poll_timeout();
        let wake = first
            .is_some_and(|first| first < big.waits_until && deadline.is_none_or(|deadline| first < deadline));
        if wake {
            big.waits_until = first.unwrap_or(Instant::NEVER);
        }
        {
            let mut inner = own.slot.lock();
            inner.state = SlotState::Wait;
        }
        let sleeper = big.enlist(&own.slot, purpose);
        drop(big);
        if wake {
            // It fails only when the system is out of everything; the leader's own time limit is left then.
            let _ = self.waker.wake();
        }
        ring(&mut own.ring);

        let interrupt = self.interrupt_of(purpose);
        let mut limit = until(now, deadline);
        let interrupted = loop {
            if interrupt.is_some() {
                limit = Some(limit.map_or(SLICE, |limit| limit.min(SLICE)));
            }
            match own.slot.sleep(limit) {
                SlotState::Done => return Err(Waited::InSlot),
                SlotState::Lead | SlotState::Again => break false,
                SlotState::Wait => {
                    if interrupt.is_some_and(|interrupt| own.is_interrupted(interrupt)) {
                        break true;
                    }
                    let now = Machine::now();
                    if deadline.is_some_and(|deadline| deadline <= now) {
                        break false;
                    }
                    limit = until(now, deadline);
                }
            }
        };
        let mut big = self.lock();
        // It may have been taken off the list, or even be done, since it looked.
        let state = own.slot.lock().state;
        if state == SlotState::Done {
            return Err(Waited::InSlot);
        }
        big.discharge(sleeper, &own.slot, purpose);
        if interrupted {
            drop(self.pass_on(big, own));
            return Err(Waited::Interrupted);
        }
        // Its own deadline is its own business, and what else is due with it.
        let now = Machine::now();
        big.machine.turn(now);
        Ok((big, now))
    }

    /// The hook to ask; the background thread waits for nobody in particular.
    fn interrupt_of(&self, purpose: Purpose) -> Option<&Interrupt> {
        self.interrupt.as_ref().filter(|_| !matches!(purpose, Purpose::Background))
    }

    /// Nominates a leader when there is none and somebody sleeps.
    fn pass_on<'s>(&'s self, mut big: MutexGuard<'s, Big>, own: &mut Own) -> MutexGuard<'s, Big> {
        if big.lead.is_some() {
            big.nominate(&mut own.ring);
        }
        if own.ring.is_empty() {
            return big;
        }
        drop(big);
        ring(&mut own.ring);
        self.lock()
    }

    /// Gives the lock back after commands.
    fn let_go(&self, mut big: MutexGuard<'_, Big>, own: &mut Own) {
        big.deliver(&mut own.ring);
        let wake = match (&big.lead, big.machine.poll_timeout()) {
            (None, Some(first)) if first < big.waits_until => {
                big.waits_until = first;
                true
            }
            _ => false,
        };
        if big.lead.is_some() {
            big.nominate(&mut own.ring);
        }
        drop(big);
        if wake {
            let _ = self.waker.wake();
        }
        ring(&mut own.ring);
    }

    fn with_own<R>(&self, what: impl FnOnce(&mut Own) -> R) -> R {
        // Taken out meanwhile: an interrupt hook that makes calls gets one of its own. A thread that is ending may
        // have lost its thread-locals.
        let mut own = OWN.try_with(Cell::take).ok().flatten().unwrap_or_default();
        let result = what(&mut own);
        let panic = own.panic.take();
        let _ = OWN.try_with(|place| place.set(Some(own)));
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        result
    }
}

impl Big {
    /// Looks at the sockets without waiting when nobody has for a while. Whether that was a long while.
    fn catch_up(&mut self, now: Instant) -> bool {
        let pause = now.since(self.driven);
        if pause < STALE {
            return false;
        }
        let Some(lead) = &mut self.lead else { return false };
        self.driven = now;
        if lead.wait(Some(Duration::ZERO)).is_ok() {
            self.machine.ready(&lead.events);
        }
        self.machine.turn(now);
        // What the turn made (a connection attempt, say) may be answered by the kernel at once.
        self.machine.flush(now);
        pause >= ASLEEP
    }

    fn is_ended(&mut self, key: CallKey) -> bool {
        self.machine.work.calls.at(key.index).stage == Stage::Ended
    }

    /// Gives everyone who sleeps what there is for them.
    fn deliver(&mut self, ring: &mut Vec<Arc<Slot>>) {
        let mut news = std::mem::take(&mut self.machine.work.news);
        for index in news.drain(..) {
            let record = self.machine.work.calls.at(index);
            record.noted = false;
            let key = CallKey { index, generation: record.generation };
            let Some(first) = self.by_call.get_mut(index as usize) else { continue };
            let mut next = std::mem::replace(first, NOBODY);
            while let Some(entry) = self.sleepers.get(next) {
                let (sleeper, slot) = (next, entry.slot.clone());
                next = entry.beside;
                let mut inner = slot.lock();
                if entry.takes_outcome {
                    let record = self.machine.work.calls.at(index);
                    std::mem::swap(&mut inner.outcome, &mut record.outcome);
                    inner.pick_order = record.pick_order;
                    inner.state = SlotState::Done;
                    self.machine.finish(key);
                } else {
                    inner.state = SlotState::Again;
                }
                let asleep = inner.asleep;
                drop(inner);
                self.sleepers.remove(sleeper);
                if asleep {
                    ring.push(slot);
                }
            }
        }
        self.machine.work.news = news;
        let version = self.machine.version();
        if version != self.version || self.closed {
            self.version = version;
            self.wake_watchers(ring);
        }
    }

    fn wake_watchers(&mut self, ring: &mut Vec<Arc<Slot>>) {
        for sleeper in self.watchers.drain(..) {
            let Some(entry) = self.sleepers.get(sleeper) else { continue };
            let slot = entry.slot.clone();
            self.sleepers.remove(sleeper);
            if slot.set(SlotState::Again) {
                ring.push(slot);
            }
        }
    }

    fn enlist(&mut self, slot: &Arc<Slot>, purpose: Purpose) -> u32 {
        let takes_outcome = matches!(purpose, Purpose::Unary(_));
        let sleeper = match purpose {
            Purpose::Unary(key) | Purpose::Stream(key) => {
                let index = key.index as usize;
                if index >= self.by_call.len() {
                    self.by_call.resize(index + 1, NOBODY);
                }
                let sleeper = self.sleepers.push(slot.clone(), takes_outcome, self.by_call[index]);
                self.by_call[index] = sleeper;
                sleeper
            }
            _ => self.sleepers.push(slot.clone(), takes_outcome, NOBODY),
        };
        match purpose {
            Purpose::Unary(_) | Purpose::Stream(_) => {}
            Purpose::State => self.watchers.push(sleeper),
            Purpose::Background => self.background = Some(sleeper),
        }
        sleeper
    }

    /// Takes a thread off the list that woke by itself or was asked to look again.
    fn discharge(&mut self, sleeper: u32, slot: &Arc<Slot>, purpose: Purpose) {
        // The place may belong to another by now.
        if !self.sleepers.get(sleeper).is_some_and(|entry| Arc::ptr_eq(&entry.slot, slot)) {
            return;
        }
        self.sleepers.remove(sleeper);
        match purpose {
            Purpose::Unary(key) | Purpose::Stream(key) => {
                let first = self.by_call[key.index as usize];
                self.by_call[key.index as usize] = self.sleepers.without(first, sleeper);
            }
            Purpose::State => self.watchers.retain(|watcher| *watcher != sleeper),
            Purpose::Background => self.background = None,
        }
    }

    /// Tells the newest sleeper that the lead is free. It stays on the list until it has looked: another thread
    /// may be faster.
    fn nominate(&mut self, ring: &mut Vec<Arc<Slot>>) {
        let Some(sleeper) = self.background.or_else(|| self.sleepers.newest()) else { return };
        let Some(entry) = self.sleepers.get(sleeper) else { return };
        let slot = entry.slot.clone();
        if slot.set(SlotState::Lead) {
            ring.push(slot);
        }
    }
}
