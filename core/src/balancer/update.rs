//! A resolver's update: which addresses stay, go and come. O(n).

use super::channel::ResolutionError;
use super::connectivity::Connectivity;
use super::endpoint::{Address, Endpoint, Key};
use super::engine::{Engine, Mode};
use super::index::{compact, store, text_needed};
use super::policy::Policy;
use super::policy::pick_first::{self, PickFirst};
use super::policy::round_robin::Counts;
use super::policy::weighted_round_robin;
use super::service_config::ServiceConfig;
use super::storage::{EndpointSlot, Flags, NONE, Phase, Sizes, SubchannelSlot};
use crate::bytes::Exact;
use crate::time::Instant;

/// What pick_first was before the update.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Another policy, or no list.
    Nothing,
    Was(Connectivity),
}

impl Engine<'_> {
    pub(super) fn resolution(
        &mut self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        config: &ServiceConfig<'_>,
    ) -> Result<(), ResolutionError> {
        if self.state.mode == Mode::Shutdown {
            return Ok(());
        }
        self.check_room(endpoints)?;
        self.weigh(endpoints, config)?;

        // Nothing fails from here on. The weights lie in the words, by the number of the endpoint.
        let before = self.remember();
        self.state.policy = config.policy();
        self.drop_unlisted(endpoints);
        self.place(endpoints);
        if self.state.policy.one_leaf() {
            self.join(config.shuffle_address_list());
        } else {
            self.interleave_each();
        }
        self.state.resolved = true;
        self.state.failed = false;
        if self.state.endpoints == 0 {
            self.ask_later(now); // what the resolver said is of no use: as if it had failed
        } else {
            self.state.resolve_at = None;
            self.state.resolve_failures = 0;
        }
        self.start(now, before);
        self.state.changed = true;
        Ok(())
    }

    pub(super) fn resolution_failed(&mut self, now: Instant) {
        if self.state.mode == Mode::Shutdown {
            return;
        }
        self.state.failed = true;
        self.ask_later(now);
    }

    fn ask_later(&mut self, now: Instant) {
        let state = &mut *self.state;
        let (initial, max) = (state.config.initial_backoff, state.config.max_backoff);
        let wait = super::backoff::jittered(initial, max, state.resolve_failures, &mut state.random);
        state.resolve_failures = state.resolve_failures.saturating_add(1);
        if state.mode == Mode::Active {
            state.resolve = false;
            state.resolve_at = Some(now.after(wait));
        }
    }

    fn check_room(&self, endpoints: &[Endpoint<'_>]) -> Result<(), ResolutionError> {
        let mut needed = Sizes { addresses: 0, text: 0 };
        for address in endpoints.iter().flat_map(|endpoint| endpoint.addresses) {
            needed.addresses = needed.addresses.saturating_add(1);
            needed.text = needed.text.saturating_add(text_needed(address));
        }
        needed.addresses = needed.addresses.max(endpoints.len());
        let text = self.text.len().min(u32::MAX as usize);
        if needed.addresses > self.slots.len() || needed.text > text {
            return Err(ResolutionError::TooMany { needed });
        }
        Ok(())
    }

    /// Leaves each endpoint's weight in the words. Configured weights go before the resolver's, `ip:port` before `ip`.
    fn weigh(
        &mut self,
        endpoints: &[Endpoint<'_>],
        config: &ServiceConfig<'_>,
    ) -> Result<(), ResolutionError> {
        self.state.table = None; // its words are scratch now
        let n = self.slots.len();
        let Some((weights, scratch)) = self.words.split_at_mut_checked(n) else { return Ok(()) };
        for (weight, endpoint) in weights.iter_mut().zip(endpoints) {
            *weight = config.policy().weight(endpoint.weight);
        }
        if let Some(configured) = config.weights() {
            let seed = self.state.config.seed;
            let scratch = scratch.get_mut(..n.saturating_mul(3)).unwrap_or_default();
            for any_port in [true, false] {
                let Some(index) = weighted_round_robin::Index::new(endpoints, any_port, seed, scratch) else {
                    debug_assert!(endpoints.is_empty(), "there is room");
                    break;
                };
                configured.for_each(|entry| {
                    if entry.any_port == any_port {
                        index.find(entry.key, |endpoint| {
                            if let Some(weight) = weights.get_mut(endpoint) {
                                *weight = entry.weight;
                            }
                        });
                    }
                });
            }
        }
        let mut present =
            weights.iter().zip(endpoints).filter(|(_, endpoint)| !endpoint.addresses.is_empty());
        let first = present.next();
        if config.policy() == Policy::WeightedRoundRobin
            && first.is_some_and(|(weight, _)| *weight == 0)
            && present.all(|(weight, _)| *weight == 0)
        {
            return Err(ResolutionError::AllWeightsZero);
        }
        Ok(())
    }

    /// Endpoints in TRANSIENT_FAILURE stay there until READY (gRFC A62), by their addresses.
    fn remember(&mut self) -> Before {
        for endpoint in 0..self.state.endpoints {
            let Some(EndpointSlot { first, count, leaf, .. }) =
                self.endpoints.get(usize::from(endpoint)).copied()
            else {
                break;
            };
            if leaf.state() == Connectivity::TransientFailure {
                for place in first..first.plus(count) {
                    let slot = self.order.get(usize::from(place)).copied().unwrap_or(NONE);
                    if let Some(slot) = self.slot(slot) {
                        slot.flags.set(Flags::FAILED);
                    }
                }
            }
        }
        match self.endpoints.first() {
            Some(endpoint) if self.state.endpoints == 1 && self.state.policy.one_leaf() => {
                Before::Was(endpoint.leaf.state())
            }
            _ => Before::Nothing,
        }
    }

    fn drop_unlisted(&mut self, endpoints: &[Endpoint<'_>]) {
        for address in endpoints.iter().flat_map(|endpoint| endpoint.addresses) {
            if let Some(slot) = self.index().find(address)
                && let Some(slot) = self.slot(slot)
            {
                slot.flags.set(Flags::LISTED);
            }
        }
        for index in 0..self.state.used {
            let Some(slot) = self.slot(index) else { break };
            if slot.phase != Phase::Free && !slot.flags.clear(Flags::LISTED) {
                self.stop(index);
                self.index().remove(index);
                let free = core::mem::replace(&mut self.state.free, index);
                if let Some(slot) = self.slot(index) {
                    slot.phase = Phase::Free;
                    slot.generation = slot.generation.wrapping_add(1); // its id is out of use
                    slot.flags.clear(Flags::FAILED);
                    slot.chain = free;
                }
            }
        }
        compact(self.text, &mut self.state.text, self.slots);
    }

    /// Gives every address its slot and every endpoint its range, in the resolver's order.
    fn place(&mut self, endpoints: &[Endpoint<'_>]) {
        let (mut placed, mut kept) = (0u16, 0u16);
        for (number, endpoint) in endpoints.iter().enumerate() {
            let first = placed;
            for address in endpoint.addresses {
                let found = self.index().find(address);
                let Some(index) = found.or_else(|| self.take_slot(address)) else { break };
                let Some(slot) = self.slot(index) else { break };
                if slot.flags.has(Flags::PLACED) {
                    continue; // it is an earlier endpoint's
                }
                slot.flags.set(Flags::PLACED);
                if let Some(place) = self.order.get_mut(usize::from(placed)) {
                    *place = index;
                }
                placed = placed.plus(1);
            }
            let weight = self.words.get(number).copied().unwrap_or(1);
            if placed > first
                && let Some(entry) = self.endpoints.get_mut(usize::from(kept))
            {
                *entry = EndpointSlot { weight, first, count: placed.minus(first), leaf: PickFirst::IDLE };
                kept = kept.plus(1);
            }
        }
        self.state.endpoints = kept;
        self.state.addresses = placed;
    }

    fn take_slot(&mut self, address: &Address<'_>) -> Option<u16> {
        let index = match self.state.free {
            NONE => {
                let index = self.state.used;
                *self.slots.get_mut(usize::from(index))? = SubchannelSlot::EMPTY;
                self.state.used = index.plus(1);
                index
            }
            index => {
                self.state.free = self.slot(index)?.chain;
                index
            }
        };
        let text_at = store(self.text, &mut self.state.text, index, address);
        let slot = self.slot(index)?;
        // A `Close` of its predecessor may be pending still: generation, queue and flags stay.
        slot.key = Key::of(address);
        slot.text_at = text_at;
        slot.timer = NONE;
        slot.phase = Phase::Idle;
        slot.failures = 0;
        self.index().insert(index);
        Some(index)
    }

    /// pick_first: one endpoint with all addresses (gRFC A61, "Address List Handling": shuffle, flatten, interleave).
    fn join(&mut self, shuffle: bool) {
        let endpoints = usize::from(self.state.endpoints);
        let Some(last) = endpoints.checked_sub(1).and_then(|last| self.endpoints.get(last)) else { return };
        let count = last.first.plus(last.count);
        if shuffle {
            let (pairs, _) = self.words.as_chunks_mut::<2>();
            for (i, (pair, endpoint)) in
                pairs.iter_mut().zip(self.endpoints.iter()).take(endpoints).enumerate()
            {
                let key = pick_first::shuffle_key(self.state.random.next(), endpoint.weight);
                *pair = [(key >> 16) as u32, (key << 16) as u32 | i as u32 & 0xffff];
            }
            let pairs = pairs.get_mut(..endpoints).unwrap_or_default();
            pick_first::sort(pairs);
            // The keys have served: the endpoints' order stays in the low halves, and the flat list goes behind.
            let Some((pairs, flat)) = self.words.split_at_mut_checked(endpoints.saturating_mul(2)) else {
                return;
            };
            let mut out = flat.iter_mut();
            for endpoint in pairs.as_chunks::<2>().0.iter().map(|[_, low]| (low & 0xffff) as usize) {
                let Some(EndpointSlot { first, count, .. }) = self.endpoints.get(endpoint) else { continue };
                let range = usize::from(*first)..usize::from(first.plus(*count));
                for (slot, place) in self.order.get(range).unwrap_or_default().iter().zip(&mut out) {
                    *place = u32::from(*slot);
                }
            }
            for (place, slot) in self.order.iter_mut().zip(flat.iter()).take(usize::from(count)) {
                *place = *slot as u16;
            }
        }
        if let Some(entry) = self.endpoints.first_mut() {
            *entry = EndpointSlot { weight: 1, first: 0, count, leaf: PickFirst::IDLE };
        }
        self.state.endpoints = 1;
        self.interleave_each();
    }

    fn interleave_each(&mut self) {
        for endpoint in self.endpoints.iter().take(usize::from(self.state.endpoints)).filter(|e| e.count > 1)
        {
            let range = usize::from(endpoint.first)..usize::from(endpoint.first.plus(endpoint.count));
            let Some(order) = self.order.get_mut(range) else { continue };
            let slots = &*self.slots;
            pick_first::interleave(order, self.words, |slot| {
                slots.get(usize::from(slot)).map_or(super::endpoint::Family::Other, |slot| slot.key.family())
            });
        }
    }

    /// Each endpoint's state follows from its subchannels; the rest begin a new pass.
    fn start(&mut self, now: Instant, before: Before) {
        self.state.counts = Counts::default();
        self.state.ready = 0;
        let policy = self.state.policy;
        for endpoint in 0..self.state.endpoints {
            let Some(EndpointSlot { weight, first, count, .. }) =
                self.endpoints.get(usize::from(endpoint)).copied()
            else {
                break;
            };
            let (mut ready, mut failed) = (None, false);
            for i in 0..count {
                let index = self.order.get(usize::from(first.plus(i))).copied().unwrap_or(NONE);
                let Some(slot) = self.slot(index) else { continue };
                slot.endpoint = endpoint;
                slot.place = i;
                slot.flags.clear(Flags::PLACED);
                failed |= slot.flags.clear(Flags::FAILED);
                // A timer of the pass that is over.
                let delay = slot.flags.clear(Flags::DELAY);
                if ready.is_none() && slot.phase == Phase::Ready {
                    ready = Some(i);
                }
                if delay {
                    self.arm_limit(index);
                }
            }
            let (was_failed, begins) = match before {
                Before::Was(Connectivity::TransientFailure) if policy.one_leaf() => (true, true),
                // Its connection is not in the list any more, or it was IDLE before: connects with the next call.
                Before::Was(Connectivity::Ready | Connectivity::Idle) if policy.one_leaf() => (false, false),
                _ => (failed, true),
            };
            if before == Before::Was(Connectivity::Ready) && policy.one_leaf() && ready.is_none() {
                self.state.ask();
            }
            let state = if was_failed { Connectivity::TransientFailure } else { Connectivity::Idle };
            if let Some(entry) = self.endpoints.get_mut(usize::from(endpoint)) {
                entry.leaf = PickFirst::new(state);
            }
            if weight > 0 {
                self.state.counts.add(state);
            }
            let active = self.state.mode == Mode::Active;
            self.drive(now, endpoint, |leaf, addresses| match ready {
                Some(i) => leaf.ready(i, addresses),
                None if active && begins => leaf.begin(addresses),
                None => {}
            });
        }
        debug_assert!(policy != Policy::PickFirst || self.state.endpoints <= 1);
    }
}
