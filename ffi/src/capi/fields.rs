//! Header fields as C sees them: packed, the same form in and out.

use super::{GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_METADATA, GRPCLB_ERR_NULL, text};
use core::ffi::c_char;
use core::ptr::{copy_nonoverlapping, null};
use grpclb_core::bytes::Fields;
use grpclb_core::call::CallHead;

/// A piece of memory that somebody else owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_bytes {
    /// NULL when there are none.
    pub at: *const u8,
    /// Octets.
    pub len: usize,
}

impl grpclb_bytes {
    pub(super) const NONE: grpclb_bytes = grpclb_bytes { at: null(), len: 0 };
}

/// One field of a packed list.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_field {
    /// In the list; not NUL-terminated. NULL: the list has no further field.
    pub name: *const c_char,
    /// In the list.
    pub value: *const u8,
    /// Octets of the name.
    pub name_len: u16,
    /// Octets of the value.
    pub value_len: u16,
    /// Where the next field begins, octets into the list.
    pub next: u32,
}

/// Appends a field to a packed list (each is `u16 name length, u16 value length, name, value`, lengths in network byte
/// order) of which `used` octets of `size` are in use. The new `used`, or GRPCLB_ERR_TOO_LARGE and the list is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_fields_put(
    list: *mut u8,
    size: usize,
    used: usize,
    name: *const c_char,
    name_len: usize,
    value: *const u8,
    value_len: usize,
) -> i64 {
    super::guard_value(i64::from(super::GRPCLB_ERR_PANIC), || {
        // SAFETY: each is the caller's or NULL.
        let parts = unsafe {
            text::slice(name.cast::<u8>(), name_len)
                .and_then(|name| Ok((name, text::slice(value, value_len)?)))
        };
        let (name, value) = match parts {
            Ok(parts) => parts,
            Err(code) => return code.into(),
        };
        let (Ok(name_octets), Ok(value_octets)) = (u16::try_from(name.len()), u16::try_from(value.len()))
        else {
            return super::GRPCLB_ERR_TOO_LARGE.into();
        };
        let needed = 4 + name.len() + value.len();
        if list.is_null() {
            return GRPCLB_ERR_NULL.into();
        }
        if size.checked_sub(used).is_none_or(|room| room < needed) {
            return super::GRPCLB_ERR_TOO_LARGE.into();
        }
        let [a, b] = name_octets.to_be_bytes();
        let [c, d] = value_octets.to_be_bytes();
        // SAFETY: `needed` octets from `used` on are the caller's.
        unsafe {
            let at = list.add(used);
            at.cast::<[u8; 4]>().write([a, b, c, d]);
            copy_nonoverlapping(name.as_ptr(), at.add(4), name.len());
            copy_nonoverlapping(value.as_ptr(), at.add(4 + name.len()), value.len());
        }
        (used + needed) as i64
    })
}

/// The field that begins `at` octets into a packed list: begin with 0, go on with `next` until `name` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_fields_get(list: *const u8, len: usize, at: usize) -> grpclb_field {
    const END: grpclb_field =
        grpclb_field { name: null(), value: null(), name_len: 0, value_len: 0, next: 0 };
    super::guard_value(END, || {
        // SAFETY: the list is the caller's or NULL.
        let Ok(list) = (unsafe { text::slice(list, len) }) else { return END };
        let rest = list.get(at..).unwrap_or_default();
        let mut fields = Fields::new(rest);
        let Some((name, value)) = fields.next() else { return END };
        grpclb_field {
            name: name.as_ptr().cast(),
            value: value.as_ptr(),
            name_len: name.len() as u16,
            value_len: value.len() as u16,
            next: u32::try_from(list.len() - fields.packed().len()).unwrap_or(u32::MAX),
        }
    })
}

/// Most entries of metadata that one head or status may have: they are listed on the stack.
pub(super) const MAX_ENTRIES: usize = 32;

/// The fields of a packed list, as core takes them.
pub(super) struct Listed<'a> {
    fields: [(&'a [u8], &'a [u8]); MAX_ENTRIES],
    len: usize,
}

impl<'a> Listed<'a> {
    /// Reads a list; `pseudo` is shown each field and keeps those it takes for itself.
    pub(super) fn read(
        packed: &'a [u8],
        mut pseudo: impl FnMut(&'a [u8], &'a [u8]) -> bool,
    ) -> Result<Listed<'a>, i32> {
        let mut listed = Listed { fields: [(&[], &[]); MAX_ENTRIES], len: 0 };
        let mut fields = Fields::new(packed);
        for (name, value) in fields.by_ref() {
            if pseudo(name, value) {
                continue;
            }
            let place = listed.fields.get_mut(listed.len).ok_or(GRPCLB_ERR_METADATA)?;
            *place = (name, value);
            listed.len += 1;
        }
        if fields.packed().is_empty() { Ok(listed) } else { Err(GRPCLB_ERR_ARGUMENT) }
    }

    pub(super) fn as_slice(&self) -> &[(&'a [u8], &'a [u8])] {
        self.fields.get(..self.len).unwrap_or_default()
    }
}

/// Runs `then` with the head that a packed list stands for.
pub(super) fn with_head<T>(
    packed: &[u8],
    timeout_ns: u64,
    then: impl FnOnce(&CallHead<'_>) -> Result<T, i32>,
) -> Result<T, i32> {
    let mut head = CallHead {
        timeout: (timeout_ns > 0).then(|| core::time::Duration::from_nanos(timeout_ns)),
        ..CallHead::default()
    };
    let mut scheme_ok = true;
    let listed = Listed::read(packed, |name, value| {
        match name {
            b":path" => head.path = value,
            b":authority" => head.authority = value,
            b":scheme" => {
                head.secure = value == b"https";
                scheme_ok = head.secure || value == b"http";
            }
            b"user-agent" => head.user_agent = value,
            _ => return false,
        }
        true
    })?;
    if !scheme_ok {
        return Err(GRPCLB_ERR_ARGUMENT);
    }
    then(&CallHead { metadata: listed.as_slice(), ..head })
}
