//! One timer heap for everything that waits: connections, queued calls, the balancer, the resolver.
//!
//! Each key has at most one moment, which can be moved; the cost is logarithmic in the keys that wait and no
//! wake scans them all. A binary heap, and beside it each key's place in the heap.

use grpclb_core::time::Instant;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A heap of moments by dense keys.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(Instant, u32)>,
    /// Index into `heap`, by key.
    places: Vec<u32>,
}

impl Timers {
    /// The earliest moment.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|(when, _)| *when)
    }

    /// Sets, moves or (with `None`) removes the moment of `key`.
    pub(crate) fn set(&mut self, key: u32, when: Option<Instant>) {
        let index = key as usize;
        if index >= self.places.len() {
            if when.is_none() {
                return;
            }
            self.places.resize(index + 1, NOWHERE);
        }
        let place = self.places[index];
        match when {
            Some(when) if place == NOWHERE => {
                self.heap.push((when, key));
                self.rise(self.heap.len() - 1);
            }
            Some(when) => {
                let place = place as usize;
                let before = std::mem::replace(&mut self.heap[place].0, when);
                match when.cmp(&before) {
                    std::cmp::Ordering::Less => self.rise(place),
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Greater => self.sink(place),
                }
            }
            None if place == NOWHERE => {}
            None => self.remove(place as usize),
        }
    }

    /// Removes a key whose moment has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(when, key) = self.heap.first()?;
        if when > now {
            return None;
        }
        self.remove(0);
        Some(key)
    }

    fn remove(&mut self, place: usize) {
        let (_, key) = self.heap.swap_remove(place);
        self.places[key as usize] = NOWHERE;
        if place < self.heap.len() {
            // What came from the end may belong either way.
            self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= entry.0 {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let left = 2 * place + 1;
            let Some(&first) = self.heap.get(left) else { break };
            let (child, least) = match self.heap.get(left + 1) {
                Some(&right) if right.0 < first.0 => (left + 1, right),
                _ => (left, first),
            };
            if entry.0 <= least.0 {
                break;
            }
            self.put(place, least);
            place = child;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: (Instant, u32)) {
        self.heap[place] = entry;
        self.places[entry.1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the plain model, over many random moves.
    #[test]
    fn agrees_with_a_sorted_list() {
        let (mut timers, mut model) = (Timers::default(), vec![None; 40]);
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        for step in 0..20_000 {
            let key = next(40) as u32;
            let when = (next(4) != 0).then(|| Instant::from_nanos(next(1_000)));
            timers.set(key, when);
            model[key as usize] = when;
            assert_eq!(timers.first(), model.iter().flatten().min().copied());
            if step % 64 == 0 {
                let now = Instant::from_nanos(next(1_000));
                while let Some(key) = timers.pop_due(now) {
                    let when = model[key as usize].take().expect("a key that was set");
                    assert!(when <= now);
                }
                assert!(model.iter().flatten().all(|when| *when > now));
            }
        }
    }
}
