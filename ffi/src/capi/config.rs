//! Sized structs: each begins with `uint32_t size`, which its caller sets to `sizeof` of the struct as its header
//! has it. A shorter one (an older header's) has zeros in the fields it lacks, a longer one (a newer header's) is
//! taken when what we do not know is zero.

use super::{GRPCLB_ERR_NULL, GRPCLB_ERR_SIZE};
use core::mem::MaybeUninit;

/// Larger than any struct will be: a size beyond it was never set.
const MAX_SIZE: usize = 4096;

/// A struct of C that begins with its size.
///
/// # Safety
/// `#[repr(C)]`, begins with a `u32`, and all octets zero is a value of it.
pub(super) unsafe trait Sized32: Copy {
    /// What the first published header had, octets.
    const FIRST: usize;
}

/// Copies a struct in, whatever header it is of.
///
/// # Safety
/// `at` is NULL or points at as many readable octets as its first 32 bits say.
pub(super) unsafe fn read<T: Sized32>(at: *const T) -> Result<T, i32> {
    if at.is_null() {
        return Err(GRPCLB_ERR_NULL);
    }
    // SAFETY: the struct begins with its size, by the trait's rule; alignment is not relied on.
    let size = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    if size < T::FIRST || size > MAX_SIZE {
        return Err(GRPCLB_ERR_SIZE);
    }
    let known = size.min(size_of::<T>());
    // SAFETY: the caller vouches for `size` octets.
    let beyond = unsafe { core::slice::from_raw_parts(at.cast::<u8>().add(known), size - known) };
    if beyond.iter().any(|octet| *octet != 0) {
        return Err(GRPCLB_ERR_SIZE);
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` octets are readable there and fit here; the rest is zero, which the trait says is a value.
    unsafe {
        core::ptr::copy_nonoverlapping(at.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), known);
        Ok(value.assume_init())
    }
}
