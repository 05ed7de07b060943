//! What the ready queue holds: an object and how it runs.
//!
//! A lower room that keeps somebody's waiter does not know what it keeps; the room that does says here how to wake it.

use std::sync::OnceLock;

use pyo3::prelude::*;

use crate::ffi::{Object, Outcome, Ref, Thunk};

/// An object and how it runs.
pub(crate) type Runnable = Thunk;

/// How the native waiter of a future (a task) becomes runnable, when that future has ended.
pub(crate) type Waken = fn(Python<'_>, &Object, Ref) -> Runnable;

/// What Python is shown in a native waiter's place: a callable, and the context it is called in.
pub(crate) type Shown = fn(Python<'_>, &Object) -> Outcome<(Ref, Ref)>;

static WAKEN: OnceLock<(Waken, Shown)> = OnceLock::new();

/// Says, once, how waiters become runnable, and how they are shown.
pub(crate) fn waken_by(waken: Waken, shown: Shown) {
    let _ = WAKEN.set((waken, shown));
}

/// Makes a native waiter of `ended` runnable.
#[inline]
pub(crate) fn waken(py: Python<'_>, ended: &Object, waiter: Ref) -> Option<Runnable> {
    WAKEN.get().map(|(waken, _)| waken(py, ended, waiter))
}

/// A native waiter as Python is shown it.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn shown(py: Python<'_>, waiter: &Object) -> Outcome<(Ref, Ref)> {
    match WAKEN.get() {
        Some((_, shown)) => shown(py, waiter),
        None => Ok((waiter.share(), Ref::none())),
    }
}
