//! How a transport ends: closed when all is sent, aborted, or broken by an error; and what is reported then.

use std::ffi::CStr;
use std::io;

use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;

use super::StreamTransport;
use super::ending::{Ending, fatal_exception, run_in};
use super::extra::ask_local;
use super::methods::text;
use crate::engine::Engine;
use crate::ffi::{
    Instance, Object, Outcome, Own, Raised, Ref, Thunk, attribute, call_method, context, object,
    raise,
};
use crate::report::os_exception;
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
    this.protocol.send_last(py);
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
    this.send_last(py);
    if this.life.lost.get() != 0 {
        // That has found the connection broken.
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
    engine.check_call()?;
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
    run_in(py, &this, &context, "_call_connection_lost", || {
        connection_lost(py, &this, &reason)
    })
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
    told.and(closed).and(left).map_err(raise)
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

/// Reports an error of the system and ends the connection. CPython: `_fatal_error`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn fatal_io(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    error: &io::Error,
    message: &str,
) -> Outcome<()> {
    fatal_exception(py, this, &*os_exception(py, error)?, message)
}

impl Ending for StreamTransport {
    const FATAL: &'static str = "Fatal error on transport";
    const FATAL_ERROR: &'static CStr =
        c"_fatal_error($self, exc, message='Fatal error on transport')\n--\n\nReports exc and ends the connection.";

    #[inline]
    fn engine(&self) -> Option<Own<Engine>> {
        self.engine()
    }

    #[inline]
    fn event_loop(&self) -> Option<Ref> {
        self.fields.event_loop.share()
    }

    fn context(&self) -> Option<Ref> {
        self.context.share()
    }

    #[inline]
    fn protocol(&self) -> Option<Ref> {
        self.protocol.share()
    }

    fn text(py: Python<'_>, this: &Instance<Self>) -> String {
        text(py, this)
    }

    fn force_close(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()> {
        force_close(py, this, exception)
    }

    fn connection_lost(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()> {
        connection_lost(py, this, exception)
    }

    fn close_unclosed(py: Python<'_>, this: &Instance<Self>) -> Outcome<()> {
        // One that was paused: another is kept by who hears for it.
        this.end_reading(py);
        close_socket(py, this)?;
        this.detach(py)
    }
}

impl Instance<StreamTransport> {
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
