//! Where the state of a thread says that it is traced, and the proof that it is there.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

/// How deep the thread is in code that is not traced, and, right behind, what calls the trace function.
const PLACES: (usize, usize) = if cfg!(Py_3_15) {
    (64, 112)
} else if cfg!(Py_3_13) {
    (60, 88)
} else {
    (44, 72)
};

/// Whether the places are where they should be.
static PROVED: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn PyThreadState_EnterTracing(state: *mut ffi::PyThreadState);
    fn PyThreadState_LeaveTracing(state: *mut ffi::PyThreadState);
}

/// Whether a debugger, or something like it, has given this thread a trace function.
#[inline]
pub(crate) fn is_traced(_py: Python<'_>) -> bool {
    // SAFETY: attached; the place was found in a state of the same layout.
    PROVED.load(Ordering::Relaxed)
        && unsafe {
            let state = ffi::PyThreadState_Get();
            !state
                .byte_add(PLACES.1)
                .cast::<*const c_void>()
                .read()
                .is_null()
        }
}

/// Compares the layout with this thread's state: the depth is in its place if it follows what changes it.
pub(crate) fn prove_tracing(_py: Python<'_>) {
    // SAFETY: attached; both places lie within the state of every version, which is larger by far.
    let proved = unsafe {
        let state = ffi::PyThreadState_Get();
        let depth = || state.byte_add(PLACES.0).cast::<c_int>().read_volatile();
        let before = depth();
        PyThreadState_EnterTracing(state);
        let within = depth();
        PyThreadState_LeaveTracing(state);
        within == before + 1 && depth() == before
    };
    PROVED.store(proved, Ordering::Relaxed);
}
