//! Any sequence of updates, events and time, against the model of the tests.
#![no_main]

use grpclb_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/balancer_host/model.rs"]
mod model;
use model::{CONFIGS, Step};

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let seed = u64::from(choices.u32());
    let mut steps = Vec::new();
    while !choices.is_empty() && steps.len() < 400 {
        steps.push(match choices.below(16) {
            0 | 1 => {
                let n = choices.below(7);
                let endpoints = (0..n)
                    .map(|_| {
                        let what = choices.u8();
                        let addresses = (0..what & 3).map(|_| choices.below(12) as u8).collect();
                        (addresses, u32::from(what >> 2 & 3))
                    })
                    .collect();
                Step::Resolve(endpoints, choices.below(CONFIGS.len()))
            }
            2 => Step::ResolveFailed,
            3 => Step::Connect,
            4 | 5 => Step::Pick,
            6 => Step::Busy(choices.u8() & 1 == 1),
            7..=10 => Step::Event(choices.u8(), choices.u8()),
            11 | 12 => Step::Act(1 + choices.u8() % 12),
            13 | 14 => Step::Pass(u32::from(choices.u16() >> 1), choices.u8() & 1 == 1),
            _ => Step::Grow,
        });
    }
    model::run(seed, steps);
});
