//! Resuming a coroutine, and answering one that resumes us.

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised, Ref};
use super::{stay, stop};

/// What a resumed coroutine did.
pub(crate) enum Resumed {
    /// It waits for this.
    Yielded(Ref),
    /// It returned this.
    Returned(Ref),
    /// It raised.
    Raised(Raised),
}

/// Sends `value` into `coroutine`.
#[inline]
pub(crate) fn resume(_py: Python<'_>, coroutine: &Object, value: &Object) -> Resumed {
    let mut result = std::ptr::null_mut();
    // SAFETY: live objects; `result` receives a new reference unless the answer is an error.
    unsafe {
        match stay::send(coroutine.as_ptr(), value.as_ptr(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => Resumed::Yielded(Ref::steal(result)),
            ffi::PySendResult::PYGEN_RETURN => Resumed::Returned(Ref::steal(result)),
            ffi::PySendResult::PYGEN_ERROR => Resumed::Raised(Raised::already()),
        }
    }
}

/// What an iterator answers when it is advanced.
pub(crate) enum Step {
    /// It gives this and goes on.
    Yield(Ref),
    /// It ends with this.
    Return(Ref),
}

/// Ends an iterator with `value`, as `tp_iternext` says it: nothing set for `None`, else `StopIteration(value)`.
///
/// # Errors
/// Always, unless the value is `None`.
#[inline]
pub(super) fn end_iterator(py: Python<'_>, value: &Object) -> Outcome<()> {
    if value.is_none() {
        return Ok(());
    }
    end_with(py, value)
}

#[inline(never)]
fn end_with(py: Python<'_>, value: &Object) -> Outcome<()> {
    // Bench: timeout_ctx, queue_stream; the interpreter takes the value out at once.
    if stop::is_apt(py) {
        return stop::stop(py, value);
    }
    stop_iteration(py, value)
}

fn stop_iteration(_py: Python<'_>, value: &Object) -> Outcome<()> {
    // SAFETY: live objects. The exception is built by hand where its value is a tuple or an exception, which
    // `PyErr_SetObject` would take apart.
    unsafe {
        let plain = ffi::PyTuple_Check(value.as_ptr()) == 0
            && ffi::PyExceptionInstance_Check(value.as_ptr()) == 0;
        if plain {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr());
        } else {
            let exception = Ref::returned(ffi::PyObject_CallOneArg(
                ffi::PyExc_StopIteration,
                value.as_ptr(),
            ))?;
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, exception.as_ptr());
        }
    }
    Err(Raised::already())
}

/// Raises `StopIteration(value)`, also for `None`: what `send()` answers at the end.
pub(crate) fn stopped_with(py: Python<'_>, value: &Object) -> Raised {
    if value.is_none() {
        return pyo3::exceptions::PyStopIteration::new_err(()).into();
    }
    match stop_iteration(py, value) {
        Err(raised) => raised,
        Ok(()) => Raised::already(),
    }
}

/// If the exception that `raised` stands for is a `StopIteration`, takes it and returns its value.
///
/// # Errors
/// `raised` itself when it is anything else.
pub(crate) fn returned_value(py: Python<'_>, raised: Raised) -> Outcome<Ref> {
    // SAFETY: attached, and an exception is set; the class is a static object.
    if unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_StopIteration) } == 0 {
        return Err(raised);
    }
    let exception = raised.take();
    Ok(Ref::from(
        exception.bind(py).getattr(pyo3::intern!(py, "value"))?,
    ))
}
