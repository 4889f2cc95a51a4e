//! Connection backoff (grpc/doc/connection-backoff.md).

use crate::time::Duration;

/// The delay from the start of attempt number `failures` (0 is the first) to the start of the next, without jitter:
/// `initial`, then 1.6 times more each time, up to `max`.
pub(super) fn base(initial: Duration, max: Duration, failures: u8) -> Duration {
    let max = nanos(max);
    let mut delay = nanos(initial).min(max);
    for _ in 0..failures {
        if delay >= max {
            break;
        }
        delay = (delay.saturating_mul(8) / 5).min(max);
    }
    Duration::from_nanos(delay)
}

/// The same with the jitter of 0.2 both ways; the first delay has none.
pub(super) fn jittered(initial: Duration, max: Duration, failures: u8, random: &mut Random) -> Duration {
    let delay = base(initial, max, failures);
    if failures == 0 {
        return delay;
    }
    let fifth = nanos(delay) / 5;
    let spread = u128::from(fifth.saturating_mul(2)).wrapping_mul(u128::from(random.next() >> 32)) >> 32;
    Duration::from_nanos(nanos(delay).saturating_sub(fifth).saturating_add(spread as u64))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// SplitMix64: enough for jitter and shuffling, no secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(120);

    #[test]
    fn the_sequence_of_the_document() {
        let millis: std::vec::Vec<u128> = (0..14).map(|n| base(FIRST, MAX, n).as_millis()).collect();
        assert_eq!(
            millis,
            [
                1000, 1600, 2560, 4096, 6553, 10485, 16777, 26843, 42949, 68719, 109951, 120_000, 120_000,
                120_000
            ]
        );
        assert_eq!(base(FIRST, MAX, 255), MAX);
        assert_eq!(base(Duration::MAX, Duration::MAX, 255), Duration::from_nanos(u64::MAX));
        assert_eq!(base(Duration::ZERO, MAX, 255), Duration::ZERO);
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_uses_all_of_it() {
        let mut random = Random(1);
        let (mut low, mut high) = (Duration::MAX, Duration::ZERO);
        for _ in 0..10_000 {
            let delay = jittered(FIRST, MAX, 20, &mut random);
            low = low.min(delay);
            high = high.max(delay);
        }
        assert!(low >= Duration::from_secs(96) && low < Duration::from_secs(97), "{low:?}");
        assert!(high <= Duration::from_secs(144) && high > Duration::from_secs(143), "{high:?}");
        assert_eq!(jittered(FIRST, MAX, 0, &mut random), FIRST);
    }
}
