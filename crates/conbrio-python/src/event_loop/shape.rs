//! Which of a loop's methods somebody has replaced, in a subclass, in the class or on the loop itself.
//!
//! Native rooms schedule and read the clock without asking Python, as long as Python would do the same.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::engine::Engine;
use crate::ffi::layout::own_dictionary;
use crate::ffi::{Instance, Object, Outcome, Unchanged, attribute};
use crate::names;

/// The methods that matter, as they are on our own class.
static METHODS: OnceLock<Unchanged> = OnceLock::new();

fn methods(py: Python<'_>) -> [&Bound<'_, PyString>; 6] {
    [
        names::call_soon(py),
        names::call_soon_threadsafe(py),
        names::call_later(py),
        names::call_at(py),
        names::create_task(py),
        names::time(py),
    ]
}

/// Remembers those methods as they are on `class`, the native one.
///
/// # Errors
/// When there is no such method.
pub(super) fn learn(py: Python<'_>, class: &Object) -> Outcome<()> {
    let _ = METHODS.set(Unchanged::of(py, class, &methods(py))?);
    Ok(())
}

/// Whether all of them are ours: the common answer, found by a look at one number.
// Bench: run_until_complete.
fn are_all_ours(py: Python<'_>, this: &Instance<Engine>) -> bool {
    METHODS.get().is_some_and(|methods| {
        methods.holds(py, this.object())
            && own_dictionary(py, this.object())
                .is_ok_and(|own| own.is_none_or(|own| !methods.is_any_in(py, &own)))
    })
}

/// Looks at the class of a loop that has just been made: what is scheduled before its first run asks for what is replaced.
///
/// Not at its own attributes: it has none yet, and the look would make the dictionary that is to be slow up to 3.11.
pub(super) fn begin(py: Python<'_>, this: &Instance<Engine>) {
    let methods = METHODS.get();
    if !methods.is_some_and(|methods| methods.holds(py, this.object())) {
        look_at_methods(py, this);
    }
}

/// Looks at the loop's class and its own attributes; called when a run begins and when an attribute is set.
pub(super) fn look(py: Python<'_>, this: &Instance<Engine>) {
    look_at_classes(py, this);
    look_at_methods(py, this);
}

fn look_at_methods(py: Python<'_>, this: &Instance<Engine>) {
    if are_all_ours(py, this) {
        let shapes = [
            &this.plain_timers,
            &this.plain,
            &this.plain_threads,
            &this.plain_tasks,
            &this.plain_clock,
        ];
        for shape in shapes {
            shape.set(true);
        }
        return;
    }
    let timers = is_ours(py, this, names::call_at(py));
    this.plain_timers.set(timers);
    this.plain.set(
        timers
            && is_ours(py, this, names::call_soon(py))
            && is_ours(py, this, names::call_later(py)),
    );
    this.plain_threads
        .set(is_ours(py, this, names::call_soon_threadsafe(py)));
    this.plain_tasks
        .set(is_ours(py, this, names::create_task(py)));
    this.plain_clock.set(is_ours(py, this, names::time(py)));
}

/// Looks at which classes asyncio itself would make tasks and futures of; called when a run begins, and outside of one.
pub(super) fn look_at_classes(py: Python<'_>, this: &Instance<Engine>) {
    let usual = || -> Outcome<bool> {
        let task = attribute(py, names::tasks_module(py)?, names::task_class_name(py))?;
        let future = attribute(py, names::futures_module(py)?, names::future_class_name(py))?;
        Ok(
            (task.is(names::task_class(py)?) || task.is(names::own_task_class(py)?))
                && (future.is(names::future_class(py)?) || future.is(names::own_future_class(py)?)),
        )
    };
    this.other_classes.set(!usual().unwrap_or_else(|raised| {
        drop(raised.take());
        true
    }));
}

fn is_ours(py: Python<'_>, this: &Instance<Engine>, name: &Bound<'_, PyString>) -> bool {
    let found = || -> Outcome<bool> {
        let bound = this.object().bind(py);
        let own = own_dictionary(py, this.object())?
            .is_some_and(|own| own.bind(py).contains(name).unwrap_or(false));
        let native = crate::ffi::class_of::<Engine>(py);
        Ok(!own && bound.get_type().getattr(name)?.is(&native.getattr(name)?))
    };
    found().unwrap_or_else(|raised| {
        drop(raised.take());
        false
    })
}

/// Looks again when an attribute that matters has been set on the loop.
pub(super) fn attribute_set(py: Python<'_>, this: &Instance<Engine>, name: &Object) {
    crate::dial::attribute_set(py, this, name);
    let name = name.as_ptr();
    if methods(py).iter().any(|one| one.as_ptr() == name) {
        // The interpreter may keep it without a dictionary, where `look` would not see it.
        if let Err(raised) = attribute(py, this.object(), pyo3::intern!(py, "__dict__")) {
            drop(raised.take());
        }
        look(py, this);
    }
}
