//! `Event`: a flag that tasks wait for.

use std::cell::Cell;

use pyo3::prelude::*;

use super::line::{Line, waiters};
use super::no_arguments;
use super::shape::{Shape, bound_loop, shaped};
use super::stock::{delegate, initialise_next};
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, flag, kept,
    raise_in_context,
};
use crate::op::{self, Deed, Doing, Op};

/// The native half of `asyncio.Event`.
pub(super) struct Event {
    line: Line,
    /// The loop it is bound to.
    bound: Slot,
    is_set: Cell<bool>,
    shape: Shape,
}

static STATE: ClassState = ClassState::new();

impl Class for Event {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Event";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.line.traverse(visit);
        visit.slot(&self.bound);
    }

    fn clear(&self) {
        self.line.clear();
        self.bound.clear();
    }
}

shaped!(Event, &["_get_loop"], &[]);

static WAIT: Deed = Deed {
    name: "Event.wait",
    begin: |py, op| begin(py, op, &op.owner.share_or_none(), Ref::boolean(true)),
    resume: |py, op| resume(py, op, Ref::boolean(true)),
    abandon,
};

/// Waits for the event `held`, which becomes the op's owner; `value` is the answer if it is set.
///
/// # Errors
/// `RuntimeError` on another loop.
pub(super) fn begin(
    py: Python<'_>,
    op: &Instance<Op>,
    held: &Object,
    value: Ref,
) -> Outcome<Doing> {
    let Some(event) = Instance::<Event>::of(held).filter(|event| !event.is_set.get()) else {
        return Ok(Doing::Done(value));
    };
    let event_loop = bound_loop(py, event.object(), &event.bound)?;
    event.line.push(py, op.object())?;
    drop(op.owner.replace(Some(held.share())));
    op.park(event_loop);
    Ok(Doing::Parked)
}

/// Goes on when the event was set.
///
/// # Errors
/// What a deque of somebody's own raises.
pub(super) fn resume(py: Python<'_>, op: &Instance<Op>, value: Ref) -> Outcome<Doing> {
    if let Some(event) = Instance::<Event>::of(&op.owner.share_or_none()) {
        event.line.remove(py, op.object())?;
    }
    Ok(Doing::Done(value))
}

/// Waits no longer.
///
/// # Errors
/// Always: `exception`.
pub(super) fn abandon(
    py: Python<'_>,
    op: &Instance<Op>,
    exception: Ref,
    _was_woken: bool,
) -> Outcome<Doing> {
    if let Some(event) = Instance::<Event>::of(&op.owner.share_or_none()) {
        event.line.remove(py, op.object())?;
    }
    Err(raise_in_context(&exception))
}

impl Instance<Event> {
    /// Takes the flag down.
    #[inline]
    pub(super) fn unset(&self) {
        self.is_set.set(false);
    }

    /// Sets the flag and wakes everybody.
    ///
    /// # Errors
    /// What waking raises.
    #[inline]
    pub(super) fn set(&self, py: Python<'_>) -> Outcome<()> {
        if self.is_set.replace(true) {
            return Ok(());
        }
        self.line.wake_many(py, usize::MAX)
    }
}

/// The class `Event`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Event>::new(c"Event()\n--\n\nThe native half of Event.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(Event {
                line: Line::new(),
                bound: Slot::empty(),
                is_set: Cell::new(false),
                shape: Shape::unseen(),
            })
        })
        .init(|py, this, args, keywords| {
            if this.shape(py).is_foreign() || !no_arguments(py, args, keywords) {
                return initialise_next(py, this, args, keywords);
            }
            this.is_set.set(false);
            Ok(())
        });
    privates(methods(builder)).create(py, None)
}

fn methods(builder: Builder<Event>) -> Builder<Event> {
    builder
        .plain(
            c"is_set",
            c"is_set($self, /)\n--\n\nReturn True if the flag is up.",
            |_, this| Ok(Ref::boolean(this.is_set.get())),
        )
        .plain(
            c"set",
            c"set($self, /)\n--\n\nPut the flag up and wake everybody who waits.",
            |py, this| {
                this.set(py)?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"clear",
            c"clear($self, /)\n--\n\nTake the flag down.",
            |_, this| {
                this.is_set.set(false);
                Ok(Ref::none())
            },
        )
        .plain(
            c"wait",
            c"wait($self, /)\n--\n\nWait until the flag is up; awaited, it returns True.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "wait", &[]);
                }
                Ok(op::new(py, &WAIT, Some(this.object().share()), None)?.erase())
            },
        )
        .coroutine()
}

fn privates(builder: Builder<Event>) -> Builder<Event> {
    let builder = kept!(builder, c"_loop", c"The loop it is bound to.", bound);
    let builder = waiters!(builder, c"_waiters", c"Who waits.", line.shown);
    flag!(builder, c"_value", c"Whether the flag is up.", is_set)
}
