//! Whether anybody hears the interpreter's audit events.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::take_raised;

unsafe extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// Refuses to be an argument: it is only asked for when there is somebody to show it to.
unsafe extern "C" fn refuse(_place: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: called with the interpreter's lock; sets the exception that a null pointer promises.
    unsafe { ffi::PyErr_NoMemory() }
}

/// Whether there is an audit hook, to which every event of a socket belongs.
///
/// Shows it nothing: the event's argument is refused before a hook is called.
#[inline]
pub(crate) fn is_audited(py: Python<'_>) -> bool {
    let converter: unsafe extern "C" fn(*mut c_void) -> *mut ffi::PyObject = refuse;
    let nothing: *mut c_void = ptr::null_mut();
    // SAFETY: `O&` takes a converter and its argument, and the event is a C string.
    let answer = unsafe {
        PySys_Audit(
            c"socket.connect".as_ptr(),
            c"O&".as_ptr(),
            converter,
            nothing,
        )
    };
    if answer != 0 {
        drop(take_raised(py));
    }
    answer != 0
}
