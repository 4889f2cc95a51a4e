//! The host library: sockets, name look-up, and the reactor that joins the two towers.
//!
//! CONTRACT for the programs; the authors of the modules refine it and keep the shape.
//!
//! carrier.rs   one socket and its `call::Connection` (client and server share it)      [host client author]
//! reactor.rs   sockets + balancer, driven by its caller: descriptor, poll_timeout, process [host client author]
//! resolve/     dns (helper thread), file (re-read), literal addresses                   [host client author]
//! channel.rs   blocking, thread-safe channel: leader and followers over the reactor     [host client author]
//! call.rs      what a caller says and gets                                              [host client author]
//! server.rs    acceptor, handlers, graceful stop                                        [host server author]
//! health.rs    grpc.health.v1                                                           [host server author]

pub mod call;
pub(crate) mod carrier;
pub mod channel;
pub(crate) mod clock;
pub mod health;
pub mod server;
pub(crate) mod socket;
pub(crate) mod timers;
