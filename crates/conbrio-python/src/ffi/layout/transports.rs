//! Fields of `asyncio.transports._FlowControlMixin`: a Python class with `__slots__`, whose places we use or leave empty.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::ffi::object::{Slot, object};
use crate::ffi::visit::Visit;

/// What asyncio's transports keep; CPython orders the slots of each class by name.
#[repr(C)]
pub(crate) struct TransportFields {
    /// The dictionary behind `get_extra_info`.
    pub(crate) extra: Slot,
    /// Left empty: a native transport keeps a number.
    high_water: Slot,
    /// The loop; empty once the connection is lost.
    pub(crate) event_loop: Slot,
    low_water: Slot,
    protocol_paused: Slot,
}

impl TransportFields {
    /// Fields of a transport that is not made yet.
    pub(crate) const fn empty() -> Self {
        Self {
            extra: Slot::empty(),
            high_water: Slot::empty(),
            event_loop: Slot::empty(),
            low_water: Slot::empty(),
            protocol_paused: Slot::empty(),
        }
    }

    fn slots(&self) -> [&Slot; 5] {
        [
            &self.extra,
            &self.high_water,
            &self.event_loop,
            &self.low_water,
            &self.protocol_paused,
        ]
    }

    /// Shows the collector all references.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }
}

/// What every transport of asyncio's keeps, those that only read above all: the dictionary behind `get_extra_info`.
#[repr(transparent)]
pub(crate) struct ExtraField(pub(crate) Slot);

/// Compares a live object of asyncio's own with the field.
///
/// # Errors
/// `RuntimeError` when it is not where it should be.
pub(crate) fn prove_extra(py: Python<'_>, class: &Bound<'_, PyAny>) -> PyResult<()> {
    let extra = PyDict::new(py).into_any();
    let transport = class.call1((&extra,))?;
    let size = class.getattr("__basicsize__")?.extract::<usize>()?;
    let head = size_of::<pyo3::ffi::PyObject>();
    // SAFETY: read only when the size has been compared.
    let holds = size == head + size_of::<ExtraField>()
        && unsafe {
            let field = &*transport.as_ptr().byte_add(head).cast::<ExtraField>();
            field.0.holds(object(&extra))
        };
    if holds { Ok(()) } else { Err(differs()) }
}

/// Compares a live object of asyncio's own with the fields.
///
/// # Errors
/// `RuntimeError` when a field is not where it should be.
pub(crate) fn prove_transports(py: Python<'_>) -> PyResult<()> {
    let class = py
        .import("asyncio.transports")?
        .getattr("_FlowControlMixin")?;
    let extra = PyDict::new(py).into_any();
    let event_loop = PyDict::new(py).into_any();
    let transport = class.call1((&extra, &event_loop))?;
    let size = class.getattr("__basicsize__")?.extract::<usize>()?;
    let head = size_of::<pyo3::ffi::PyObject>();
    // SAFETY: read only when the size has been compared.
    let holds = size == head + size_of::<TransportFields>()
        && unsafe {
            let fields = &*transport.as_ptr().byte_add(head).cast::<TransportFields>();
            fields.extra.holds(object(&extra)) && fields.event_loop.holds(object(&event_loop))
        };
    if holds { Ok(()) } else { Err(differs()) }
}

fn differs() -> PyErr {
    PyRuntimeError::new_err("the layout of asyncio's transports differs")
}
