//! What the ready queue holds: an object and how it runs.
//!
//! A lower room that keeps somebody's waiter does not know what it keeps; the room that does says here how to wake it.

use std::sync::OnceLock;

use pyo3::prelude::*;

use crate::ffi::{Ref, Thunk};

/// An object and how it runs.
pub(crate) type Runnable = Thunk;

/// How the native waiter of a future (a task) becomes runnable.
pub(crate) type Waken = fn(Python<'_>, Ref) -> Runnable;

static WAKEN: OnceLock<Waken> = OnceLock::new();

/// Says, once, how waiters become runnable.
pub(crate) fn waken_by(waken: Waken) {
    let _ = WAKEN.set(waken);
}

/// Makes a native waiter runnable.
#[inline]
pub(crate) fn waken(py: Python<'_>, waiter: Ref) -> Option<Runnable> {
    WAKEN.get().map(|waken| waken(py, waiter))
}
