//! Strings and arrays of C, borrowed for a call; and error texts, written into the caller's buffer.

use super::{GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_NULL};
#[cfg(feature = "host")]
use core::ffi::{CStr, c_char};

/// A NUL-terminated UTF-8 text.
///
/// # Safety
/// `at` is NULL or a NUL-terminated string that stays as it is for `'a`.
#[cfg(feature = "host")]
pub(super) unsafe fn string<'a>(at: *const c_char) -> Result<&'a str, i32> {
    // SAFETY: as this function's own.
    unsafe { string_or_null(at) }?.ok_or(GRPCLB_ERR_NULL)
}

/// The same; NULL is `None`.
///
/// # Safety
/// As [`string`].
#[cfg(feature = "host")]
pub(super) unsafe fn string_or_null<'a>(at: *const c_char) -> Result<Option<&'a str>, i32> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so a NUL-terminated string.
    let text = unsafe { CStr::from_ptr(at) };
    text.to_str().map(Some).map_err(|_| GRPCLB_ERR_ARGUMENT)
}

/// `len` items; NULL is fine when there are none.
///
/// # Safety
/// `at` is NULL or points at `len` items that stay as they are for `'a`.
pub(super) unsafe fn slice<'a, T>(at: *const T, len: usize) -> Result<&'a [T], i32> {
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(GRPCLB_ERR_NULL);
    }
    // No object is larger than half of the address space.
    if len.checked_mul(size_of::<T>()).is_none_or(|octets| octets > isize::MAX as usize) || !at.is_aligned() {
        return Err(GRPCLB_ERR_ARGUMENT);
    }
    // SAFETY: not NULL, aligned, of a possible length; the caller vouches for the items.
    Ok(unsafe { core::slice::from_raw_parts(at, len) })
}

/// Writes a text and its NUL into the caller's buffer, shortened to what fits, between characters.
///
/// # Safety
/// `at` is NULL or points at `size` writable octets.
#[cfg(feature = "host")]
pub(super) unsafe fn put(text: &str, at: *mut c_char, size: usize) {
    if at.is_null() || size == 0 {
        return;
    }
    let fits = text.floor_char_boundary(text.len().min(size - 1));
    // SAFETY: `fits` is less than `size`.
    unsafe {
        core::ptr::copy_nonoverlapping(text.as_ptr(), at.cast::<u8>(), fits);
        at.add(fits).write(0);
    }
}
