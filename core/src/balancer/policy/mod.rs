//! What tells the policies apart. Every endpoint is a [`pick_first`] leaf (gRFC A61); a policy says what the leaves are
//! (one over all addresses, or one for each endpoint), whether an IDLE leaf connects by itself, and which weights count.

pub(super) mod pick_first;
pub(super) mod round_robin;
pub(super) mod weighted_round_robin;

/// The balancing policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// One connection, to the first address that works (gRFC A62).
    #[default]
    PickFirst,
    /// All endpoints in turn.
    RoundRobin,
    /// All endpoints by their weights.
    WeightedRoundRobin,
}

impl Policy {
    pub(super) const ALL: [Policy; 3] = [Policy::PickFirst, Policy::RoundRobin, Policy::WeightedRoundRobin];

    /// gRPC's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::PickFirst => "pick_first",
            Policy::RoundRobin => "round_robin",
            Policy::WeightedRoundRobin => "weighted_round_robin",
        }
    }

    /// One leaf over all addresses.
    pub(super) const fn one_leaf(self) -> bool {
        matches!(self, Policy::PickFirst)
    }

    /// A leaf that turned IDLE connects at once, not at the next call (gRFC A58, "Handling Subchannel Connectivity State
    /// Notifications").
    pub(super) const fn reconnects(self) -> bool {
        !self.one_leaf()
    }

    /// What the resolver's weight is worth (to pick_first when it shuffles, gRFC A113).
    pub(super) const fn weight(self, resolved: u32) -> u32 {
        match self {
            Policy::RoundRobin => 1,
            Policy::PickFirst | Policy::WeightedRoundRobin => resolved,
        }
    }
}
