//! Fields of `asyncio.Handle`: a Python class with `__slots__`, whose places we use for what they are named after.

use std::cell::Cell;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::ffi::object::{Slot, object};
use crate::ffi::visit::Visit;

/// What a handle keeps; CPython orders slots by name.
#[repr(C)]
pub(crate) struct HandleFields {
    /// A tuple of arguments; empty when there are none.
    pub(crate) args: Slot,
    /// The callback, `None` of Python once cancelled.
    pub(crate) callback: Slot,
    /// `True` once cancelled; empty before.
    pub(crate) cancelled: Slot,
    /// The context to run in.
    pub(crate) context: Slot,
    /// The loop.
    pub(crate) event_loop: Slot,
    /// The repr, kept when cancelled in debug mode.
    pub(crate) repr: Slot,
    /// Where it was made, in debug mode.
    pub(crate) source: Slot,
    /// Up to 3.11 the list of weak references stands here, later before the object's head.
    #[cfg(not(Py_3_12))]
    weak_references: Cell<usize>,
}

/// What a timer handle keeps besides; the base's own two places stay empty.
#[repr(C)]
pub(crate) struct TimerFields {
    /// What every handle keeps.
    pub(crate) handle: HandleFields,
    scheduled: Slot,
    /// The moment as it was given, where that was no float.
    pub(crate) when_object: Slot,
    /// When it is due, in seconds of the loop's clock.
    pub(crate) when: Cell<f64>,
    /// Its key among the loop's timers; 0 when it is not there.
    pub(crate) key: Cell<u64>,
}

impl HandleFields {
    /// An empty handle.
    pub(crate) const fn empty() -> Self {
        Self {
            args: Slot::empty(),
            callback: Slot::empty(),
            cancelled: Slot::empty(),
            context: Slot::empty(),
            event_loop: Slot::empty(),
            repr: Slot::empty(),
            source: Slot::empty(),
            #[cfg(not(Py_3_12))]
            weak_references: Cell::new(0),
        }
    }

    fn slots(&self) -> [&Slot; 7] {
        [
            &self.args,
            &self.callback,
            &self.cancelled,
            &self.context,
            &self.event_loop,
            &self.repr,
            &self.source,
        ]
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
    }
}

impl TimerFields {
    /// A timer handle of these fields.
    pub(crate) const fn new(handle: HandleFields, when: f64) -> Self {
        Self {
            handle,
            scheduled: Slot::empty(),
            when_object: Slot::empty(),
            when: Cell::new(when),
            key: Cell::new(0),
        }
    }
}

/// Compares a live handle of asyncio's own with the fields.
///
/// # Errors
/// `RuntimeError` when a field is not where it should be.
pub(super) fn prove(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let events = py.import("asyncio.events")?;
    let context = py.import("contextvars")?.getattr("Context")?.call0()?;
    let callback = py.get_type::<PyDict>().into_any();
    let arguments = PyTuple::new(py, [1])?.into_any();
    let handle = events
        .getattr("Handle")?
        .call1((&callback, &arguments, event_loop, &context))?;
    let size = events
        .getattr("Handle")?
        .getattr("__basicsize__")?
        .extract::<usize>()?;
    let timer = events
        .getattr("TimerHandle")?
        .getattr("__basicsize__")?
        .extract::<usize>()?;
    let head = size_of::<pyo3::ffi::PyObject>();
    let own = size_of::<TimerFields>() - size_of::<Cell<f64>>() - size_of::<Cell<u64>>();
    let sized = size == head + size_of::<HandleFields>() && timer == head + own;
    // SAFETY: read only when the size has been compared.
    let holds = sized
        && unsafe {
            let fields = &*handle.as_ptr().byte_add(head).cast::<HandleFields>();
            fields.args.holds(object(&arguments))
                && fields.callback.holds(object(&callback))
                && fields.context.holds(object(&context))
                && fields.event_loop.holds(object(event_loop))
        };
    if holds {
        Ok(())
    } else {
        Err(PyRuntimeError::new_err(
            "the layout of asyncio.Handle differs",
        ))
    }
}
