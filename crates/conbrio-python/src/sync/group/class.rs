//! The class `TaskGroup`: its constructor, its methods and what asyncio's own code reaches for by private names.

use std::cell::Cell;

use pyo3::prelude::*;

use super::{INNER, TaskGroup};
use crate::ffi::{Builder, Ref, Slot, is_true};
use crate::sync::attribute_without_value;
use crate::sync::shape::{Shape, initialise_next};

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
