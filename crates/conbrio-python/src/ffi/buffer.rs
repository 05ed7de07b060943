//! The memory that an object lends by the buffer protocol.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised};

/// Memory lent by an object, given back when this value dies.
pub(crate) struct Buffer {
    view: Box<ffi::Py_buffer>,
    writable: bool,
}

impl Buffer {
    /// Borrows memory to read.
    ///
    /// # Errors
    /// What the object raises; `TypeError` when it lends none.
    #[inline]
    pub(crate) fn to_read(_py: Python<'_>, object: &Object) -> Outcome<Self> {
        Self::borrow(object, ffi::PyBUF_SIMPLE)
    }

    /// Borrows memory to write; `whose` argument it is, an error says.
    ///
    /// # Errors
    /// `TypeError`, as of CPython's own functions, when the object lends none that may be written.
    #[inline]
    pub(crate) fn to_write(_py: Python<'_>, object: &Object, whose: &str) -> Outcome<Self> {
        Self::borrow(object, ffi::PyBUF_WRITABLE).map_err(|raised| {
            drop(raised.take());
            // SAFETY: a live object's class has a name.
            let class = unsafe { CStr::from_ptr((*object.class()).tp_name) };
            let class = if object.is_none() {
                "None".into()
            } else {
                class.to_string_lossy()
            };
            PyTypeError::new_err(format!(
                "{whose} must be read-write bytes-like object, not {class}"
            ))
            .into()
        })
    }

    fn borrow(object: &Object, flags: std::ffi::c_int) -> Outcome<Self> {
        // SAFETY: a zeroed view is filled by the call, and dropped unreleased if it fails.
        unsafe {
            let mut view = Box::new(ffi::Py_buffer::new());
            match ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, flags) {
                0 => Ok(Self {
                    view,
                    writable: flags == ffi::PyBUF_WRITABLE,
                }),
                _ => Err(Raised::already()),
            }
        }
    }

    /// How many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.view.len.unsigned_abs()
    }

    /// Copies the bytes.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.read(<[u8]>::to_vec)
    }

    /// Lends the bytes for the length of `user`, which runs no Python code.
    #[inline]
    pub(crate) fn read<R>(&self, user: impl FnOnce(&[u8]) -> R) -> R {
        if self.view.buf.is_null() {
            return user(&[]);
        }
        // SAFETY: the object keeps the memory in place while the view is open; nobody writes it while this thread holds
        // the interpreter's lock and runs no Python code.
        user(unsafe { std::slice::from_raw_parts(self.view.buf.cast(), self.len()) })
    }

    /// Lends the memory to be written for the length of `user`, which runs no Python code; none if it was borrowed to read.
    #[inline]
    pub(crate) fn write<R>(&self, user: impl FnOnce(&mut [MaybeUninit<u8>]) -> R) -> R {
        if self.view.buf.is_null() || !self.writable {
            return user(&mut []);
        }
        // SAFETY: as `read`; the object has agreed to be written.
        user(unsafe { std::slice::from_raw_parts_mut(self.view.buf.cast(), self.len()) })
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the view was filled and is released once, on an attached thread (it holds raw pointers, so stays here).
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) }
    }
}
