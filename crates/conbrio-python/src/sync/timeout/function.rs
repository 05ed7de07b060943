//! `timeout` and `timeout_at`: what makes a `Timeout`, without calling its class where that would do no more.

use pyo3::prelude::*;

use super::{Timeout, running};
use crate::engine::Engine;
use crate::ffi::{
    Args, Builtin, Instance, Object, Outcome, Own, Parameters, Ref, Slot, as_float, call,
    call_method, float, is_float, is_int,
};
use crate::names;

static TIMEOUT: Builtin = Builtin::of_module(
    c"timeout",
    c"timeout(delay)\n--\n\nReturn what cancels the block of an `async with` after a time in seconds; None is never.",
    timeout,
);

static TIMEOUT_AT: Builtin = Builtin::of_module(
    c"timeout_at",
    c"timeout_at(when)\n--\n\nReturn what cancels the block of an `async with` at a time of the loop's clock; None is never.",
    |py, args: Args<'_>| {
        let [when] = args.parse(&Parameters {
            function: "timeout_at",
            names: [names::when(py)],
            positional: 1,
            required: 1,
        })?;
        make(py, when.map_or_else(Ref::none, Object::share))
    },
);

/// Adds the functions.
///
/// # Errors
/// `MemoryError`.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("timeout", TIMEOUT.in_module(py, "conbrio")?)?;
    module.add("timeout_at", TIMEOUT_AT.in_module(py, "conbrio")?)
}

fn timeout(py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
    let [delay] = args.parse(&Parameters {
        function: "timeout",
        names: [names::delay(py)],
        positional: 1,
        required: 1,
    })?;
    let event_loop = match running(py) {
        (_, Some(event_loop)) => event_loop,
        _ => call(py, names::running_loop(py)?, &[])?,
    };
    let delay = delay.map_or_else(Ref::none, Object::share);
    if delay.is_none() {
        return make(py, delay);
    }
    let engine = Instance::<Engine>::of(&event_loop).filter(|engine| engine.plain_clock.get());
    let Some(engine) = engine else {
        let now = call_method(py, &event_loop, names::time(py), &[])?;
        return make(py, Ref::from(now.bind(py).add(delay.bind(py))?));
    };
    let now = engine.now(py)?;
    if !is_float(&delay) && !is_int(&delay) {
        let now = float(py, now)?;
        return make(py, Ref::from(now.bind(py).add(delay.bind(py))?));
    }
    // Bench: timeout_ctx; the sum that Python would make of the two, without the objects.
    let moment = now + as_float(py, &delay)?;
    match Own::new_usual(py, Timeout::new(Slot::empty(), moment))? {
        Some(made) => Ok(made.erase()),
        None => make(py, float(py, moment)?),
    }
}

fn make(py: Python<'_>, when: Ref) -> Outcome<Ref> {
    call(py, names::own_timeout_class(py)?, &[&when])
}
