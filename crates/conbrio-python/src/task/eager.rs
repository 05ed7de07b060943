//! Eager tasks: the first step runs before the constructor returns.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Task, registry, step};
use crate::engine::Engine;
use crate::ffi::{Instance, Object, Outcome, Raised, Ref, call, context, raise, thread_ident};
use crate::names;
use crate::report::text_of;

/// Runs the first step now, in the task's context, as the current task; schedules nothing if the coroutine ends in it.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` of the coroutine.
pub(super) fn start(py: Python<'_>, task: &Instance<Task>) -> Outcome<()> {
    let event_loop = task.future.0.event_loop.share_or_none();
    registry::remember(py, task);
    let former = swap(py, &event_loop, Some(task.object()))?;
    let stepped = in_context(py, task).map_err(Raised::take);
    let restored = swap(py, &event_loop, former.as_deref());
    if !task.future().is_pending() {
        registry::forget(task);
        task.own.coroutine.clear();
    }
    if stepped.is_err() && task.future().is_pending() {
        // The step was never made: whoever asked for the task hears of that now, and need not again when it dies.
        registry::forget(task);
        task.set_logs_destroy(false);
    }
    stepped.map_err(raise)?;
    restored.map(drop)
}

fn in_context(py: Python<'_>, task: &Instance<Task>) -> Outcome<()> {
    let context = task.own.context.share_or_none();
    context::enter(py, &context)?;
    let stepped = step::step(py, task, None).map_err(Raised::take);
    context::leave(py, &context);
    stepped.map_err(raise)
}

/// Makes `task` the current one of the loop and returns the former.
fn swap(py: Python<'_>, event_loop: &Object, task: Option<&Object>) -> Outcome<Option<Ref>> {
    if let Some(engine) = Instance::<Engine>::of(event_loop) {
        // CPython: from then on it is the thread that knows its current task.
        if cfg!(Py_3_14) && engine.thread.get() != thread_ident() {
            let text = format!("loop {} is not the running loop", text_of(py, event_loop));
            return Err(PyRuntimeError::new_err(text).into());
        }
        return engine.swap_task(py, task);
    }
    let none = Ref::none();
    let former = call(
        py,
        names::swap_current_task(py)?,
        &[event_loop, task.unwrap_or(&none)],
    )?;
    Ok((!former.is_none()).then_some(former))
}
