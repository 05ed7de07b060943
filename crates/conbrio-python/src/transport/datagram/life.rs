//! How a transport ends: closed when all is sent, aborted, or broken by an error; and what is reported then.

use std::ffi::CStr;

use pyo3::prelude::*;

use super::DatagramTransport;
use super::methods::text;
use crate::engine::Engine;
use crate::ffi::{
    Instance, Object, Outcome, Own, Raised, Ref, Thunk, attribute, call_method, context, raise,
};
use crate::transport::ending::{Ending, run_in};
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
pub(super) fn lose(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    exception: Ref,
) -> Outcome<()> {
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
    let lost = attribute(py, this.object(), names::call_connection_lost(py))?;
    handle::ask_soon(py, &engine, &lost, &[&exception], None)
}

/// The turn after the transport ended.
fn lost(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
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

impl Ending for DatagramTransport {
    const FATAL: &'static str = "Fatal error on transport";
    const FATAL_ERROR: &'static CStr =
        c"_fatal_error($self, exc, message='Fatal error on transport')\n--\n\nReports exc and closes the socket.";

    #[inline]
    fn engine(&self) -> Option<Own<Engine>> {
        self.engine()
    }

    #[inline]
    fn event_loop(&self) -> Option<Ref> {
        // The slot holds None once the socket is closed.
        self.fields.event_loop.share().filter(|it| !it.is_none())
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
        close_socket(py, this)
    }
}

impl Instance<DatagramTransport> {
    /// Makes the current context the one that the protocol is called in.
    pub(super) fn follow_context(&self, py: Python<'_>) -> Outcome<()> {
        self.context.set(context::copy_current(py)?);
        Ok(())
    }
}
