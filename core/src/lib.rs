//! gRPC over HTTP/2 and client-side load balancing, as state machines: no heap, no I/O, no clock.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::disallowed_methods,
        clippy::unreachable,
    )
)]

pub mod bytes;
pub mod error;
pub mod time;

pub mod frame;
pub mod hpack;

pub mod http2;

pub mod grpc;

pub mod call;

pub mod balancer;
pub mod memory;
