//! Any sequence of updates, events and time.

#[path = "balancer_host/model.rs"]
mod model;

use model::{CONFIGS, Step};
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    let endpoint = (prop::collection::vec(0u8..12, 0..4), 0u32..4);
    prop_oneof![
        3 => (prop::collection::vec(endpoint, 0..7), 0..CONFIGS.len()).prop_map(|(e, c)| Step::Resolve(e, c)),
        1 => Just(Step::ResolveFailed),
        2 => Just(Step::Connect),
        4 => Just(Step::Pick),
        1 => any::<bool>().prop_map(Step::Busy),
        12 => (any::<u8>(), any::<u8>()).prop_map(|(which, event)| Step::Event(which, event)),
        8 => (1u8..12).prop_map(Step::Act),
        6 => (0u32..30_000, any::<bool>()).prop_map(|(ms, timers)| Step::Pass(ms, timers)),
        1 => Just(Step::Grow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(debug_assertions) { 400 } else { 4000 }, ..ProptestConfig::default() })]
    #[test]
    fn anything_goes(seed in any::<u64>(), steps in prop::collection::vec(step(), 0..80)) {
        model::run(seed, steps);
    }
}
