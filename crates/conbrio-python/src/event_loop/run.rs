//! Running, stopping and running until something is done.

use conbrio_core::turn::run_until_stopped;
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;

use super::{schedule, shape};
use crate::engine::{Engine, Running};
use crate::ffi::{
    Builder, Instance, Object, Outcome, Raised, Ref, arenas, attribute, call, call_keyword,
    call_method, catching, handled, is_coroutine, is_true, raise, thread_ident,
};
use crate::names;

/// Adds the methods.
pub(super) fn methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .plain(c"run_forever", c"run_forever($self)\n--\n\nRuns until stop() is called.\n\nRaises RuntimeError when a loop runs in this thread or this one is closed. As asyncio.loop.run_forever. Not thread-safe.", run_forever)
        .named(
            c"run_until_complete",
            c"run_until_complete($self, future)\n--\n\nRuns until a future or coroutine is done; returns its result or raises what it raises.\n\nRaises RuntimeError when a loop runs in this thread, this one is closed, or is stopped before; TypeError for what is not awaitable.\nAs asyncio.loop.run_until_complete. Not thread-safe.",
            |py| ("run_until_complete", names::future(py)),
            run_until_complete,
        )
        .plain(c"stop", c"stop($self)\n--\n\nEnds the loop after this turn, or after the first one of its next run. As asyncio.loop.stop. Not thread-safe.", |py, this| {
            this.stop(py, true);
            Ok(Ref::none())
        })
        .plain(c"_check_running", c"_check_running($self)\n--\n\nRefuses when a loop runs.", |py, this| {
            check_running(py, this)?;
            Ok(Ref::none())
        })
}

fn check_running(py: Python<'_>, this: &Instance<Engine>) -> Outcome<()> {
    if this.thread.get() != 0 {
        return Err(PyRuntimeError::new_err("This event loop is already running").into());
    }
    if !call(py, names::get_running_loop(py)?, &[])?.is_none() {
        return Err(PyRuntimeError::new_err(
            "Cannot run the event loop while another loop is running",
        )
        .into());
    }
    Ok(())
}

/// What a run changes in the thread, and puts back at its end.
struct Visit {
    hooks: Ref,
    debug: bool,
}

impl Visit {
    fn enter(py: Python<'_>, this: &Instance<Engine>) -> Outcome<Self> {
        let bound = this.object().bind(py);
        let debug = this.debug.get();
        if debug {
            bound.call_method1("_set_coroutine_origin_tracking", (true,))?;
        }
        let hooks = call(py, names::get_asyncgen_hooks(py)?, &[])?;
        let (first, last) = Self::agen_hooks(py, this)?;
        call(py, names::set_asyncgen_hooks(py)?, &[&first, &last])?;
        call(py, names::set_running_loop(py)?, &[this.object()])?;
        this.thread.set(thread_ident());
        Ok(Self { hooks, debug })
    }

    /// The loop's hooks as bound methods.
    fn agen_hooks(py: Python<'_>, this: &Instance<Engine>) -> Outcome<(Ref, Ref)> {
        let first = attribute(py, this.object(), names::asyncgen_firstiter_hook(py))?;
        let last = attribute(py, this.object(), names::asyncgen_finalizer_hook(py))?;
        Ok((first, last))
    }

    fn leave(self, py: Python<'_>, this: &Instance<Engine>) -> Outcome<()> {
        this.stop(py, false);
        this.thread.set(0);
        this.show_kept();
        call(py, names::set_running_loop(py)?, &[&Ref::none()])?;
        // Debug mode may have been turned on meanwhile; the method does nothing where nothing is to be put back.
        if self.debug || this.debug.get() {
            this.object()
                .bind(py)
                .call_method1("_set_coroutine_origin_tracking", (false,))?;
        }
        crate::ffi::call_tuple(py, names::set_asyncgen_hooks(py)?, &self.hooks)?;
        Ok(())
    }
}

/// Refuses in a process that has only a copy of the loop; there a `SystemExit` that is on its way goes on, so that a child
/// which a program has forked in the middle of a run ends with its own status.
fn check_process(py: Python<'_>, this: &Instance<Engine>) -> Outcome<()> {
    this.check_process().map_err(|raised| {
        match handled(py).filter(|error| error.bind(py).is_instance_of::<PySystemExit>()) {
            Some(exit) => {
                drop(raised.take());
                raise(exit)
            }
            None => raised,
        }
    })
}

fn run_forever(py: Python<'_>, this: &Instance<Engine>) -> Outcome<Ref> {
    this.check_closed()?;
    check_running(py, this)?;
    check_process(py, this)?;
    shape::look(py, this);
    arenas::keep(py);
    let visit = Visit::enter(py, this)?;
    // PyO3 counts attachments; one for the whole run lets what it drops meanwhile be dropped at once.
    let ran = Python::attach(|py| {
        let running = Running { py, engine: this };
        this.touch(py);
        // What ends the run stands aside while Python is called.
        let ran = catching(|| run_until_stopped(&running)).map_err(Raised::take);
        this.leave_signals(py);
        ran
    });
    match ran {
        Ok(()) => visit.leave(py, this)?,
        Err(exception) => {
            visit.leave(py, this)?;
            return Err(raise(exception));
        }
    }
    Ok(Ref::none())
}

fn run_until_complete(py: Python<'_>, this: &Instance<Engine>, awaitable: &Object) -> Outcome<Ref> {
    this.check_closed()?;
    check_running(py, this)?;
    if let Err(raised) = check_process(py, this) {
        let error = raised.take();
        if is_coroutine(awaitable) {
            // Nobody is going to await it, and nobody needs to hear of that as well.
            call_method(py, awaitable, names::close(py), &[])?;
        }
        return Err(raise(error));
    }
    let (future, is_new) = future_of(py, this, awaitable)?;
    let stop = names::stop_when_done(py)?;
    call_method(py, &future, names::add_done_callback(py), &[stop])?;
    let ran = call_method(py, this.object(), names::run_forever(py), &[]);
    let ran = ran.map_err(Raised::take);
    call_method(py, &future, names::remove_done_callback(py), &[stop])?;
    if let Err(exception) = ran {
        if is_new
            && is_done(py, &future)?
            && !is_true(py, &*call_method(py, &future, names::cancelled(py), &[])?)?
        {
            call_method(py, &future, names::exception(py), &[])?;
        }
        return Err(raise(exception));
    }
    if !is_done(py, &future)? {
        return Err(PyRuntimeError::new_err("Event loop stopped before Future completed.").into());
    }
    call_method(py, &future, names::result(py), &[])
}

/// The future that `run_until_complete` waits for, and whether it was made for that.
fn future_of(py: Python<'_>, this: &Instance<Engine>, awaitable: &Object) -> Outcome<(Ref, bool)> {
    if is_coroutine(awaitable)
        && let Some(task) = schedule::task_of(py, this, awaitable)?
    {
        // Bench: run_until_complete; what `ensure_future` comes to.
        task.set_logs_destroy(false);
        return Ok((task.erase(), true));
    }
    let is_future =
        crate::ffi::attribute_if_any(py, awaitable, names::asyncio_future_blocking(py))?;
    let is_new = is_future.is_none_or(|blocking| blocking.is_none());
    let future = call_keyword(
        py,
        names::ensure_future(py)?,
        &[awaitable],
        (names::event_loop(py), this.object()),
    )?;
    if is_new {
        // An exception is raised here if the run ends early: nobody needs to hear of it again.
        future
            .bind(py)
            .setattr(names::log_destroy_pending(py), false)?;
    }
    Ok((future, is_new))
}

fn is_done(py: Python<'_>, future: &Object) -> Outcome<bool> {
    is_true(py, &*call_method(py, future, names::done(py), &[])?)
}
