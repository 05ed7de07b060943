//! The wait that is over before it begins: one object for ever, what an uncontended `async with` awaits.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ffi::{
    Builder, Class, ClassState, Instance, Outcome, Own, Ref, Step, Visit, object, raise_in_context,
    stopped_with,
};
use crate::future::thrown;

/// Awaited, it returns `None` at once, as often as one likes.
pub(crate) struct Ready;

static STATE: ClassState = ClassState::new();

impl Class for Ready {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Ready";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, _: &mut Visit<'_>) {}

    fn clear(&self) {}
}

static READY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The one there is.
///
/// # Errors
/// `MemoryError`, the first time.
#[inline]
pub(crate) fn ready(py: Python<'_>) -> Outcome<Ref> {
    if let Some(ready) = READY.get(py) {
        return Ok(object(ready.bind(py)).share());
    }
    let made = Own::new(py, Ready)?.erase();
    let _ = READY.set(py, made.bind(py).to_owned().unbind());
    Ok(made)
}

/// The class `Ready`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Ready>::new(c"A wait that is over before it begins.")
        .made_natively()
        .immutable()
        .advanced(|_, _| Ok(Step::Return(Ref::none())))
        .awaits_itself()
        .one(
            c"send",
            c"send($self, value, /)\n--\n\nEnds at once.",
            |py, _, _| Err(stopped_with(py, &Ref::none())),
        )
        .method(
            c"throw",
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaises.",
            |py, _: &Instance<Ready>, args| {
                let exception = thrown(py, args)?;
                Err(raise_in_context(&exception))
            },
        )
        .plain(c"close", c"close($self, /)\n--\n\nDoes nothing.", |_, _| {
            Ok(Ref::none())
        })
        .create(py, None)
}
