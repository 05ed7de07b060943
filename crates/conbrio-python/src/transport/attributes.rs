//! CPython's attributes that asyncio's own modules and tools read of a transport.

use pyo3::BoundObject;
use pyo3::prelude::*;

use super::{StreamTransport, extra};
use crate::engine::SHARED;
use crate::ffi::{Builder, Outcome, Ref, Slot, object};
use crate::names;

/// Adds the attributes.
pub(super) fn add(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    limits(flags(parts(builder)))
}

/// What a transport is made of.
fn parts(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    builder
        .getter(
            c"_sock",
            c"The socket, None once it is closed.",
            |py, this| {
                if this.life.open.get() {
                    extra::sock(py, this)
                } else {
                    Ok(Ref::none())
                }
            },
        )
        .getter(c"_sock_fd", c"The descriptor.", |py, this| {
            let Ok(fd) = this.fd.get().into_pyobject(py);
            Ok(object(&fd).share())
        })
        .getter(
            c"_extra",
            c"The dictionary behind get_extra_info().",
            extra::all,
        )
        .getter(
            c"_loop",
            c"The loop, None once the connection is lost.",
            |_, this| Ok(held(&this.fields.event_loop)),
        )
        .getter(
            c"_protocol",
            c"The protocol, None once the connection is lost.",
            |_, this| Ok(or_none(this.protocol.share())),
        )
        .getter(
            c"_protocol_connected",
            c"Whether there is a protocol.",
            |_, this| Ok(Ref::boolean(this.protocol.share().is_some())),
        )
        .getter(
            c"_server",
            c"The server that accepted the connection.",
            |_, this| Ok(held(&this.server)),
        )
        .getter(c"_context", c"The context that was given.", |_, this| {
            Ok(if this.life.context_given.get() {
                held(&this.context)
            } else {
                Ref::none()
            })
        })
        .getter(
            c"_empty_waiter",
            c"Who waits until nothing is owed.",
            |_, this| Ok(held(&this.empty_waiter)),
        )
}

/// How far its life has gone.
fn flags(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    builder
        .getter(
            c"_conn_lost",
            c"Not 0 once the connection ends.",
            |py, this| number(py, this.life.lost.get()),
        )
        .getter(c"_closing", c"Whether the connection ends.", |_, this| {
            Ok(Ref::boolean(this.life.closing.get()))
        })
        .getter(c"_paused", c"Whether reading is paused.", |_, this| {
            Ok(Ref::boolean(this.life.paused.get()))
        })
        .getter(c"_eof", c"Whether write_eof() was called.", |_, this| {
            Ok(Ref::boolean(this.life.eof.get()))
        })
}

/// What it can do, and how much.
fn limits(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    builder
        .getter(c"max_size", c"How much one read takes at most.", |py, _| {
            number(py, SHARED)
        })
        .getter(
            c"_start_tls_compatible",
            c"True: start_tls() works on it.",
            |_, _| Ok(Ref::boolean(true)),
        )
        .getter(
            c"_sendfile_compatible",
            c"How loop.sendfile() goes about it.",
            |py, _| {
                Ok(names::sendfile_mode(py)?
                    .bind(py)
                    .getattr("TRY_NATIVE")?
                    .into())
            },
        )
}

fn held(slot: &Slot) -> Ref {
    slot.share_or_none()
}

/// The value, or `None` of Python.
pub(super) fn or_none(value: Option<Ref>) -> Ref {
    value.unwrap_or_else(Ref::none)
}

/// A Python number.
///
/// # Errors
/// `MemoryError`.
pub(super) fn number<'py, N: IntoPyObject<'py>>(py: Python<'py>, number: N) -> Outcome<Ref>
where
    PyErr: From<N::Error>,
{
    let number = number.into_pyobject(py).map_err(PyErr::from)?;
    Ok(number.into_bound().into_any().into())
}
