//! What time does: keepalive (gRFC A8), connection age and idleness (gRFC A9), PINGs that come too often.

use super::control::{DRAIN_PING, Due};
use super::recv::error;
use super::{Config, ConnectionError, Engine, State};
use crate::error::ErrorCode;
use crate::frame::Ping;
use crate::time::{Duration, Instant};

/// Moments that matter; [`Instant::NEVER`] for those that do not.
#[derive(Debug)]
pub(super) struct Timers {
    /// The latest moment that a verb was told.
    pub(super) now: Instant,
    /// When the last octet was received.
    last_read: Instant,
    /// When the keepalive PING that is out counts as lost.
    pong_by: Instant,
    age_at: Instant,
    grace_at: Instant,
    /// When the second GOAWAY is sent, answer or not.
    pub(super) drain_at: Instant,
    /// Since when no stream is open.
    pub(super) idle_since: Instant,
    /// The peer's last PING that counts against it.
    last_ping: Option<Instant>,
    strikes: u8,
}

impl Timers {
    pub(super) fn new(config: &Config, now: Instant) -> Timers {
        let age_at =
            config.max_connection_age.map_or(Instant::NEVER, |age| now.after(jitter(age, config.seed)));
        Timers {
            now,
            last_read: now,
            pong_by: Instant::NEVER,
            age_at,
            grace_at: Instant::NEVER,
            drain_at: Instant::NEVER,
            idle_since: now,
            last_ping: None,
            strikes: 0,
        }
    }

    /// `recv` was called.
    #[inline]
    pub(super) fn received(&mut self, now: Instant, any: bool) {
        self.now = now;
        if any {
            (self.last_read, self.pong_by) = (now, Instant::NEVER);
        }
    }

    /// HEADERS or DATA are sent: PINGs are forgiven (gRFC A8), they may measure bandwidth.
    #[inline]
    pub(super) fn sends(&mut self) {
        (self.strikes, self.last_ping) = (0, None);
    }
}

/// ±10 % (gRFC A9), so that connections that began together do not end together.
fn jitter(age: Duration, seed: u64) -> Duration {
    let mixed = (seed ^ (seed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    // 900 to 1 100 thousandths.
    let thousandths = 900_u128.wrapping_add(u128::from(mixed >> 32).wrapping_mul(201) >> 32);
    let nanos = age.as_nanos().saturating_mul(thousandths) / 1_000;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl State {
    /// When [`Engine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.error.is_some() {
            return None;
        }
        let timers = &self.timers;
        let mut next = timers.grace_at.min(timers.drain_at).min(self.keepalive_at());
        if !self.away.has_begun() {
            next = next.min(timers.age_at).min(self.idle_at());
        }
        (next != Instant::NEVER).then_some(next)
    }

    fn keepalive_at(&self) -> Instant {
        match self.config.keepalive_time {
            _ if self.timers.pong_by != Instant::NEVER => self.timers.pong_by,
            Some(time) if self.ready && (self.streams.open > 0 || self.config.keepalive_without_calls) => {
                self.timers.last_read.after(time)
            }
            _ => Instant::NEVER,
        }
    }

    fn idle_at(&self) -> Instant {
        match self.config.max_connection_idle {
            Some(idle) if self.config.server && self.streams.open == 0 => self.timers.idle_since.after(idle),
            _ => Instant::NEVER,
        }
    }
}

impl Engine<'_> {
    /// When [`Engine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state.poll_timeout()
    }

    /// Keepalive, connection age and idleness.
    ///
    /// # Errors
    /// A keepalive that went unanswered, an age whose grace is over; sticky, as of [`Engine::recv`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if let Some(error) = self.state.error {
            return Err(error);
        }
        self.state.timers.now = now;
        if self.state.timers.pong_by <= now {
            return Err(self.fail(error(ErrorCode::NO_ERROR, "keepalive: the peer does not answer")));
        }
        if self.state.timers.grace_at <= now {
            return Err(self.fail(error(ErrorCode::NO_ERROR, "the connection's age and grace are over")));
        }
        if self.state.keepalive_at() <= now {
            self.state.timers.pong_by = now.after(self.state.config.keepalive_timeout);
            self.state.control.due.set(Due::KEEPALIVE);
        }
        if self.state.timers.drain_at <= now {
            self.last_word();
        }
        if !self.state.away.has_begun() {
            if self.state.timers.age_at <= now {
                let grace = self.state.config.max_connection_age_grace;
                self.state.timers.grace_at = grace.map_or(Instant::NEVER, |grace| now.after(grace));
                self.retire(now, "max_age");
            } else if self.state.idle_at() <= now {
                self.retire(now, "max_idle");
            }
        }
        Ok(())
    }

    /// PING (RFC 9113 §6.7).
    pub(super) fn ping_received(&mut self, ping: Ping) -> Result<(), ConnectionError> {
        if ping.ack {
            if ping.data == DRAIN_PING && self.state.away.is_draining() {
                self.last_word();
            }
            return Ok(());
        }
        if !self.state.pings.spend(self.state.timers.now) {
            return Err(error(ErrorCode::ENHANCE_YOUR_CALM, "too many PINGs"));
        }
        self.count_strike()?;
        self.pong_due(ping.data)
    }

    /// A client that asks too often whether we live (gRFC A8).
    fn count_strike(&mut self) -> Result<(), ConnectionError> {
        let limits = &self.state.config.limits;
        let Some(most) = limits.ping_strikes else { return Ok(()) };
        let interval = match self.state.streams.open {
            0 => limits.ping_interval_without_streams,
            _ => limits.ping_interval,
        };
        let timers = &mut self.state.timers;
        if timers.last_ping.is_some_and(|last| timers.now.since(last) < interval) {
            timers.strikes = timers.strikes.saturating_add(1);
        }
        timers.last_ping = Some(timers.now);
        // gRFC A8 gives these words: clients that know them make their interval longer.
        if timers.strikes > most {
            return Err(error(ErrorCode::ENHANCE_YOUR_CALM, "too_many_pings"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth_and_varies() {
        let age = Duration::from_secs(1_000);
        let all: Vec<u64> = (0..500_u64)
            .map(|seed| jitter(age, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_secs())
            .collect();
        assert!(all.iter().all(|age| (900..=1_100).contains(age)));
        assert!(all.iter().min() < Some(&920) && all.iter().max() > Some(&1_080));
    }
}
