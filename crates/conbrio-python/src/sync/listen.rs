//! Hearing of the end of a future, whosever it is: natively where it is ours, as a callback where it is not.

use pyo3::prelude::*;

use super::line::is_done;
use crate::ffi::{Builtin, Class, Instance, Object, Outcome, Ref, call, call_method, is_true};
use crate::future::{park, unpark};
use crate::names;
use crate::task::as_exact_future;

/// Lets `listener` hear of the end of `child`: `hear` is what others than our futures call.
///
/// # Errors
/// What adding a callback raises.
pub(super) fn listen<T: Class>(
    py: Python<'_>,
    child: &Object,
    listener: &Instance<T>,
    hear: &'static Builtin,
) -> Outcome<()> {
    if let Some(future) = as_exact_future(child) {
        return park(py, future, listener.object().share());
    }
    let callback = hear.bind(py, listener)?;
    call_method(py, child, names::add_done_callback(py), &[&callback]).map(drop)
}

/// Undoes `listen`.
///
/// # Errors
/// What removing a callback raises.
pub(super) fn forget<T: Class>(
    py: Python<'_>,
    child: &Object,
    listener: &Instance<T>,
    hear: &'static Builtin,
) -> Outcome<()> {
    if let Some(future) = as_exact_future(child) {
        return unpark(py, future, listener.object());
    }
    let callback = hear.bind(py, listener)?;
    call_method(py, child, names::remove_done_callback(py), &[&callback]).map(drop)
}

/// The task that runs, which futures are shown to be awaited by: from 3.14 on.
///
/// # Errors
/// When it cannot be asked for.
pub(super) fn awaiting_task(py: Python<'_>, event_loop: &Object) -> Outcome<Option<Ref>> {
    if !cfg!(Py_3_14) {
        return Ok(None);
    }
    let task = call(py, names::current_task(py)?, &[event_loop])?;
    Ok((!task.is_none()).then_some(task))
}

/// Remembers that `task` awaits `child`, where tools look for that.
///
/// # Errors
/// What asyncio's function raises.
pub(super) fn set_awaited(py: Python<'_>, child: &Object, task: Option<&Object>) -> Outcome<()> {
    match (task, as_exact_future(child)) {
        (Some(task), Some(future)) => future.0.set_awaited_by(task),
        (Some(task), None) => {
            call(py, names::add_to_awaited_by(py)?, &[child, task])?;
        }
        (None, _) => {}
    }
    Ok(())
}

/// Undoes `set_awaited`.
///
/// # Errors
/// What asyncio's function raises.
pub(super) fn unset_awaited(py: Python<'_>, child: &Object, task: Option<&Object>) -> Outcome<()> {
    match (task, as_exact_future(child)) {
        (Some(task), Some(future)) => future.0.unset_awaited_by(task),
        (Some(task), None) => {
            call(py, names::discard_from_awaited_by(py)?, &[child, task])?;
        }
        (None, _) => {}
    }
    Ok(())
}

/// Whether a future has ended.
///
/// # Errors
/// What a foreign `done()` raises.
pub(super) fn has_ended(py: Python<'_>, child: &Object) -> Outcome<bool> {
    match as_exact_future(child) {
        Some(future) => Ok(!future.is_pending()),
        None => is_done(py, child),
    }
}

/// Whether a future that has ended has failed; its exception counts as seen.
///
/// # Errors
/// What a foreign future raises.
pub(super) fn has_failed(py: Python<'_>, child: &Object) -> Outcome<bool> {
    if let Some(future) = as_exact_future(child) {
        if future.is_cancelled() {
            return Ok(false);
        }
        future.0.set_logs(false);
        return Ok(!future.0.exception.is_empty());
    }
    if is_true(py, &*call_method(py, child, names::cancelled(py), &[])?)? {
        return Ok(false);
    }
    Ok(!call_method(py, child, names::exception(py), &[])?.is_none())
}
