//! `Lock`: one holder at a time, served in the order in which they came.

use std::cell::Cell;
use std::mem::offset_of;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::line::{Line, is_done, waiters, wake};
use super::no_arguments;
use super::shape::{ENTRY, Shape, bound_loop, leave, shaped};
use super::stock::{delegate, initialise_next};
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, flag, is_instance,
    kept, raise_in_context,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op, ready};

/// The native half of `asyncio.Lock`.
pub(super) struct Lock {
    line: Line,
    /// The loop it is bound to.
    bound: Slot,
    is_locked: Cell<bool>,
    shape: Shape,
    /// Attributes of its own, if it has any.
    dict: Slot,
    weak_references: Cell<usize>,
}

static STATE: ClassState = ClassState::new();

impl Class for Lock {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Lock";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.line.traverse(visit);
        visit.slot(&self.bound);
        visit.slot(&self.dict);
    }

    fn clear(&self) {
        self.line.clear();
        self.bound.clear();
        self.dict.clear();
    }
}

/// What other methods call by name.
const INNER: &[&str] = &["_get_loop", "_wake_up_first"];
/// What `async with` calls by name.
const OUTER: &[&str] = &ENTRY;
shaped!(Lock, INNER, OUTER);

static ACQUIRE: Deed = Deed {
    name: "Lock.acquire",
    begin,
    resume,
    abandon,
};

static ENTER: Deed = Deed {
    name: "_ContextManagerMixin.__aenter__",
    begin,
    resume,
    abandon,
};

fn owner(op: &Instance<Op>) -> Ref {
    op.owner.share_or_none()
}

/// What the wait returns: what it was made with, else `True`.
fn value(op: &Instance<Op>) -> Doing {
    Doing::Done(op.item.take().unwrap_or_else(|| Ref::boolean(true)))
}

fn begin(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = owner(op);
    let Some(lock) = Instance::<Lock>::of(&held) else {
        return Ok(value(op));
    };
    if lock.try_take(py)? {
        return Ok(value(op));
    }
    lock.wait(py, op)?;
    Ok(Doing::Parked)
}

fn resume(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    if let Some(lock) = Instance::<Lock>::of(&owner(op)) {
        lock.take(py, op)?;
    }
    Ok(value(op))
}

fn abandon(py: Python<'_>, op: &Instance<Op>, exception: Ref, _was_woken: bool) -> Outcome<Doing> {
    if let Some(lock) = Instance::<Lock>::of(&owner(op)) {
        lock.give_up(py, op, &exception)?;
    }
    Err(raise_in_context(&exception))
}

impl Instance<Lock> {
    /// Whether nobody has replaced what `async with` calls.
    pub(super) fn enters_natively(&self, py: Python<'_>) -> bool {
        self.shape(py).is_native()
    }

    /// Whether somebody holds it.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.is_locked.get()
    }

    /// Takes it if it is free and nobody waits for it.
    ///
    /// # Errors
    /// What a foreign waiter raises.
    #[inline]
    pub(super) fn try_take(&self, py: Python<'_>) -> Outcome<bool> {
        if self.is_locked.get() || !self.line.is_all_cancelled(py)? {
            return Ok(false);
        }
        self.is_locked.set(true);
        Ok(true)
    }

    /// Lets `op` wait for it.
    ///
    /// # Errors
    /// `RuntimeError` on another loop.
    #[inline]
    pub(super) fn wait(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<()> {
        let event_loop = bound_loop(py, self.object(), &self.bound)?;
        self.line.push(py, op.object())?;
        op.park(event_loop);
        Ok(())
    }

    /// Takes it for `op`, which was woken.
    ///
    /// # Errors
    /// As `try_take`.
    #[inline]
    pub(super) fn take(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<()> {
        self.line.remove(py, op.object())?;
        self.is_locked.set(true);
        Ok(())
    }

    /// Lets `op` wait no longer.
    ///
    /// # Errors
    /// As `try_take`.
    pub(super) fn give_up(
        &self,
        py: Python<'_>,
        op: &Instance<Op>,
        exception: &Object,
    ) -> Outcome<()> {
        self.line.remove(py, op.object())?;
        if is_instance(exception, names::cancelled_error(py)?) && !self.is_locked.get() {
            self.wake_first(py)?;
        }
        Ok(())
    }

    /// Gives it back, and wakes who is next.
    ///
    /// # Errors
    /// `RuntimeError` when nobody holds it.
    #[inline]
    pub(super) fn release(&self, py: Python<'_>) -> Outcome<()> {
        if !self.is_locked.replace(false) {
            return Err(PyRuntimeError::new_err("Lock is not acquired.").into());
        }
        self.wake_first(py)
    }

    #[inline]
    fn wake_first(&self, py: Python<'_>) -> Outcome<()> {
        match self.line.first(py)? {
            Some(first) if !is_done(py, &first)? => wake(py, &first),
            _ => Ok(()),
        }
    }

    /// A wait that takes it.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn acquire(&self, py: Python<'_>) -> Outcome<Ref> {
        if self.shape(py).is_foreign() {
            return delegate(py, self, "acquire", &[]);
        }
        Ok(op::new(py, &ACQUIRE, Some(self.object().share()), None)?.erase())
    }

    /// What `async with` awaits first.
    ///
    /// # Errors
    /// As `try_take`.
    pub(super) fn enter(&self, py: Python<'_>) -> Outcome<Ref> {
        if !self.shape(py).enters_natively() {
            return delegate(py, self, "__aenter__", &[]);
        }
        if self.try_take(py)? {
            return ready(py);
        }
        let owner = Some(self.object().share());
        Ok(op::new(py, &ENTER, owner, Some(Ref::none()))?.erase())
    }
}

/// The class `Lock`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Lock>::new(c"Lock()\n--\n\nThe native half of Lock.")
        .subclassable()
        // CPython keeps attributes beside every instance of a class that has none of its own; these are smaller.
        .with_attributes(offset_of!(Lock, dict), offset_of!(Lock, weak_references))
        .new_with(|_, _, _| {
            Ok(Lock {
                line: Line::new(),
                bound: Slot::empty(),
                is_locked: Cell::new(false),
                shape: Shape::unseen(),
                dict: Slot::empty(),
                weak_references: Cell::new(0),
            })
        })
        .init(|py, this, args, keywords| {
            if this.shape(py).is_foreign() || !no_arguments(py, args, keywords) {
                return initialise_next(py, this, args, keywords);
            }
            this.is_locked.set(false);
            Ok(())
        })
        .attribute_set(|py, this, name| {
            this.shape.note::<Lock>(py, name);
        });
    privates(methods(builder)).create(py, None)
}

fn methods(builder: Builder<Lock>) -> Builder<Lock> {
    builder
        .plain(
            c"locked",
            c"locked($self, /)\n--\n\nReturn True if somebody holds the lock.",
            |_, this| Ok(Ref::boolean(this.is_locked.get())),
        )
        .plain(
            c"acquire",
            c"acquire($self, /)\n--\n\nWait for the lock and take it; awaited, it returns True.",
            |py, this| this.acquire(py),
        )
        .coroutine()
        .plain(
            c"release",
            c"release($self, /)\n--\n\nGive the lock back; RuntimeError when nobody holds it.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "release", &[]);
                }
                this.release(py)?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"__aenter__",
            c"__aenter__($self, /)\n--\n\n",
            |py, this| this.enter(py),
        )
        .coroutine()
        .method(
            c"__aexit__",
            c"__aexit__($self, exc_type, exc, tb, /)\n--\n\n",
            |py, this, args| leave(py, this, args, || this.release(py)),
        )
        .coroutine()
}

fn privates(builder: Builder<Lock>) -> Builder<Lock> {
    let builder = kept!(builder, c"_loop", c"The loop it is bound to.", bound);
    let builder = waiters!(builder, c"_waiters", c"Who waits.", line.shown_if_any);
    flag!(
        builder,
        c"_locked",
        c"Whether somebody holds it.",
        is_locked
    )
}
