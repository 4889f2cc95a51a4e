//! The channel: endpoints, subchannels, policies, picks. It sees no bytes and no sockets.
//!
//! A host resolves names and connects; the [`Channel`] says what to do ([`Channel::poll_action`]) and where each call
//! goes ([`Channel::pick`]). The words are gRPC's: a *subchannel* is one address and its connection, an *endpoint* is
//! one backend with one or more addresses, the *service config* chooses the policy.

mod address;
mod backoff;
mod channel;
mod connectivity;
mod endpoint;
mod endpoint_list;
mod engine;
mod index;
mod json;
mod picker;
mod policy;
mod service_config;
mod storage;
mod subchannel;
mod target;
mod text;
mod timers;
mod update;

pub use address::AddressError;
pub use channel::{Channel, Config, EndpointState, ResolutionError};
pub use connectivity::Connectivity;
pub use endpoint::{Address, Endpoint};
pub use endpoint_list::{EndpointList, ListError, ListedEndpoint};
pub use picker::{Position, Shape, Table, TooSmall};
pub use policy::Policy;
pub use service_config::{ConfigError, MethodConfig, ServiceConfig};
#[cfg(feature = "std")]
pub use storage::Boxed;
pub use storage::{EndpointSlot, Inline, Parts, Sizes, Slices, Storage, SubchannelSlot};
pub use subchannel::{Action, Pick, SubchannelEvent, SubchannelId};
pub use target::{Addresses, Authority, Target, TargetError, Text};
