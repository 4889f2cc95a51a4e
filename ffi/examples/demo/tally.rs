//! What is counted of the calls: by peer, by outcome, and how long they took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Calls that one peer served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// How many, whatever their status.
    pub(crate) calls: u64,
    /// When the first and the newest of them ended.
    pub(crate) first: Instant,
    /// See `first`.
    pub(crate) last: Instant,
}

/// The tally of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By peer.
    pub(crate) served: BTreeMap<String, Served>,
    /// Calls that ended, well or not.
    pub(crate) calls: u64,
    /// Those of them that did not end well.
    pub(crate) failed: u64,
    /// When the newest of these ended.
    pub(crate) last_failure: Option<Instant>,
    /// What the first of them said.
    pub(crate) first_failure: Option<String>,
    /// How long the good ones took.
    pub(crate) times: Times,
}

impl Tally {
    /// Counts a call that ended at `now`.
    pub(crate) fn count(
        &mut self,
        now: Instant,
        took: Duration,
        peer: Option<&str>,
        failure: Option<String>,
    ) {
        self.calls += 1;
        match peer.map(|peer| (self.served.get_mut(peer), peer)) {
            Some((Some(served), _)) => {
                served.calls += 1;
                served.last = now;
            }
            Some((None, peer)) => {
                self.served.insert(peer.into(), Served { calls: 1, first: now, last: now });
            }
            None => {}
        }
        match failure {
            Some(failure) => {
                self.failed += 1;
                self.last_failure = Some(now);
                self.first_failure.get_or_insert(failure);
            }
            None => self.times.add(took),
        }
    }

    /// Adds what another client counted, or the same one at another time.
    pub(crate) fn add(&mut self, other: &Tally) {
        for (peer, served) in &other.served {
            let sum = self.served.entry(peer.clone()).or_insert(Served { calls: 0, ..*served });
            sum.calls += served.calls;
            sum.first = sum.first.min(served.first);
            sum.last = sum.last.max(served.last);
        }
        self.calls += other.calls;
        self.failed += other.failed;
        self.last_failure = self.last_failure.max(other.last_failure);
        self.first_failure = self.first_failure.take().or_else(|| other.first_failure.clone());
        self.times.add_all(&other.times);
    }

    /// Calls that `peer` served.
    pub(crate) fn of(&self, peer: &str) -> u64 {
        self.served.get(peer).map_or(0, |served| served.calls)
    }

    /// What was counted since `earlier`, a copy of this tally then.
    pub(crate) fn since(&self, earlier: &Tally) -> Tally {
        let mut later = self.clone();
        for (peer, served) in &mut later.served {
            served.calls -= earlier.of(peer);
        }
        later.calls -= earlier.calls;
        later.failed -= earlier.failed;
        later.times.take_away(&earlier.times);
        later
    }

    /// The share of the served calls that went to `peer`, 0 to 1.
    pub(crate) fn share(&self, peer: &str) -> f64 {
        let all: u64 = self.served.values().map(|served| served.calls).sum();
        if all == 0 { 0.0 } else { self.of(peer) as f64 / all as f64 }
    }
}

/// A histogram of durations: 16 steps an octave (within 6 %), from 1 us to over an hour, in 8 KiB for good.
#[derive(Clone)]
pub(crate) struct Times {
    counts: Vec<u64>,
    total: u64,
}

const STEPS: u64 = 16;
const OCTAVES: u64 = 32;

impl Default for Times {
    fn default() -> Times {
        Times { counts: vec![0; (STEPS * OCTAVES) as usize], total: 0 }
    }
}

impl std::fmt::Debug for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Times({} of them, p50 {:?}, p99 {:?})",
            self.total,
            self.quantile(0.5),
            self.quantile(0.99)
        )
    }
}

impl Times {
    fn add(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let octave = u64::from(us.ilog2());
        let step = u64::try_from((u128::from(us) * u128::from(STEPS)) >> octave).unwrap_or(0) - STEPS;
        let at = (octave * STEPS + step).min(STEPS * OCTAVES - 1);
        self.counts[at as usize] += 1;
        self.total += 1;
    }

    fn add_all(&mut self, other: &Times) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    fn take_away(&mut self, earlier: &Times) {
        for (count, was) in self.counts.iter_mut().zip(&earlier.counts) {
            *count -= was;
        }
        self.total -= earlier.total;
    }

    /// The time that a share `q` (0 to 1) of the calls did not exceed; `None` of no calls.
    pub(crate) fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((self.total as f64 * q).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (at, count) in (0..).zip(&self.counts) {
            seen += count;
            if seen >= rank {
                // The upper edge of the step.
                let us = ((1u64 << (at / STEPS)) as f64) * (1.0 + (at % STEPS + 1) as f64 / STEPS as f64);
                return Some(Duration::from_secs_f64(us / 1e6));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_step() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), None);
        for us in 1..=10_000 {
            times.add(Duration::from_micros(us));
        }
        for (q, us) in [(0.01, 100.0), (0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let got = times.quantile(q).unwrap().as_secs_f64() * 1e6;
            assert!((us..=us * 1.07).contains(&got), "{q}: {got} us");
        }
    }

    #[test]
    fn the_extremes_have_a_place() {
        let mut times = Times::default();
        times.add(Duration::ZERO);
        times.add(Duration::MAX);
        assert!(times.quantile(0.5).unwrap() <= Duration::from_micros(2));
        assert!(times.quantile(1.0).unwrap() >= Duration::from_secs(3_600));
    }

    #[test]
    fn shares_count_whom_calls_reached() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        for peer in ["a", "b", "a", "a"] {
            tally.count(now, Duration::from_millis(5), Some(peer), None);
        }
        tally.count(now, Duration::ZERO, None, Some("UNAVAILABLE: gone".into()));
        assert_eq!((tally.calls, tally.failed, tally.of("a"), tally.of("c")), (5, 1, 3, 0));
        assert_eq!((tally.share("a"), tally.share("b"), tally.share("c")), (0.75, 0.25, 0.0));
        assert_eq!(tally.first_failure.as_deref(), Some("UNAVAILABLE: gone"));
    }

    #[test]
    fn a_sum_keeps_all() {
        let (mut one, mut other, now) = (Tally::default(), Tally::default(), Instant::now());
        one.count(now, Duration::from_secs(1), Some("a"), None);
        other.count(now, Duration::from_millis(1), Some("a"), None);
        other.count(now, Duration::ZERO, Some("b"), Some("x".into()));
        one.add(&other);
        assert_eq!((one.calls, one.failed, one.of("a"), one.of("b")), (3, 1, 2, 1));
        assert_eq!((one.last_failure, one.first_failure.as_deref()), (Some(now), Some("x")));
        assert!(one.times.quantile(0.5).unwrap() < Duration::from_millis(2));
        assert!(one.times.quantile(1.0).unwrap() >= Duration::from_secs(1));
    }

    #[test]
    fn a_difference_forgets_what_was_before() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        tally.count(now, Duration::from_secs(1), Some("a"), None);
        let before = tally.clone();
        tally.count(now, Duration::from_millis(1), Some("b"), None);
        tally.count(now, Duration::ZERO, Some("b"), Some("x".into()));
        let since = tally.since(&before);
        assert_eq!((since.calls, since.failed, since.of("a"), since.share("b")), (2, 1, 0, 1.0));
        assert!(since.times.quantile(1.0).unwrap() < Duration::from_millis(2));
    }
}
