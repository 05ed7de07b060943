//! Tasks and futures that are not ours: those of a task factory, and CPython's own where a layout could not be proved.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::engine::Engine;
use crate::ffi::{Args, Instance, Outcome, Ref, attribute};
use crate::names;

/// Whether CPython's own Task and Future are used.
static ON: AtomicBool = AtomicBool::new(false);

/// Uses CPython's own Task and Future from now on.
pub(crate) fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Whether CPython's own Task and Future are used.
#[inline]
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// What `BaseEventLoop.create_future` does.
pub(super) fn create_future(py: Python<'_>, this: &Instance<Engine>) -> Outcome<Ref> {
    Ok(names::base_event_loop(py)?
        .bind(py)
        .call_method1("create_future", (this.object().bind(py),))?
        .into())
}

/// What the running version's `BaseEventLoop.create_task` does, its way with task factories included.
pub(super) fn create_task(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let create = attribute(py, names::base_event_loop(py)?, names::create_task(py))?;
    args.forward(py, &create, this.object())
}
