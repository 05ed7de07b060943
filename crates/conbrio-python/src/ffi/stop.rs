//! `StopIteration` with a value, made of a spare one: how every native wait that returns something ends.
//!
//! From 3.12 on an `await` asks for the next value by `tp_iternext`, which has no other way to return one. The exception
//! lives for the few instructions until the interpreter has taken the value out, so a derived class keeps dead ones.

use std::cell::Cell;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::call::tuple;
use super::class::Builder;
use super::instance::{Class, ClassState, Own};
use super::layout::{is_watched, prove_tracing};
use super::object::{Object, Outcome, Slot, object, raise};
use super::visit::Visit;

/// A `StopIteration`, in the fields of CPython's own.
#[repr(C)]
pub(crate) struct Stop {
    dict: Slot,
    args: Slot,
    notes: Slot,
    traceback: Slot,
    context: Slot,
    cause: Slot,
    suppress_context: Cell<u8>,
    value: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for Stop {
    const NAME: &'static std::ffi::CStr = c"builtins.StopIteration";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
    }
}

impl Stop {
    fn slots(&self) -> [&Slot; 7] {
        [
            &self.dict,
            &self.args,
            &self.notes,
            &self.traceback,
            &self.context,
            &self.cause,
            &self.value,
        ]
    }
}

/// Whether there is such a class, and nobody looks on: debuggers know `StopIteration` itself, and stop at others.
#[inline]
pub(super) fn is_apt(py: Python<'_>) -> bool {
    !STATE.kind().is_null() && !is_watched(py)
}

/// Raises one with `value`, where that is apt.
///
/// # Errors
/// Always: this one, or `MemoryError`.
#[inline]
pub(super) fn stop(py: Python<'_>, value: &Object) -> Outcome<()> {
    let args = tuple(py, &[value])?;
    let made = Own::new(
        py,
        Stop {
            dict: Slot::empty(),
            args: Slot::holding(args),
            notes: Slot::empty(),
            traceback: Slot::empty(),
            context: Slot::empty(),
            cause: Slot::empty(),
            suppress_context: Cell::new(0),
            value: Slot::holding(value.share()),
        },
    )?;
    Err(raise(made.erase()))
}

/// Makes the class, where the running CPython's exceptions are laid out as ours.
///
/// # Errors
/// `RuntimeError` when they are not: `StopIteration` itself is raised then, at a higher price.
pub(crate) fn make_class(py: Python<'_>) -> PyResult<()> {
    let base = py.get_type::<PyStopIteration>();
    prove(py, base.as_any())?;
    if cfg!(Py_3_12) {
        prove_tracing(py);
        Builder::<Stop>::new(c"Signal the end from iterator.__next__().")
            .create(py, Some(base.as_any()))?;
    }
    Ok(())
}

/// Compares a live exception with the fields.
fn prove(py: Python<'_>, base: &Bound<'_, PyAny>) -> PyResult<()> {
    let (value, context) = (PyDict::new(py).into_any(), base.call0()?);
    let exception = base.call1((&value,))?;
    exception.setattr("kept", &value)?;
    exception.call_method1("add_note", ("a note",))?;
    exception.setattr("__context__", &context)?;
    exception.setattr("__cause__", &context)?;
    let size = base.getattr("__basicsize__")?.extract::<usize>()?;
    // SAFETY: read only when the size has been compared.
    let holds = size == Stop::OFFSET + size_of::<Stop>()
        && unsafe {
            let fields = &*exception.as_ptr().byte_add(Stop::OFFSET).cast::<Stop>();
            fields.value.holds(object(&value))
                && fields.args.holds(object(&exception.getattr("args")?))
                && fields.dict.holds(object(&exception.getattr("__dict__")?))
                && fields.context.holds(object(&context))
                && fields.cause.holds(object(&context))
                && fields.suppress_context.get() == 1
                && fields.traceback.is_empty()
        };
    if holds {
        Ok(())
    } else {
        Err(PyRuntimeError::new_err(
            "the layout of StopIteration differs",
        ))
    }
}
