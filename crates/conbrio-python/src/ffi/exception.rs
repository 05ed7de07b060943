//! What an exception carries, read and set as the interpreter does it: attributes of a class's own have no say.

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised, Ref};

/// The traceback of `exception`, an instance.
pub(crate) fn traceback(_py: Python<'_>, exception: &Object) -> Option<Ref> {
    // SAFETY: a live exception; what comes back is owned, or null.
    unsafe {
        let traceback = ffi::PyException_GetTraceback(exception.as_ptr());
        (!traceback.is_null()).then(|| Ref::steal(traceback))
    }
}

/// Gives `exception`, an instance, a traceback, or none.
///
/// # Errors
/// `TypeError` when `traceback` is none.
pub(crate) fn set_traceback(
    _py: Python<'_>,
    exception: &Object,
    traceback: Option<&Object>,
) -> Outcome<()> {
    // SAFETY: a live exception, and any live object.
    unsafe {
        let traceback = traceback.map_or_else(|| ffi::Py_None(), Object::as_ptr);
        match ffi::PyException_SetTraceback(exception.as_ptr(), traceback) {
            0 => Ok(()),
            _ => Err(Raised::already()),
        }
    }
}

/// Gives `exception`, an instance, a cause, another.
pub(crate) fn set_cause(_py: Python<'_>, exception: &Object, cause: Ref) {
    // SAFETY: two live exceptions; the call takes over the reference.
    unsafe { ffi::PyException_SetCause(exception.as_ptr(), cause.into_ptr()) }
}

/// Gives `exception`, an instance, a context, another.
pub(crate) fn set_context(_py: Python<'_>, exception: &Object, context: Ref) {
    // SAFETY: two live exceptions; the call takes over the reference.
    unsafe { ffi::PyException_SetContext(exception.as_ptr(), context.into_ptr()) }
}
