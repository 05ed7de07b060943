//! Where the state of a thread says that somebody looks on, a debugger or the like, and the proof that it is there.
//!
//! From 3.13 on: the version of the instrumentation, which is zero until somebody has asked for events. On 3.12: the
//! function that traces this thread.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether the places are where they should be.
static PROVED: AtomicBool = AtomicBool::new(false);

/// Whether somebody looks on, or has.
#[inline]
pub(crate) fn is_watched(_py: Python<'_>) -> bool {
    // SAFETY: attached; the place was found in a state of the same layout.
    PROVED.load(Ordering::Relaxed) && unsafe { place::is_watched(ffi::PyThreadState_Get()) }
}

/// Compares the layout with this thread's state.
pub(crate) fn prove_tracing(_py: Python<'_>) {
    // SAFETY: attached.
    let proved = unsafe { place::holds(ffi::PyThreadState_Get()) };
    PROVED.store(proved, Ordering::Relaxed);
}

#[cfg(Py_3_13)]
mod place {
    use pyo3::ffi;

    const INTERPRETER: usize = 16;
    /// The word in whose upper part the version stands.
    const BREAKER: usize = 24;
    /// How many bits of that word are something else.
    const EVENTS: u32 = 8;

    #[inline]
    pub(super) unsafe fn is_watched(state: *mut ffi::PyThreadState) -> bool {
        // SAFETY: a live state, as `holds` has found it.
        unsafe { state.byte_add(BREAKER).cast::<usize>().read() >> EVENTS != 0 }
    }

    /// The word is where it should be if the one before it is.
    pub(super) unsafe fn holds(state: *mut ffi::PyThreadState) -> bool {
        // SAFETY: a live state, which is larger by far.
        unsafe {
            let before = state
                .byte_add(INTERPRETER)
                .cast::<*mut ffi::PyInterpreterState>();
            before.read() == ffi::PyThreadState_GetInterpreter(state)
        }
    }
}

#[cfg(not(Py_3_13))]
mod place {
    use std::ffi::{c_int, c_void};

    use pyo3::ffi;

    /// How deep the thread is in code that is not traced.
    const DEPTH: usize = 44;
    /// What calls the trace function.
    const FUNCTION: usize = 72;

    unsafe extern "C" {
        fn PyThreadState_EnterTracing(state: *mut ffi::PyThreadState);
        fn PyThreadState_LeaveTracing(state: *mut ffi::PyThreadState);
    }

    #[inline]
    pub(super) unsafe fn is_watched(state: *mut ffi::PyThreadState) -> bool {
        // SAFETY: a live state, as `holds` has found it.
        unsafe {
            !state
                .byte_add(FUNCTION)
                .cast::<*const c_void>()
                .read()
                .is_null()
        }
    }

    /// The depth is in its place if it follows what changes it, and the function is right behind.
    pub(super) unsafe fn holds(state: *mut ffi::PyThreadState) -> bool {
        // SAFETY: a live state, which is larger by far.
        unsafe {
            let depth = || state.byte_add(DEPTH).cast::<c_int>().read_volatile();
            let before = depth();
            PyThreadState_EnterTracing(state);
            let within = depth();
            PyThreadState_LeaveTracing(state);
            within == before + 1 && depth() == before
        }
    }
}
