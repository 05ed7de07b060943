//! Which of a loop's methods somebody has replaced, in a subclass, in the class or on the loop itself.
//!
//! Native rooms schedule and read the clock without asking Python, as long as Python would do the same.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::engine::Engine;
use crate::ffi::{Class, Instance, Object};
use crate::names;

/// Looks at the loop's class and its own attributes; called when a run begins and when an attribute is set.
pub(super) fn look(py: Python<'_>, this: &Instance<Engine>) {
    this.plain.set(is_ours(py, this, names::call_soon(py)));
    this.plain_clock.set(is_ours(py, this, names::time(py)));
}

fn is_ours(py: Python<'_>, this: &Instance<Engine>, name: &Bound<'_, PyString>) -> bool {
    let found = || -> PyResult<bool> {
        let bound = this.object().bind(py);
        let own = bound.getattr("__dict__").and_then(|own| own.contains(name)).unwrap_or(false);
        let native = crate::ffi::class_of::<Engine>(py);
        Ok(!own && bound.get_type().getattr(name)?.is(&native.getattr(name)?))
    };
    found().unwrap_or(false)
}

/// Looks again when an attribute that matters has been set on the loop.
pub(super) fn attribute_set(py: Python<'_>, this: &Instance<Engine>, name: &Object) {
    let _ = Engine::NAME;
    let name = name.as_ptr();
    if name == names::call_soon(py).as_ptr() || name == names::time(py).as_ptr() {
        look(py, this);
    }
}
