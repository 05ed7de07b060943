//! CPython's private layouts: where `_asyncio`'s Future and Task keep their fields, and the proof that they still do.
//!
//! Our Future and Task derive from CPython's and keep their state in the base's own fields, with the base's own
//! meaning. So they are no larger, tools that read a process's memory see them, and a base method called on one of
//! them finds what it expects. `prove` compares every offset with a live object at import; if one differs, the
//! package uses CPython's classes instead.

mod attributes;
#[cfg_attr(Py_3_14, path = "fields_314.rs")]
#[cfg_attr(all(Py_3_13, not(Py_3_14)), path = "fields_313.rs")]
#[cfg_attr(not(Py_3_13), path = "fields_311.rs")]
mod fields;
mod handles;
mod proof;
mod tracing;
mod transports;

pub(crate) use attributes::own_dictionary;
pub(super) use attributes::{
    base_size_and_flags, clear_attributes, forget_attributes, is_finalized,
    keep_attributes_outside, keeps_attributes_before_head, visit_attributes,
};
pub(crate) use fields::{
    FutureFields, TaskFields, logs_destroy, must_cancel, set_logs_destroy, set_must_cancel,
};
pub(crate) use handles::{HandleFields, TimerFields};
pub(crate) use proof::{PROBE, prove, prove_handles};
pub(crate) use tracing::{is_watched, prove_tracing};
pub(crate) use transports::{ExtraField, TransportFields, prove_extra, prove_transports};

use std::cell::Cell;

/// A link of the list of tasks, as CPython's `llist_node`.
#[repr(C)]
pub(crate) struct Node {
    /// The next link, null when the task is in no list.
    pub(super) next: Cell<*const Node>,
    /// The one before.
    pub(super) previous: Cell<*const Node>,
}

impl Node {
    /// A link in no list.
    pub(crate) const fn alone() -> Self {
        Self {
            next: Cell::new(std::ptr::null()),
            previous: Cell::new(std::ptr::null()),
        }
    }

    /// Whether the link is in a list.
    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        !self.next.get().is_null()
    }
}

/// A future's state, as CPython numbers it.
pub(crate) const PENDING: i32 = 0;
/// It was cancelled.
pub(crate) const CANCELLED: i32 = 1;
/// It has a result or an exception.
pub(crate) const FINISHED: i32 = 2;
