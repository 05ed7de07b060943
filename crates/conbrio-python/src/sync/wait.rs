//! `wait`: until the first of several futures has ended, or has failed, or all have ended, or the time is up.
//!
//! The wait is one op, which the futures themselves hold as their waiter. Its item is the set of futures, its extra the
//! task that is shown to await them (3.14), its owner and number the timer.

use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::listen::{
    awaiting_task, forget, has_ended, has_failed, listen, set_awaited, unset_awaited,
};
use super::sleep::{arm, disarm};
use crate::ffi::{
    Args, Builtin, Instance, Object, Outcome, Parameters, Ref, call, context, is_true, object,
    raise_in_context, tuple,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op};
use crate::task::as_exact_future;

static WAIT: Builtin = Builtin::of_module(
    c"wait",
    c"wait(fs, *, timeout=None, return_when='ALL_COMPLETED')\n--\n\nWait for futures and tasks; awaited, it returns two sets, of those that have ended and of those that have not.",
    |py, args: Args<'_>| {
        let [futures, timeout, return_when] = args.parse(&Parameters {
            function: "wait",
            names: [names::fs(py), names::timeout(py), names::return_when(py)],
            positional: 1,
            required: 1,
        })?;
        let held = |given: Option<&Object>| given.map(Object::share);
        let made = op::new(py, &DEED, held(futures), held(timeout))?;
        drop(made.extra.replace(held(return_when)));
        Ok(made.erase())
    },
);

/// What futures that are not ours call.
static HEAR: Builtin = Builtin::new::<Op, _>(
    c"_on_completion",
    |py, op: &Instance<Op>, child: &Object| {
        hear(py, op, child)?;
        Ok(Ref::none())
    },
);

static DEED: Deed = Deed {
    name: "wait",
    begin,
    resume,
    abandon: |py, op, exception, _| {
        leave(py, op)?;
        Err(raise_in_context(&exception))
    },
};

/// What ends the wait, by the names that asyncio gives it; the op's phase is the index.
const ENDS: [&str; 3] = ["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"];
const FIRST: u8 = 0;
const FAILURE: u8 = 1;
const ALL: u8 = 2;

/// The function `wait`.
///
/// # Errors
/// `MemoryError`.
pub(super) fn function(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    WAIT.coroutine_in_module(py, "conbrio")
}

fn begin(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let given = op.owner.take().unwrap_or_else(Ref::none);
    let timeout = op.item.take().unwrap_or_else(Ref::none);
    let return_when = op.extra.take();
    check_container(py, &given)?;
    op.phase.set(match &return_when {
        Some(given) => ending(py, given)?,
        None => ALL,
    });
    let set = py.get_type::<PySet>();
    let futures = call(py, object(&set), &[&given])?;
    drop(given);
    let mut count = 0;
    for child in futures.bind(py).try_iter()? {
        check(py, object(&child?))?;
        count += 1;
    }
    op.count.set(count);
    if count == 0 {
        // CPython: an assertion guards it.
        return Err(PyAssertionError::new_err("Set of Futures is empty.").into());
    }
    let event_loop = call(py, names::running_loop(py)?, &[])?;
    if !timeout.is_none() {
        arm(py, op, &event_loop, &timeout)?;
    }
    drop(op.extra.replace(awaiting_task(py, &event_loop)?));
    drop(op.item.replace(Some(futures)));
    if let Err(raised) = begin_to_listen(py, op) {
        let exception = raised.take();
        disarm(py, op)?;
        return Err(crate::ffi::raise(exception));
    }
    op.park(event_loop);
    Ok(Doing::Parked)
}

fn check_container(py: Python<'_>, given: &Object) -> Outcome<()> {
    let is_one = is_true(py, &*call(py, names::is_future(py)?, &[given])?)?
        || is_true(py, &*call(py, names::is_coroutine(py)?, &[given])?)?;
    if is_one {
        let kind = given.bind(py).get_type().name()?.to_string();
        let text = format!("expect a list of futures, not {kind}");
        return Err(PyTypeError::new_err(text).into());
    }
    if !is_true(py, given)? {
        return Err(PyValueError::new_err("Set of Tasks/Futures is empty.").into());
    }
    Ok(())
}

/// Which of the ends was asked for.
fn ending(py: Python<'_>, given: &Object) -> Outcome<u8> {
    for (name, index) in ENDS.iter().zip(FIRST..) {
        if given.bind(py).eq(*name)? {
            return Ok(index);
        }
    }
    let text = format!("Invalid return_when value: {}", given.bind(py).str()?);
    Err(PyValueError::new_err(text).into())
}

/// Refuses coroutines.
fn check(py: Python<'_>, child: &Object) -> Outcome<()> {
    if as_exact_future(child).is_none()
        && is_true(py, &*call(py, names::is_coroutine(py)?, &[child])?)?
    {
        let text = "Passing coroutines is forbidden, use tasks explicitly.";
        return Err(PyTypeError::new_err(text).into());
    }
    Ok(())
}

fn begin_to_listen(py: Python<'_>, op: &Instance<Op>) -> Outcome<()> {
    let (futures, task) = (op.item.share_or_none(), op.extra.share());
    for child in futures.bind(py).try_iter()? {
        let child = child?;
        listen(py, object(&child), op, &HEAR)?;
        set_awaited(py, object(&child), task.as_deref())?;
    }
    Ok(())
}

/// As a callback of asyncio's: what is called, and in which context.
///
/// # Errors
/// `MemoryError`.
pub(super) fn shown(py: Python<'_>, op: &Instance<Op>) -> Outcome<(Ref, Ref)> {
    Ok((HEAR.bind(py, op)?, context::copy_current(py)?))
}

/// Hears that `child` has ended.
///
/// # Errors
/// What waking raises, and what a foreign future does.
pub(super) fn hear(py: Python<'_>, op: &Instance<Op>, child: &Object) -> Outcome<()> {
    let missing = op.count.get().saturating_sub(1);
    op.count.set(missing);
    let is_over = missing == 0
        || op.phase.get() == FIRST
        || op.phase.get() == FAILURE && has_failed(py, child)?;
    let task = op.extra.share();
    if is_over && !op.item.is_empty() {
        disarm(py, op)?;
        op.wake(py)?;
    }
    unset_awaited(py, child, task.as_deref())
}

/// Hears of nothing any more.
fn leave(py: Python<'_>, op: &Instance<Op>) -> Outcome<()> {
    disarm(py, op)?;
    let (futures, task) = (op.item.share_or_none(), op.extra.share());
    for child in futures.bind(py).try_iter()? {
        let child = child?;
        forget(py, object(&child), op, &HEAR)?;
        unset_awaited(py, object(&child), task.as_deref())?;
    }
    Ok(())
}

fn resume(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    leave(py, op)?;
    let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
    for child in op.item.share_or_none().bind(py).try_iter()? {
        let child = child?;
        if has_ended(py, object(&child))? {
            done.add(child)?;
        } else {
            pending.add(child)?;
        }
    }
    Ok(Doing::Done(tuple(py, &[object(&done), object(&pending)])?))
}
