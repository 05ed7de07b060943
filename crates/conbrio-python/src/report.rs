//! How exceptions that nobody awaits are reported: the context dictionary and the loop's exception handler.

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::ffi::{
    Object, Outcome, Raised, Ref, call_method, handling, is_exception, object, raise,
    raise_in_context,
};
use crate::names;

/// Whether `exception` must leave the loop: `SystemExit` or `KeyboardInterrupt`.
#[inline]
pub(crate) fn ends_loop(py: Python<'_>, exception: &Object) -> bool {
    let exception = exception.bind(py);
    exception.is_instance_of::<PySystemExit>() || exception.is_instance_of::<PyKeyboardInterrupt>()
}

/// Calls `event_loop.call_exception_handler` with a context of `message` and `details`.
///
/// # Errors
/// What the handler lets through: `SystemExit` and `KeyboardInterrupt`.
pub(crate) fn report(
    py: Python<'_>,
    event_loop: &Object,
    message: &str,
    details: &[(&str, &Object)],
) -> Outcome<()> {
    let context = PyDict::new(py);
    context.set_item(names::message(py), message)?;
    for (key, value) in details {
        context.set_item(key, value.bind(py))?;
    }
    call_method(
        py,
        event_loop,
        names::call_exception_handler(py),
        &[object(&context)],
    )?;
    Ok(())
}

/// Reports what a callback raised, unless it must leave the loop.
///
/// # Errors
/// The exception itself, if it is `SystemExit` or `KeyboardInterrupt`.
pub(crate) fn report_raised(
    py: Python<'_>,
    event_loop: &Object,
    raised: Raised,
    message: impl FnOnce() -> String,
    details: &[(&str, &Object)],
) -> Outcome<()> {
    let exception = raised.take();
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    let mut all: Vec<(&str, &Object)> = vec![("exception", &exception)];
    all.extend_from_slice(details);
    report_caught(py, event_loop, &message(), &exception, &all)
}

/// As `report`, of an exception that was caught just before: the handler finds it in `sys.exc_info()`.
///
/// # Errors
/// As `report`.
pub(crate) fn report_caught(
    py: Python<'_>,
    event_loop: &Object,
    message: &str,
    exception: &Object,
    details: &[(&str, &Object)],
) -> Outcome<()> {
    if !is_exception(exception) {
        return report(py, event_loop, message, details);
    }
    handling(py, exception, || report(py, event_loop, message, details))
}

/// `repr(object)` as text, or a stand-in when that raises.
pub(crate) fn text_of(py: Python<'_>, object: &Object) -> String {
    object
        .bind(py)
        .repr()
        .map_or_else(|_| "<unprintable>".to_owned(), |text| text.to_string())
}

/// The exception class `kind` called with a message.
///
/// # Errors
/// When making it fails.
pub(crate) fn exception(py: Python<'_>, kind: &Object, message: &str) -> Outcome<Ref> {
    Ok(kind.bind(py).call1((message,))?.into())
}

/// Raises `error` as the `OSError` that Python raises for its number.
pub(crate) fn os_error(py: Python<'_>, error: &std::io::Error) -> Raised {
    match os_exception(py, error) {
        Ok(exception) => raise_in_context(&exception),
        Err(raised) => raised,
    }
}

/// `error` as an exception of the class that belongs to its number.
///
/// # Errors
/// When making it fails.
pub(crate) fn os_exception(py: Python<'_>, error: &std::io::Error) -> Outcome<Ref> {
    let class = py.get_type::<pyo3::exceptions::PyOSError>();
    let Some(number) = error.raw_os_error() else {
        return Ok(class.call1((error.to_string(),))?.into());
    };
    Ok(class.call1((number, error_text(py, number)?))?.into())
}

/// `os.strerror(number)`, remembered.
///
/// Bench: `accept_close_c16`, where each connection ends with the same error.
fn error_text(py: Python<'_>, number: i32) -> PyResult<Bound<'_, PyAny>> {
    static TEXTS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let texts = TEXTS.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Some(text) = texts.get_item(number)? {
        return Ok(text);
    }
    let text = py.import("os")?.call_method1("strerror", (number,))?;
    texts.set_item(number, &text)?;
    Ok(text)
}
