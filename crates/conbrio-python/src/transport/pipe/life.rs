//! How one end of a pipe ends: closed, or broken by an error; and what is reported then.

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;

use super::methods::text;
use super::{End, Thunk};
use crate::ffi::{
    Instance, Object, Outcome, Own, Raised, Ref, call_keyword, call_method, context, object, raise,
    write_unraisable,
};
use crate::report::{ends_loop, report, report_raised};
use crate::{names, protocol};

/// Has the protocol told in the next turn that the connection is lost.
///
/// # Errors
/// `RuntimeError` when the loop is closed.
pub(super) fn lose<T: End>(py: Python<'_>, this: &Instance<T>, exception: Ref) -> Outcome<()> {
    let pipe = this.pipe();
    let Some(engine) = pipe.engine() else {
        return Ok(());
    };
    engine.check_closed()?;
    if pipe.lost.replace(true) {
        return Ok(());
    }
    pipe.reason.set(exception);
    pipe.context.set(context::copy_current(py)?);
    engine.push(py, Thunk::new(this.own(), lost));
    Ok(())
}

/// The turn after the connection ended.
fn lost<T: End>(py: Python<'_>, this: Own<T>) -> Outcome<()> {
    let pipe = this.pipe();
    let (Some(context), event_loop) = (pipe.context.share(), event_loop_of(&this)) else {
        return Ok(());
    };
    let reason = pipe.reason.take().unwrap_or_else(Ref::none);
    let answer = context::enter(py, &context).and_then(|()| {
        let answer = connection_lost(py, &this, &reason);
        context::leave(py, &context);
        answer
    });
    guarded(py, &this, event_loop, "_call_connection_lost", answer)
}

/// Tells the protocol, closes the file and forgets both. CPython: `_call_connection_lost`.
///
/// # Errors
/// What the protocol raises.
pub(super) fn connection_lost<T: End>(
    py: Python<'_>,
    this: &Instance<T>,
    exception: &Object,
) -> Outcome<()> {
    let pipe = this.pipe();
    pipe.lost.set(true);
    let told = match pipe.protocol.share() {
        Some(protocol) => protocol::connection_lost(py, &protocol, exception),
        None => Ok(()),
    };
    // What the protocol raises stands aside until the file is closed.
    let told = told.map_err(Raised::take);
    let closed = close_file(py, this).map_err(Raised::take);
    pipe.clear();
    told.and(closed).map_err(raise)
}

/// Closes the file, if that has not been done yet.
fn close_file<T: End>(py: Python<'_>, this: &Instance<T>) -> Outcome<()> {
    let Some(file) = this.pipe().file.take() else {
        return Ok(());
    };
    this.touch(py);
    call_method(py, &file, names::close(py), &[]).map(drop)
}

/// Reports an exception and ends the connection. CPython: `_fatal_error`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn fatal<T: End>(
    py: Python<'_>,
    this: &Instance<T>,
    exception: &Object,
    message: &str,
) -> Outcome<()> {
    if ends_loop(py, exception) {
        return Err(raise(exception.share()));
    }
    if !T::is_quiet(py, exception) {
        let protocol = this.pipe().protocol.share().unwrap_or_else(Ref::none);
        if let Some(event_loop) = event_loop_of(this) {
            let details = [
                ("exception", exception),
                ("transport", this.object()),
                ("protocol", &*protocol),
            ];
            report(py, &event_loop, message, &details)?;
        }
    } else if this.pipe().is_debugged() {
        let exc_info = pyo3::types::PyDict::new(py);
        exc_info.set_item("exc_info", exception.bind(py))?;
        let words = ("%r: %s", this.object().bind(py), message);
        names::asyncio_logger(py)?
            .bind(py)
            .call_method("debug", words, Some(&exc_info))?;
    }
    T::force_close(py, this, exception)
}

/// Reports what a callback raised.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn guarded<T: End>(
    py: Python<'_>,
    this: &Instance<T>,
    event_loop: Option<Ref>,
    method: &str,
    answer: Outcome<()>,
) -> Outcome<()> {
    let Err(raised) = answer else { return Ok(()) };
    let Some(event_loop) = event_loop else {
        return Err(raised);
    };
    let message = || format!("Exception in callback {}.{method}()", T::SHORT);
    let details = [("transport", this.object())];
    report_raised(py, &event_loop, raised, message, &details)
}

/// The loop, for what is reported after the transport has let go of it.
pub(super) fn event_loop_of<T: End>(this: &Instance<T>) -> Option<Ref> {
    this.pipe().event_loop.share()
}

/// Says `words` about the transport in debug mode, at this level.
pub(super) fn log<T: End>(
    py: Python<'_>,
    this: &Instance<T>,
    level: &str,
    words: &str,
) -> Outcome<()> {
    if this.pipe().is_debugged() {
        names::asyncio_logger(py)?
            .bind(py)
            .call_method1(level, (words, this.object().bind(py)))?;
    }
    Ok(())
}

/// The last words of a transport that nobody closed.
pub(super) fn finalize<T: End>(py: Python<'_>, this: &Instance<T>) {
    if this.pipe().file.is_empty() {
        return;
    }
    let warned = warn_unclosed(py, this).map_err(Raised::take);
    let closed = close_file(py, this).map_err(Raised::take);
    for exception in [warned, closed].into_iter().filter_map(Result::err) {
        write_unraisable(raise(exception), this.object());
    }
}

fn warn_unclosed<T: End>(py: Python<'_>, this: &Instance<T>) -> Outcome<()> {
    let text = format!("unclosed transport {}", text(py, this));
    let text = pyo3::types::PyString::new(py, &text);
    let category = py.get_type::<PyResourceWarning>();
    let arguments = [object(&text), object(&category)];
    let source = (names::source(py), this.object());
    call_keyword(py, names::warn(py)?, &arguments, source).map(drop)
}

impl<T: End> Instance<T> {
    /// Asks for a poll in the next turn, as something is done to the pipe.
    pub(super) fn touch(&self, py: Python<'_>) {
        if let Some(engine) = self.pipe().engine() {
            // Order: who has the other end in this loop hears of it in the next turn.
            engine.touch(py);
        }
    }
}
