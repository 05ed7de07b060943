//! `Queue`, `LifoQueue` and `PriorityQueue`: items handed from task to task.

mod class;
mod items;
mod replaced;

use std::cell::Cell;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::event::{self, Event};
use super::line::{Line, forsake, is_done, is_forsaken, wake};
use super::shape::{Shape, bound_loop, shaped};
use crate::ffi::{
    Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, call, raise_in_context,
};
use crate::names;
use crate::op::{Deed, Doing, Op};

pub(super) use class::class;
use items::Items;
use replaced::{INNER, OUTER};

/// The native half of `asyncio.Queue` and the two derived from it.
pub(super) struct Queue {
    items: Items,
    getters: Line,
    putters: Line,
    /// The loop it is bound to.
    bound: Slot,
    /// The event that `join()` waits for, once somebody does; up when nothing is unfinished.
    finished: Slot,
    /// The limit as it was given, and as a number.
    limit: Slot,
    most: Cell<i64>,
    /// How many items were put, and not reported done.
    unfinished: Cell<i64>,
    is_shut_down: Cell<bool>,
    shape: Shape,
}

static STATE: ClassState = ClassState::new();

impl Class for Queue {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Queue";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.items.traverse(visit);
        self.getters.traverse(visit);
        self.putters.traverse(visit);
        for slot in [&self.bound, &self.finished, &self.limit] {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        self.items.clear();
        self.getters.clear();
        self.putters.clear();
        for slot in [&self.bound, &self.finished, &self.limit] {
            slot.clear();
        }
    }
}

// From now on the methods work on the container that others know.
shaped!(Queue, INNER, OUTER, |py, queue| queue.open_items(py));

static PUT: Deed = Deed {
    name: "Queue.put",
    begin: put,
    resume: put,
    abandon: |py, op, exception, was_woken| {
        if let Some(queue) = Instance::<Queue>::of(&op.owner.share_or_none()) {
            queue.putters.remove(py, op.object())?;
            if !queue.is_full(py)? && was_woken {
                wake_next(py, &queue.putters)?;
            }
        }
        Err(raise_in_context(&exception))
    },
};

static GET: Deed = Deed {
    name: "Queue.get",
    begin: get,
    resume: get,
    abandon: abandon_get,
};

static JOIN: Deed = Deed {
    name: "Queue.join",
    begin: |py, op| {
        let held = op.owner.share_or_none();
        match Instance::<Queue>::of(&held) {
            Some(queue) if queue.unfinished.get() > 0 => {
                event::begin(py, op, &*queue.finished_event(py)?, Ref::none())
            }
            _ => Ok(Doing::Done(Ref::none())),
        }
    },
    resume: |py, op| event::resume(py, op, Ref::none()),
    abandon: event::abandon,
};

fn put(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(queue) = Instance::<Queue>::of(&held) else {
        return Ok(Doing::Done(Ref::none()));
    };
    // Bench: queue_pingpong; what is called from here on need not look at the class again.
    let is_native = queue.shape(py).is_native();
    if queue.is_full(py)? {
        if queue.is_shut_down.get() {
            return Err(refusal(py, names::queue_shut_down(py)?));
        }
        let event_loop = bound_loop(py, queue.object(), &queue.bound)?;
        queue.putters.push(py, op.object())?;
        op.park(event_loop);
        return Ok(Doing::Parked);
    }
    let item = op.item.take().unwrap_or_else(Ref::none);
    if !is_native {
        return queue.put_by_name(py, &item).map(Doing::Done);
    }
    if queue.is_shut_down.get() {
        return Err(refusal(py, names::queue_shut_down(py)?));
    }
    queue.accept(py, &item)?;
    Ok(Doing::Done(Ref::none()))
}

/// Gives an item, or waits for one; the op's owner is the queue.
///
/// # Errors
/// `QueueShutDown`; `RuntimeError` on another loop.
pub(super) fn get(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(queue) = Instance::<Queue>::of(&held) else {
        return Ok(Doing::Done(Ref::none()));
    };
    let taken = if queue.shape(py).is_native() {
        queue.take(py)?
    } else {
        queue.take_by_name(py)?
    };
    if let Some(item) = taken {
        return Ok(Doing::Done(item));
    }
    if queue.is_shut_down.get() && queue.is_empty(py)? {
        return Err(refusal(py, names::queue_shut_down(py)?));
    }
    let event_loop = bound_loop(py, queue.object(), &queue.bound)?;
    queue.getters.push(py, op.object())?;
    op.park(event_loop);
    Ok(Doing::Parked)
}

/// Waits for an item no longer; who comes next is woken in the place of one who had been.
///
/// # Errors
/// Always: `exception`.
pub(super) fn abandon_get(
    py: Python<'_>,
    op: &Instance<Op>,
    exception: Ref,
    was_woken: bool,
) -> Outcome<Doing> {
    if let Some(queue) = Instance::<Queue>::of(&op.owner.share_or_none()) {
        queue.getters.remove(py, op.object())?;
        if !queue.is_empty(py)? && was_woken {
            wake_next(py, &queue.getters)?;
        }
    }
    Err(raise_in_context(&exception))
}

/// Raises an exception without arguments.
#[cold]
fn refusal(py: Python<'_>, class: &Object) -> crate::ffi::Raised {
    match call(py, class, &[]) {
        Ok(exception) => raise_in_context(&exception),
        Err(raised) => raised,
    }
}

/// Takes who waits from the line until one is found who still does, and wakes that one.
#[inline]
fn wake_next(py: Python<'_>, line: &Line) -> Outcome<()> {
    while let Some(waiter) = line.pop(py)? {
        if is_forsaken(&waiter, 1) {
            forsake(py, &waiter);
        } else if !is_done(py, &waiter)? {
            return wake(py, &waiter);
        }
    }
    Ok(())
}

impl Instance<Queue> {
    /// Puts an item.
    ///
    /// # Errors
    /// `QueueFull`, `QueueShutDown`.
    #[inline]
    pub(super) fn put_nowait(&self, py: Python<'_>, item: &Object) -> Outcome<()> {
        if self.is_shut_down.get() {
            return Err(refusal(py, names::queue_shut_down(py)?));
        }
        if self.is_full(py)? {
            return Err(refusal(py, names::queue_full(py)?));
        }
        self.accept(py, item)
    }

    /// Puts an item for which there is room.
    #[inline]
    fn accept(&self, py: Python<'_>, item: &Object) -> Outcome<()> {
        if self.seen_shape().is_native() {
            self.items.push(py, item)?;
        } else {
            self.push_by_name(py, item)?;
        }
        self.unfinished.set(self.unfinished.get() + 1);
        if let Some(event) = self.finished.share()
            && let Some(event) = Instance::<Event>::of(&event)
        {
            event.unset();
        }
        wake_next(py, &self.getters)
    }

    /// Whether there is no room for another.
    #[inline]
    fn is_full(&self, py: Python<'_>) -> Outcome<bool> {
        if !self.seen_shape().is_native() {
            return self.is_full_by_name(py);
        }
        let most = self.most.get();
        Ok(most > 0 && i64::try_from(self.items.len(py)?).unwrap_or(i64::MAX) >= most)
    }

    /// Takes an item out of the container, if there is one.
    #[inline]
    fn pop(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        if self.seen_shape().is_native() {
            self.items.pop(py)
        } else {
            self.pop_by_name(py)
        }
    }

    /// Takes an item, if there is one.
    #[inline]
    fn take(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        let item = self.pop(py)?;
        if item.is_some() {
            wake_next(py, &self.putters)?;
        }
        Ok(item)
    }

    #[inline]
    fn get_nowait(&self, py: Python<'_>) -> Outcome<Ref> {
        match self.take(py)? {
            Some(item) => Ok(item),
            None if self.is_shut_down.get() => Err(refusal(py, names::queue_shut_down(py)?)),
            None => Err(refusal(py, names::queue_empty(py)?)),
        }
    }

    fn task_done(&self, py: Python<'_>) -> Outcome<()> {
        if self.unfinished.get() <= 0 {
            return Err(PyValueError::new_err("task_done() called too many times").into());
        }
        self.unfinished.set(self.unfinished.get() - 1);
        self.note_finished(py)
    }

    /// Puts the event up if nothing is unfinished.
    fn note_finished(&self, py: Python<'_>) -> Outcome<()> {
        if self.unfinished.get() != 0 {
            return Ok(());
        }
        match self.finished.share() {
            Some(event) => match Instance::<Event>::of(&event) {
                Some(event) => event.set(py),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// The event that `join()` waits for, made when it is first needed.
    fn finished_event(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(event) = self.finished.share() {
            return Ok(event);
        }
        let event = call(py, names::own_event_class(py)?, &[])?;
        self.finished.set(event.share());
        if let Some(event) = Instance::<Event>::of(&event)
            && self.unfinished.get() <= 0
        {
            event.set(py)?;
        }
        Ok(event)
    }

    #[cfg(Py_3_13)]
    fn shut_down(&self, py: Python<'_>, immediate: bool) -> Outcome<()> {
        self.is_shut_down.set(true);
        if immediate {
            while self.pop(py)?.is_some() {
                self.unfinished.set((self.unfinished.get() - 1).max(0));
            }
            self.note_finished(py)?;
        }
        for line in [&self.getters, &self.putters] {
            while line.len(py)? > 0 {
                wake_next(py, line)?;
            }
        }
        Ok(())
    }
}
