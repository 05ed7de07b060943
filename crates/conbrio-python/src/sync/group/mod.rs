//! `TaskGroup`: tasks are made and heard of natively, and a group is entered and left so, as long as nothing fails.
//!
//! How a group is aborted and what it raises is CPython's own code over the native state, as is every task that ends
//! with an exception.

mod class;
mod scope;

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PySet;

use super::shape::{Shape, shaped};
use super::stock::delegate_all;
use crate::engine::{self, Engine};
use crate::ffi::{
    Args, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, attribute, call_method,
    context, is_empty, is_true, object,
};
use crate::future::{Future, park};
use crate::names;
use crate::op::Op;
use crate::task::{self, Making, Task};

pub(super) use class::class;

/// Methods that asyncio's code calls by name, and that take part in what is native.
const INNER: &[&str] = &["_on_task_done", "_abort", "_is_base_error"];
shaped!(TaskGroup, INNER, &[]);

/// The native half of `asyncio.TaskGroup`.
pub(super) struct TaskGroup {
    /// The loop it is entered on.
    pub(super) event_loop: Slot,
    /// The task that has entered it.
    parent: Slot,
    /// The tasks that have not ended: a set, once there was one.
    tasks: Slot,
    /// What the parent waits for at the end.
    on_completed: Slot,
    /// What has failed: a list, once somebody has looked.
    errors: Slot,
    /// What has failed that must not be ignored.
    base_error: Slot,
    entered: Cell<bool>,
    exiting: Cell<bool>,
    aborting: Cell<bool>,
    /// The parent was cancelled by the group.
    has_cancelled: Cell<bool>,
    /// It is to be cancelled as soon as it is entered.
    cancels_on_entry: Cell<bool>,
    shape: Shape,
}

static STATE: ClassState = ClassState::new();

impl Class for TaskGroup {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.TaskGroup";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
    }
}

impl TaskGroup {
    fn slots(&self) -> [&Slot; 6] {
        [
            &self.event_loop,
            &self.parent,
            &self.tasks,
            &self.on_completed,
            &self.errors,
            &self.base_error,
        ]
    }
}

impl Instance<TaskGroup> {
    /// The tasks that have not ended: a set, unless somebody has put something else in its place.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    fn tasks(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(tasks) = self.tasks.share() {
            return Ok(tasks);
        }
        let tasks = Ref::from(PySet::empty(py)?.into_any());
        self.tasks.set(tasks.share());
        Ok(tasks)
    }

    /// Whether all have ended.
    #[inline]
    fn has_no_tasks(&self) -> bool {
        self.tasks.share().is_none_or(|tasks| is_empty(&tasks))
    }

    /// The loop, if tasks are made natively now.
    #[inline]
    fn native_loop<'a>(
        &self,
        py: Python<'_>,
        event_loop: &'a Object,
    ) -> Option<&'a Instance<Engine>> {
        if self.shape(py).is_foreign() || !self.entered.get() || self.aborting.get() {
            return None;
        }
        engine::plain(event_loop).filter(|engine| engine.makes_tasks() && !engine.debug.get())
    }

    fn create_task(&self, py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
        let (event_loop, tasks) = (self.event_loop.share_or_none(), self.tasks(py)?);
        let [coroutine] = args.positional() else {
            return delegate_all(py, self, "create_task", &args);
        };
        let (name, context) = (
            args.keyword(names::name(py)),
            args.keyword(names::context(py)),
        );
        let understood = usize::from(name.is_some()) + usize::from(context.is_some());
        let Some(engine) = self
            .native_loop(py, &event_loop)
            .filter(|_| args.keywords().count() == understood)
            .filter(|_| !(self.exiting.get() && is_empty(&tasks)))
        else {
            return delegate_all(py, self, "create_task", &args);
        };
        let Ok(tasks) = tasks.bind(py).cast::<PySet>() else {
            return delegate_all(py, self, "create_task", &args);
        };
        let made = task::create(
            py,
            engine,
            &Making {
                coroutine,
                name,
                context,
                eager: false,
            },
        )?;
        if cfg!(Py_3_14)
            && let Some(parent) = self.parent.share()
        {
            made.future().0.set_awaited_by(&parent);
        }
        tasks.add(made.object().bind(py))?;
        park(py, made.future(), self.object().share())?;
        Ok(made.erase())
    }

    /// Hears that `child` has ended.
    ///
    /// # Errors
    /// What asyncio's `_on_task_done` raises.
    #[inline]
    pub(super) fn hear(&self, py: Python<'_>, child: &Object) -> Outcome<()> {
        let (ended, tasks) = (task::as_exact_future(child), self.tasks.share_or_none());
        let (Some(ended), Ok(tasks)) = (ended, tasks.bind(py).cast::<PySet>()) else {
            return self.hear_usually(py, child);
        };
        if !ended.is_cancelled() && !ended.0.exception.is_empty() {
            return self.hear_usually(py, child);
        }
        tasks.discard(child.bind(py))?;
        if cfg!(Py_3_14)
            && let Some(parent) = self.parent.share()
        {
            ended.0.unset_awaited_by(&parent);
        }
        match self.on_completed.share() {
            Some(waited) if !waited.is_none() && tasks.is_empty() => complete(py, &waited),
            _ => Ok(()),
        }
    }

    #[cold]
    fn hear_usually(&self, py: Python<'_>, child: &Object) -> Outcome<()> {
        let hear = || call_method(py, self.object(), names::on_task_done(py), &[child]).map(drop);
        // CPython: a callback, in a copy of the context in which the task was made: the parent's.
        let parent = self.parent.share_or_none();
        match Instance::<Task>::of(&parent).and_then(Instance::context) {
            Some(context) => {
                let copy = context.bind(py).call_method0("copy")?;
                context::within(py, object(&copy), hear)
            }
            None => hear(),
        }
    }

    /// As a callback of asyncio's: what is called, and in which context.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn shown(&self, py: Python<'_>) -> Outcome<(Ref, Ref)> {
        let callback = attribute(py, self.object(), names::on_task_done(py))?;
        Ok((callback, context::copy_current(py)?))
    }
}

/// Wakes the parent, which waits at the end.
fn complete(py: Python<'_>, waited: &Object) -> Outcome<()> {
    if let Some(leaving) = Instance::<Op>::of(waited) {
        return leaving.wake(py);
    }
    if let Some(future) = Instance::<Future>::of_exact(waited) {
        if future.is_pending() {
            future.set_result(py, Ref::boolean(true))?;
        }
        return Ok(());
    }
    if !is_true(py, &*call_method(py, waited, names::done(py), &[])?)? {
        call_method(py, waited, names::set_result(py), &[&Ref::boolean(true)])?;
    }
    Ok(())
}
