//! What a peer may do before it is told ENHANCE_YOUR_CALM (RFC 9113 §10.5).
//!
//! Memory is safe without any of this: it is lent and never grows. These limits bound the *work* that a peer can
//! make without doing any itself. Each is a bucket that fills with time, so that an honest burst passes and a
//! flood does not; budgets scale with the number of streams, since what is a flood on a device is an ordinary
//! second of a busy proxy. Small DATA frames are not limited: they are honest streaming as often as not, and cost
//! no more than the bytes that carry them.

use crate::time::{Duration, Instant};

/// How often something may happen: `burst` times at once, and `per_second` on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// On average; 0: never more than `burst` in all.
    pub per_second: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Rate = Rate { burst: u32::MAX, per_second: u32::MAX };
}

/// Each limit, named after what it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that the peer opens and resets, or makes us reset or refuse ("rapid reset" CVE-2023-44487,
    /// "MadeYouReset" CVE-2025-8671). `None`, the default: bursts of 1 000 or 8 × the concurrent streams,
    /// whichever is more, and as many a second. Not charged to servers by a client.
    pub resets: Option<Rate>,
    /// Frames that do nothing: empty DATA, PRIORITY, unknown types, and at a server frames on closed streams. Default:
    /// 10 000 at once and a second.
    pub idle_frames: Rate,
    /// SETTINGS frames. Default: bursts of 100, 10 a second.
    pub settings: Rate,
    /// PINGs of the peer's, apart from [`Limits::ping_strikes`]; those that measure bandwidth pass: each DATA frame of
    /// the peer's and each frame of ours pays for two. Default: bursts of 1 000, 100 a second.
    pub pings: Rate,
    /// CONTINUATION frames in one header block ("CONTINUATION flood", CVE-2024-27316). Default: 16, and one for
    /// every KiB of the largest header list.
    pub continuations: Option<u16>,
    /// Server: PINGs that come too soon before the connection ends with "too_many_pings" (gRFC A8); sending
    /// HEADERS or DATA forgives all, so that bandwidth probes pass. Default 2; `None`: not counted. The client's
    /// default is `None`.
    pub ping_strikes: Option<u8>,
    /// What "too soon" is while streams are open. Default 5 minutes.
    pub ping_interval: Duration,
    /// What "too soon" is without streams. Default 2 hours.
    pub ping_interval_without_streams: Duration,
}

impl Limits {
    /// The server's defaults.
    pub const fn server() -> Limits {
        Limits {
            resets: None,
            idle_frames: Rate { burst: 10_000, per_second: 10_000 },
            settings: Rate { burst: 100, per_second: 10 },
            pings: Rate { burst: 1_000, per_second: 100 },
            continuations: None,
            ping_strikes: Some(2),
            ping_interval: Duration::from_secs(300),
            ping_interval_without_streams: Duration::from_secs(7_200),
        }
    }

    /// The client's defaults.
    pub const fn client() -> Limits {
        Limits { ping_strikes: None, ..Limits::server() }
    }
}

/// What is left of a [`Rate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    left: u32,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, left: rate.burst, filled: now }
    }

    /// Whether it may happen once more.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            self.fill(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Takes back `n`.
    #[inline]
    pub(super) fn refund(&mut self, n: u32) {
        self.left = self.left.saturating_add(n).min(self.rate.burst);
    }

    /// Only looks at the clock when the bucket is empty: what came in since the last look is added then.
    fn fill(&mut self, now: Instant) {
        let nanos = now.since(self.filled).as_nanos();
        let gained = nanos.saturating_mul(u128::from(self.rate.per_second)) / 1_000_000_000;
        if gained > 0 {
            self.left = u32::try_from(gained).unwrap_or(u32::MAX).min(self.rate.burst);
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(77);

    fn spend_all(bucket: &mut Bucket, now: Instant) -> u32 {
        (0..).take_while(|_| bucket.spend(now)).count() as u32
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(Rate { burst: 10, per_second: 4 }, START);
        assert_eq!(spend_all(&mut bucket, START), 10);
        let later = START.after(Duration::from_millis(500));
        assert_eq!(spend_all(&mut bucket, later), 2);
        let much_later = later.after(Duration::from_secs(1_000));
        assert_eq!(spend_all(&mut bucket, much_later), 10);
    }

    #[test]
    fn a_rate_of_zero_never_fills() {
        let mut bucket = Bucket::new(Rate { burst: 1, per_second: 0 }, START);
        assert!(bucket.spend(START));
        assert!(!bucket.spend(Instant::NEVER));
    }
}
