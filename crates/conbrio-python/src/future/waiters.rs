//! Who waits for a future: the first in the future itself, further ones in a list, woken in order.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::Future;
use crate::engine;
use crate::ffi::{
    Instance, Object, Outcome, Own, Ref, Thunk, call_method, context, is_equal, object, tuple,
    tuple_items,
};
use crate::report::ends_loop;
use crate::runnable::{shown, waken};
use crate::{handle, names};

/// Adds a native waiter, a task: it becomes runnable when the future ends.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn park(py: Python<'_>, future: &Instance<Future>, waiter: Ref) -> Outcome<()> {
    if !future.is_pending() {
        return wake_one(py, future, waiter, None);
    }
    if future.0.waiter.is_empty() && future.0.waiters.is_empty() {
        drop(future.0.waiter.replace(Some(waiter)));
        return Ok(());
    }
    append(py, future, &waiter, &Ref::none())
}

/// Removes a native waiter, if it waits.
///
/// # Errors
/// What changing a list raises.
pub(crate) fn unpark(py: Python<'_>, future: &Instance<Future>, waiter: &Object) -> Outcome<()> {
    if future.0.waiter.holds(waiter) && future.0.waiter_context.is_empty() {
        drop(future.0.waiter.take());
        return Ok(());
    }
    let Some(list) = future.0.waiters.share() else {
        return Ok(());
    };
    let list = list.bind(py).cast::<PyList>().map_err(PyErr::from)?;
    let place = list.iter().position(|pair| {
        matches!(tuple_items(object(&pair)), [one, context] if one.is(waiter) && context.is_none())
    });
    if let Some(place) = place {
        list.del_item(place)?;
    }
    if list.is_empty() {
        future.0.waiters.clear();
    }
    Ok(())
}

/// Adds a callable, to be called with the future in `context` (a copy of the current one if none is given).
///
/// # Errors
/// What a foreign loop's `call_soon` raises.
pub(crate) fn add_done_callback(
    py: Python<'_>,
    future: &Instance<Future>,
    callback: &Object,
    context: Option<&Object>,
) -> Outcome<()> {
    if future.0.event_loop.is_empty() {
        return Err(PyRuntimeError::new_err("uninitialized Future object").into());
    }
    let context = match context {
        Some(given) if !given.is_none() => given.share(),
        _ => context::capture(py)?,
    };
    if !future.is_pending() {
        return wake_one(py, future, callback.share(), Some(context));
    }
    if future.0.waiter.is_empty() && future.0.waiters.is_empty() {
        drop(future.0.waiter_context.replace(Some(context)));
        drop(future.0.waiter.replace(Some(callback.share())));
        return Ok(());
    }
    append(py, future, callback, &context)
}

/// Adds to the list; a native waiter has `None` for a context.
fn append(
    py: Python<'_>,
    future: &Instance<Future>,
    waiter: &Object,
    context: &Object,
) -> Outcome<()> {
    let list = if let Some(list) = future.0.waiters.share() {
        list
    } else {
        let list: Ref = PyList::empty(py).into_any().into();
        future.0.waiters.set(list.share());
        list
    };
    let pair = tuple(py, &[waiter, context])?;
    list.bind(py)
        .cast::<PyList>()
        .map_err(PyErr::from)?
        .append(pair.bind(py))?;
    Ok(())
}

/// Schedules everybody who waits, in order.
///
/// # Errors
/// What a foreign loop's `call_soon` raises.
#[inline]
pub(crate) fn wake_all(py: Python<'_>, future: &Instance<Future>) -> Outcome<()> {
    // CPython: a loop that refuses the first hears of none.
    let list = future.0.waiters.take();
    if let Some(first) = future.0.waiter.take() {
        wake_one(py, future, first, future.0.waiter_context.take())?;
    }
    match list {
        Some(list) => wake_list(py, future, &list),
        None => Ok(()),
    }
}

fn wake_list(py: Python<'_>, future: &Instance<Future>, list: &Object) -> Outcome<()> {
    for pair in list.bind(py).cast::<PyList>().map_err(PyErr::from)?.iter() {
        if let [waiter, context] = tuple_items(object(&pair)) {
            let context = (!context.is_none()).then(|| context.share());
            wake_one(py, future, waiter.share(), context)?;
        }
    }
    Ok(())
}

#[inline]
fn wake_one(
    py: Python<'_>,
    future: &Instance<Future>,
    waiter: Ref,
    context: Option<Ref>,
) -> Outcome<()> {
    let Some(event_loop) = future.0.event_loop.share() else {
        return Ok(());
    };
    wake(py, &event_loop, future.object(), waiter, context)
}

/// Schedules who waited for `ended`: a callable in its context, a native waiter without.
///
/// # Errors
/// What a foreign loop's `call_soon` raises.
#[inline]
pub(crate) fn wake(
    py: Python<'_>,
    event_loop: &Object,
    ended: &Object,
    waiter: Ref,
    context: Option<Ref>,
) -> Outcome<()> {
    if let Some(context) = context {
        // Bench: run_until_complete.
        if waiter.is(names::stop_when_done(py)?)
            && let Some(engine) = engine::plain(event_loop).filter(|engine| !engine.debug.get())
            && let Ok(ended) = Own::<Future>::of(ended.share())
        {
            engine.check_closed()?;
            engine.push(py, Thunk::new(ended, stop_when_done));
            return Ok(());
        }
        return handle::schedule(py, event_loop, &waiter, ended, &context);
    }
    if let Some(engine) = engine::plain(event_loop) {
        engine.check_closed()?;
        if engine.debug.get() {
            engine.check_thread()?;
        }
        if let Some(runnable) = waken(py, ended, waiter) {
            engine.push(py, runnable);
        }
        return Ok(());
    }
    let (callback, context) = shown(py, &waiter)?;
    handle::schedule(py, event_loop, &callback, ended, &context)
}

/// What asyncio's callback of that name does: stops the loop whose run waited for `ended`, unless what that has ended with
/// leaves the loop by itself.
fn stop_when_done(py: Python<'_>, ended: Own<Future>) -> Outcome<()> {
    if !ended.is_cancelled() && ends_loop(py, &*ended.exception(py)?) {
        return Ok(());
    }
    let event_loop = ended.0.event_loop.share_or_none();
    call_method(py, &event_loop, names::stop(py), &[]).map(drop)
}

/// Removes every callable equal to `callback`; says how many there were.
///
/// # Errors
/// What comparing raises.
pub(crate) fn remove_done_callback(
    py: Python<'_>,
    future: &Instance<Future>,
    callback: &Object,
) -> Outcome<usize> {
    future.check_alive()?;
    let mut removed = 0;
    if let Some(first) = future.0.waiter.share() {
        let context = future.0.waiter_context.share();
        if equals(py, callback, &first, context.as_deref())? && future.0.waiter.holds(&first) {
            drop((future.0.waiter.take(), future.0.waiter_context.take()));
            removed = 1;
        }
    }
    let Some(list) = future.0.waiters.share() else {
        return Ok(removed);
    };
    let list = list
        .bind(py)
        .cast::<PyList>()
        .map_err(PyErr::from)?
        .to_owned();
    let mut found = Vec::new();
    for pair in list.iter() {
        if let [waiter, context] = tuple_items(object(&pair))
            && equals(
                py,
                callback,
                waiter,
                (!context.is_none()).then_some(*context),
            )?
        {
            found.push(pair);
        }
    }
    for pair in found {
        // Comparing may have changed the list.
        if let Some(place) = list.iter().position(|other| other.is(&pair)) {
            list.del_item(place)?;
            removed += 1;
        }
    }
    if list.is_empty() && future.0.waiters.holds(object(&list)) {
        future.0.waiters.clear();
    }
    Ok(removed)
}

/// Whether `callback` is what Python is shown for a waiter.
fn equals(
    py: Python<'_>,
    callback: &Object,
    waiter: &Object,
    context: Option<&Object>,
) -> Outcome<bool> {
    match context {
        Some(_) => is_equal(py, waiter, callback),
        None => is_equal(py, &shown(py, waiter)?.0, callback),
    }
}

/// The waiters as asyncio shows them: a list of (callable, context), or `None`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn waiters_shown(py: Python<'_>, future: &Instance<Future>) -> Outcome<Ref> {
    let all = PyList::empty(py);
    let pair = |waiter: &Object, context: Option<&Object>| -> Outcome<Ref> {
        match context {
            Some(captured) => tuple(py, &[waiter, &*context::made_of(py, captured)?]),
            None => {
                shown(py, waiter).and_then(|(callback, context)| tuple(py, &[&callback, &context]))
            }
        }
    };
    if let Some(first) = future.0.waiter.share() {
        all.append(pair(&first, future.0.waiter_context.share().as_deref())?.bind(py))?;
    }
    if let Some(list) = future.0.waiters.share() {
        for entry in list.bind(py).cast::<PyList>().map_err(PyErr::from)?.iter() {
            if let [waiter, context] = tuple_items(object(&entry)) {
                all.append(pair(waiter, (!context.is_none()).then_some(*context))?.bind(py))?;
            }
        }
    }
    if all.is_empty() {
        Ok(Ref::none())
    } else {
        Ok(all.into_any().into())
    }
}
