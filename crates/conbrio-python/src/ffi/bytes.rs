//! `bytes` objects as memory: made exactly as long as what was received, and kept by reference until they are sent.

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised, Ref};

unsafe extern "C" {
    fn _PyBytes_Resize(object: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> std::ffi::c_int;
}

/// A `bytes` object, of exactly that class, that somebody still reads; its memory never changes nor moves.
pub(crate) struct Bytes(Ref);

impl Bytes {
    /// Shares `object`, if it is exactly a `bytes`: a derived class may run code when it dies.
    #[inline]
    pub(crate) fn share(object: &Object) -> Option<Self> {
        // SAFETY: a live object.
        (unsafe { ffi::PyBytes_CheckExact(object.as_ptr()) } != 0).then(|| Self(object.share()))
    }

    /// The object, once more.
    pub(crate) fn object(&self) -> Ref {
        self.0.share()
    }
}

impl AsRef<[u8]> for Bytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a live `bytes`; what it points to is as long as it says and lives as long as it does.
        unsafe {
            let length = ffi::Py_SIZE(self.0.as_ptr()).unsigned_abs();
            std::slice::from_raw_parts(ffi::PyBytes_AS_STRING(self.0.as_ptr()).cast(), length)
        }
    }
}

/// A `bytes` object with a copy of `content`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn bytes(_py: Python<'_>, content: &[u8]) -> Outcome<Ref> {
    // SAFETY: `content` is readable for its length.
    unsafe {
        Ref::returned(ffi::PyBytes_FromStringAndSize(
            content.as_ptr().cast(),
            content.len().cast_signed(),
        ))
    }
}

/// A `bytes` object of what `fill` writes into `room` bytes of fresh memory, and its length; nothing is made of a failure.
///
/// # Errors
/// `MemoryError`.
#[inline]
#[expect(
    clippy::type_complexity,
    reason = "two kinds of failure, and neither is a room's own"
)]
pub(crate) fn filled_bytes<E>(
    _py: Python<'_>,
    room: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> Outcome<Result<(Ref, usize), E>> {
    // SAFETY: the fresh object is unshared until it is returned; `fill` sees its memory as never written, and says how
    // much of it now is. The resize takes over the reference and gives one back, or raises.
    unsafe {
        let fresh = Ref::returned(ffi::PyBytes_FromStringAndSize(
            std::ptr::null(),
            room.cast_signed(),
        ))?;
        let memory = ffi::PyBytes_AS_STRING(fresh.as_ptr()).cast_mut().cast();
        let length = match fill(std::slice::from_raw_parts_mut(memory, room)) {
            Ok(length) => length.min(room),
            Err(error) => return Ok(Err(error)),
        };
        let mut object = fresh.into_ptr();
        if length < room && _PyBytes_Resize(&raw mut object, length.cast_signed()) < 0 {
            return Err(Raised::already());
        }
        Ok(Ok((Ref::steal(object), length)))
    }
}
