//! round_robin, as far as it is not a table of equal weights: the channel's state from its endpoints' (gRPC's
//! load-balancing document; the same for weighted_round_robin, gRFC A58).

use crate::balancer::connectivity::Connectivity;

/// How many endpoints are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balancer) struct Counts {
    idle: u32,
    connecting: u32,
    ready: u32,
    failed: u32,
}

impl Counts {
    pub(in crate::balancer) fn add(&mut self, state: Connectivity) {
        if let Some(count) = self.of(state) {
            *count = count.saturating_add(1);
        }
    }

    pub(in crate::balancer) fn remove(&mut self, state: Connectivity) {
        if let Some(count) = self.of(state) {
            debug_assert!(*count > 0);
            *count = count.saturating_sub(1);
        }
    }

    fn of(&mut self, state: Connectivity) -> Option<&mut u32> {
        match state {
            Connectivity::Idle => Some(&mut self.idle),
            Connectivity::Connecting => Some(&mut self.connecting),
            Connectivity::Ready => Some(&mut self.ready),
            Connectivity::TransientFailure => Some(&mut self.failed),
            Connectivity::Shutdown => None,
        }
    }

    /// READY if one is, else CONNECTING if one is, else IDLE if one is, else (none is there, too) TRANSIENT_FAILURE.
    pub(in crate::balancer) fn aggregate(&self) -> Connectivity {
        if self.ready > 0 {
            Connectivity::Ready
        } else if self.connecting > 0 {
            Connectivity::Connecting
        } else if self.idle > 0 {
            Connectivity::Idle
        } else {
            Connectivity::TransientFailure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Connectivity::*;

    #[test]
    fn the_best_state_wins() {
        for (states, expected) in [
            (&[][..], TransientFailure),
            (&[TransientFailure], TransientFailure),
            (&[TransientFailure, Idle], Idle),
            (&[TransientFailure, Idle, Connecting], Connecting),
            (&[TransientFailure, Idle, Connecting, Ready], Ready),
        ] {
            let mut counts = Counts::default();
            states.iter().for_each(|state| counts.add(*state));
            assert_eq!(counts.aggregate(), expected);
            states.iter().for_each(|state| counts.remove(*state));
            assert_eq!(counts, Counts::default());
        }
    }
}
