//! A simulated network: bytes take their time and come in other pieces than they were sent in.

use grpclb_core::time::{Duration, Instant};
use std::collections::VecDeque;

/// Small, seeded, good enough to cut bytes with.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n.max(1)
    }
}

/// What a link does to bytes.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Nanoseconds from one end to the other.
    pub delay: u64,
    /// Up to that many more, for each piece.
    pub jitter: u64,
    /// Largest piece that arrives at once; at least 1.
    pub piece: usize,
    /// Largest write that is taken at once; at least 1.
    pub write: usize,
    pub seed: u64,
}

impl Weather {
    pub const FAIR: Weather = Weather { delay: 0, jitter: 0, piece: usize::MAX, write: usize::MAX, seed: 0 };
}

/// One direction.
pub struct Link {
    weather: Weather,
    random: Random,
    /// In order of arrival.
    flying: VecDeque<(Instant, Vec<u8>)>,
    /// Octets that were put in.
    pub carried: u64,
}

impl Link {
    pub fn new(weather: Weather, direction: u64) -> Link {
        let random = Random::new(weather.seed.wrapping_add(direction));
        Link { weather, random, flying: VecDeque::new(), carried: 0 }
    }

    /// Takes a part of what is to be transmitted.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.draw(self.weather.write));
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(self.draw(self.weather.piece)));
            let jitter = self.random.below(self.weather.jitter + 1);
            let at = now.after(Duration::from_nanos(self.weather.delay + jitter));
            let at = self.flying.back().map_or(at, |(last, _)| at.max(*last));
            self.flying.push_back((at, piece.to_vec()));
            rest = tail;
        }
        self.carried += taken as u64;
        taken
    }

    /// What has arrived.
    pub fn read(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.flying.front()?.0 > now {
            return None;
        }
        Some(self.flying.pop_front()?.1)
    }

    /// When something arrives next.
    pub fn next(&self) -> Option<Instant> {
        Some(self.flying.front()?.0)
    }

    pub fn cut(&mut self) {
        self.flying.clear();
    }

    fn draw(&mut self, largest: usize) -> usize {
        if largest == usize::MAX { largest } else { 1 + self.random.below(largest as u64) as usize }
    }
}
