//! What an object shows the garbage collector.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use pyo3::ffi;

use super::object::{Ref, Slot};

/// The collector's visit to one object; remembers the first refusal and visits nothing after it.
pub(crate) struct Visit<'a> {
    callback: ffi::visitproc,
    arg: *mut c_void,
    answer: c_int,
    lifetime: PhantomData<&'a ()>,
}

impl Visit<'_> {
    /// A visit by the collector's callback.
    pub(super) fn new(callback: ffi::visitproc, arg: *mut c_void) -> Self {
        Self {
            callback,
            arg,
            answer: 0,
            lifetime: PhantomData,
        }
    }

    /// Shows what `slot` holds.
    #[inline]
    pub(crate) fn slot(&mut self, slot: &Slot) {
        self.pointer(slot.pointer());
    }

    /// Shows an owned reference.
    #[inline]
    pub(crate) fn reference(&mut self, reference: &Ref) {
        self.pointer(reference.as_ptr());
    }

    /// Shows an object by address, null for none.
    #[inline]
    pub(super) fn pointer(&mut self, pointer: *mut ffi::PyObject) {
        // Most places are empty: they are asked about first, and the answer once for each visit that is made.
        if !pointer.is_null() && self.answer == 0 {
            // SAFETY: the collector's own callback, given a live object that the visited one refers to.
            self.answer = unsafe { (self.callback)(pointer, self.arg) };
        }
    }

    /// Lets CPython show something with the collector's callback.
    #[cfg(Py_3_13)]
    pub(super) fn relay(&mut self, show: impl FnOnce(ffi::visitproc, *mut c_void) -> c_int) {
        if self.answer == 0 {
            self.answer = show(self.callback, self.arg);
        }
    }

    /// What to tell the collector.
    pub(super) fn answer(&self) -> c_int {
        self.answer
    }
}
