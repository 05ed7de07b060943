//! Future: a result to come, and who waits for it.
//!
//! It keeps its waiters without knowing what they are: a Python callable with its context, or a native waiter that
//! `runnable` knows how to wake. It names neither tasks nor the turn.

mod class;
mod gathering;
mod iter;
mod waiters;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::ffi::layout::{CANCELLED, FINISHED, FutureFields, PENDING};
use crate::ffi::{
    Class, ClassState, Instance, Object, Outcome, Own, Raised, Ref, Visit, call, exception,
    is_exception, is_true, raise_in_context,
};
use crate::{names, report};

pub(crate) use class::{class, methods};
pub(crate) use gathering::Gathering;
pub(crate) use iter::{class as iter_class, thrown};
pub(crate) use waiters::{
    add_done_callback, park, remove_done_callback, unpark, waiters_shown, wake, wake_all,
};

/// A result to come, `asyncio.Future`.
#[repr(transparent)]
pub(crate) struct Future(pub(crate) FutureFields);

static STATE: ClassState = ClassState::new();

impl Class for Future {
    const NAME: &'static std::ffi::CStr = c"conbrio.Future";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.0.traverse(visit);
    }

    fn clear(&self) {
        self.0.clear();
    }

    #[inline]
    fn has_last_words(&self) -> bool {
        self.0.logs()
    }
}

/// What a future ended with.
pub(crate) enum Ending {
    /// A result.
    Result(Ref),
    /// An exception, or a `CancelledError`.
    Exception(Ref),
    /// It has not ended.
    None,
}

/// Makes a pending future of a loop of ours.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn create(py: Python<'_>, engine: &Instance<Engine>) -> Outcome<Own<Future>> {
    let future = Own::new(
        py,
        Future(FutureFields::pending(engine.object().share(), false)),
    )?;
    if engine.debug.get() {
        future
            .0
            .source
            .set(call(py, names::extract_stack(py)?, &[])?);
    }
    Ok(future)
}

/// Initialises `fields` as `Future(loop=event_loop)` does; `None` stands for the current loop.
///
/// # Errors
/// `RuntimeError` when there is no current loop, and from 3.15 on when it has been initialised before.
pub(crate) fn initialise(
    py: Python<'_>,
    fields: &FutureFields,
    event_loop: Option<&Object>,
    is_task: bool,
) -> Outcome<()> {
    if cfg!(Py_3_15) && !fields.event_loop.is_empty() {
        let class = if is_task { "Task" } else { "Future" };
        let text = format!("conbrio.{class} object is already initialized");
        return Err(PyRuntimeError::new_err(text).into());
    }
    let event_loop = match event_loop {
        Some(given) if !given.is_none() => given.share(),
        _ => call(py, names::get_event_loop(py)?, &[])?,
    };
    let debug = match Instance::<Engine>::of(&event_loop) {
        Some(engine) => engine.debug.get(),
        None => is_true(
            py,
            &*crate::ffi::call_method(py, &event_loop, names::get_debug(py), &[])?,
        )?,
    };
    fields.reset();
    fields.state.set(PENDING);
    fields.set_logs(false);
    fields.set_blocks(false);
    fields.set_is_task(is_task);
    fields.event_loop.set(event_loop);
    if debug {
        fields.source.set(call(py, names::extract_stack(py)?, &[])?);
    }
    Ok(())
}

impl Instance<Future> {
    /// Whether it is still to come.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.0.state.get() == PENDING
    }

    /// Whether it was cancelled.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.state.get() == CANCELLED
    }

    /// Refuses when `__init__` was never called.
    ///
    /// # Errors
    /// `RuntimeError`.
    #[inline]
    pub(crate) fn check_alive(&self) -> Outcome<()> {
        if self.0.event_loop.is_empty() {
            Err(uninitialised())
        } else {
            Ok(())
        }
    }

    /// Ends it with a result and wakes who waits.
    ///
    /// # Errors
    /// `InvalidStateError` when it has ended.
    #[inline]
    pub(crate) fn set_result(&self, py: Python<'_>, result: Ref) -> Outcome<()> {
        self.check_alive()?;
        if !self.is_pending() {
            return Err(invalid_state(py, "invalid state"));
        }
        self.0.result.set(result);
        self.0.state.set(FINISHED);
        wake_all(py, self)
    }

    /// Ends it with an exception (an instance, or a class to be called) and wakes who waits.
    ///
    /// # Errors
    /// `InvalidStateError` when it has ended, `TypeError` when that is no exception.
    pub(crate) fn set_exception(&self, py: Python<'_>, exception: &Object) -> Outcome<()> {
        self.check_alive()?;
        if !self.is_pending() {
            return Err(invalid_state(py, "invalid state"));
        }
        let made = made_exception(py, self, exception)?;
        if !self.is_pending() {
            return Err(invalid_state(py, "invalid state"));
        }
        if let Some(traceback) = exception::traceback(py, &made) {
            self.0.traceback.set(traceback);
        }
        self.0.exception.set(made);
        self.0.state.set(FINISHED);
        self.0.set_logs(false);
        wake_all(py, self)?;
        self.0.set_logs(true);
        Ok(())
    }

    /// Cancels it and wakes who waits; false when it has ended.
    ///
    /// # Errors
    /// What a foreign loop's `call_soon` raises.
    pub(crate) fn cancel(&self, py: Python<'_>, message: Option<&Object>) -> Outcome<bool> {
        self.check_alive()?;
        self.0.set_logs(false);
        if !self.is_pending() {
            return Ok(false);
        }
        self.0.state.set(CANCELLED);
        drop(
            self.0.cancel_message.replace(
                message
                    .filter(|message| !message.is_none())
                    .map(Object::share),
            ),
        );
        wake_all(py, self)?;
        Ok(true)
    }

    /// The exception of a cancelled future: the one that cancelled it, once, then new ones.
    ///
    /// # Errors
    /// When making it fails.
    pub(crate) fn cancelled_error(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(cancelled) = self.0.cancelled.take() {
            return Ok(cancelled);
        }
        let class = names::cancelled_error(py)?;
        match self.0.cancel_message.share() {
            Some(message) if !message.is_none() => call(py, class, &[&message]),
            _ => call(py, class, &[]),
        }
    }

    /// What it ended with; an exception counts as looked at.
    ///
    /// # Errors
    /// When making a `CancelledError` fails.
    #[inline]
    pub(crate) fn ending(&self, py: Python<'_>) -> Outcome<Ending> {
        match self.0.state.get() {
            PENDING => Ok(Ending::None),
            CANCELLED => Ok(Ending::Exception(self.cancelled_error(py)?)),
            _ => {
                self.0.set_logs(false);
                if let Some(exception) = self.0.exception.share() {
                    let traceback = self.0.traceback.take();
                    exception::set_traceback(py, &exception, traceback.as_deref())?;
                    return Ok(Ending::Exception(exception));
                }
                Ok(Ending::Result(self.0.result.share_or_none()))
            }
        }
    }

    /// Its result.
    ///
    /// # Errors
    /// Its exception, or `InvalidStateError` while it is pending.
    #[inline]
    pub(crate) fn result(&self, py: Python<'_>) -> Outcome<Ref> {
        if self.0.event_loop.is_empty() {
            return Err(invalid_state(py, UNINITIALISED));
        }
        match self.ending(py)? {
            Ending::Result(result) => Ok(result),
            Ending::Exception(exception) => Err(raise_in_context(&exception)),
            Ending::None => Err(invalid_state(py, "Result is not set.")),
        }
    }

    /// Its exception, or `None`.
    ///
    /// # Errors
    /// `CancelledError` when it was cancelled, `InvalidStateError` while it is pending.
    pub(crate) fn exception(&self, py: Python<'_>) -> Outcome<Ref> {
        if self.0.event_loop.is_empty() {
            return Err(invalid_state(py, UNINITIALISED));
        }
        match self.0.state.get() {
            PENDING => Err(invalid_state(py, "Exception is not set.")),
            CANCELLED => Err(raise_in_context(&*self.cancelled_error(py)?)),
            _ => {
                self.0.set_logs(false);
                Ok(self.0.exception.share_or_none())
            }
        }
    }

    /// Reports an exception that nobody has looked at.
    pub(crate) fn report_unretrieved(&self, py: Python<'_>) {
        if !self.0.logs() {
            return;
        }
        self.0.set_logs(false);
        let (Some(event_loop), Some(exception)) =
            (self.0.event_loop.share(), self.0.exception.share())
        else {
            return;
        };
        let kind = self
            .object()
            .bind(py)
            .get_type()
            .name()
            .map(|name| name.to_string())
            .unwrap_or_default();
        let source = self.0.source.share();
        let mut details: Vec<(&str, &Object)> =
            vec![("exception", &exception), ("future", self.object())];
        if let Some(source) = &source {
            details.push(("source_traceback", source));
        }
        let message = format!("{kind} exception was never retrieved");
        if let Err(raised) = report::report(py, &event_loop, &message, &details) {
            crate::ffi::write_unraisable(raised, self.object());
        }
    }
}

/// `exception` as an instance that a future can hold.
fn made_exception(py: Python<'_>, future: &Instance<Future>, exception: &Object) -> Outcome<Ref> {
    let made = instance_of(py, exception)?;
    let stops = made
        .bind(py)
        .is_instance_of::<pyo3::exceptions::PyStopIteration>();
    if stops {
        instead_of_stop_iteration(py, future, &made)
    } else {
        Ok(made)
    }
}

/// `exception`, or an instance of it if it is a class.
///
/// # Errors
/// `TypeError` when it is neither.
pub(crate) fn instance_of(py: Python<'_>, exception: &Object) -> Outcome<Ref> {
    let bound = exception.bind(py);
    let is_class = bound.cast::<pyo3::types::PyType>().is_ok_and(|class| {
        class
            .is_subclass_of::<pyo3::exceptions::PyBaseException>()
            .unwrap_or(false)
    });
    let made = if is_class {
        call(py, exception, &[])?
    } else {
        exception.share()
    };
    if !is_exception(&made) {
        return Err(PyTypeError::new_err("invalid exception object").into());
    }
    Ok(made)
}

/// A `StopIteration` in a future would end a generator: asyncio's own future says what stands for it, or refuses.
// CPython: later releases of 3.12 wrap it in a RuntimeError, former ones refuse it.
#[cold]
fn instead_of_stop_iteration(
    py: Python<'_>,
    future: &Instance<Future>,
    exception: &Object,
) -> Outcome<Ref> {
    let event_loop = future.0.event_loop.share_or_none();
    let usual = crate::ffi::call_keyword(
        py,
        names::future_class(py)?,
        &[],
        (names::event_loop(py), &*event_loop),
    )?;
    crate::ffi::call_method(py, &usual, names::set_exception(py), &[exception])?;
    crate::ffi::call_method(py, &usual, names::exception(py), &[])
}

/// `InvalidStateError` with a text.
#[cold]
pub(crate) fn invalid_state(py: Python<'_>, text: &str) -> Raised {
    match names::invalid_state_error(py).and_then(|class| report::exception(py, class, text)) {
        Ok(exception) => raise_in_context(&exception),
        Err(raised) => raised,
    }
}

/// What is said of a future whose `__init__` was never called.
const UNINITIALISED: &str = "Future object is not initialized.";

#[cold]
fn uninitialised() -> Raised {
    PyRuntimeError::new_err(UNINITIALISED).into()
}
