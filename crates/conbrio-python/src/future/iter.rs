//! What `await future` runs: yields the future once, then returns its result.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Future;
use crate::ffi::{
    Args, Builder, Class, ClassState, Instance, Object, Outcome, Own, Ref, Slot, Step, Visit, call,
    call_tuple, exception, is_exception, raise,
};

/// The iterator of one `await`.
pub(crate) struct FutureIter {
    /// The awaited future; empty when the iterator is spent.
    future: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for FutureIter {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.FutureIter";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.future);
    }

    fn clear(&self) {
        self.future.clear();
    }
}

/// Begins to await `future`.
///
/// # Errors
/// `RuntimeError` when the future was never initialised.
#[inline]
pub(crate) fn begin(py: Python<'_>, future: &Instance<Future>) -> Outcome<Ref> {
    future.check_alive()?;
    Ok(Own::new(
        py,
        FutureIter {
            future: Slot::holding(future.object().share()),
        },
    )?
    .erase())
}

#[inline]
fn advance(py: Python<'_>, this: &Instance<FutureIter>) -> Outcome<Step> {
    let Some(held) = this.future.take() else {
        return Ok(Step::Return(Ref::none()));
    };
    let Some(future) = Instance::<Future>::of(&held) else {
        return Ok(Step::Return(Ref::none()));
    };
    if !future.is_pending() {
        return future.result(py).map(Step::Return);
    }
    drop(this.future.replace(Some(held.share())));
    if future.0.blocks() {
        return Err(PyRuntimeError::new_err("await wasn't used with future").into());
    }
    future.0.set_blocks(true);
    Ok(Step::Yield(held))
}

/// `throw(exception)`, or its older form with class, value and traceback.
fn throw(py: Python<'_>, this: &Instance<FutureIter>, args: Args<'_>) -> Outcome<Ref> {
    let exception = thrown_or(py, args, |_| {
        "exceptions must be classes deriving BaseException or instances of such a class".to_owned()
    })?;
    this.future.clear();
    // CPython: as it is. What awaits gives it its context.
    Err(raise(exception))
}

/// The exception that a `throw()` with these arguments raises, in the words of coroutines.
///
/// # Errors
/// `TypeError` when there is none.
pub(crate) fn thrown(py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
    thrown_or(py, args, |class| {
        format!("exceptions must be classes or instances deriving from BaseException, not {class}")
    })
}

/// The same; `words` say what is wrong with an object of some class.
fn thrown_or(py: Python<'_>, args: Args<'_>, words: impl FnOnce(&str) -> String) -> Outcome<Ref> {
    let [kind, rest @ ..] = args.positional() else {
        return Err(PyTypeError::new_err("throw expected at least 1 argument, got 0").into());
    };
    if rest.len() > 2 {
        let text = format!("throw expected at most 3 arguments, got {}", rest.len() + 1);
        return Err(PyTypeError::new_err(text).into());
    }
    if cfg!(Py_3_12) && !rest.is_empty() {
        let text = c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
        PyErr::warn(
            py,
            &py.get_type::<pyo3::exceptions::PyDeprecationWarning>(),
            text,
            1,
        )?;
    }
    let value = rest.first().filter(|value| !value.is_none());
    let exception = made(py, kind, value.copied(), words)?;
    if let Some(traceback) = rest.get(1).filter(|traceback| !traceback.is_none()) {
        if traceback.bind(py).get_type().name()? != "traceback" {
            return Err(PyTypeError::new_err("throw() third argument must be a traceback").into());
        }
        exception::set_traceback(py, &exception, Some(traceback))?;
    }
    Ok(exception)
}

fn made(
    py: Python<'_>,
    kind: &Object,
    value: Option<&Object>,
    words: impl FnOnce(&str) -> String,
) -> Outcome<Ref> {
    if is_exception(kind) {
        if value.is_some() {
            return Err(
                PyTypeError::new_err("instance exception may not have a separate value").into(),
            );
        }
        return Ok(kind.share());
    }
    let is_class = kind.bind(py).cast::<pyo3::types::PyType>();
    if !is_class.is_ok_and(|class| {
        class
            .is_subclass_of::<pyo3::exceptions::PyBaseException>()
            .unwrap_or(false)
    }) {
        let class = kind.bind(py).get_type().name()?.to_string();
        return Err(PyTypeError::new_err(words(&class)).into());
    }
    let made = match value {
        Some(value) if value.bind(py).is_instance(&kind.bind(py))? => return Ok(value.share()),
        Some(value) if value.bind(py).is_instance_of::<PyTuple>() => call_tuple(py, kind, value)?,
        Some(value) => call(py, kind, &[value])?,
        None => call(py, kind, &[])?,
    };
    if is_exception(&made) {
        return Ok(made);
    }
    let text = format!(
        "calling {} should have returned an instance of BaseException, not {}",
        *kind.bind(py),
        made.bind(py).get_type()
    );
    Err(PyTypeError::new_err(text).into())
}

/// The class `FutureIter`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<FutureIter>::new(c"What `await future` runs.")
        .made_natively()
        .advanced(advance)
        .one(
            c"send",
            c"send($self, value, /)\n--\n\nAdvances the await.",
            |py, this, _| match advance(py, this)? {
                Step::Yield(value) => Ok(value),
                Step::Return(value) => Err(crate::ffi::stopped_with(py, &value)),
            },
        )
        .method(
            c"throw",
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaises in the await.",
            throw,
        )
        .plain(
            c"close",
            c"close($self, /)\n--\n\nEnds the await.",
            |_, this| {
                this.future.clear();
                Ok(Ref::none())
            },
        )
        .create(py, None)
}
