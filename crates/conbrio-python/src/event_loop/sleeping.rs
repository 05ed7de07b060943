//! What ends an `asyncio.sleep`: the timer's callback, known by its arguments, whose work is done natively.
//!
//! Its own room because handles do not know futures.

use std::sync::OnceLock;

use pyo3::prelude::*;

use crate::engine::{self, Engine};
use crate::ffi::{Instance, Object, Outcome, Own, Ref, attribute, is_equal, tuple_items};
use crate::future::Future;
use crate::handle::{TimerHandle, expire};
use crate::names;

/// asyncio's own `_set_result_unless_cancelled`.
static FUNCTION: OnceLock<Py<PyAny>> = OnceLock::new();

/// Remembers that function, unless somebody has put another in its place.
pub(super) fn learn(py: Python<'_>) {
    match usual(py) {
        Ok(Some(function)) => {
            let _ = FUNCTION.set(function.bind(py).to_owned().unbind());
        }
        Ok(None) => {}
        Err(raised) => drop(raised.take()),
    }
}

/// The function, if it is written where it should be.
fn usual(py: Python<'_>) -> Outcome<Option<Ref>> {
    let function = names::set_result_unless_cancelled(py)?;
    let code = attribute(py, function, pyo3::intern!(py, "__code__"))?;
    let told = attribute(py, &code, pyo3::intern!(py, "co_filename"))?;
    let file = attribute(
        py,
        names::futures_module(py)?,
        pyo3::intern!(py, "__file__"),
    )?;
    Ok(is_equal(py, &told, &file)?.then(|| function.share()))
}

/// Whether `callback(*args)` is what ends a sleep that waits for a future of exactly our class.
#[inline]
pub(super) fn ends_by(this: &Instance<Engine>, callback: &Object, args: &[&Object]) -> bool {
    FUNCTION
        .get()
        .is_some_and(|function| function.as_ptr() == callback.as_ptr())
        && !this.debug.get()
        && future_and_result(args).is_some()
}

#[inline]
fn future_and_result<'a>(args: &[&'a Object]) -> Option<(&'a Instance<Future>, &'a Object)> {
    match args {
        [future, result] => Some((Instance::<Future>::of_exact(future)?, result)),
        _ => None,
    }
}

/// The timer is due: gives the future its result, where that is all that the function would do.
pub(super) fn wake(py: Python<'_>, timer: Own<TimerHandle>) -> Outcome<()> {
    let fields = timer.fields();
    let args = fields.args.share_or_none();
    let is_plain = |future: &Instance<Future>| {
        future.is_pending()
            && future.0.event_loop.same(&fields.event_loop)
            && engine::plain(&future.0.event_loop.share_or_none())
                .is_some_and(|engine| !engine.debug.get())
    };
    if fields.cancelled.is_empty()
        && !args.is_none()
        && let Some((future, result)) = future_and_result(tuple_items(&args))
        && is_plain(future)
    {
        return timer.expire_by(py, || future.set_result(py, result.share()));
    }
    expire(py, timer)
}
