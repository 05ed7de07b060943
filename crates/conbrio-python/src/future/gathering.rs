//! Gathering: the future of several others, what `gather` returns.
//!
//! Only what it keeps is here, so that tasks know it for a future; who makes it says how it is cancelled.

use std::cell::Cell;

use super::Future;
use crate::ffi::{Class, ClassState, Instance, Slot, Visit};

/// The future of several others.
#[repr(C)]
pub(crate) struct Gathering {
    /// What it is as a future.
    pub(crate) future: Future,
    /// The others: a list, in the order in which they were given.
    pub(crate) children: Slot,
    /// The task that gathers, which the children are shown to be awaited by (3.14).
    pub(crate) task: Slot,
    /// How many have not ended.
    pub(crate) missing: Cell<usize>,
    /// Whether exceptions are results.
    pub(crate) keeps_exceptions: Cell<bool>,
    /// Whether somebody has asked for its end.
    pub(crate) cancel_requested: Cell<bool>,
}

crate::ffi::begins_with!(Gathering, future: Future);

static STATE: ClassState = ClassState::new();

impl Class for Gathering {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio._GatheringFuture";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.future.traverse(visit);
        visit.slot(&self.children);
        visit.slot(&self.task);
    }

    fn clear(&self) {
        self.future.clear();
        self.children.clear();
        self.task.clear();
    }

    #[inline]
    fn has_last_words(&self) -> bool {
        self.future.0.logs()
    }
}

impl Instance<Gathering> {
    /// It as a future.
    #[inline]
    pub(crate) fn future(&self) -> &Instance<Future> {
        Instance::first_of(self)
    }
}
