//! The host library: sockets, name look-up, and the reactor that joins the two towers.
//!
//! | file | what it is |
//! |---|---|
//! | `socket` | one non-blocking socket of any kind |
//! | `carrier` | a socket and its connection of calls, and the driver's rule; client and server share it |
//! | [`reactor`] | a channel that its caller drives: one descriptor, one timeout, one verb |
//! | `resolve` | where endpoints come from: names (on a helper thread), files, literal addresses |
//! | `blocking` | how threads that block share one reactor: leader and followers |
//! | [`channel`] | the blocking channel |
//! | [`call`] | what a caller says of a call, and what it gets |
//! | `growing` | a balancer whose storage grows with its endpoints |
//! | [`picker`] | the balancer without sockets, shared by threads |
//! | [`server`] | acceptor, handlers, graceful stop |
//! | [`health`] | `grpc.health.v1` |
#![forbid(unsafe_code)]

pub(crate) mod blocking;
pub mod call;
pub(crate) mod carrier;
pub mod channel;
pub(crate) mod clock;
pub(crate) mod growing;
pub mod health;
pub mod picker;
pub mod reactor;
pub(crate) mod resolve;
pub mod server;
pub(crate) mod socket;
pub(crate) mod timers;
