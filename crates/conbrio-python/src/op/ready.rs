//! The wait that is over before it begins, what an uncontended `async with` awaits: one object for ever where it returns
//! `None`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Own, Ref, Slot, Step, Visit, object,
    raise_in_context, stopped_with,
};
use crate::future::thrown;

/// Awaited, it returns `None` at once, as often as one likes.
pub(crate) struct Ready {
    /// The name of what returned it.
    name: &'static str,
}

static STATE: ClassState = ClassState::new();

impl Class for Ready {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Ready";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, _: &mut Visit<'_>) {}

    fn clear(&self) {}
}

/// The one that whatever is entered returns.
///
/// # Errors
/// `MemoryError`, the first time.
#[inline]
pub(crate) fn ready(py: Python<'_>) -> Outcome<Ref> {
    static READY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    the_one(py, &READY, "__aenter__")
}

/// The one that `drain()` returns while there is room.
///
/// # Errors
/// `MemoryError`, the first time.
#[inline]
pub(crate) fn drained(py: Python<'_>) -> Outcome<Ref> {
    static DRAINED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    the_one(py, &DRAINED, "StreamWriter.drain")
}

#[inline]
fn the_one(
    py: Python<'_>,
    kept: &'static PyOnceLock<Py<PyAny>>,
    name: &'static str,
) -> Outcome<Ref> {
    if let Some(ready) = kept.get(py) {
        return Ok(object(ready.bind(py)).share());
    }
    let made = Own::new(py, Ready { name })?.erase();
    let _ = kept.set(py, made.bind(py).to_owned().unbind());
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
        .getter(
            c"__qualname__",
            c"The name of what returned it.",
            |py, this| Ok(object(&PyString::new(py, this.name)).share()),
        )
        .getter(c"__name__", c"The last part of that name.", |py, this| {
            let last = this.name.rsplit('.').next().unwrap_or(this.name);
            Ok(object(&PyString::new(py, last)).share())
        })
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

/// What has to be done with the value when it is awaited.
type Before = fn(Python<'_>, &Object) -> Outcome<()>;

/// Awaited, it returns what it was given, once.
pub(crate) struct Given {
    /// Empty when it has been returned.
    value: Slot,
    before: Before,
}

static GIVEN: ClassState = ClassState::new();

impl Class for Given {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Given";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &GIVEN
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.value);
    }

    fn clear(&self) {
        self.value.clear();
    }
}

impl Instance<Given> {
    fn give(&self, py: Python<'_>) -> Outcome<Ref> {
        let Some(value) = self.value.take() else {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine").into());
        };
        (self.before)(py, &value)?;
        Ok(value)
    }
}

/// A wait that ends at once: `before` is done with `value`, and that returned.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn given(py: Python<'_>, value: Ref, before: Before) -> Outcome<Ref> {
    let value = Slot::holding(value);
    Ok(Own::new(py, Given { value, before })?.erase())
}

/// The class `Given`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn given_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Given>::new(c"A wait that is over before it begins, and returns a value.")
        .made_natively()
        .immutable()
        .advanced(|py, this| Ok(Step::Return(this.give(py)?)))
        .awaits_itself()
        .one(
            c"send",
            c"send($self, value, /)\n--\n\nEnds at once.",
            |py, this: &Instance<Given>, _| Err(stopped_with(py, &*this.give(py)?)),
        )
        .method(
            c"throw",
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaises.",
            |py, this: &Instance<Given>, args| {
                let exception = thrown(py, args)?;
                this.value.clear();
                Err(raise_in_context(&exception))
            },
        )
        .plain(
            c"close",
            c"close($self, /)\n--\n\nLets go of the value.",
            |_, this: &Instance<Given>| {
                this.value.clear();
                Ok(Ref::none())
            },
        )
        .create(py, None)
}
