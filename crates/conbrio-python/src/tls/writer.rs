//! The transport that a program sees of a TLS connection: the methods that run for each message.
//!
//! `conbrio._tls` derives a class of this one and of CPython's own TLS transport, which has the others.

use std::cell::Cell;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::write::{settle, write, write_all};
use super::{TlsFlow, class::reads_of_transport};
use crate::ffi::layout::TransportFields;
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Own, Ref, Slot, Visit, call_method,
    flag, is_true, kept, tuple,
};
use crate::names;
use crate::transport::is_bytes_like;

/// The near end of a TLS connection.
#[repr(C)]
pub(crate) struct TlsWriter {
    /// What asyncio's own transports keep.
    fields: TransportFields,
    /// The flow; none once `close()` was called twice. CPython: `_ssl_protocol`.
    flow: Slot,
    closed: Cell<bool>,
}

static STATE: ClassState = ClassState::new();

impl Class for TlsWriter {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.TlsWriter";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.fields.traverse(visit);
        visit.slot(&self.flow);
    }

    fn clear(&self) {
        self.fields.extra.clear();
        self.fields.event_loop.clear();
        self.flow.clear();
    }
}

impl TlsWriter {
    /// The flow, if it is one of ours.
    pub(super) fn flow(&self) -> Option<Own<TlsFlow>> {
        Own::of(self.flow.share()?).ok()
    }
}

/// The class `TlsWriter`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let base = names::flow_control(py)?;
    let builder = Builder::<TlsWriter>::new(c"What a program writes to a TLS connection with.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(TlsWriter {
                fields: TransportFields::empty(),
                flow: Slot::empty(),
                closed: Cell::new(false),
            })
        });
    attributes(methods(builder)).create(py, Some(&base.bind(py)))
}

fn methods(builder: Builder<TlsWriter>) -> Builder<TlsWriter> {
    builder
        .named(
            c"write",
            c"write($self, data)\n--\n\nEncrypts and sends data; does not wait.",
            |py| ("write", names::data(py)),
            |py, this, data| {
                if !is_bytes_like(py, data) {
                    let kind = data.bind(py).get_type();
                    let text = format!("data: expecting a bytes-like instance, got {}", kind.name()?);
                    return Err(PyTypeError::new_err(text).into());
                }
                if !is_true(py, data)? {
                    return Ok(Ref::none());
                }
                match this.flow() {
                    Some(flow) => write(py, &flow, data)?,
                    None => pass_on(py, this, &*tuple(py, &[data])?)?,
                }
                Ok(Ref::none())
            },
        )
        .named(
            c"writelines",
            c"writelines($self, list_of_data)\n--\n\nEncrypts and sends several pieces of data.",
            |py| ("writelines", names::list_of_data(py)),
            |py, this, list| {
                match this.flow() {
                    Some(flow) => write_all(py, &flow, list)?,
                    None => pass_on(py, this, list)?,
                }
                Ok(Ref::none())
            },
        )
        .plain(
            c"is_closing",
            c"is_closing($self)\n--\n\nTells whether the connection ends or has ended.",
            is_closing,
        )
        .plain(
            c"_settle",
            c"_settle($self)\n--\n\nEncrypts at once what would be encrypted at the end of the turn.",
            |py, this| {
                if let Some(flow) = this.flow() {
                    flow.protocol.send_last(py);
                    settle(py, &flow)?;
                }
                Ok(Ref::none())
            },
        )
}

/// Asks whoever stands where our flow would: what CPython says of nobody is said by nobody.
#[cold]
fn pass_on(py: Python<'_>, this: &Instance<TlsWriter>, list: &Object) -> Outcome<()> {
    let flow = this.flow.share_or_none();
    call_method(py, &flow, names::write_appdata(py), &[list]).map(drop)
}

fn is_closing(py: Python<'_>, this: &Instance<TlsWriter>) -> Outcome<Ref> {
    if this.closed.get() || !reads_of_transport(py)? {
        return Ok(Ref::boolean(this.closed.get()));
    }
    // CPython: from 3.14 on the carrying transport is asked as well.
    let carrier = this.flow().and_then(|flow| flow.transport.share());
    match carrier {
        Some(carrier) => call_method(py, &carrier, names::is_closing(py), &[]),
        None => Ok(Ref::boolean(false)),
    }
}

fn attributes(builder: Builder<TlsWriter>) -> Builder<TlsWriter> {
    let builder = kept!(builder, c"_ssl_protocol", c"The TLS protocol.", flow);
    let builder = kept!(builder, c"_loop", c"The loop.", fields.event_loop);
    flag!(
        builder,
        c"_closed",
        c"Whether close() was called or the connection is lost.",
        closed
    )
}
