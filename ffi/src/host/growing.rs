//! A balancer whose storage grows with its endpoints.

use grpclb_core::balancer::{Boxed, Channel, Endpoint, ResolutionError, ServiceConfig, Sizes};
use grpclb_core::time::Instant;

/// Subchannels are numbered in 16 bits, and one number stands for none.
const MOST: usize = 65_535;

/// How much a balancer's storage holds; it only grows.
#[derive(Debug)]
pub(crate) struct Room(Sizes);

impl Room {
    pub(crate) fn new() -> Room {
        Room(Sizes { addresses: 16, text: 256 })
    }

    pub(crate) fn storage(&self) -> Boxed {
        Boxed::new(self.0)
    }

    /// [`Channel::handle_resolution`], which fails for want of room above 65 535 addresses alone.
    pub(crate) fn handle_resolution(
        &mut self,
        channel: &mut Channel<Boxed>,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        config: &ServiceConfig<'_>,
    ) -> Result<(), ResolutionError> {
        loop {
            let result = channel.handle_resolution(now, endpoints, config);
            let Err(ResolutionError::TooMany { needed }) = result else { return result };
            // More than is needed, so that a list that grows step by step is not moved at every step.
            self.0 = Sizes {
                addresses: self.0.addresses.max((needed.addresses * 5 / 4).min(MOST)),
                text: self.0.text.max(needed.text * 5 / 4),
            };
            if self.0.addresses < needed.addresses || channel.grow(self.storage()).is_err() {
                return result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grpclb_core::balancer::{Address, Config};

    #[test]
    fn grows_up_to_the_most_and_refuses_more() {
        let mut room = Room::new();
        let mut channel = Channel::new(room.storage(), &Config::default());
        let names: Vec<String> = (0..MOST + 1).map(|i| format!("/run/{i}")).collect();
        let addresses: Vec<Address<'_>> = names.iter().map(|name| Address::Unix(name.as_bytes())).collect();
        let endpoints: Vec<Endpoint<'_>> =
            addresses.iter().map(|a| Endpoint { addresses: std::slice::from_ref(a), weight: 1 }).collect();
        let config = ServiceConfig::parse(r#"{"loadBalancingPolicy":"round_robin"}"#).expect("good");
        let now = Instant::from_nanos(0);
        for n in [1, 17, 18, 1_000, MOST] {
            assert_eq!(room.handle_resolution(&mut channel, now, &endpoints[..n], &config), Ok(()));
            assert_eq!(channel.endpoint_count(), n);
        }
        let error = room.handle_resolution(&mut channel, now, &endpoints, &config).expect_err("too many");
        assert!(matches!(error, ResolutionError::TooMany { needed } if needed.addresses == MOST + 1));
        assert_eq!(channel.endpoint_count(), MOST, "all or nothing");
    }
}
