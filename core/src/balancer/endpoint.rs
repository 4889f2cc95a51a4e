//! What a resolver says: endpoints and their addresses.

/// Where one connection goes. `Display` writes it as targets and weights have it (`10.0.0.1:443`, `[::1]:443`, `unix:/path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// TCP.
    Ip(core::net::SocketAddr),
    /// A Unix socket's path; abstract when it begins with a NUL.
    Unix(&'a [u8]),
    /// Anything else (a URL, say), opaque to the balancer.
    Other(&'a [u8]),
}

impl<'a> Address<'a> {
    /// Reads `10.0.0.1:443`, `[::1]:443`, `[fe80::1%2]:443`, `unix:PATH` or `unix-abstract:NAME`.
    #[allow(unused_variables)]
    pub fn parse(text: &'a str) -> Result<Address<'a>, super::AddressError> {
        todo!()
    }
}

impl core::fmt::Display for Address<'_> {
    fn fmt(&self, _f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        todo!()
    }
}

/// One backend: its addresses are alternatives.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// In order of preference.
    pub addresses: &'a [Address<'a>],
    /// What the resolver says of it; 1 when it says nothing.
    pub weight: u32,
}
