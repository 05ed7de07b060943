//! `Semaphore` and `BoundedSemaphore`: so many permits, given in the order in which they were asked for.

use std::cell::Cell;
use std::mem::offset_of;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::line::{Line, waiters};
use super::shape::{ENTRY, Shape, bound_loop, leave, shaped};
use super::stock::{delegate, initialise_next};
use super::{Only, attribute_without_value, only_argument};
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, call_method,
    is_instance, is_true, kept, object, raise_in_context,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op, ready};

/// The native half of `asyncio.Semaphore`, and of the bounded one.
pub(super) struct Semaphore {
    line: Line,
    /// The loop it is bound to.
    bound: Slot,
    /// How many permits are left.
    value: Cell<i64>,
    /// How many there are in all; `UNBOUNDED` unless it is a bounded one.
    most: Cell<u32>,
    shape: Shape,
    /// Attributes of its own, if it has any.
    dict: Slot,
    weak_references: Cell<usize>,
}

/// No limit; a semaphore bounded by so many is not told from it.
const UNBOUNDED: u32 = u32::MAX;

static STATE: ClassState = ClassState::new();

impl Class for Semaphore {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Semaphore";

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
const INNER: &[&str] = &["_get_loop", "_wake_up_next"];
/// What `async with` calls by name, and `acquire()`.
const OUTER: &[&str] = &[ENTRY[0], ENTRY[1], "locked"];
/// The place of `locked` in `OUTER`.
const LOCKED: usize = 2;
shaped!(Semaphore, INNER, OUTER);

static ACQUIRE: Deed = Deed {
    name: "Semaphore.acquire",
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

/// What the wait returns: what it was made with, else `True`.
fn value(op: &Instance<Op>) -> Doing {
    Doing::Done(op.item.take().unwrap_or_else(|| Ref::boolean(true)))
}

fn begin(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(semaphore) = Instance::<Semaphore>::of(&held) else {
        return Ok(value(op));
    };
    if semaphore.try_take(py)? {
        return Ok(value(op));
    }
    let event_loop = bound_loop(py, semaphore.object(), &semaphore.bound)?;
    semaphore.line.push(py, op.object())?;
    op.park(event_loop);
    Ok(Doing::Parked)
}

fn resume(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    if let Some(semaphore) = Instance::<Semaphore>::of(&op.owner.share_or_none()) {
        semaphore.line.remove(py, op.object())?;
        semaphore.wake_allowed(py)?;
    }
    Ok(value(op))
}

fn abandon(py: Python<'_>, op: &Instance<Op>, exception: Ref, was_woken: bool) -> Outcome<Doing> {
    if let Some(semaphore) = Instance::<Semaphore>::of(&op.owner.share_or_none()) {
        semaphore.line.remove(py, op.object())?;
        let given_back = was_woken && is_instance(&exception, names::cancelled_error(py)?);
        if given_back {
            semaphore.value.set(semaphore.value.get() + 1);
        }
        // CPython: up to 3.12 only who gives a permit back wakes the next.
        if cfg!(Py_3_13) || given_back {
            semaphore.wake_allowed(py)?;
        }
    }
    Err(raise_in_context(&exception))
}

impl Instance<Semaphore> {
    #[inline]
    fn is_locked(&self, py: Python<'_>) -> Outcome<bool> {
        Ok(self.value.get() == 0 || !self.line.is_all_cancelled(py)?)
    }

    #[inline]
    fn try_take(&self, py: Python<'_>) -> Outcome<bool> {
        let is_locked = if self.shape(py).has_replaced(LOCKED) {
            is_true(
                py,
                &*call_method(py, self.object(), names::locked(py), &[])?,
            )?
        } else {
            self.is_locked(py)?
        };
        if is_locked {
            return Ok(false);
        }
        self.value.set(self.value.get() - 1);
        Ok(true)
    }

    /// Gives the next who waits a permit; false when nobody does.
    #[inline]
    fn wake_next(&self, py: Python<'_>) -> Outcome<bool> {
        // Order: the permit is gone before anybody can hear of it.
        self.value.set(self.value.get() - 1);
        let woken = self.line.wake_next(py);
        if !matches!(woken, Ok(true)) {
            self.value.set(self.value.get() + 1);
        }
        woken
    }

    /// Wakes those for whom there are permits; up to 3.12 one of them.
    #[inline]
    fn wake_allowed(&self, py: Python<'_>) -> Outcome<()> {
        while self.value.get() > 0 {
            if !self.wake_next(py)? || !cfg!(Py_3_13) {
                break;
            }
        }
        Ok(())
    }

    #[inline]
    fn release(&self, py: Python<'_>) -> Outcome<()> {
        let most = self.most.get();
        if self.value.get() >= i64::from(most) && most != UNBOUNDED {
            let text = "BoundedSemaphore released too many times";
            return Err(PyValueError::new_err(text).into());
        }
        self.value.set(self.value.get() + 1);
        self.wake_next(py).map(drop)
    }

    fn enter(&self, py: Python<'_>) -> Outcome<Ref> {
        if !self.shape(py).enters_natively() {
            return delegate(py, self, "__aenter__", &[]);
        }
        if !self.shape(py).has_replaced(LOCKED) && self.try_take(py)? {
            return ready(py);
        }
        let owner = Some(self.object().share());
        Ok(op::new(py, &ENTER, owner, Some(Ref::none()))?.erase())
    }
}

fn init(
    py: Python<'_>,
    this: &Instance<Semaphore>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let value = only_argument(py, args, keywords, pyo3::intern!(py, "value"))?;
    let number = match &value {
        Only::Nothing => Some(1),
        Only::This(given) => given.bind(py).extract::<i64>().ok(),
        Only::Others => None,
    };
    let Some(number) = number.filter(|_| !this.shape(py).is_foreign()) else {
        this.shape.set_foreign();
        return initialise_next(py, this, args, keywords);
    };
    if number < 0 {
        return Err(PyValueError::new_err("Semaphore initial value must be >= 0").into());
    }
    this.value.set(number);
    Ok(())
}

/// The class `Semaphore`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder =
        Builder::<Semaphore>::new(c"Semaphore(value=1)\n--\n\nThe native half of Semaphore.")
            .subclassable()
            .with_attributes(
                offset_of!(Semaphore, dict),
                offset_of!(Semaphore, weak_references),
            )
            .new_with(|_, _, _| {
                Ok(Semaphore {
                    line: Line::new(),
                    bound: Slot::empty(),
                    value: Cell::new(1),
                    most: Cell::new(UNBOUNDED),
                    shape: Shape::unseen(),
                    dict: Slot::empty(),
                    weak_references: Cell::new(0),
                })
            })
            .init(init)
            .attribute_set(|py, this, name| {
                this.shape.note::<Semaphore>(py, name);
            });
    privates(entries(methods(builder))).create(py, None)
}

fn methods(builder: Builder<Semaphore>) -> Builder<Semaphore> {
    builder
        .plain(
            c"locked",
            c"locked($self, /)\n--\n\nReturn True if acquire() would have to wait.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "locked", &[]);
                }
                this.is_locked(py).map(Ref::boolean)
            },
        )
        .plain(
            c"acquire",
            c"acquire($self, /)\n--\n\nWait for a permit and take it; awaited, it returns True.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "acquire", &[]);
                }
                Ok(op::new(py, &ACQUIRE, Some(this.object().share()), None)?.erase())
            },
        )
        .coroutine()
        .plain(
            c"release",
            c"release($self, /)\n--\n\nGive a permit back, to the next who waits if there is one.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "release", &[]);
                }
                this.release(py)?;
                Ok(Ref::none())
            },
        )
}

fn entries(builder: Builder<Semaphore>) -> Builder<Semaphore> {
    builder
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

fn number(py: Python<'_>, value: i64) -> Ref {
    let Ok(value) = value.into_pyobject(py);
    object(&value).share()
}

/// What the instance keeps beside its native state.
fn kept_attributes<'py>(
    py: Python<'py>,
    this: &Instance<Semaphore>,
) -> Outcome<Bound<'py, PyDict>> {
    let kept = this.object().bind(py).getattr("__dict__")?;
    Ok(kept.cast_into::<PyDict>().map_err(PyErr::from)?)
}

/// Takes a count as it is given. What is no such number stands in the dictionary, and asyncio's methods count with it.
fn take_count<N>(
    py: Python<'_>,
    this: &Instance<Semaphore>,
    name: &str,
    value: Option<&Object>,
) -> Outcome<Option<N>>
where
    N: for<'a, 'py> FromPyObject<'a, 'py>,
{
    let value = value.ok_or_else(attribute_without_value)?.bind(py);
    let number = value.extract::<N>().ok();
    if number.is_none() {
        this.shape.set_foreign();
        kept_attributes(py, this)?.set_item(name, value)?;
    } else if this.shape(py).is_foreign() {
        let kept = kept_attributes(py, this)?;
        if kept.contains(name)? {
            kept.del_item(name)?;
        }
    }
    Ok(number)
}

/// Shows a count as it was given.
fn show_count(
    py: Python<'_>,
    this: &Instance<Semaphore>,
    name: &str,
    whole: Option<i64>,
) -> Outcome<Ref> {
    if this.shape(py).is_foreign()
        && let Some(odd) = kept_attributes(py, this)?.get_item(name)?
        && !odd.is_none()
    {
        return Ok(odd.into());
    }
    Ok(whole.map_or_else(Ref::none, |whole| number(py, whole)))
}

fn privates(builder: Builder<Semaphore>) -> Builder<Semaphore> {
    let builder = kept!(builder, c"_loop", c"The loop it is bound to.", bound);
    let builder = waiters!(builder, c"_waiters", c"Who waits.", line.shown_if_any);
    builder
        .property(
            c"_value",
            c"How many permits are left.",
            |py, this| show_count(py, this, "_value", Some(this.value.get())),
            |py, this, value| {
                if let Some(whole) = take_count(py, this, "_value", value)? {
                    this.value.set(whole);
                }
                Ok(())
            },
        )
        .property(
            c"_bound_value",
            c"How many permits there are in all.",
            |py, this| {
                let most = Some(this.most.get()).filter(|most| *most != UNBOUNDED);
                show_count(py, this, "_bound_value", most.map(i64::from))
            },
            |py, this, value| {
                let most = take_count(py, this, "_bound_value", value)?;
                this.most.set(most.unwrap_or(UNBOUNDED));
                Ok(())
            },
        )
}
