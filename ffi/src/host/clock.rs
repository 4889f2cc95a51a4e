//! The host's monotonic clock, as core counts it: nanoseconds since the process first asked.

use grpclb_core::time::Instant;
use std::sync::OnceLock;

static START: OnceLock<std::time::Instant> = OnceLock::new();

/// Now. All of a process count from the same start, so moments of different channels compare.
pub(crate) fn now() -> Instant {
    let start = START.get_or_init(std::time::Instant::now);
    // u64 nanoseconds last for 584 years.
    Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
