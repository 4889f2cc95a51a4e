//! Flow-control windows (RFC 9113 §5.2, §6.9).

/// The window of a stream and of the connection before anything is said (RFC 9113 §6.9.2), octets.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;
/// RFC 9113 §6.9.1.
pub(super) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// How much may be sent. A change of SETTINGS_INITIAL_WINDOW_SIZE can make it negative (RFC 9113 §6.9.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window(i32);

impl Window {
    pub(super) const ZERO: Window = Window(0);

    /// A window of `octets`, at most [`MAX_WINDOW`].
    pub(super) fn new(octets: u32) -> Window {
        Window(i32::try_from(octets).unwrap_or(i32::MAX))
    }

    /// What may be sent now.
    #[inline]
    pub(super) fn octets(self) -> u32 {
        u32::try_from(self.0).unwrap_or(0)
    }

    /// Spends `n`; false, and nothing is spent, when there is less.
    #[inline]
    pub(super) fn take(&mut self, n: u32) -> bool {
        let enough = n <= self.octets();
        if enough {
            self.0 = self.0.wrapping_sub(n as i32);
        }
        enough
    }

    /// WINDOW_UPDATE; false when the sum is above [`MAX_WINDOW`]: FLOW_CONTROL_ERROR (RFC 9113 §6.9.1).
    #[inline]
    pub(super) fn grow(&mut self, n: u32) -> bool {
        self.shift(i64::from(n))
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE changed by `delta`; false when the window would leave 31 bits.
    pub(super) fn shift(&mut self, delta: i64) -> bool {
        match i32::try_from(i64::from(self.0).saturating_add(delta)) {
            Ok(sum) => {
                self.0 = sum;
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_there_and_no_more() {
        let mut window = Window::new(10);
        assert!(window.take(4) && window.octets() == 6);
        assert!(!window.take(7) && window.octets() == 6);
        assert!(window.take(6) && window.take(0) && !window.take(1));
    }

    #[test]
    fn grows_to_31_bits_and_no_further() {
        let mut window = Window::new(MAX_WINDOW - 1);
        assert!(window.grow(1) && window.octets() == MAX_WINDOW);
        assert!(!window.grow(1) && window.octets() == MAX_WINDOW);
    }

    #[test]
    fn a_smaller_initial_window_makes_it_negative() {
        let mut window = Window::new(5);
        assert!(window.shift(-15) && window.octets() == 0 && !window.take(1));
        assert!(window.grow(10) && window.octets() == 0);
        assert!(window.grow(1) && window.octets() == 1);
    }
}
