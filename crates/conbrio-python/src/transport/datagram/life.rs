//! How a transport ends: closed when all is sent, aborted, or broken by an error; and what is reported then.

use pyo3::exceptions::{PyOSError, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::DatagramTransport;
use crate::ffi::{
    Instance, Object, Outcome, Own, Raised, Ref, Thunk, attribute, call_keyword, call_method,
    context, object, raise, write_unraisable,
};
use crate::report::{ends_loop, report_raised};
use crate::{handle, names, protocol};

/// `close()`: receives no more, sends what is owed, then the protocol is told.
///
/// # Errors
/// `RuntimeError` when the loop is closed.
pub(super) fn close(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    if this.life.closing.get() {
        return Ok(());
    }
    // What CPython has sent by now can have been refused, and the protocol may have closed for that.
    this.settle(py)?;
    if this.life.closing.replace(true) {
        return Ok(());
    }
    this.stop_reading(py);
    this.forget_arrived(py);
    if this.is_owing(py) {
        return Ok(());
    }
    this.stop_writing(py);
    lose(py, this, Ref::none())
}

/// `abort()`: as `close()`, but what the system has not taken is forgotten.
pub(super) fn abort(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    this.settle(py)?;
    force_close(py, this, &Ref::none())
}

/// Ends the transport because of `exception`. CPython: `_force_close`.
pub(super) fn force_close(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    exception: &Object,
) -> Outcome<()> {
    if this.life.lost.get() != 0 {
        return Ok(());
    }
    this.forget_owed(py);
    this.stop_writing(py);
    if !this.life.closing.replace(true) {
        this.stop_reading(py);
        this.forget_arrived(py);
    }
    lose(py, this, exception.share())
}

/// Has the protocol told in the next turn that the socket is lost.
fn lose(py: Python<'_>, this: &Instance<DatagramTransport>, exception: Ref) -> Outcome<()> {
    this.life.lost.set(this.life.lost.get().saturating_add(1));
    let Some(engine) = this.engine() else {
        return Ok(());
    };
    engine.check_closed()?;
    this.follow_context(py)?;
    if engine.plain.get() {
        this.reason.set(exception);
        engine.push(py, Thunk::new(this.own(), lost));
        return Ok(());
    }
    let lost = attribute(py, this.object(), names::call_connection_lost(py))?;
    handle::ask_soon(py, &engine, &lost, &[&exception], None)
}

/// The turn after the transport ended.
fn lost(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    let Some(context) = this.context.share() else {
        return Ok(());
    };
    let reason = this.reason.take().unwrap_or_else(Ref::none);
    let event_loop = this.fields.event_loop.share();
    let answer = context::enter(py, &context).and_then(|()| {
        let answer = connection_lost(py, &this, &reason);
        context::leave(py, &context);
        answer
    });
    match (answer, event_loop) {
        (Err(raised), Some(event_loop)) => {
            report_at(py, &this, &event_loop, "_call_connection_lost", raised)
        }
        (answer, _) => answer,
    }
}

/// Tells the protocol, closes the socket and forgets both. CPython: `_call_connection_lost`.
///
/// # Errors
/// What the protocol raises.
pub(super) fn connection_lost(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    exception: &Object,
) -> Outcome<()> {
    let told = match this.protocol.share() {
        Some(protocol) => protocol::connection_lost(py, &protocol, exception),
        None => Ok(()),
    };
    // What the protocol raises stands aside until the rest is done.
    let told = told.map_err(Raised::take);
    let closed = close_socket(py, this).map_err(Raised::take);
    this.protocol.clear();
    this.fields.event_loop.set(Ref::none());
    this.context.clear();
    match told.and(closed) {
        Ok(()) => Ok(()),
        Err(exception) => Err(raise(exception)),
    }
}

fn close_socket(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    this.touch(py);
    match this.sock.take() {
        Some(sock) => call_method(py, &sock, names::close(py), &[]).map(drop),
        None => Ok(()),
    }
}

/// Reports an exception and ends the transport, unless the exception must leave the loop. CPython: `_fatal_error`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn fatal(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    raised: Raised,
    message: &str,
) -> Outcome<()> {
    let exception = raised.take();
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    fatal_exception(py, this, &exception, message)
}

/// The same for an exception that was caught.
pub(super) fn fatal_exception(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    exception: &Object,
    message: &str,
) -> Outcome<()> {
    if exception.bind(py).is_instance_of::<PyOSError>() {
        if this.engine().is_some_and(|engine| engine.debug.get()) {
            let exc_info = PyDict::new(py);
            exc_info.set_item("exc_info", exception.bind(py))?;
            let words = ("%r: %s", this.object().bind(py), message);
            names::asyncio_logger(py)?
                .bind(py)
                .call_method("debug", words, Some(&exc_info))?;
        }
    } else {
        let protocol = this.protocol.share().unwrap_or_else(Ref::none);
        this.report(py, raise(exception.share()), message, &protocol)?;
    }
    force_close(py, this, exception)
}

/// Reports what no rule of transports has caught, as a callback's exception.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn guarded(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    method: &str,
    answer: Outcome<()>,
) -> Outcome<()> {
    let Err(raised) = answer else { return Ok(()) };
    match this.fields.event_loop.share().filter(|it| !it.is_none()) {
        Some(event_loop) => report_at(py, this, &event_loop, method, raised),
        None => Err(raised),
    }
}

fn report_at(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    event_loop: &Object,
    method: &str,
    raised: Raised,
) -> Outcome<()> {
    let message = || format!("Exception in callback DatagramTransport.{method}()");
    let details = [("transport", this.object())];
    report_raised(py, event_loop, raised, message, &details)
}

/// Says `words` about the transport in debug mode.
pub(super) fn log(py: Python<'_>, this: &Instance<DatagramTransport>, words: &str) -> Outcome<()> {
    if this.engine().is_some_and(|engine| engine.debug.get()) {
        names::asyncio_logger(py)?
            .bind(py)
            .call_method1("debug", (words, this.object().bind(py)))?;
    }
    Ok(())
}

/// The last words of a transport that nobody closed.
pub(super) fn finalize(py: Python<'_>, this: &Instance<DatagramTransport>) {
    if this.sock.is_empty() {
        return;
    }
    let warned = warn_unclosed(py, this).map_err(Raised::take);
    let closed = close_socket(py, this).map_err(Raised::take);
    for exception in [warned, closed].into_iter().filter_map(Result::err) {
        write_unraisable(raise(exception), this.object());
    }
}

fn warn_unclosed(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    let text = format!("unclosed transport {}", super::methods::text(py, this));
    let text = PyString::new(py, &text);
    let category = py.get_type::<PyResourceWarning>();
    let arguments = [object(&text), object(&category)];
    let source = (names::source(py), this.object());
    call_keyword(py, names::warn(py)?, &arguments, source).map(drop)
}

impl Instance<DatagramTransport> {
    /// Asks for a poll in the next turn, as something is done to the socket.
    #[inline]
    pub(super) fn touch(&self, py: Python<'_>) {
        if let Some(engine) = self.engine() {
            // Order: a peer in this loop hears of it in the next turn.
            engine.touch(py);
        }
    }

    /// Makes the current context the one that the protocol is called in.
    pub(super) fn follow_context(&self, py: Python<'_>) -> Outcome<()> {
        self.context.set(context::copy_current(py)?);
        Ok(())
    }

    /// Reports what the protocol raised.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    pub(super) fn report(
        &self,
        py: Python<'_>,
        raised: Raised,
        message: &str,
        protocol: &Object,
    ) -> Outcome<()> {
        let Some(event_loop) = self.fields.event_loop.share().filter(|it| !it.is_none()) else {
            return Err(raised);
        };
        let details = [("transport", self.object()), ("protocol", protocol)];
        report_raised(py, &event_loop, raised, || message.to_owned(), &details)
    }
}
