//! IP addresses as text. (`core::net`'s parser leaves a panic path in the binary.)

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// Octets before the place that is wrong.
    pub at: u32,
    /// What should stand there.
    pub expected: &'static str,
}
