//! Things that JavaScript knows by a number.

use alloc::vec::Vec;

/// A table of them; places are used again.
pub(crate) struct Slab<T>(Vec<Option<T>>);

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab(Vec::new())
    }

    /// Takes it in and gives its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        match self.0.iter().position(Option::is_none) {
            Some(free) => {
                self.0[free] = Some(value);
                free as u32
            }
            None => {
                self.0.push(Some(value));
                self.0.len() as u32 - 1
            }
        }
    }

    /// What has that number; `None`: nothing has.
    pub(crate) fn get(&mut self, number: u32) -> Option<&mut T> {
        self.0.get_mut(number as usize)?.as_mut()
    }

    /// Gives it back.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        self.0.get_mut(number as usize)?.take()
    }
}
