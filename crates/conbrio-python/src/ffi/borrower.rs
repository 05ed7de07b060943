//! Built-in methods that use memory of ours during a call, and no longer.

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;

use super::call::call;
use super::object::{Object, Outcome, Ref, object};
use super::visit::Visit;

/// A method in C of a class that gives back each buffer before it returns.
pub(crate) struct Borrower(Ref);

impl Borrower {
    /// `method`, if it is a built-in one of an object of exactly `class`, which is to be one of CPython's `_ssl`.
    pub(crate) fn of(method: Ref, class: &Object) -> Option<Self> {
        // SAFETY: a live object; what a built-in method is bound to lives as long as it.
        let known = unsafe {
            ffi::PyCFunction_Check(method.as_ptr()) != 0
                && std::ptr::NonNull::new(ffi::PyCFunction_GetSelf(method.as_ptr()))
                    .is_some_and(|owner| ffi::Py_TYPE(owner.as_ptr()).cast() == class.as_ptr())
        };
        known.then(|| Self(method))
    }

    /// Calls the method with `memory` to read.
    ///
    /// # Errors
    /// What the method raises.
    #[inline]
    pub(crate) fn lend(&self, py: Python<'_>, memory: &[u8]) -> Outcome<Ref> {
        // SAFETY: the view is only read, and by the method alone, which gives it back before `memory` is.
        let view = unsafe {
            Ref::returned(ffi::PyMemoryView_FromMemory(
                memory.as_ptr().cast_mut().cast(),
                memory.len().cast_signed(),
                ffi::PyBUF_READ,
            ))
        }?;
        call(py, &self.0, &[&view])
    }

    /// Calls the method with the length of `room` and `room`, to be filled from its beginning.
    ///
    /// # Errors
    /// What the method raises.
    #[inline]
    pub(crate) fn fill(&self, py: Python<'_>, room: &mut [MaybeUninit<u8>]) -> Outcome<Ref> {
        let length = room.len().cast_signed();
        // SAFETY: the view is only written, and by the method alone, which gives it back before `room` is.
        let view = unsafe {
            Ref::returned(ffi::PyMemoryView_FromMemory(
                room.as_mut_ptr().cast(),
                length,
                ffi::PyBUF_WRITE,
            ))
        }?;
        let Ok(length) = length.into_pyobject(py);
        call(py, &self.0, &[object(&length), &view])
    }

    /// Shows the collector the method.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        visit.reference(&self.0);
    }
}
