//! How one end of a pipe ends: closed, or broken by an error; and what is reported then.

use std::ffi::CStr;

use pyo3::prelude::*;

use super::methods::text;
use super::{End, Thunk};
use crate::engine::Engine;
use crate::ffi::{Instance, Object, Outcome, Own, Raised, Ref, call_method, context, raise};
use crate::transport::ending::{Ending, run_in};
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
    engine.check_call()?;
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
    let Some(context) = pipe.context.share() else {
        return Ok(());
    };
    let reason = pipe.reason.take().unwrap_or_else(Ref::none);
    run_in(py, &this, &context, "_call_connection_lost", || {
        connection_lost(py, &this, &reason)
    })
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

impl<T: End> Ending for T {
    const FATAL: &'static str = "Fatal error on pipe transport";
    const FATAL_ERROR: &'static CStr =
        c"_fatal_error($self, exc, message='Fatal error on pipe transport')\n--\n\nReports exc and ends the connection.";

    fn engine(&self) -> Option<Own<Engine>> {
        self.pipe().engine()
    }

    fn event_loop(&self) -> Option<Ref> {
        self.pipe().event_loop.share()
    }

    fn context(&self) -> Option<Ref> {
        self.pipe().context.share()
    }

    fn protocol(&self) -> Option<Ref> {
        self.pipe().protocol.share()
    }

    fn text(py: Python<'_>, this: &Instance<Self>) -> String {
        text(py, this)
    }

    fn is_quiet(py: Python<'_>, exception: &Object) -> bool {
        T::is_harmless(py, exception)
    }

    fn force_close(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()> {
        T::end(py, this, exception)
    }

    fn connection_lost(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()> {
        connection_lost(py, this, exception)
    }

    fn close_unclosed(py: Python<'_>, this: &Instance<Self>) -> Outcome<()> {
        close_file(py, this)
    }
}
