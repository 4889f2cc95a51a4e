//! gRPC over HTTP/2 and client-side load balancing, as state machines: no heap, no I/O, no clock.
//!
//! | module | what it is |
//! |---|---|
//! | [`call`] | gRPC calls over one HTTP/2 connection, client or server: bytes in, bytes out, clock, commands |
//! | [`memory`] | storages to lend to a connection: in a static, in slices, on the heap |
//! | [`balancer`] | which connection a call goes to: endpoints, policies, picks; sees no bytes |
//! | [`grpc`] | what gRPC says regardless of its carrier: status, metadata, length prefix, timeout |
//! | [`http2`] | RFC 9113 alone, for those who need no gRPC |
//! | [`hpack`], [`frame`] | RFC 7541 and the frames of RFC 9113, one layer below |
//! | [`time`], [`error`], [`bytes`] | the caller's clock, HTTP/2 error codes, bytes without panics |
//!
//! Memory is lent, bytes are the caller's, the clock is the caller's, and nothing panics: see [`call`] for how a
//! connection is driven, with an example of both sides.
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

pub mod web;

pub mod balancer;
pub mod memory;
