//! `gather`: one future of several, which hears of each end without a Python call.
//!
//! Coroutines, and futures and tasks of exactly our classes on a loop of ours, are gathered here; asyncio's own function
//! gathers everything else, so that whatever is special about that happens as it does there.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::engine::{self, Engine};
use crate::ffi::layout::FutureFields;
use crate::ffi::{
    Args, Builder, Builtin, Instance, Object, Outcome, Own, Parameters, Ref, Slot, call, context,
    is_coroutine, is_true, object,
};
use crate::future::{Future, Gathering, park};
use crate::names;
use crate::op::Op;
use crate::task::{self, Making};

static GATHER: Builtin = Builtin::of_module(
    c"gather",
    c"gather(*coros_or_futures, return_exceptions=False)\n--\n\nReturn a future of the results of several coroutines or futures, in their order.",
    gather,
);

/// What Python is shown in the place of a gathering that waits.
static HEAR: Builtin = Builtin::new::<Gathering, _>(
    c"_done_callback",
    |py, gathering: &Instance<Gathering>, child: &Object| {
        hear(py, gathering, child)?;
        Ok(Ref::none())
    },
);

/// The function `gather`.
///
/// # Errors
/// `MemoryError`.
pub(super) fn function(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // While asyncio's name is asyncio's.
    names::usual_gather(py).map_err(|_| PyErr::fetch(py))?;
    GATHER.in_module(py, "conbrio")
}

fn gather(py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
    let mut keeps_exceptions = false;
    for (name, value) in args.keywords() {
        if !name.bind(py).eq(names::return_exceptions(py))? {
            let name = name.bind(py).to_string();
            let text = format!("gather() got an unexpected keyword argument '{name}'");
            return Err(PyTypeError::new_err(text).into());
        }
        keeps_exceptions = is_true(py, value)?;
    }
    let given = args.positional();
    let event_loop = call(py, names::get_running_loop(py)?, &[])?;
    match engine::plain(&event_loop) {
        Some(engine) if engine.makes_tasks() && are_usual(given, engine) => {
            gather_natively(py, engine, given, keeps_exceptions)
        }
        _ => gather_usually(py, given, keeps_exceptions),
    }
}

/// Gathers as asyncio does.
fn gather_usually(py: Python<'_>, given: &[&Object], keeps_exceptions: bool) -> Outcome<Ref> {
    let usual = names::usual_gather(py)?;
    if !keeps_exceptions {
        return call(py, usual, given);
    }
    crate::ffi::call_keyword(
        py,
        usual,
        given,
        (names::return_exceptions(py), &Ref::boolean(true)),
    )
}

/// Whether all are of the classes that are gathered natively, and each is there once.
fn are_usual(given: &[&Object], engine: &Instance<Engine>) -> bool {
    let of_this_loop = |one: &Object| {
        as_future(one).is_some_and(|future| future.0.event_loop.holds(engine.object()))
    };
    if given.is_empty() || engine.debug.get() {
        return false;
    }
    if !given.iter().all(|one| {
        is_coroutine(one) || Instance::<Op>::of_exact(one).is_some() || of_this_loop(one)
    }) {
        return false;
    }
    if given.len() <= 8 {
        let mut rest = given;
        while let [first, others @ ..] = rest {
            if others.iter().any(|other| other.is(first)) {
                return false;
            }
            rest = others;
        }
        return true;
    }
    let mut places: Vec<_> = given.iter().map(|one| one.as_ptr()).collect();
    places.sort_unstable();
    places.is_sorted_by(|one, next| one < next)
}

/// `one` as a future of exactly one of our classes.
#[inline]
fn as_future(one: &Object) -> Option<&Instance<Future>> {
    task::as_exact_future(one)
}

fn gather_natively(
    py: Python<'_>,
    engine: &Instance<Engine>,
    given: &[&Object],
    keeps_exceptions: bool,
) -> Outcome<Ref> {
    let gathering = Own::new(
        py,
        Gathering {
            future: Future(FutureFields::pending(engine.object().share(), false)),
            children: Slot::empty(),
            task: Slot::empty(),
            missing: std::cell::Cell::new(given.len()),
            keeps_exceptions: std::cell::Cell::new(keeps_exceptions),
            cancel_requested: std::cell::Cell::new(false),
        },
    )?;
    if cfg!(Py_3_14) {
        let current = call(py, names::current_task(py)?, &[engine.object()])?;
        if !current.is_none() {
            gathering.task.set(current);
        }
    }
    let mut children: Vec<Ref> = Vec::with_capacity(given.len());
    let mut ended = Vec::new();
    for one in given {
        let child = child_of(py, engine, one)?;
        if let Some(future) = as_future(&child) {
            if cfg!(Py_3_12) && !future.is_pending() {
                ended.push(child.share());
            } else {
                await_child(py, &gathering, future)?;
            }
        }
        children.push(child);
    }
    let list = PyList::new(py, children.iter().map(|child| child.bind(py)))?;
    gathering.children.set(list.into_any().into());
    for child in &ended {
        hear(py, &gathering, child)?;
    }
    Ok(gathering.erase())
}

/// The future itself, or a task of the coroutine.
#[inline]
fn child_of(py: Python<'_>, engine: &Instance<Engine>, one: &Object) -> Outcome<Ref> {
    if as_future(one).is_some() {
        return Ok(one.share());
    }
    let made = task::create(
        py,
        engine,
        &Making {
            coroutine: one,
            name: None,
            context: None,
            eager: false,
        },
    )?;
    made.set_logs_destroy(false);
    Ok(made.erase())
}

#[inline]
fn await_child(
    py: Python<'_>,
    gathering: &Instance<Gathering>,
    child: &Instance<Future>,
) -> Outcome<()> {
    if let Some(task) = gathering.task.share() {
        child.0.set_awaited_by(&task);
    }
    park(py, child, gathering.object().share())
}

/// As a callback of asyncio's: what is called, and in which context.
///
/// # Errors
/// `MemoryError`.
pub(super) fn shown(py: Python<'_>, gathering: &Instance<Gathering>) -> Outcome<(Ref, Ref)> {
    Ok((HEAR.bind(py, gathering)?, context::copy_current(py)?))
}

/// Hears that `child` has ended.
///
/// # Errors
/// What waking who waits for the gathering raises.
#[inline]
pub(super) fn hear(py: Python<'_>, gathering: &Instance<Gathering>, child: &Object) -> Outcome<()> {
    let Some(ended) = as_future(child) else {
        return Ok(());
    };
    let missing = gathering.missing.get().saturating_sub(1);
    gathering.missing.set(missing);
    if let Some(task) = gathering.task.share() {
        ended.0.unset_awaited_by(&task);
    }
    let is_over = !gathering.future().is_pending();
    // CPython: with `return_exceptions` it looks at them when all have ended.
    if !ended.is_cancelled() && (is_over || !gathering.keeps_exceptions.get()) {
        ended.0.set_logs(false);
    }
    if is_over {
        return Ok(());
    }
    if !gathering.keeps_exceptions.get()
        && let Some(exception) = exception_of(py, ended)?
    {
        forsake(py, gathering)?;
        return gathering.future().set_exception(py, &exception);
    }
    if missing > 0 {
        return Ok(());
    }
    let results = results(py, gathering)?;
    if gathering.cancel_requested.get() {
        // CPython: the last child says what it was cancelled with, whichever has ended last.
        let youngest = children(py, gathering)?.iter().last();
        let youngest = youngest.as_ref().and_then(|child| as_future(object(child)));
        let exception = youngest.unwrap_or(ended).cancelled_error(py)?;
        return gathering.future().set_exception(py, &exception);
    }
    gathering.future().set_result(py, results)
}

/// What a child has ended with, if that is no result.
#[inline]
fn exception_of(py: Python<'_>, ended: &Instance<Future>) -> Outcome<Option<Ref>> {
    if ended.is_cancelled() {
        return ended.cancelled_error(py).map(Some);
    }
    Ok(ended.0.exception.share())
}

/// Children that outlive the gathering are awaited by its task no longer.
#[cold]
fn forsake(py: Python<'_>, gathering: &Instance<Gathering>) -> Outcome<()> {
    let Some(task) = gathering.task.share() else {
        return Ok(());
    };
    for child in children(py, gathering)?.iter() {
        if let Some(future) = as_future(object(&child)) {
            future.0.unset_awaited_by(&task);
        }
    }
    Ok(())
}

fn children<'py>(py: Python<'py>, gathering: &Instance<Gathering>) -> Outcome<Bound<'py, PyList>> {
    match gathering.children.share() {
        Some(children) => {
            let children = children.bind(py).to_owned().cast_into::<PyList>();
            Ok(children.map_err(PyErr::from)?)
        }
        None => Ok(PyList::empty(py)),
    }
}

/// The results in the order of the children, exceptions among them if they are kept.
fn results(py: Python<'_>, gathering: &Instance<Gathering>) -> Outcome<Ref> {
    let children = children(py, gathering)?;
    let mut results: Vec<Ref> = Vec::with_capacity(children.len());
    for child in children.iter() {
        let Some(future) = as_future(object(&child)) else {
            continue;
        };
        if future.is_cancelled() {
            let message = future.0.cancel_message.share_or_none();
            let text = if message.is_none() {
                Ref::from(pyo3::types::PyString::new(py, ""))
            } else {
                message
            };
            results.push(call(py, names::cancelled_error(py)?, &[&text])?);
            continue;
        }
        future.0.set_logs(false);
        let exception = future.0.exception.share();
        results.push(exception.unwrap_or_else(|| future.0.result.share_or_none()));
    }
    let list = PyList::new(py, results.iter().map(|one| one.bind(py)))?;
    Ok(list.into_any().into())
}

/// Cancels every child; whether one of them can be.
fn cancel(
    py: Python<'_>,
    gathering: &Instance<Gathering>,
    message: Option<&Object>,
) -> Outcome<bool> {
    if !gathering.future().is_pending() {
        return Ok(false);
    }
    let mut is_heard = false;
    for child in children(py, gathering)?.iter() {
        is_heard |= task::cancel_awaited(py, object(&child), message)?;
    }
    if is_heard {
        gathering.cancel_requested.set(true);
    }
    Ok(is_heard)
}

/// The class of what `gather` returns, derived from our Future.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class<'py>(py: Python<'py>, base: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Builder::<Gathering>::new(c"The future of several others: cancelling it cancels those.")
        .made_natively()
        .immutable()
        .method(
            c"cancel",
            c"cancel($self, /, msg=None)\n--\n\nCancel all that are gathered.",
            |py, this, args| {
                let [message] = args.parse(&Parameters {
                    function: "cancel",
                    names: [names::msg(py)],
                    positional: 1,
                    required: 0,
                })?;
                cancel(py, this, message).map(Ref::boolean)
            },
        )
        .getter(c"_children", c"What is gathered.", |_, this| {
            Ok(this.children.share_or_none())
        })
        .property(
            c"_cancel_requested",
            c"Whether somebody has asked for its end.",
            |_, this| Ok(Ref::boolean(this.cancel_requested.get())),
            |py, this, value| {
                let value = value.ok_or_else(super::attribute_without_value)?;
                this.cancel_requested.set(is_true(py, value)?);
                Ok(())
            },
        )
        .create(py, Some(base))
}
