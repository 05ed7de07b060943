//! Task: a coroutine that runs step by step, and the future of what it returns.
//!
//! Its steps go through the ready queue as they are: no handle, no Python call. A task is in one place at a time, the
//! queue or the future it waits for, and the one reference that place holds moves with it.

mod class;
mod eager;
mod registry;
mod step;

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::engine::{self, Engine};
use crate::ffi::layout::{self, FutureFields, TaskFields};
use crate::ffi::{
    Class, ClassState, Instance, Object, Outcome, Own, Raised, Ref, Visit, call, call_method,
    context, is_int, is_true, object, one_deeper,
};
use crate::future::{self, Future, Gathering};
use crate::op::Op;
use crate::{names, report};

pub(crate) use class::class;
pub(crate) use registry::all_tasks;
pub(crate) use step::{shown, waken};

/// A coroutine that runs, `asyncio.Task`.
#[repr(C)]
pub(crate) struct Task {
    /// What it is as a future.
    future: Future,
    /// What it is besides.
    own: TaskFields,
}

crate::ffi::begins_with!(Task, future: Future);

static STATE: ClassState = ClassState::new();

impl Class for Task {
    const NAME: &'static std::ffi::CStr = c"conbrio.Task";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.future.traverse(visit);
        self.own.traverse(visit);
    }

    fn clear(&self) {
        self.future.clear();
        self.own.clear();
    }

    #[inline]
    fn has_last_words(&self) -> bool {
        self.future.0.logs()
            || (self.logs_destroy() && self.future.0.state.get() == layout::PENDING)
    }

    #[inline]
    fn dies(&self) {
        registry::forget(self);
    }
}

impl Task {
    /// Whether its next step throws `CancelledError`.
    #[inline]
    fn must_cancel(&self) -> bool {
        layout::must_cancel(&self.future.0, &self.own)
    }

    /// Says whether its next step throws `CancelledError`.
    #[inline]
    fn set_must_cancel(&self, value: bool) {
        layout::set_must_cancel(&self.future.0, &self.own, value);
    }

    /// Whether its death while pending is reported.
    #[inline]
    fn logs_destroy(&self) -> bool {
        layout::logs_destroy(&self.future.0, &self.own)
    }

    /// Says whether its death while pending is reported.
    #[inline]
    pub(crate) fn set_logs_destroy(&self, value: bool) {
        layout::set_logs_destroy(&self.future.0, &self.own, value);
    }
}

/// How many tasks have had no name of their own; asyncio counts from one as well.
static NAMED: AtomicU64 = AtomicU64::new(0);

/// What a task is made with.
pub(crate) struct Making<'a> {
    /// What it runs.
    pub(crate) coroutine: &'a Object,
    /// Its name, if it is given one.
    pub(crate) name: Option<&'a Object>,
    /// Its context, a copy of the current one if none is given.
    pub(crate) context: Option<&'a Object>,
    /// Whether its first step runs at once.
    pub(crate) eager: bool,
}

/// Makes a task on a plain loop of ours and schedules its first step.
///
/// # Errors
/// `TypeError` when that is no coroutine.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured, as for `step`")]
pub(crate) fn create(
    py: Python<'_>,
    engine: &Instance<Engine>,
    making: &Making<'_>,
) -> Outcome<Own<Task>> {
    check_coroutine(py, making.coroutine)?;
    let own = fields(py, making)?;
    let future = Future(FutureFields::pending(engine.object().share(), true));
    let task = Own::new(py, Task { future, own })?;
    task.set_logs_destroy(true);
    if engine.debug.get() {
        task.future
            .0
            .source
            .set(call(py, names::extract_stack(py)?, &[])?);
    }
    begin(py, &task, making.eager)?;
    Ok(task)
}

/// What a task keeps besides a future's fields.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured, as for `step`")]
fn fields(py: Python<'_>, making: &Making<'_>) -> Outcome<TaskFields> {
    let context = match making.context {
        Some(given) if !given.is_none() => {
            if cfg!(Py_3_15) && !context::is_context(given) {
                return Err(not_a_context(py, given));
            }
            given.share()
        }
        _ => context::copy_current(py)?,
    };
    let fields = TaskFields::empty();
    drop(fields.coroutine.replace(Some(making.coroutine.share())));
    drop(fields.context.replace(Some(context)));
    drop(fields.name.replace(Some(name(py, making.name)?)));
    Ok(fields)
}

#[cold]
fn not_a_context(py: Python<'_>, given: &Object) -> Raised {
    let class = given.bind(py).get_type().fully_qualified_name();
    let class = class.map(|name| name.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!("a contextvars.Context was expected, got {class}")).into()
}

/// A name as text, or the number of a task without one, made a name when somebody asks.
#[inline]
fn name(py: Python<'_>, given: Option<&Object>) -> Outcome<Ref> {
    match given {
        Some(given) if !given.is_none() => text(py, given),
        _ => {
            let Ok(number) = (NAMED.fetch_add(1, Ordering::Relaxed) + 1).into_pyobject(py);
            Ok(Ref::from(number))
        }
    }
}

/// `str(object)`, or the object if that is what it is.
fn text(py: Python<'_>, given: &Object) -> Outcome<Ref> {
    let bound = given.bind(py);
    if bound.is_exact_instance_of::<pyo3::types::PyString>() {
        Ok(given.share())
    } else {
        Ok(bound.str()?.into_any().into())
    }
}

#[inline]
fn check_coroutine(py: Python<'_>, coroutine: &Object) -> Outcome<()> {
    if crate::ffi::is_coroutine(coroutine)
        || Instance::<Op>::of_exact(coroutine).is_some()
        || is_true(py, &*call(py, names::is_coroutine(py)?, &[coroutine])?)?
    {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "a coroutine was expected, got {}",
        report::text_of(py, coroutine)
    ))
    .into())
}

/// Runs the first step at once, or schedules it.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured, as for `step`")]
fn begin(py: Python<'_>, task: &Instance<Task>, eager: bool) -> Outcome<()> {
    if eager && is_loop_running(py, task)? {
        return eager::start(py, task);
    }
    step::soon(py, task)?;
    registry::remember(py, task);
    Ok(())
}

fn is_loop_running(py: Python<'_>, task: &Instance<Task>) -> Outcome<bool> {
    let event_loop = task.future.0.event_loop.share_or_none();
    match Instance::<Engine>::of(&event_loop) {
        Some(engine) => Ok(engine.thread.get() != 0),
        None => is_true(
            py,
            &*call_method(py, &event_loop, names::is_running(py), &[])?,
        ),
    }
}

impl Instance<Task> {
    /// How often its end has been asked for.
    #[inline]
    pub(crate) fn cancels(&self) -> u64 {
        self.own.cancels.get().unsigned_abs().into()
    }

    /// The context in which it runs.
    pub(crate) fn context(&self) -> Option<Ref> {
        self.own.context.share()
    }

    /// The task as a future.
    #[inline]
    pub(crate) fn future(&self) -> &Instance<Future> {
        Instance::first_of(self)
    }

    /// Asks the task to end: its coroutine gets a `CancelledError`. False when it has ended.
    ///
    /// # Errors
    /// What a foreign future's `cancel` raises.
    pub(crate) fn cancel(&self, py: Python<'_>, message: Option<&Object>) -> Outcome<bool> {
        self.future.0.set_logs(false);
        if !self.future().is_pending() {
            return Ok(false);
        }
        self.own.cancels.set(self.own.cancels.get().wrapping_add(1));
        if let Some(awaited) = self.own.awaited.share()
            && cancel_awaited(py, &awaited, message)?
        {
            return Ok(true);
        }
        self.set_must_cancel(true);
        drop(
            self.future.0.cancel_message.replace(
                message
                    .filter(|message| !message.is_none())
                    .map(Object::share),
            ),
        );
        Ok(true)
    }

    /// The name, as text.
    pub(crate) fn name(&self, py: Python<'_>) -> Ref {
        let name = self.own.name.share_or_none();
        // A number until somebody asks.
        if !is_int(&name) {
            return name;
        }
        let Ok(number) = name.bind(py).extract::<u64>() else {
            return name;
        };
        let text = pyo3::types::PyString::new(py, &format!("Task-{number}"));
        self.own.name.set(object(&text).share());
        object(&text).share()
    }

    /// Names it anew; what is no text is named by its `str()`.
    ///
    /// # Errors
    /// What that raises.
    pub(crate) fn rename(&self, py: Python<'_>, name: &Object) -> Outcome<()> {
        self.own.name.set(text(py, name)?);
        Ok(())
    }

    /// Last words: an exception nobody looked at, or an end that nobody waited for.
    pub(crate) fn report_end(&self, py: Python<'_>) {
        if self.future().is_pending() && self.logs_destroy() && !self.future.0.event_loop.is_empty()
        {
            self.report_destroyed(py);
        }
        self.future().report_unretrieved(py);
    }

    fn report_destroyed(&self, py: Python<'_>) {
        let event_loop = self.future.0.event_loop.share_or_none();
        let source = self.future.0.source.share();
        let mut details: Vec<(&str, &Object)> = vec![("task", self.object())];
        if let Some(source) = &source {
            details.push(("source_traceback", source));
        }
        if let Err(raised) = report::report(
            py,
            &event_loop,
            "Task was destroyed but it is pending!",
            &details,
        ) {
            crate::ffi::write_unraisable(raised, self.object());
        }
    }
}

/// Cancels what a task waits for: whether that can be.
///
/// # Errors
/// What a foreign future's `cancel` raises.
pub(crate) fn cancel_awaited(
    py: Python<'_>,
    awaited: &Object,
    message: Option<&Object>,
) -> Outcome<bool> {
    if let Some(future) = Instance::<Future>::of_exact(awaited) {
        if !has_own_cancel(py, awaited)? {
            return future.cancel(py, message);
        }
    } else if let Some(task) = Instance::<Task>::of_exact(awaited)
        && !has_own_cancel(py, awaited)?
    {
        // Tasks can wait for each other in circles.
        return one_deeper(py, || task.cancel(py, message));
    }
    if let Some(op) = Instance::<Op>::of_exact(awaited) {
        return op.cancel(py, message);
    }
    // CPython: its C task gives the message by position.
    let none = Ref::none();
    let message = message.unwrap_or(&none);
    is_true(
        py,
        &*call_method(py, awaited, names::cancel(py), &[message])?,
    )
}

/// Whether somebody has set a `cancel` on this one future, which is asked then.
fn has_own_cancel(py: Python<'_>, awaited: &Object) -> Outcome<bool> {
    let own = layout::own_dictionary(py, awaited)?;
    Ok(own.is_some_and(|own| own.bind(py).contains(names::cancel(py)).unwrap_or(false)))
}

/// Initialises a task that Python constructs.
fn initialise(
    py: Python<'_>,
    task: &Instance<Task>,
    event_loop: Option<&Object>,
    making: &Making<'_>,
) -> Outcome<()> {
    future::initialise(py, &task.future.0, event_loop, true)?;
    #[cfg(not(Py_3_14))]
    if task
        .future
        .0
        .event_loop
        .share()
        .is_none_or(|event_loop| Instance::<Engine>::of(&event_loop).is_none())
    {
        call(py, names::adopt(py)?, &[])?;
    }
    if let Err(raised) = check_coroutine(py, making.coroutine) {
        task.set_logs_destroy(false);
        return Err(raised);
    }
    let fields = fields(py, making)?;
    task.own.clear();
    for (place, value) in [
        (&task.own.coroutine, fields.coroutine.take()),
        (&task.own.context, fields.context.take()),
        (&task.own.name, fields.name.take()),
    ] {
        drop(place.replace(value));
    }
    task.set_must_cancel(false);
    task.own.cancels.set(0);
    task.set_logs_destroy(true);
    begin(py, task, making.eager)
}

/// The loop of a task, if steps can be scheduled on it natively.
#[inline]
fn plain_loop(event_loop: &Object) -> Option<&Instance<Engine>> {
    engine::plain(event_loop)
}

/// `object` as one of our futures or tasks of exactly our classes: nobody has overridden their methods.
#[inline]
pub(crate) fn as_exact_future(object: &Object) -> Option<&Instance<Future>> {
    Instance::<Future>::of_exact(object)
        .or_else(|| Instance::<Task>::of_exact(object).map(Instance::<Task>::future))
        .or_else(|| Instance::<Gathering>::of_exact(object).map(Instance::first_of))
}
