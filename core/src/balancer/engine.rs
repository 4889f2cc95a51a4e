//! The machine behind [`Channel`](super::Channel): subchannels, their timers and pending actions. One copy of it works on
//! all storages.

use super::backoff::{self, Random};
use super::channel::{Config, EndpointState};
use super::connectivity::Connectivity;
use super::endpoint::Address;
use super::index::{Index, stored};
use super::picker::{Shape, Table, TooSmall};
use super::policy::Policy;
use super::policy::pick_first::{Addresses, PickFirst};
use super::policy::round_robin::Counts;
use super::storage::{EndpointSlot, Flags, NONE, Parts, Phase, SubchannelSlot};
use super::subchannel::{Action, SubchannelEvent, SubchannelId};
use super::timers::Timers;
use crate::bytes::Exact;
use crate::time::{Duration, Instant};

/// What is small and always there.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) mode: Mode,
    pub(super) policy: Policy,
    /// There was a good resolution.
    pub(super) resolved: bool,
    /// There was none yet, but one that failed.
    pub(super) failed: bool,
    /// `Resolve` is pending.
    pub(super) resolve: bool,
    /// After a failed resolution: when to ask again.
    pub(super) resolve_at: Option<Instant>,
    pub(super) resolve_failures: u8,
    /// Slots that were ever in use.
    pub(super) used: u16,
    pub(super) free: u16,
    pub(super) timers: u16,
    /// The earliest of them, after each verb.
    pub(super) next_timer: Option<Instant>,
    /// Slots with pending actions, first come first served.
    pub(super) queue_head: u16,
    pub(super) queue_tail: u16,
    pub(super) endpoints: u16,
    pub(super) addresses: u16,
    pub(super) text: u32,
    /// Endpoints that can get calls.
    pub(super) counts: Counts,
    /// Of all endpoints.
    pub(super) ready: u16,
    pub(super) version: u32,
    /// Picks may come out differently.
    pub(super) changed: bool,
    /// The table that lies in the storage's words.
    pub(super) table: Option<Shape>,
    /// The latest sign of life, for the idle timeout.
    pub(super) last_call: Instant,
    pub(super) busy: bool,
}

/// Whether calls are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Idle,
    Active,
    Shutdown,
}

impl State {
    pub(super) fn new(config: &Config) -> State {
        let least = Duration::from_millis(1); // or attempts without end in one handle_timeout
        let initial_backoff = config.initial_backoff.max(least);
        State {
            config: Config {
                initial_backoff,
                max_backoff: config.max_backoff.max(initial_backoff),
                min_connect_timeout: config.min_connect_timeout.max(least),
                happy_eyeballs_delay: config
                    .happy_eyeballs_delay
                    .clamp(Duration::from_millis(100), Duration::from_secs(2)),
                ..*config
            },
            random: Random(config.seed),
            mode: Mode::Idle,
            policy: Policy::PickFirst,
            resolved: false,
            failed: false,
            resolve: false,
            resolve_at: None,
            resolve_failures: 0,
            used: 0,
            free: NONE,
            timers: 0,
            next_timer: None,
            queue_head: NONE,
            queue_tail: NONE,
            endpoints: 0,
            addresses: 0,
            text: 0,
            counts: Counts::default(),
            ready: 0,
            version: 0,
            changed: false,
            table: None,
            last_call: Instant::from_nanos(0),
            busy: false,
        }
    }

    /// The channel's state.
    pub(super) fn connectivity(&self) -> Connectivity {
        match self.mode {
            Mode::Shutdown => Connectivity::Shutdown,
            Mode::Idle => Connectivity::Idle,
            Mode::Active if self.resolved => self.counts.aggregate(),
            Mode::Active if self.failed => Connectivity::TransientFailure,
            Mode::Active => Connectivity::Connecting,
        }
    }

    /// Asks for another resolution, unless one is to be asked for later anyway.
    pub(super) fn ask(&mut self) {
        self.resolve |= self.resolve_at.is_none();
    }

    pub(super) fn idle_at(&self) -> Option<Instant> {
        if self.mode != Mode::Active || self.busy {
            return None;
        }
        Some(self.last_call.after(self.config.idle_timeout?))
    }
}

/// State and storage together.
pub(super) struct Engine<'a> {
    pub(super) state: &'a mut State,
    pub(super) slots: &'a mut [SubchannelSlot],
    pub(super) endpoints: &'a mut [EndpointSlot],
    /// The slots of all addresses, endpoint after endpoint.
    pub(super) order: &'a mut [u16],
    pub(super) heap: &'a mut [u16],
    pub(super) buckets: &'a mut [u16],
    pub(super) words: &'a mut [u32],
    pub(super) text: &'a mut [u8],
}

impl<'a> Engine<'a> {
    pub(super) fn new(state: &'a mut State, parts: Parts<'a>) -> Engine<'a> {
        let n = (parts.subchannels.len())
            .min(parts.endpoints.len())
            .min(parts.links.len() / 4)
            .min(parts.words.len() / 4)
            .min(usize::from(NONE));
        let (order, links) = parts.links.split_at_mut_checked(n).unwrap_or_default();
        let (heap, links) = links.split_at_mut_checked(n).unwrap_or_default();
        Engine {
            state,
            slots: parts.subchannels.get_mut(..n).unwrap_or_default(),
            endpoints: parts.endpoints.get_mut(..n).unwrap_or_default(),
            order,
            heap,
            buckets: links.get_mut(..n.plus(n)).unwrap_or_default(),
            words: parts.words,
            text: parts.text,
        }
    }

    pub(super) fn slot(&mut self, slot: u16) -> Option<&mut SubchannelSlot> {
        self.slots.get_mut(usize::from(slot))
    }

    pub(super) fn timers(&mut self) -> Timers<'_> {
        Timers { slots: self.slots, heap: self.heap, len: &mut self.state.timers }
    }

    pub(super) fn index(&mut self) -> Index<'_> {
        Index { slots: self.slots, buckets: self.buckets, text: self.text, seed: self.state.config.seed }
    }

    /// The subchannel that `id` still means.
    fn live(&mut self, id: SubchannelId) -> Option<&mut SubchannelSlot> {
        if id.index >= self.state.used {
            return None;
        }
        self.slot(id.index).filter(|slot| slot.phase != Phase::Free && slot.generation == id.generation)
    }

    pub(super) fn into_address(mut self, id: SubchannelId) -> Option<Address<'a>> {
        let slot = *self.live(id)?;
        Some(slot.key.address(stored(self.text, &slot)))
    }

    pub(super) fn into_endpoint(self, i: usize) -> Option<EndpointState<'a>> {
        let (place, found) = if self.state.policy.one_leaf() {
            (i, None)
        } else {
            let endpoint = *self.endpoints.get(i)?;
            let i = endpoint.leaf.selected().unwrap_or(0);
            (usize::from(endpoint.first).plus(usize::from(i)), Some(endpoint))
        };
        let index = *self.order.get(place)?;
        let slot = *self.slots.get(usize::from(index))?;
        Some(EndpointState {
            address: slot.key.address(stored(self.text, &slot)),
            state: found.map_or(slot.phase.connectivity(), |endpoint| endpoint.leaf.state()),
            weight: found.map_or(1, |endpoint| endpoint.weight),
            id: SubchannelId { index, generation: slot.generation },
        })
    }

    /// Copies all but what can be made again; `false`: no room.
    pub(super) fn copy_to(&self, parts: Parts<'_>) -> bool {
        let mut unused = State::new(&self.state.config);
        let to = Engine::new(&mut unused, parts);
        let room = to.slots.len() >= self.slots.len() && to.text.len() >= self.text.len();
        if room {
            copy_all(to.slots, self.slots);
            copy_all(to.endpoints, self.endpoints);
            copy_all(to.order, self.order);
            copy_all(to.heap, self.heap);
            copy_all(to.text, self.text);
        }
        room
    }

    // Events.

    pub(super) fn subchannel(&mut self, now: Instant, id: SubchannelId, event: SubchannelEvent) {
        // What ended by itself need not be closed any more, though the slot may be another's by now.
        if event != SubchannelEvent::Ready
            && let Some(slot) = self.slot(id.index)
            && slot.closing == id.generation
        {
            slot.flags.clear(Flags::CLOSE);
        }
        let Some(slot) = self.live(id) else { return };
        let (phase, endpoint, place) = (slot.phase, slot.endpoint, slot.place);
        match (phase, event) {
            (Phase::Connecting, SubchannelEvent::Ready) => {
                slot.phase = Phase::Ready;
                slot.failures = 0;
                slot.flags.clear(Flags::CONNECT);
                slot.flags.clear(Flags::DELAY);
                self.timers().disarm(id.index);
                self.drive(now, endpoint, |leaf, addresses| leaf.ready(place, addresses));
            }
            (Phase::Connecting, _) => self.fail(now, id.index),
            (Phase::Ready, SubchannelEvent::Failed | SubchannelEvent::Lost) => {
                slot.phase = Phase::Idle;
                self.drive(now, endpoint, |leaf, addresses| leaf.lost(place, addresses));
            }
            _ => {}
        }
    }

    pub(super) fn connect(&mut self, now: Instant) {
        match self.state.mode {
            Mode::Shutdown => return,
            Mode::Idle => {
                self.state.mode = Mode::Active;
                self.state.failed = false;
                self.state.ask();
            }
            Mode::Active => {}
        }
        self.state.last_call = self.state.last_call.max(now);
        for endpoint in 0..self.state.endpoints {
            self.drive(now, endpoint, |leaf, addresses| {
                if leaf.state() == Connectivity::Idle {
                    leaf.begin(addresses);
                }
            });
        }
    }

    /// Nothing is connected any more; the list of endpoints stays.
    pub(super) fn rest(&mut self, now: Instant, mode: Mode) {
        self.state.mode = mode; // first, so that nothing reconnects
        self.state.resolve = false;
        self.state.resolve_at = None;
        self.state.resolve_failures = 0;
        for endpoint in 0..self.state.endpoints {
            self.drive(now, endpoint, |leaf, addresses| {
                for i in 0..addresses.len() {
                    addresses.stop(i);
                }
                *leaf = PickFirst::IDLE;
            });
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.state.idle_at().is_some_and(|at| at <= now) {
            self.rest(now, Mode::Idle);
        }
        if self.state.resolve_at.is_some_and(|at| at <= now) {
            self.state.resolve_at = None;
            self.state.ask();
        }
        // Ends: a timer that ran out is stopped or set to a later time. There is none after NEVER, by a clock that went
        // mad, so what is due then is not.
        while let Some((slot, deadline)) = self.timers().first()
            && deadline <= now
            && deadline < Instant::NEVER
        {
            self.timer(now, slot);
        }
    }

    fn timer(&mut self, now: Instant, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let (endpoint, place) = (slot.endpoint, slot.place);
        match slot.phase {
            Phase::Connecting if slot.flags.clear(Flags::DELAY) => {
                self.arm_limit(index);
                self.drive(now, endpoint, |leaf, addresses| leaf.delay_over(place, addresses));
            }
            Phase::Connecting => {
                self.close(index);
                self.fail(now, index);
            }
            Phase::Backoff => {
                slot.phase = Phase::Idle;
                self.timers().disarm(index);
                self.drive(now, endpoint, |leaf, addresses| leaf.backoff_over(place, addresses));
            }
            Phase::Free | Phase::Idle | Phase::Ready => self.timers().disarm(index),
        }
    }

    // Subchannels.

    /// How long an attempt may take: as long as the backoff, but at least the minimum (connection-backoff.md).
    fn limit(&self, index: u16) -> Duration {
        let failures = self.slots.get(usize::from(index)).map_or(0, |slot| slot.failures);
        let config = &self.state.config;
        backoff::base(config.initial_backoff, config.max_backoff, failures).max(config.min_connect_timeout)
    }

    /// The attempt's own limit, after the delay.
    pub(super) fn arm_limit(&mut self, index: u16) {
        let limit = self.limit(index);
        if let Some(slot) = self.slot(index) {
            let until = slot.since.after(limit);
            self.timers().arm(index, until);
        }
    }

    fn attempt(&mut self, now: Instant, index: u16) {
        let limit = now.after(self.limit(index));
        let Some(slot) = self.slot(index) else { return };
        slot.phase = Phase::Connecting;
        slot.since = now;
        slot.generation = slot.generation.wrapping_add(1);
        slot.flags.set(Flags::CONNECT);
        self.timers().arm(index, limit);
        self.enqueue(index);
    }

    /// The attempt failed: backoff, counted from its start.
    fn fail(&mut self, now: Instant, index: u16) {
        let State { config, random, .. } = &mut *self.state;
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        let wait = backoff::jittered(config.initial_backoff, config.max_backoff, slot.failures, random);
        slot.phase = Phase::Backoff;
        slot.failures = slot.failures.saturating_add(1);
        slot.flags.clear(Flags::CONNECT);
        slot.flags.clear(Flags::DELAY);
        let (until, endpoint, place) = (slot.since.after(wait), slot.endpoint, slot.place);
        self.timers().arm(index, until);
        self.drive(now, endpoint, |leaf, addresses| leaf.failed(place, addresses));
    }

    /// Has the host close what it knows of: an attempt or a connection.
    fn close(&mut self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if !slot.flags.clear(Flags::CONNECT) {
            slot.closing = slot.generation;
            slot.flags.set(Flags::CLOSE);
            self.enqueue(index);
        }
    }

    /// Back to IDLE, without backoff.
    pub(super) fn stop(&mut self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let open = matches!(slot.phase, Phase::Connecting | Phase::Ready);
        slot.phase = Phase::Idle;
        slot.failures = 0;
        slot.flags.clear(Flags::DELAY);
        if open {
            self.close(index);
        }
        self.timers().disarm(index);
    }

    // Pending actions.

    fn enqueue(&mut self, index: u16) {
        let tail = self.state.queue_tail;
        let Some(slot) = self.slot(index) else { return };
        if slot.flags.has(Flags::QUEUED) {
            return;
        }
        slot.flags.set(Flags::QUEUED);
        slot.queued = NONE;
        match self.slot(tail) {
            Some(last) => last.queued = index,
            None => self.state.queue_head = index,
        }
        self.state.queue_tail = index;
    }

    pub(super) fn action(&mut self) -> Option<Action> {
        if core::mem::take(&mut self.state.resolve) {
            return Some(Action::Resolve);
        }
        loop {
            let index = self.state.queue_head;
            let slot = self.slot(index)?;
            // The close of an earlier generation comes before the attempt of a later one.
            if slot.flags.clear(Flags::CLOSE) {
                return Some(Action::Close(SubchannelId { index, generation: slot.closing }));
            }
            let connect = slot.flags.clear(Flags::CONNECT);
            let id = SubchannelId { index, generation: slot.generation };
            slot.flags.clear(Flags::QUEUED);
            let next = slot.queued;
            self.state.queue_head = next;
            if next == NONE {
                self.state.queue_tail = NONE;
            }
            if connect {
                return Some(Action::Connect(id));
            }
        }
    }

    // Endpoints.

    /// One step of an endpoint's machine; keeps count of what it reports.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        endpoint: u16,
        step: impl FnOnce(&mut PickFirst, &mut View<'_, 'a>),
    ) {
        let Some(entry) = self.endpoints.get(usize::from(endpoint)) else { return };
        let EndpointSlot { weight, first, count, leaf: before } = *entry;
        let mut leaf = before;
        let active = self.state.mode == Mode::Active;
        let reconnects = active && self.state.policy.reconnects();
        let mut view = View { engine: self, now, first, count };
        step(&mut leaf, &mut view);
        if reconnects && leaf.state() == Connectivity::Idle {
            leaf.begin(&mut view);
        }
        self.report(weight, before.state(), leaf.state());
        if before.selected() != leaf.selected() {
            self.state.changed = true;
        }
        if let Some(entry) = self.endpoints.get_mut(usize::from(endpoint)) {
            entry.leaf = leaf;
        }
    }

    fn report(&mut self, weight: u32, before: Connectivity, after: Connectivity) {
        if before == after {
            return;
        }
        let state = &mut *self.state;
        if before == Connectivity::Ready {
            state.ready = state.ready.minus(1);
        }
        if after == Connectivity::Ready {
            state.ready = state.ready.plus(1);
        }
        // An endpoint without weight stays connected, to be there when it gets one, but no call can count on it.
        if weight > 0 {
            state.counts.remove(before);
            state.counts.add(after);
        }
    }

    // Picks.

    pub(super) fn build(&self, words: &mut [u32]) -> Result<Shape, TooSmall> {
        build(self.state, self.endpoints, self.order, self.slots, words)
    }

    /// The table in the storage's own words, built when needed.
    pub(super) fn table(&mut self) -> Table<'_> {
        let shape = match self.state.table {
            Some(shape) => shape,
            None => {
                let shape = build(self.state, self.endpoints, self.order, self.slots, self.words);
                debug_assert!(shape.is_ok(), "four words an address are enough");
                let shape = shape.unwrap_or_default();
                self.state.table = Some(shape);
                shape
            }
        };
        Table::new(shape, self.words)
    }
}

fn copy_all<T: Copy>(to: &mut [T], from: &[T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

fn build(
    state: &State,
    endpoints: &[EndpointSlot],
    order: &[u16],
    slots: &[SubchannelSlot],
    words: &mut [u32],
) -> Result<Shape, TooSmall> {
    let endpoints = endpoints.get(..usize::from(state.endpoints)).unwrap_or_default();
    let ready = endpoints.iter().filter(|endpoint| endpoint.weight > 0).filter_map(|endpoint| {
        let place = usize::from(endpoint.first).plus(usize::from(endpoint.leaf.selected()?));
        let index = *order.get(place)?;
        let generation = slots.get(usize::from(index))?.generation;
        Some((SubchannelId { index, generation }, endpoint.weight))
    });
    Table::build(ready, words)
}

/// The addresses of one endpoint, for its machine.
pub(super) struct View<'e, 'a> {
    engine: &'e mut Engine<'a>,
    now: Instant,
    first: u16,
    count: u16,
}

impl View<'_, '_> {
    fn slot(&self, i: u16) -> u16 {
        let place = usize::from(self.first).plus(usize::from(i));
        self.engine.order.get(place).copied().unwrap_or(NONE)
    }
}

impl Addresses for View<'_, '_> {
    fn len(&self) -> u16 {
        self.count
    }

    fn state(&self, i: u16) -> Connectivity {
        let slot = self.engine.slots.get(usize::from(self.slot(i)));
        slot.map_or(Connectivity::TransientFailure, |slot| slot.phase.connectivity())
    }

    fn connect(&mut self, i: u16) {
        self.engine.attempt(self.now, self.slot(i));
    }

    fn delay(&mut self, i: u16) {
        let index = self.slot(i);
        let until = self.now.after(self.engine.state.config.happy_eyeballs_delay);
        if let Some(slot) = self.engine.slot(index) {
            slot.flags.set(Flags::DELAY);
            self.engine.timers().arm(index, until);
        }
    }

    fn stop(&mut self, i: u16) {
        self.engine.stop(self.slot(i));
    }

    fn resolve(&mut self) {
        self.engine.state.ask();
    }
}

impl Phase {
    pub(super) fn connectivity(self) -> Connectivity {
        match self {
            Phase::Free | Phase::Idle => Connectivity::Idle,
            Phase::Connecting => Connectivity::Connecting,
            Phase::Ready => Connectivity::Ready,
            Phase::Backoff => Connectivity::TransientFailure,
        }
    }
}
