//! `TaskGroup`: tasks are made and heard of natively.
//!
//! How a group is entered, left, aborted and what it raises is CPython's own code over the native state, as is every
//! task that ends with an exception.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PySet;

use super::attribute_without_value;
use super::shape::{Shape, delegate_all, initialise_next};
use crate::engine::{self, Engine};
use crate::ffi::{
    Args, Builder, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, attribute,
    call_method, context, is_empty, is_true,
};
use crate::future::{Future, park};
use crate::names;
use crate::task::{self, Making};

/// Methods that asyncio's code calls by name, and that take part in what is native.
const INNER: &[&str] = &["_on_task_done", "_abort", "_is_base_error"];

/// The native half of `asyncio.TaskGroup`.
pub(super) struct TaskGroup {
    /// The loop it is entered on.
    pub(super) event_loop: Slot,
    /// The task that has entered it.
    parent: Slot,
    /// The tasks that have not ended: a set.
    tasks: Slot,
    /// What the parent waits for at the end.
    on_completed: Slot,
    entered: Cell<bool>,
    exiting: Cell<bool>,
    aborting: Cell<bool>,
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
    fn slots(&self) -> [&Slot; 4] {
        [
            &self.event_loop,
            &self.parent,
            &self.tasks,
            &self.on_completed,
        ]
    }
}

impl Instance<TaskGroup> {
    /// The loop, if tasks are made natively now.
    #[inline]
    fn native_loop<'a>(&self, event_loop: &'a Object) -> Option<&'a Instance<Engine>> {
        if self.shape.is_foreign() || !self.entered.get() || self.aborting.get() {
            return None;
        }
        engine::plain(event_loop).filter(|engine| engine.makes_tasks() && !engine.debug.get())
    }

    fn create_task(&self, py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
        let (event_loop, tasks) = (self.event_loop.share_or_none(), self.tasks.share_or_none());
        let [coroutine] = args.positional() else {
            return delegate_all(py, self, "create_task", &args);
        };
        let (name, context) = (
            args.keyword(names::name(py)),
            args.keyword(names::context(py)),
        );
        let understood = usize::from(name.is_some()) + usize::from(context.is_some());
        let Some(engine) = self
            .native_loop(&event_loop)
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
        call_method(py, self.object(), names::on_task_done(py), &[child]).map(drop)
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

/// The class `TaskGroup`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<TaskGroup>::new(c"TaskGroup()\n--\n\nThe native half of TaskGroup.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(TaskGroup {
                event_loop: Slot::empty(),
                parent: Slot::empty(),
                tasks: Slot::empty(),
                on_completed: Slot::empty(),
                entered: Cell::new(false),
                exiting: Cell::new(false),
                aborting: Cell::new(false),
                shape: Shape::plain(),
            })
        })
        .init(|py, this, args, keywords| {
            this.shape.look(py, this.object(), INNER, &[]);
            initialise_next(py, this, args, keywords)
        })
        .method(
            c"create_task",
            if cfg!(Py_3_14) {
                c"create_task($self, coro, **kwargs)\n--\n\nCreate a new task in this group and return it."
            } else {
                c"create_task($self, coro, *, name=None, context=None)\n--\n\nCreate a new task in this group and return it."
            },
            |py, this, args| this.create_task(py, args),
        );
    flags(held(builder)).create(py, None)
}

/// A private attribute of asyncio's that is kept natively.
macro_rules! kept {
    ($builder:expr, $name:literal, $doc:literal, $field:ident) => {
        $builder.property(
            $name,
            $doc,
            |_, this| Ok(this.$field.share_or_none()),
            |_, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.$field.set(value.share());
                Ok(())
            },
        )
    };
}

/// A private flag of asyncio's that is kept natively.
macro_rules! flag {
    ($builder:expr, $name:literal, $doc:literal, $field:ident) => {
        $builder.property(
            $name,
            $doc,
            |_, this| Ok(Ref::boolean(this.$field.get())),
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.$field.set(is_true(py, value)?);
                Ok(())
            },
        )
    };
}

fn held(builder: Builder<TaskGroup>) -> Builder<TaskGroup> {
    let builder = kept!(builder, c"_loop", c"The loop.", event_loop);
    let builder = kept!(builder, c"_parent_task", c"Who has entered.", parent);
    let builder = kept!(builder, c"_tasks", c"Who has not ended.", tasks);
    kept!(
        builder,
        c"_on_completed_fut",
        c"What the parent waits for.",
        on_completed
    )
}

fn flags(builder: Builder<TaskGroup>) -> Builder<TaskGroup> {
    let builder = flag!(builder, c"_entered", c"Whether it is entered.", entered);
    let builder = flag!(builder, c"_exiting", c"Whether its end has begun.", exiting);
    flag!(builder, c"_aborting", c"Whether it shuts down.", aborting)
}
