//! The class `TaskGroup`: its constructor, its methods and what asyncio's own code reaches for by private names.

use std::cell::Cell;
use std::sync::OnceLock;

use pyo3::prelude::*;

use super::TaskGroup;
use super::scope::enter;
use crate::ffi::{Builder, Outcome, Slot, flag, kept};
use crate::names;
use crate::op::given;
use crate::sync::shape::Shape;
use crate::sync::stock::initialise_next;
use crate::sync::{attribute_without_value, no_arguments};

/// The class `TaskGroup`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<TaskGroup>::new(c"TaskGroup()\n--\n\nThe native half of TaskGroup.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(TaskGroup {
                event_loop: Slot::empty(),
                parent: Slot::empty(),
                tasks: Slot::empty(),
                on_completed: Slot::empty(),
                errors: Slot::empty(),
                base_error: Slot::empty(),
                entered: Cell::new(false),
                exiting: Cell::new(false),
                aborting: Cell::new(false),
                has_cancelled: Cell::new(false),
                cancels_on_entry: Cell::new(false),
                shape: Shape::unseen(),
            })
        })
        .init(|py, this, args, keywords| {
            if !no_arguments(py, args, keywords) || !is_known(py) {
                return initialise_next(py, this, args, keywords);
            }
            this.slots().into_iter().for_each(Slot::clear);
            for flag in this.flags() {
                flag.set(false);
            }
            Ok(())
        })
        .plain(
            c"__aenter__",
            c"__aenter__($self, /)\n--\n\n",
            |py, this| given(py, this.object().share(), enter),
        )
        .coroutine()
        .method(
            c"__aexit__",
            c"__aexit__($self, et, exc, tb, /)\n--\n\n",
            |py, this, args| this.leave(py, args),
        )
        .coroutine()
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

/// What asyncio's `__init__` of CPython 3.11 to 3.15 touches.
const KNOWN: [&str; 12] = [
    "_aborting",
    "_base_error",
    "_cancel_on_enter",
    "_entered",
    "_errors",
    "_exiting",
    "_loop",
    "_on_completed_fut",
    "_parent_cancel_requested",
    "_parent_task",
    "_tasks",
    "set",
];

/// Whether asyncio's group has no more to it than is kept natively.
fn is_known(py: Python<'_>) -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let look = || -> Outcome<bool> {
        let class = names::task_group_class(py)?.bind(py);
        let names = class.getattr("__init__")?.getattr("__code__")?;
        let names: Vec<String> = names.getattr("co_names")?.extract()?;
        Ok(names.iter().all(|name| KNOWN.contains(&name.as_str())))
    };
    if let Some(answer) = ANSWER.get() {
        return *answer;
    }
    let answer = look().unwrap_or_else(|raised| {
        drop(raised.take());
        false
    });
    *ANSWER.get_or_init(|| answer)
}

fn held(builder: Builder<TaskGroup>) -> Builder<TaskGroup> {
    let builder = kept!(builder, c"_loop", c"The loop.", event_loop);
    let builder = kept!(builder, c"_parent_task", c"Who has entered.", parent);
    let builder = kept!(
        builder,
        c"_base_error",
        c"What must not be ignored.",
        base_error
    );
    let builder = builder
        .property(
            c"_tasks",
            c"Who has not ended.",
            |py, this| this.tasks(py),
            |_, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.tasks.set(value.share());
                Ok(())
            },
        )
        .property(
            c"_errors",
            c"What has failed.",
            |py, this| Ok(this.errors(py)),
            |_, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.errors.set(value.share());
                Ok(())
            },
        );
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
    let builder = flag!(builder, c"_aborting", c"Whether it shuts down.", aborting);
    let builder = flag!(
        builder,
        c"_parent_cancel_requested",
        c"Whether it has cancelled its parent.",
        has_cancelled
    );
    #[cfg(Py_3_15)]
    let builder = flag!(
        builder,
        c"_cancel_on_enter",
        c"Whether it is cancelled as soon as it is entered.",
        cancels_on_entry
    );
    builder
}
