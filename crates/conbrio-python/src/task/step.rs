//! One step of a task: the coroutine resumes, and what it answers decides what happens next.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Task, cancel_awaited, plain_loop, registry};
use crate::engine::Engine;
use crate::ffi::{
    Builtin, Instance, Object, Outcome, Own, Raised, Ref, Resumed, Thunk, attribute,
    attribute_if_any, call, call_keyword, call_method, context, is_instance, is_true, object,
    raise, raise_in_context, resume, returned_value,
};
use crate::future::{Ending, Future, park};
use crate::op::Op;
use crate::report::{ends_loop, exception, report_raised, text_of};
use crate::runnable::Runnable;
use crate::{handle, names};

/// The callable that asyncio's own futures and loops are given to wake a task.
static WAKEUP: Builtin = Builtin::new::<Task, _>(
    c"task_wakeup",
    |py, task: &Instance<Task>, future: &Object| {
        wakeup(py, task, future)?;
        Ok(Ref::none())
    },
);

/// The callable that makes a step; its argument is the exception to throw, or `None`.
static STEP: Builtin = Builtin::new::<Task, _>(
    c"task_step",
    |py, task: &Instance<Task>, exception: &Object| {
        enter_and_step(py, task, (!exception.is_none()).then(|| exception.share()))?;
        Ok(Ref::none())
    },
);

/// A parked task as something to run.
#[inline]
pub(crate) fn waken(_py: Python<'_>, _ended: &Object, waiter: Ref) -> Runnable {
    match Own::<Task>::of(waiter) {
        Ok(task) => Thunk::new(task, run),
        Err(other) => Thunk::of_nothing(other),
    }
}

/// A parked task as Python is shown it: its wake-up function and its context.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn shown(py: Python<'_>, waiter: &Object) -> Outcome<(Ref, Ref)> {
    match Instance::<Task>::of(waiter) {
        Some(task) => Ok((WAKEUP.bind(py, task)?, task.own.context.share_or_none())),
        None => Ok((waiter.share(), Ref::none())),
    }
}

/// Schedules the next step.
///
/// # Errors
/// What a foreign loop's `call_soon` raises.
#[inline]
pub(super) fn soon(py: Python<'_>, task: &Instance<Task>) -> Outcome<()> {
    let event_loop = task.future.0.event_loop.share_or_none();
    if let Some(engine) = plain_loop(&event_loop) {
        engine.check_closed()?;
        if engine.debug.get() {
            engine.check_thread()?;
        }
        engine.push(py, Thunk::new(task.own(), run));
        return Ok(());
    }
    soon_with(py, task, &Ref::none())
}

/// Schedules a step that throws `exception` (or sends, for `None`) through the loop's own `call_soon`.
#[cold]
fn soon_with(py: Python<'_>, task: &Instance<Task>, exception: &Object) -> Outcome<()> {
    let event_loop = task.future.0.event_loop.share_or_none();
    let step = STEP.bind(py, task)?;
    handle::schedule(
        py,
        &event_loop,
        &step,
        exception,
        &task.own.context.share_or_none(),
    )
}

/// Schedules a step that throws a `RuntimeError`.
#[cold]
fn soon_with_error(py: Python<'_>, task: &Instance<Task>, text: String) -> Outcome<()> {
    // Not by PyO3's `PyErr`: on a loop that is not ours that keeps what it drops, and with it frames, for later.
    let class = py.get_type::<PyRuntimeError>();
    soon_with(py, task, &*exception(py, object(&class), &text)?)
}

/// Runs a step from the ready queue.
#[inline]
fn run(py: Python<'_>, task: Own<Task>) -> Outcome<()> {
    let Some(event_loop) = task.future.0.event_loop.share() else {
        return Ok(());
    };
    let exception = ended(py, &task);
    let Some(context) = task.own.context.share() else {
        return Ok(());
    };
    if let Err(raised) = context::enter(py, &context) {
        return run_elsewhere(py, &task, &context, exception, raised);
    }
    let stepped = current_step(py, &task, &event_loop, exception);
    context::leave(py, &context);
    match stepped {
        Ok(()) => Ok(()),
        Err(raised) => failed(py, &task, &event_loop, raised),
    }
}

/// What cannot be entered may still have a `run` of its own, which is all that asyncio asks of a context.
#[cold]
fn run_elsewhere(
    py: Python<'_>,
    task: &Instance<Task>,
    context: &Object,
    exception: Option<Ref>,
    raised: Raised,
) -> Outcome<()> {
    let event_loop = task.future.0.event_loop.share_or_none();
    if context::is_context(context) {
        return failed(py, task, &event_loop, raised);
    }
    drop(raised.take());
    let (step, exception) = (STEP.bind(py, task)?, exception.unwrap_or_else(Ref::none));
    match call_method(py, context, names::run_in_context(py), &[&step, &exception]) {
        Ok(_) => Ok(()),
        Err(raised) => failed(py, task, &event_loop, raised),
    }
}

/// What the awaited future ended with, if that has to be thrown.
#[inline]
fn ended(py: Python<'_>, task: &Instance<Task>) -> Option<Ref> {
    let awaited = task.own.awaited.take()?;
    if let Some(op) = Instance::<Op>::of_exact(&awaited) {
        return op
            .is_cancelled()
            .then(|| in_context(op.cancelled_error(py)));
    }
    let future = Instance::<Future>::of(&awaited)?;
    future.0.unset_awaited_by(task.object());
    if future.0.exception.is_empty() && !future.is_cancelled() {
        return None;
    }
    if future.is_cancelled() {
        return Some(in_context(future.cancelled_error(py)));
    }
    match future.ending(py) {
        Ok(Ending::Exception(exception)) => Some(exception),
        Ok(Ending::Result(_) | Ending::None) => None,
        Err(raised) => Some(raised.take()),
    }
}

/// The `CancelledError` of what was awaited, as raising it leaves it. CPython: `future_get_result`.
#[cold]
fn in_context(cancelled: Outcome<Ref>) -> Ref {
    match cancelled {
        Ok(exception) => raise_in_context(&exception).take(),
        Err(raised) => raised.take(),
    }
}

/// Reports what a step raised, unless it ends the loop.
#[cold]
fn failed(
    py: Python<'_>,
    task: &Instance<Task>,
    event_loop: &Object,
    raised: Raised,
) -> Outcome<()> {
    let message = || format!("Exception in callback {}", text_of(py, task.object()));
    report_raised(py, event_loop, raised, message, &[])
}

/// The step as the current task of the loop; the context is entered already.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured, as for `step`")]
fn current_step(
    py: Python<'_>,
    task: &Instance<Task>,
    event_loop: &Object,
    exception: Option<Ref>,
) -> Outcome<()> {
    let Some(engine) = Instance::<Engine>::of(event_loop) else {
        return step_elsewhere(py, task, event_loop, exception);
    };
    if let Some(other) = engine.swap_task(py, Some(task.object()))? {
        engine.swap_task(py, Some(&other))?;
        return Err(entered_already(py, task, &other));
    }
    let stepped = step(py, task, exception);
    match stepped {
        Ok(()) => engine.swap_task(py, None).map(drop),
        Err(raised) => {
            let exception = raised.take();
            engine.swap_task(py, None)?;
            Err(raise(exception))
        }
    }
}

/// The same in a loop that is not ours.
#[cold]
fn step_elsewhere(
    py: Python<'_>,
    task: &Instance<Task>,
    event_loop: &Object,
    exception: Option<Ref>,
) -> Outcome<()> {
    call(py, names::enter_task(py)?, &[event_loop, task.object()])?;
    let stepped = step(py, task, exception).map_err(Raised::take);
    call(py, names::leave_task(py)?, &[event_loop, task.object()])?;
    stepped.map_err(raise)
}

#[cold]
fn entered_already(py: Python<'_>, task: &Instance<Task>, other: &Object) -> Raised {
    let (task, other) = (text_of(py, task.object()), text_of(py, other));
    let text =
        format!("Cannot enter into task {task} while another task {other} is being executed.");
    PyRuntimeError::new_err(text).into()
}

/// A step called by Python: the handle that calls has entered the context.
fn enter_and_step(py: Python<'_>, task: &Instance<Task>, exception: Option<Ref>) -> Outcome<()> {
    let event_loop = task.future.0.event_loop.share_or_none();
    current_step(py, task, &event_loop, exception)
}

/// A wake-up called by Python, with the future that ended.
fn wakeup(py: Python<'_>, task: &Instance<Task>, future: &Object) -> Outcome<()> {
    // CPython: `result()` of a derived class is called, and may raise something of its own.
    let result = match super::as_exact_future(future) {
        Some(native) => {
            native.0.unset_awaited_by(task.object());
            native.result(py)
        }
        None => {
            #[cfg(Py_3_14)]
            call(
                py,
                names::discard_from_awaited_by(py)?,
                &[future, task.object()],
            )?;
            call_method(py, future, names::result(py), &[])
        }
    };
    enter_and_step(py, task, result.err().map(Raised::take))
}

/// Resumes the coroutine and acts on its answer.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` of the coroutine, after the task has ended with them; `InvalidStateError` when
/// the task has ended before.
///
/// Bench: `task_spawn_batch`, `sleep0`: whether the compiler sees fit to inline it changes with code far away.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured")]
pub(super) fn step(py: Python<'_>, task: &Instance<Task>, exception: Option<Ref>) -> Outcome<()> {
    if !task.future().is_pending() {
        return Err(stepped_after_end(py, task, exception));
    }
    let exception = if task.must_cancel() {
        Some(cancelling(py, task, exception)?)
    } else {
        exception
    };
    task.own.awaited.clear();
    let Some(coroutine) = task.own.coroutine.share() else {
        return Err(PyRuntimeError::new_err("uninitialized Task object").into());
    };
    let resumed = match exception {
        None => resume(py, &coroutine, &Ref::none()),
        Some(exception) => throw(py, &coroutine, &exception),
    };
    match resumed {
        Resumed::Yielded(answer) => yielded(py, task, answer),
        Resumed::Returned(value) => returned(py, task, value),
        Resumed::Raised(raised) => ended_by(py, task, raised),
    }
}

#[cold]
fn stepped_after_end(py: Python<'_>, task: &Instance<Task>, exception: Option<Ref>) -> Raised {
    let exception = exception.unwrap_or_else(Ref::none);
    let text = format!(
        "__step(): already done: {} {}",
        text_of(py, task.object()),
        text_of(py, &exception)
    );
    crate::future::invalid_state(py, &text)
}

/// What a task that has been asked to end is thrown: the `CancelledError` it was to get anyway, or its own.
#[cold]
fn cancelling(py: Python<'_>, task: &Instance<Task>, exception: Option<Ref>) -> Outcome<Ref> {
    task.set_must_cancel(false);
    match exception {
        Some(exception) if is_instance(&exception, names::cancelled_error(py)?) => Ok(exception),
        _ => task.future().cancelled_error(py),
    }
}

#[cold]
fn throw(py: Python<'_>, coroutine: &Object, exception: &Object) -> Resumed {
    match call_method(py, coroutine, names::throw(py), &[exception]) {
        Ok(answer) => Resumed::Yielded(answer),
        Err(raised) => match returned_value(py, raised) {
            Ok(value) => Resumed::Returned(value),
            Err(raised) => Resumed::Raised(raised),
        },
    }
}

/// The coroutine returned: the task ends, cancelled if it was asked to meanwhile.
#[inline]
fn returned(py: Python<'_>, task: &Instance<Task>, value: Ref) -> Outcome<()> {
    registry::forget(task);
    if task.must_cancel() {
        task.set_must_cancel(false);
        let message = task.future.0.cancel_message.share();
        return task.future().cancel(py, message.as_deref()).map(drop);
    }
    task.future().set_result(py, value)
}

/// The coroutine raised: the task ends with that.
#[cold]
fn ended_by(py: Python<'_>, task: &Instance<Task>, raised: Raised) -> Outcome<()> {
    registry::forget(task);
    let exception = raised.take();
    if is_instance(&exception, names::cancelled_error(py)?) {
        task.future.0.cancelled.set(exception);
        return task.future().cancel(py, None).map(drop);
    }
    task.future().set_exception(py, &exception)?;
    if ends_loop(py, &exception) {
        Err(raise(exception))
    } else {
        Ok(())
    }
}

/// The coroutine yielded: a future to wait for, or `None` to go on in the next turn.
#[inline]
fn yielded(py: Python<'_>, task: &Instance<Task>, answer: Ref) -> Outcome<()> {
    if answer.is_none() {
        return soon(py, task);
    }
    let Some(future) = super::as_exact_future(&answer) else {
        return match Instance::<Op>::of_exact(&answer) {
            Some(op) if op.is_of(&task.future.0.event_loop) && op.unblock() => {
                op.keep(py, task.own().erase())?;
                settle_down(py, task, answer)
            }
            _ => yielded_other(py, task, &answer),
        };
    };
    if future.object().is(task.object()) {
        return soon_with_error(
            py,
            task,
            format!(
                "Task cannot await on itself: {}",
                text_of(py, task.object())
            ),
        );
    }
    if !future.0.event_loop.same(&task.future.0.event_loop) {
        return soon_with_error(py, task, other_loop(py, task, &answer));
    }
    if !future.0.blocks() {
        return soon_with_error(py, task, without_await(py, task, &answer));
    }
    future.0.set_blocks(false);
    future.0.set_awaited_by(task.object());
    park(py, future, task.own().erase())?;
    settle_down(py, task, answer)
}

/// The task waits for what keeps it.
#[inline]
fn settle_down(py: Python<'_>, task: &Instance<Task>, awaited: Ref) -> Outcome<()> {
    drop(task.own.awaited.replace(Some(awaited)));
    if task.must_cancel() {
        cancel_at_once(py, task)
    } else {
        Ok(())
    }
}

/// The task was asked to end while it ran: what it now waits for is cancelled.
#[cold]
fn cancel_at_once(py: Python<'_>, task: &Instance<Task>) -> Outcome<()> {
    let message = task.future.0.cancel_message.share();
    if let Some(awaited) = task.own.awaited.share()
        && cancel_awaited(py, &awaited, message.as_deref())?
    {
        task.set_must_cancel(false);
    }
    Ok(())
}

/// Somebody else's future, or something that cannot be awaited.
#[cold]
fn yielded_other(py: Python<'_>, task: &Instance<Task>, answer: &Object) -> Outcome<()> {
    if answer.is(task.object()) {
        return soon_with_error(
            py,
            task,
            format!(
                "Task cannot await on itself: {}",
                text_of(py, task.object())
            ),
        );
    }
    let blocking = match attribute_if_any(py, answer, names::asyncio_future_blocking(py))? {
        Some(blocking) if !blocking.is_none() => is_true(py, &blocking)?,
        _ => return bad_yield(py, task, answer),
    };
    let event_loop = foreign_loop(py, answer)?;
    if !task.future.0.event_loop.holds(&event_loop) {
        return soon_with_error(py, task, other_loop(py, task, answer));
    }
    if !blocking {
        return soon_with_error(py, task, without_await(py, task, answer));
    }
    answer
        .bind(py)
        .setattr(names::asyncio_future_blocking(py), false)?;
    let add = attribute(py, answer, names::add_done_callback(py))?;
    let wakeup = WAKEUP.bind(py, task)?;
    call_keyword(
        py,
        &add,
        &[&wakeup],
        (names::context(py), &*task.own.context.share_or_none()),
    )?;
    task.own.awaited.set(answer.share());
    #[cfg(Py_3_14)]
    call(py, names::add_to_awaited_by(py)?, &[answer, task.object()])?;
    if task.must_cancel() {
        cancel_at_once(py, task)
    } else {
        Ok(())
    }
}

/// The loop of somebody else's future.
fn foreign_loop(py: Python<'_>, future: &Object) -> Outcome<Ref> {
    match attribute_if_any(py, future, names::get_loop(py))? {
        Some(get_loop) => call(py, &get_loop, &[]),
        None => attribute(py, future, names::private_loop(py)),
    }
}

fn bad_yield(py: Python<'_>, task: &Instance<Task>, answer: &Object) -> Outcome<()> {
    let text = text_of(py, answer);
    if is_true(py, &*call(py, names::is_generator(py)?, &[answer])?)? {
        let task_text = text_of(py, task.object());
        let text = format!(
            "yield was used instead of yield from for generator in task {task_text} with {text}"
        );
        return soon_with_error(py, task, text);
    }
    soon_with_error(py, task, format!("Task got bad yield: {text}"))
}

fn without_await(py: Python<'_>, task: &Instance<Task>, answer: &Object) -> String {
    let (task, answer) = (text_of(py, task.object()), text_of(py, answer));
    format!("yield was used instead of yield from in task {task} with {answer}")
}

fn other_loop(py: Python<'_>, task: &Instance<Task>, answer: &Object) -> String {
    let (task, answer) = (text_of(py, task.object()), text_of(py, answer));
    format!("Task {task} got Future {answer} attached to a different loop")
}
