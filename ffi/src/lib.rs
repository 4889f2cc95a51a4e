//! gRPC channels and servers with client-side load balancing.
//!
//! Without the feature `host` nothing of an operating system is needed: what is left is the core, and with the
//! feature `capi` the C door to its connection.
#![cfg_attr(not(feature = "host"), no_std)]
// `host` forbids it for itself; the one place that may is `capi`.
#![deny(unsafe_code)]

pub use grpclb_core as core;

#[cfg(feature = "capi")]
pub mod capi;

#[cfg(feature = "host")]
pub mod host;

#[cfg(feature = "host")]
pub use host::{
    call::{Call, Reply, Status, Stream},
    channel::{Channel, ChannelBuilder, ConnectError},
    health::ServingStatus,
    picker::{Picker, PickerEndpoint, PickerError},
    server::{Handler, Request, Response, Server, ServerBuilder, ServerHandle, ServerStream},
};

/// The Rust of the README, compiled and run by `cargo test`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
