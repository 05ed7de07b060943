//! Fields of `_asyncio.Future` and `_asyncio.Task` in CPython 3.13.

#![expect(
    clippy::unused_self,
    reason = "the twin for 3.14 has a place for these"
)]

use std::cell::Cell;

use super::Node;
use crate::ffi::object::{Ref, Slot};
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
    /// `PENDING`, `CANCELLED` or `FINISHED`.
    pub(crate) state: Cell<i32>,
    /// Bit fields: `LOGS`, `BLOCKS`, and a task's `MUST_CANCEL`, `LOGS_DESTROY`.
    bits: Cell<u32>,
}

/// In `FutureFields::bits`: its exception has not been looked at yet.
const LOGS: u32 = 1;
/// In `FutureFields::bits`: a coroutine has just yielded it.
const BLOCKS: u32 = 2;
/// In `FutureFields::bits`: a task's next step throws `CancelledError`.
const MUST_CANCEL: u32 = 4;
/// In `FutureFields::bits`: a task's death while pending is reported.
const LOGS_DESTROY: u32 = 8;

#[inline]
fn set_bit(bits: &Cell<u32>, bit: u32, value: bool) {
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
            bits: Cell::new(0),
        }
    }

    /// A pending future of `event_loop`; tasks say so in newer versions.
    #[inline]
    pub(crate) fn pending(event_loop: Ref, _is_task: bool) -> Self {
        Self {
            event_loop: Slot::holding(event_loop),
            ..Self::empty()
        }
    }

    /// Says whether it is a task, where tools look for that (3.14).
    #[inline]
    pub(crate) fn set_is_task(&self, _is_task: bool) {}

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
    pub(crate) fn set_awaited_by(&self, _task: &crate::ffi::object::Object) {}

    /// Forgets who awaited it.
    #[inline]
    pub(crate) fn unset_awaited_by(&self, _task: &crate::ffi::object::Object) {}

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
    }

    /// Makes it as before `__init__`; attributes that a derived class has set stay.
    pub(crate) fn reset(&self) {
        self.clear();
    }

    fn slots(&self) -> [&Slot; 10] {
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
pub(super) const FUTURE_SIZE: usize = 104;
/// How many bytes an instance of `_asyncio.Task` takes.
pub(super) const TASK_SIZE: usize = 144;

const _: () = assert!(
    size_of::<FutureFields>() + HEAD == FUTURE_SIZE,
    "a future's fields fill the base's"
);
/// What precedes the fields: the object's head.
const HEAD: usize = size_of::<pyo3::ffi::PyObject>();
