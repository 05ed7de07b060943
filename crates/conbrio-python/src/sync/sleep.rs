//! `sleep`: a timer that wakes one op.

use conbrio_core::timers::Key;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::engine::{self, Engine};
use crate::ffi::{
    Args, Builtin, Instance, Object, Outcome, Own, Parameters, Ref, Thunk, as_float, call,
    call_method, is_float, raise_in_context, sign_of_int,
};
use crate::op::{self, Deed, Doing, Op};
use crate::{handle, names};

static SLEEP: Builtin = Builtin::of_module(
    c"sleep",
    c"sleep(delay, result=None)\n--\n\nCoroutine that completes after a given time (in seconds).",
    sleep,
);

static DEED: Deed = Deed {
    name: "sleep",
    begin,
    resume,
    abandon: |py, op, exception, _| {
        disarm(py, op)?;
        Err(raise_in_context(&exception))
    },
};

/// What a loop that is not ours calls when the time has come.
static WAKE: Builtin = Builtin::new::<Op, _>(c"wake", |py, op: &Instance<Op>, _: &Object| {
    op.wake(py)?;
    Ok(Ref::none())
});

/// The function `sleep`.
///
/// # Errors
/// `MemoryError`.
pub(super) fn function(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    SLEEP.coroutine_in_module(py, "conbrio")
}

fn sleep(py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
    let [delay, result] = args.parse(&Parameters {
        function: "sleep",
        names: [names::delay(py), names::result(py)],
        positional: 2,
        required: 1,
    })?;
    let made = op::new(py, &DEED, None, result.map(Object::share))?;
    drop(made.extra.replace(delay.map(Object::share)));
    Ok(made.erase())
}

/// Whether there is nothing to wait for but the next turn.
#[inline]
fn is_over(py: Python<'_>, delay: &Object) -> Outcome<bool> {
    if is_float(delay) {
        return Ok(as_float(py, delay)? <= 0.0);
    }
    // Bench: sleep0; no zero is made to compare with.
    if let Some(sign) = sign_of_int(delay) {
        return Ok(sign <= 0);
    }
    Ok(delay.bind(py).le(0)?)
}

fn begin(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let delay = op.extra.take().unwrap_or_else(Ref::none);
    if is_over(py, &delay)? {
        return Ok(Doing::NextTurn);
    }
    if cfg!(Py_3_13) && as_float(py, &delay)?.is_nan() {
        return Err(PyValueError::new_err("Invalid delay: NaN (not a number)").into());
    }
    let event_loop = call(py, names::running_loop(py)?, &[])?;
    arm(py, op, &event_loop, &delay)?;
    op.park(event_loop);
    Ok(Doing::Parked)
}

/// Sets a timer that wakes `op`; its owner and its number are the timer from then on.
///
/// # Errors
/// What the loop raises.
pub(super) fn arm(
    py: Python<'_>,
    op: &Instance<Op>,
    event_loop: &Object,
    delay: &Object,
) -> Outcome<()> {
    if let Some(engine) = engine::plain(event_loop) {
        engine.check_closed()?;
        let when = handle::later(py, engine.now(py)?, delay)?;
        let runnable = Thunk::new(op.own(), |py, op: Own<Op>| {
            op.number.set(0);
            op.wake(py)
        });
        let key = engine.push_timer(py, when, runnable);
        op.number.set(key.to_bits().wrapping_add(1));
        drop(op.owner.replace(Some(event_loop.share())));
        return Ok(());
    }
    let (wake, none) = (WAKE.bind(py, op)?, Ref::none());
    let handle = call_method(
        py,
        event_loop,
        names::call_later(py),
        &[delay, &wake, &none],
    )?;
    drop(op.owner.replace(Some(handle)));
    Ok(())
}

/// Takes the timer back, if it has not come.
///
/// # Errors
/// What a foreign handle's `cancel()` raises.
#[inline]
pub(super) fn disarm(py: Python<'_>, op: &Instance<Op>) -> Outcome<()> {
    let key = op.number.replace(0);
    let Some(owner) = op.owner.take() else {
        return Ok(());
    };
    match Instance::<Engine>::of(&owner) {
        Some(engine) if key != 0 => {
            drop(engine.cancel_timer(py, Key::from_bits(key.wrapping_sub(1))));
        }
        Some(_) => {}
        None => drop(call_method(py, &owner, names::cancel(py), &[])?),
    }
    Ok(())
}

fn resume(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    disarm(py, op)?;
    Ok(Doing::Done(op.item.take().unwrap_or_else(Ref::none)))
}
