//! How a transport ends: closed when all is sent, aborted, or broken by an error; and what is reported then.

use std::io;

use pyo3::exceptions::{PyConnectionError, PyOSError, PyResourceWarning};
use pyo3::prelude::*;

use super::StreamTransport;
use super::extra::ask_local;
use crate::ffi::{
    Instance, Object, Outcome, Own, Raised, Ref, Thunk, attribute, call_keyword, call_method,
    context, object, raise, write_unraisable,
};
use crate::report::{ends_loop, os_exception, report_raised};
use crate::{handle, names, protocol};

/// `close()`: reads no more, sends what is owed, then the connection is lost.
///
/// # Errors
/// `RuntimeError` when the loop is closed.
pub(super) fn close(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    if this.life.closing.get() {
        return Ok(());
    }
    // What CPython has sent by now can have found the connection broken, so this comes first.
    this.settle(py)?;
    if this.life.closing.replace(true) {
        return Ok(());
    }
    if this.owed(py) > 0 {
        this.stop_reading(py);
        return Ok(());
    }
    this.stop_writing(py);
    this.end_reading(py);
    lose(py, this, Ref::none())
}

/// `abort()`: as `close()`, but what the system has not taken is forgotten.
pub(super) fn abort(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    this.settle(py)?;
    force_close(py, this, &Ref::none())
}

/// Ends the connection because of `exception`. CPython: `_force_close`.
pub(super) fn force_close(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    exception: &Object,
) -> Outcome<()> {
    if this.life.lost.get() != 0 {
        return Ok(());
    }
    this.forget_owed(py);
    this.stop_writing(py);
    if !this.life.closing.replace(true) {
        this.end_reading(py);
    }
    lose(py, this, exception.share())
}

/// Has the protocol told in the next turn that the connection is lost.
fn lose(py: Python<'_>, this: &Instance<StreamTransport>, exception: Ref) -> Outcome<()> {
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
    let given = this.life.context_given.get();
    let context = this.context.share().filter(|_| given);
    let lost = attribute(py, this.object(), names::call_connection_lost(py))?;
    handle::ask_soon(py, &engine, &lost, &[&exception], context.as_deref())
}

/// The turn after the connection ended.
fn lost(py: Python<'_>, this: Own<StreamTransport>) -> Outcome<()> {
    let Some(context) = this.context.share() else {
        return Ok(());
    };
    let reason = this.reason.take().unwrap_or_else(Ref::none);
    let answer = context::enter(py, &context).and_then(|()| {
        let answer = connection_lost(py, &this, &reason);
        context::leave(py, &context);
        answer
    });
    guarded(py, &this, "_call_connection_lost", answer)
}

/// Tells the protocol, closes the socket and forgets both. CPython: `_call_connection_lost`.
///
/// # Errors
/// What the protocol raises.
pub(super) fn connection_lost(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    exception: &Object,
) -> Outcome<()> {
    let event_loop = this.fields.event_loop.share();
    let told = match this.protocol.share() {
        Some(protocol) => protocol::connection_lost(py, &protocol, exception),
        None => Ok(()),
    };
    // What the protocol raises stands aside until the rest is done.
    let told = told.map_err(Raised::take);
    // With the protocol goes, as a rule, the last who could ask for our address.
    this.protocol.clear();
    if this.object().is_shared() {
        ask_local(py, this);
    }
    let closed = close_socket(py, this).map_err(Raised::take);
    this.fields.event_loop.clear();
    this.context.clear();
    let left = this
        .detach(py)
        .and_then(|()| this.disappoint_waiter(py))
        .map_err(Raised::take);
    let message = || "Exception in callback StreamTransport._call_connection_lost()".to_owned();
    for exception in [told, closed, left].into_iter().filter_map(Result::err) {
        let raised = raise(exception);
        match &event_loop {
            Some(event_loop) => report_raised(
                py,
                event_loop,
                raised,
                message,
                &[("transport", this.object())],
            )?,
            None => return Err(raised),
        }
    }
    Ok(())
}

/// Closes the descriptor, whoever owns it.
fn close_socket(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    this.life.open.set(false);
    let own = this.own.replace(None);
    if let Some(engine) = this.engine() {
        engine.closing(py, this.fd.get(), own.is_some());
        // Order: a peer in this loop hears of it in the next turn.
        engine.touch(py);
    }
    drop(own);
    match this.sock.share() {
        Some(sock) => call_method(py, &sock, names::close(py), &[]).map(drop),
        None => Ok(()),
    }
}

/// Reports an exception and ends the connection, unless the exception must leave the loop. CPython: `_fatal_error`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn fatal(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    raised: Raised,
    message: &str,
) -> Outcome<()> {
    let exception = raised.take();
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    fatal_exception(py, this, &exception, message)
}

/// The same for an error of the system.
pub(super) fn fatal_io(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    error: &io::Error,
    message: &str,
) -> Outcome<()> {
    fatal_exception(py, this, &*os_exception(py, error)?, message)
}

/// The same for an exception that was caught.
pub(super) fn fatal_exception(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    exception: &Object,
    message: &str,
) -> Outcome<()> {
    if exception.bind(py).is_instance_of::<PyOSError>() {
        if this.engine().is_some_and(|engine| engine.debug.get()) {
            let exc_info = pyo3::types::PyDict::new(py);
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
    this: &Instance<StreamTransport>,
    method: &str,
    answer: Outcome<()>,
) -> Outcome<()> {
    let Err(raised) = answer else { return Ok(()) };
    let Some(event_loop) = this.fields.event_loop.share() else {
        return Err(raised);
    };
    let message = || format!("Exception in callback StreamTransport.{method}()");
    report_raised(
        py,
        &event_loop,
        raised,
        message,
        &[("transport", this.object())],
    )
}

/// Says `words` about the transport in debug mode.
#[inline]
pub(super) fn log(py: Python<'_>, this: &Instance<StreamTransport>, words: &str) -> Outcome<()> {
    if this.engine().is_some_and(|engine| engine.debug.get()) {
        names::asyncio_logger(py)?
            .bind(py)
            .call_method1("debug", (words, this.object().bind(py)))?;
    }
    Ok(())
}

/// The last words of a transport that nobody closed.
pub(super) fn finalize(py: Python<'_>, this: &Instance<StreamTransport>) {
    if !this.life.open.get() {
        return;
    }
    let warned = warn_unclosed(py, this).map_err(Raised::take);
    let closed = close_socket(py, this).and_then(|()| this.detach(py));
    let closed = closed.map_err(Raised::take);
    for exception in [warned, closed].into_iter().filter_map(Result::err) {
        write_unraisable(raise(exception), this.object());
    }
}

fn warn_unclosed(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    let text = format!("unclosed transport {}", super::methods::text(py, this));
    let text = pyo3::types::PyString::new(py, &text);
    let category = py.get_type::<PyResourceWarning>();
    let arguments = [object(&text), object(&category)];
    call_keyword(
        py,
        names::warn(py)?,
        &arguments,
        (names::source(py), this.object()),
    )
    .map(drop)
}

impl Instance<StreamTransport> {
    /// Asks for a poll in the next turn, as something is done to the socket.
    #[inline]
    pub(super) fn touch(&self, py: Python<'_>) {
        if let Some(engine) = self.engine() {
            // Order: a peer in this loop hears of it in the next turn.
            engine.touch(py);
        }
    }

    /// Makes the current context the one that the protocol is called in, unless one was given.
    pub(super) fn follow_context(&self, py: Python<'_>) -> Outcome<()> {
        if !self.life.context_given.get() {
            self.context.set(context::copy_current(py)?);
        }
        Ok(())
    }

    /// Tells who waits until nothing is owed that the connection is gone.
    fn disappoint_waiter(&self, py: Python<'_>) -> Outcome<()> {
        if self.empty_waiter.is_empty() {
            return Ok(());
        }
        let gone = PyConnectionError::new_err("Connection is closed by peer")
            .into_value(py)
            .into_bound(py)
            .into_any();
        self.tell_waiter(py, Some(object(&gone)))
    }

    /// Tells the server that the connection is gone.
    fn detach(&self, py: Python<'_>) -> Outcome<()> {
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        let arguments: &[&Object] = if cfg!(Py_3_13) { &[self.object()] } else { &[] };
        call_method(py, &server, names::detach(py), arguments).map(drop)
    }
}
