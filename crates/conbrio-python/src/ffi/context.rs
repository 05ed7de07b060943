//! `contextvars` contexts: copied, entered and left.

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised, Ref};

/// A copy of the current context.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn copy_current(_py: Python<'_>) -> Outcome<Ref> {
    // SAFETY: attached.
    unsafe { Ref::returned(ffi::PyContext_CopyCurrent()) }
}

/// A copy of `context`.
///
/// # Errors
/// `MemoryError`, `TypeError` if it is no context.
#[inline]
pub(crate) fn copy(_py: Python<'_>, context: &Object) -> Outcome<Ref> {
    // SAFETY: a live object; the call checks that it is a context.
    unsafe { Ref::returned(ffi::PyContext_Copy(context.as_ptr())) }
}

/// Makes `context` the current one; answer it with `leave`.
///
/// # Errors
/// `RuntimeError` if it is entered already, `TypeError` if it is no context.
#[inline]
pub(crate) fn enter(_py: Python<'_>, context: &Object) -> Outcome<()> {
    // SAFETY: a live object; the call checks that it is a context.
    match unsafe { ffi::PyContext_Enter(context.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised::already()),
    }
}

/// Leaves the context that `enter` entered. An exception set meanwhile stays set.
#[inline]
pub(crate) fn leave(_py: Python<'_>, context: &Object) {
    // SAFETY: a live context that this thread entered last.
    unsafe {
        ffi::PyContext_Exit(context.as_ptr());
    }
}
