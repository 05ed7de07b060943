//! What is told of a callback that raised, and who is woken where it was no callback at all.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments;
use crate::ffi::layout::HandleFields;
use crate::ffi::{
    Object, Outcome, Raised, Ref, call, call_keyword, call_method, call_tuple, object, raise,
};
use crate::report::report_raised;
use crate::runnable::shown;
use crate::{names, report};

/// Reports what a callback raised, unless that ends the loop.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
#[cold]
pub(super) fn failed(
    py: Python<'_>,
    handle: &Object,
    fields: &HandleFields,
    raised: Raised,
) -> Outcome<()> {
    let Some(event_loop) = fields.event_loop.share() else {
        return Err(raised);
    };
    let Some(raised) = wake_instead(py, fields, raised) else {
        return Ok(());
    };
    let message = || {
        let callback = fields.callback.share_or_none();
        let args = fields.args.share().map_or_else(
            || PyTuple::empty(py).into_any(),
            |args| args.bind(py).to_owned(),
        );
        let source = source_of(py, &event_loop, &callback, object(&args));
        let text = source.map_or_else(
            |raised| report::text_of(py, &raised.take()),
            |text| text.bind(py).to_string(),
        );
        format!("Exception in callback {text}")
    };
    let source = fields.source.share();
    let mut details: Vec<(&str, &Object)> = vec![("handle", handle)];
    if let Some(source) = &source {
        details.push(("source_traceback", source));
    }
    report_raised(py, &event_loop, raised, message, &details)
}

/// A callback as asyncio names it, with its arguments where only debug mode shows them.
#[cold]
fn source_of(
    py: Python<'_>,
    event_loop: &Object,
    callback: &Object,
    args: &Object,
) -> Outcome<Ref> {
    let format = names::format_callback_source(py)?;
    let options = format.bind(py).getattr("__kwdefaults__")?;
    if !options.is_truthy()? {
        // CPython: until some 3.12 it always shows them.
        return call(py, format, &[callback, args]);
    }
    let debug = call_method(py, event_loop, names::get_debug(py), &[])?;
    let option = (pyo3::intern!(py, "debug"), &*debug);
    call_keyword(py, format, &[callback, args], option)
}

/// Wakes a native waiter that was scheduled as a callback: by a method of `_asyncio.Future` that a program has called on a
/// future of ours, as `_asyncio.Future.set_result(future, 1)`. Gives the exception back if it was something else.
#[cold]
fn wake_instead(py: Python<'_>, fields: &HandleFields, raised: Raised) -> Option<Raised> {
    let callback = fields.callback.share_or_none();
    if callback.bind(py).is_callable() {
        return Some(raised);
    }
    let exception = raised.take();
    let woken = shown(py, &callback).and_then(|(wake, _)| {
        if wake.is(&callback) {
            return Err(raise(exception));
        }
        call_tuple(py, &wake, &arguments(py, fields))
    });
    woken.err()
}
