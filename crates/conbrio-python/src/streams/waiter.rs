//! The future that a reader's wait stands on: told that there is something to read, or why there will never be.

use pyo3::prelude::*;

use crate::ffi::{Instance, Object, Outcome, Ref, call_method, is_true};
use crate::future::{Future, instance_of};
use crate::names;
use crate::op::Op;

/// Ends the wait, unless it was cancelled.
///
/// # Errors
/// `InvalidStateError` when it has ended, and what somebody else's future raises.
#[inline]
pub(super) fn wake(py: Python<'_>, waiter: &Object) -> Outcome<()> {
    if let Some(op) = Instance::<Op>::of_exact(waiter) {
        return op.wake(py);
    }
    if let Some(future) = Instance::<Future>::of_exact(waiter) {
        if future.is_cancelled() {
            return Ok(());
        }
        return future.set_result(py, Ref::none());
    }
    if is_cancelled(py, waiter)? {
        return Ok(());
    }
    call_method(py, waiter, names::set_result(py), &[&Ref::none()]).map(drop)
}

/// Ends the wait with `exception`, unless it was cancelled.
///
/// # Errors
/// As `wake`.
pub(super) fn disappoint(py: Python<'_>, waiter: &Object, exception: &Object) -> Outcome<()> {
    if let Some(op) = Instance::<Op>::of_exact(waiter) {
        if !op.is_done() {
            op.extra.set(instance_of(py, exception)?);
        }
        return op.wake(py);
    }
    if is_cancelled(py, waiter)? {
        return Ok(());
    }
    call_method(py, waiter, names::set_exception(py), &[exception]).map(drop)
}

fn is_cancelled(py: Python<'_>, waiter: &Object) -> Outcome<bool> {
    is_true(py, &*call_method(py, waiter, names::cancelled(py), &[])?)
}
