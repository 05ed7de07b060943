//! `bytearray` objects as memory that grows.

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised, Ref};

/// Whether `object` is exactly a `bytearray`.
#[inline]
pub(crate) fn is_bytearray(object: &Object) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::PyByteArray_CheckExact(object.as_ptr()) != 0 }
}

/// How many bytes a `bytearray` has.
#[inline]
pub(crate) fn bytearray_len(array: &Object) -> usize {
    if !is_bytearray(array) {
        return 0;
    }
    // SAFETY: a live `bytearray`.
    unsafe { ffi::PyByteArray_Size(array.as_ptr()).unsigned_abs() }
}

/// Adds a copy of `bytes` to a `bytearray`.
///
/// # Errors
/// `BufferError` while somebody has borrowed its memory, `MemoryError`.
#[inline]
pub(crate) fn extend_bytearray(_py: Python<'_>, array: &Object, bytes: &[u8]) -> Outcome<()> {
    let before = bytearray_len(array);
    if !is_bytearray(array) {
        return Ok(());
    }
    // SAFETY: a live `bytearray`, which has room for both once it has been resized.
    unsafe {
        let size = (before + bytes.len()).cast_signed();
        if ffi::PyByteArray_Resize(array.as_ptr(), size) < 0 {
            return Err(Raised::already());
        }
        let room = ffi::PyByteArray_AsString(array.as_ptr())
            .cast::<u8>()
            .add(before);
        room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
    Ok(())
}

/// A `bytearray` with a copy of `bytes`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn bytearray(_py: Python<'_>, bytes: &[u8]) -> Outcome<Ref> {
    // SAFETY: `bytes` is readable for its length.
    unsafe {
        Ref::returned(ffi::PyByteArray_FromStringAndSize(
            bytes.as_ptr().cast(),
            bytes.len().cast_signed(),
        ))
    }
}
