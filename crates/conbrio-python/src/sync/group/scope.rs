//! How a group is entered, and left when nothing has failed; asyncio's own code goes on from where something does.

use std::cell::Cell;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySet};

use super::{TaskGroup, complete};
use crate::engine;
use crate::ffi::{
    Args, Instance, Object, Outcome, Raised, Ref, call, call_method, is_empty, raise_in_context,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op};
use crate::report::text_of;
use crate::sync::stock::{delegate, delegate_all};

static LEAVE: Deed = Deed {
    name: "TaskGroup.__aexit__",
    begin,
    resume,
    abandon,
};

/// Enters the group `held`.
///
/// # Errors
/// `RuntimeError` when it was entered before, outside of a task, or when no loop runs.
pub(super) fn enter(py: Python<'_>, held: &Object) -> Outcome<()> {
    let Some(group) = Instance::<TaskGroup>::of(held) else {
        return Ok(());
    };
    if group.entered.get() {
        return Err(refusal(py, held, "has already been entered"));
    }
    let event_loop = match group.event_loop.share() {
        Some(event_loop) if !event_loop.is_none() => event_loop,
        _ => call(py, names::running_loop(py)?, &[])?,
    };
    group.event_loop.set(event_loop.share());
    let parent = call(py, names::current_task(py)?, &[&event_loop])?;
    let is_outside = parent.is_none();
    group.parent.set(parent);
    if is_outside {
        return Err(refusal(py, held, "cannot determine the parent task"));
    }
    group.entered.set(true);
    if group.cancels_on_entry.get() {
        call_method(py, held, names::cancel(py), &[])?;
    }
    Ok(())
}

#[cold]
fn refusal(py: Python<'_>, group: &Object, what: &str) -> Raised {
    PyRuntimeError::new_err(format!("TaskGroup {} {what}", text_of(py, group))).into()
}

fn begin(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    match Instance::<TaskGroup>::of(&op.owner.share_or_none()) {
        Some(group) if group.is_native(py) => {
            group.exiting.set(true);
            Ok(group.go_on(op))
        }
        Some(group) => op.hand_over(py, &*group.stock(py)?),
        None => Ok(Doing::Done(Ref::none())),
    }
}

fn resume(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(group) = Instance::<TaskGroup>::of(&held) else {
        return Ok(Doing::Done(Ref::none()));
    };
    group.on_completed.clear();
    if group.is_native(py) {
        return Ok(group.go_on(op));
    }
    match group.catch_up(py, op)? {
        Doing::Handed(waited) => {
            complete(py, &waited)?;
            op.hand_over(py, &op.extra.share_or_none())
        }
        ended => Ok(ended),
    }
}

/// Something has happened while the parent waited: asyncio's code hears of it as if it had waited itself.
fn abandon(py: Python<'_>, op: &Instance<Op>, exception: Ref, _: bool) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(group) = Instance::<TaskGroup>::of(&held) else {
        return Err(raise_in_context(&exception));
    };
    match group.catch_up(py, op)? {
        Doing::Handed(_) => op.throw_over(py, &exception),
        ended => Ok(ended),
    }
}

impl TaskGroup {
    /// Everything that is true or false of it.
    pub(super) fn flags(&self) -> [&Cell<bool>; 5] {
        [
            &self.entered,
            &self.exiting,
            &self.aborting,
            &self.has_cancelled,
            &self.cancels_on_entry,
        ]
    }
}

impl Instance<TaskGroup> {
    /// What has failed: a list, unless somebody has put something else in its place.
    pub(super) fn errors(&self, py: Python<'_>) -> Ref {
        if let Some(errors) = self.errors.share() {
            return errors;
        }
        let errors = Ref::from(PyList::empty(py).into_any());
        self.errors.set(errors.share());
        errors
    }

    /// What `__aexit__` returns.
    ///
    /// # Errors
    /// What asyncio's raises.
    pub(super) fn leave(&self, py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
        match args.positional() {
            [kind, _, _] if kind.is_none() && !args.has_keywords() => {
                Ok(op::new(py, &LEAVE, Some(self.object().share()), None)?.erase())
            }
            _ => delegate_all(py, self, "__aexit__", &args),
        }
    }

    /// Whether nothing has failed and nobody has replaced anything.
    #[inline]
    fn is_native(&self, py: Python<'_>) -> bool {
        let is_nothing = |value: Option<Ref>| value.is_none_or(|value| value.is_none());
        !self.shape(py).is_foreign()
            && !self.aborting.get()
            && !self.has_cancelled.get()
            && is_nothing(self.base_error.share())
            && self.errors.share().is_none_or(|errors| is_empty(&errors))
            && engine::plain(&self.event_loop.share_or_none()).is_some()
    }

    /// Waits for the tasks that are left, and ends.
    fn go_on(&self, op: &Instance<Op>) -> Doing {
        if !self.has_no_tasks() {
            self.on_completed.set(op.object().share());
            op.park(self.event_loop.share_or_none());
            return Doing::Parked;
        }
        // CPython: who has entered it is let go of from 3.14 on.
        if cfg!(Py_3_14) {
            self.parent.clear();
            self.errors.set(Ref::none());
        }
        Doing::Done(if cfg!(Py_3_15) {
            Ref::boolean(true)
        } else {
            Ref::none()
        })
    }

    /// A coroutine of asyncio's that leaves it.
    fn stock(&self, py: Python<'_>) -> Outcome<Ref> {
        self.on_completed.clear();
        let none = Ref::none();
        delegate(py, self, "__aexit__", &[&none, &none, &none])
    }

    /// Leaves the rest to a coroutine of asyncio's, which waits now as the op has waited until now.
    fn catch_up(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        let coroutine = self.stock(py)?;
        let tasks = self.tasks(py)?;
        let tasks = tasks.bind(py).cast::<PySet>().map_err(PyErr::from)?;
        // It waits as long as there is a task.
        tasks.add(op.object().bind(py))?;
        // CPython: earlier versions look before they wait for whether the parent was cancelled, and that was later.
        let has_cancelled = self.has_cancelled.replace(false);
        let begun = op.hand_over(py, &coroutine);
        self.has_cancelled.set(has_cancelled);
        tasks.discard(op.object().bind(py))?;
        begun
    }
}
