//! Target URIs (grpc/doc/naming.md).

use core::net::SocketAddr;

/// Where a channel's endpoints come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target<'t> {
    /// `dns:[//AUTHORITY/]HOST[:PORT]`, or no scheme. An IP address as host needs no look-up: the host's resolver answers it once.
    Dns {
        /// The name server to ask; empty: the system's.
        authority: &'t str,
        /// Without brackets.
        host: Text<'t>,
        /// 443 when not given.
        port: u16,
    },
    /// `ipv4:A[:P][,…]` or `ipv6:[A]:P[,…]`: static.
    Addresses(Addresses<'t>),
    /// `unix:PATH` or `unix:///ABSOLUTE`.
    Unix(Text<'t>),
    /// `unix-abstract:NAME` (without the leading NUL).
    UnixAbstract(Text<'t>),
    /// `file:///PATH`: an [`EndpointList`](super::EndpointList), read again when it changes.
    File(Text<'t>),
}

/// A target that is wrong. `Display`: `target, column 6: expected …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError {
    /// Octets before the place that is wrong.
    pub at: u32,
    /// What should stand there.
    pub expected: &'static str,
}

impl core::fmt::Display for TargetError {
    fn fmt(&self, _f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        todo!()
    }
}
impl core::error::Error for TargetError {}

#[allow(unused_variables)]
impl<'t> Target<'t> {
    /// Reads a target. An unknown scheme means `dns:///` and the whole text, as gRPC prescribes.
    pub fn parse(text: &'t str) -> Result<Target<'t>, TargetError> {
        todo!()
    }

    /// What goes into `:authority` when the application gives nothing (`Display`).
    pub fn authority(&self) -> Authority<'t> {
        todo!()
    }
}

/// A part of a URI, percent-encoding checked but not yet undone: `bytes` undoes it, `Display` writes it undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'t> {
    raw: &'t str,
}

impl<'t> Text<'t> {
    /// As written in the target.
    pub fn raw(&self) -> &'t str {
        self.raw
    }

    /// Percent-decoded.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + 't {
        core::iter::empty()
    }
}

impl core::fmt::Display for Text<'_> {
    fn fmt(&self, _f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        todo!()
    }
}

/// The addresses of an `ipv4:` or `ipv6:` target, checked when it was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<'t> {
    _rest: &'t str,
}

impl Iterator for Addresses<'_> {
    type Item = SocketAddr;
    fn next(&mut self) -> Option<SocketAddr> {
        todo!()
    }
}

/// The `:authority` of a target.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'t> {
    _text: &'t str,
}

impl core::fmt::Display for Authority<'_> {
    fn fmt(&self, _f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        todo!()
    }
}
