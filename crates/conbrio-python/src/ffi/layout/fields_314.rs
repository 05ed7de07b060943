//! Fields of `_asyncio.Future` and `_asyncio.Task` in CPython 3.14 and 3.15.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyFrozenSet;

use super::Node;
use crate::ffi::object::{Object, Outcome, Ref, Slot};
use crate::ffi::visit::Visit;

/// What a future keeps, from its sixteenth byte on.
#[repr(C)]
pub(crate) struct FutureFields {
    /// The loop it belongs to; empty before `__init__`.
    pub(crate) event_loop: Slot,
    /// The first waiter: a callable with its context, or a task without one.
    pub(crate) waiter: Slot,
    /// The first waiter's context.
    pub(crate) waiter_context: Slot,
    /// Further waiters: a list of (waiter, context).
    pub(crate) waiters: Slot,
    /// The exception it ended with.
    pub(crate) exception: Slot,
    /// The traceback that exception had.
    pub(crate) traceback: Slot,
    /// The result it ended with.
    pub(crate) result: Slot,
    /// Where it was created, in debug mode.
    pub(crate) source: Slot,
    /// The message it was cancelled with.
    pub(crate) cancel_message: Slot,
    /// The `CancelledError` that cancelled it.
    pub(crate) cancelled: Slot,
    /// Who awaits it: a task, or a set of them; what `asyncio.print_call_graph` and `python -m asyncio ps` read.
    pub(crate) awaited_by: Slot,
    /// `PENDING`, `CANCELLED` or `FINISHED`.
    pub(crate) state: Cell<i32>,
    /// Whether it is a task; read by tools from outside the process.
    is_task: Cell<u8>,
    /// Whether `awaited_by` holds a set.
    awaited_by_is_set: Cell<u8>,
    /// Bit fields: `LOGS`, `BLOCKS`, and a task's `MUST_CANCEL`, `LOGS_DESTROY`.
    bits: Cell<u8>,
}

/// In `FutureFields::bits`: its exception has not been looked at yet.
const LOGS: u8 = 1;
/// In `FutureFields::bits`: a coroutine has just yielded it.
const BLOCKS: u8 = 2;
/// In `FutureFields::bits`: a task's next step throws `CancelledError`.
const MUST_CANCEL: u8 = 4;
/// In `FutureFields::bits`: a task's death while pending is reported.
const LOGS_DESTROY: u8 = 8;

#[inline]
fn set_bit(bits: &Cell<u8>, bit: u8, value: bool) {
    bits.set(if value {
        bits.get() | bit
    } else {
        bits.get() & !bit
    });
}

impl FutureFields {
    /// What an object has before `__init__`.
    pub(crate) const fn empty() -> Self {
        Self {
            event_loop: Slot::empty(),
            waiter: Slot::empty(),
            waiter_context: Slot::empty(),
            waiters: Slot::empty(),
            exception: Slot::empty(),
            traceback: Slot::empty(),
            result: Slot::empty(),
            source: Slot::empty(),
            cancel_message: Slot::empty(),
            state: Cell::new(super::PENDING),
            cancelled: Slot::empty(),
            awaited_by: Slot::empty(),
            is_task: Cell::new(0),
            awaited_by_is_set: Cell::new(0),
            bits: Cell::new(0),
        }
    }

    /// A pending future of `event_loop`; tasks say that they are.
    #[inline]
    pub(crate) fn pending(event_loop: Ref, is_task: bool) -> Self {
        Self {
            event_loop: Slot::holding(event_loop),
            is_task: Cell::new(u8::from(is_task)),
            ..Self::empty()
        }
    }

    /// Says whether it is a task.
    #[inline]
    pub(crate) fn set_is_task(&self, is_task: bool) {
        self.is_task.set(u8::from(is_task));
    }

    /// Who awaits it, as asyncio shows it: a frozenset, or `None`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn awaited_by_shown(&self, py: Python<'_>) -> Outcome<Ref> {
        let Some(held) = self.awaited_by.share() else {
            return Ok(Ref::none());
        };
        let held = held.bind(py);
        if self.awaited_by_is_set.get() != 0 {
            return Ok(py.get_type::<PyFrozenSet>().call1((held,))?.into());
        }
        Ok(PyFrozenSet::new(py, [held])?.into_any().into())
    }

    /// Whether its exception has not been looked at yet.
    #[inline]
    pub(crate) fn logs(&self) -> bool {
        self.bits.get() & LOGS != 0
    }

    /// Says whether its exception has still to be reported.
    #[inline]
    pub(crate) fn set_logs(&self, value: bool) {
        set_bit(&self.bits, LOGS, value);
    }

    /// Whether a coroutine has just yielded it.
    #[inline]
    pub(crate) fn blocks(&self) -> bool {
        self.bits.get() & BLOCKS != 0
    }

    /// Says whether a coroutine has just yielded it.
    #[inline]
    pub(crate) fn set_blocks(&self, value: bool) {
        set_bit(&self.bits, BLOCKS, value);
    }

    /// Remembers who awaits it, where tools look for that (3.14).
    #[inline]
    pub(crate) fn set_awaited_by(&self, task: &Object) {
        if self.awaited_by.is_empty() {
            drop(self.awaited_by.replace(Some(task.share())));
        } else {
            super::attributes::add_awaited_by(self, task);
        }
    }

    /// Forgets who awaited it.
    #[inline]
    pub(crate) fn unset_awaited_by(&self, task: &Object) {
        if self.awaited_by.holds(task) {
            self.awaited_by.clear();
        } else if self.awaited_by_is_set.get() != 0 {
            super::attributes::remove_awaited_by(self, task);
        }
    }

    /// Whether `awaited_by` holds a set.
    pub(super) fn awaited_by_is_set(&self) -> &Cell<u8> {
        &self.awaited_by_is_set
    }

    /// Shows the collector all references.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    /// Drops all references.
    pub(crate) fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
        self.awaited_by_is_set.set(0);
    }

    /// Makes it as before `__init__`; attributes that a derived class has set stay.
    pub(crate) fn reset(&self) {
        self.clear();
    }

    fn slots(&self) -> [&Slot; 11] {
        [
            &self.event_loop,
            &self.waiter,
            &self.waiter_context,
            &self.waiters,
            &self.exception,
            &self.traceback,
            &self.result,
            &self.source,
            &self.cancel_message,
            &self.cancelled,
            &self.awaited_by,
        ]
    }
}

/// What a task keeps behind a future's fields.
#[repr(C)]
pub(crate) struct TaskFields {
    /// How often it was asked to cancel, less `uncancel()`.
    pub(crate) cancels: Cell<i32>,
    /// The future it waits for.
    pub(crate) awaited: Slot,
    /// Its coroutine.
    pub(crate) coroutine: Slot,
    /// Its name: a string, or the number of one that has not been asked for.
    pub(crate) name: Slot,
    /// The context its steps run in.
    pub(crate) context: Slot,
    /// Its place in the list of all tasks.
    pub(crate) node: Node,
}

impl TaskFields {
    /// What an object has before `__init__`.
    pub(crate) const fn empty() -> Self {
        Self {
            awaited: Slot::empty(),
            coroutine: Slot::empty(),
            name: Slot::empty(),
            context: Slot::empty(),
            cancels: Cell::new(0),
            node: Node::alone(),
        }
    }

    /// Shows the collector all references.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in [&self.awaited, &self.coroutine, &self.name, &self.context] {
            visit.slot(slot);
        }
    }

    /// Drops all references.
    pub(crate) fn clear(&self) {
        for slot in [&self.awaited, &self.coroutine, &self.name, &self.context] {
            slot.clear();
        }
    }
}

/// Whether the task's next step throws `CancelledError`.
#[inline]
pub(crate) fn must_cancel(future: &FutureFields, _task: &TaskFields) -> bool {
    future.bits.get() & MUST_CANCEL != 0
}

/// Says whether the task's next step throws `CancelledError`.
#[inline]
pub(crate) fn set_must_cancel(future: &FutureFields, _task: &TaskFields, value: bool) {
    set_bit(&future.bits, MUST_CANCEL, value);
}

/// Whether the task's death while pending is reported.
#[inline]
pub(crate) fn logs_destroy(future: &FutureFields, _task: &TaskFields) -> bool {
    future.bits.get() & LOGS_DESTROY != 0
}

/// Says whether the task's death while pending is reported.
#[inline]
pub(crate) fn set_logs_destroy(future: &FutureFields, _task: &TaskFields, value: bool) {
    set_bit(&future.bits, LOGS_DESTROY, value);
}

/// How many bytes an instance of `_asyncio.Future` takes.
pub(super) const FUTURE_SIZE: usize = 112;
/// How many bytes an instance of `_asyncio.Task` takes.
pub(super) const TASK_SIZE: usize = 168;

const _: () = assert!(
    size_of::<FutureFields>() + HEAD == FUTURE_SIZE,
    "a future's fields fill the base's"
);
/// What precedes the fields: the object's head.
const HEAD: usize = size_of::<pyo3::ffi::PyObject>();
