//! The caller's clock: nanoseconds since a start of the caller's choosing, never going back.

pub use core::time::Duration;

/// A moment of the caller's monotonic clock, in nanoseconds.
///
/// ```
/// use grpclb_core::time::{Duration, Instant};
/// let start = Instant::from_nanos(5);
/// assert_eq!(start.after(Duration::from_nanos(7)).since(start), Duration::from_nanos(7));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The latest moment there is: never reached (584 years).
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The moment `nanos` nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and `duration` more; [`Instant::NEVER`] when that is too far.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Instant {
        let nanos = duration.as_nanos();
        if nanos > u64::MAX as u128 { Instant::NEVER } else { Instant(self.0.saturating_add(nanos as u64)) }
    }

    /// How long ago `earlier` was; zero when it is not in the past.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
