//! The Python class: every method, a line or two each.

use std::fmt::Write as _;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::life::{abort, close};
use super::write::{sendto, write_ready};
use super::{DatagramTransport, attributes, make, read};
use crate::ffi::{Builder, Instance, Ref, none};
use crate::names;
use crate::transport::attributes::or_none;
use crate::transport::{ending, flow};

/// The class `DatagramTransport`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let flow = names::flow_control(py)?.bind(py);
    let base = names::datagram_base(py)?.bind(py);
    let (dict, weak_references) = DatagramTransport::ATTRIBUTES;
    let builder = Builder::<DatagramTransport>::new(
        c"A datagram socket that sends and receives; made by the loop.",
    )
    .with_attributes(dict, weak_references)
    .new_with(|_, _, _| Ok(DatagramTransport::unmade()))
    .init(make::init);
    let builder = flow::add(internals(writing(reading(builder))));
    let builder = ending::add(attributes::add(builder));
    let bases = PyTuple::new(py, [flow, base])?.into_any();
    builder.create(py, Some(&bases))
}

fn reading(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    builder
        .plain(
            c"is_reading",
            c"is_reading($self)\n--\n\nTells whether datagrams are received.",
            |_, this| Ok(Ref::boolean(this.is_reading())),
        )
        .plain(
            c"pause_reading",
            c"pause_reading($self)\n--\n\nReceives nothing until resume_reading().",
            |py, this| none(this.pause_reading(py)),
        )
        .plain(
            c"resume_reading",
            c"resume_reading($self)\n--\n\nReceives again.",
            |py, this| none(this.resume_reading(py)),
        )
        .named(
            c"set_protocol",
            c"set_protocol($self, protocol)\n--\n\nMakes protocol the one that hears.",
            |py| ("set_protocol", names::protocol(py)),
            |_, this, protocol| {
                this.protocol.set(protocol.share());
                Ok(Ref::none())
            },
        )
        .plain(
            c"get_protocol",
            c"get_protocol($self)\n--\n\nThe protocol.",
            |_, this| Ok(or_none(this.protocol.share())),
        )
}

fn writing(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    builder
        .method(
            c"sendto",
            c"sendto($self, data, addr=None)\n--\n\nSends data as one datagram; does not wait.",
            sendto,
        )
        .plain(
            c"close",
            c"close($self)\n--\n\nSends what is owed, then closes the socket.",
            |py, this| none(close(py, this)),
        )
        .plain(
            c"abort",
            c"abort($self)\n--\n\nCloses the socket at once.",
            |py, this| none(abort(py, this)),
        )
        .plain(
            c"is_closing",
            c"is_closing($self)\n--\n\nTells whether the socket is being closed, or is.",
            |_, this| Ok(Ref::boolean(this.life.closing.get())),
        )
}

/// What asyncio's own modules call on a transport.
fn internals(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    builder
        .plain(
            c"_read_ready",
            c"_read_ready($self)\n--\n\nReceives once.",
            |py, this| none(read::heard(py, this.own())),
        )
        .plain(
            c"_sendto_ready",
            c"_sendto_ready($self)\n--\n\nSends what is owed.",
            |py, this| none(write_ready(py, this)),
        )
        .plain(
            c"_settle",
            c"_settle($self)\n--\n\nSends at once what would be sent at the end of the turn.",
            |py, this| none(this.settle(py)),
        )
}

/// `repr(transport)`, with CPython's fields.
pub(super) fn text(py: Python<'_>, this: &Instance<DatagramTransport>) -> String {
    let name = this.object().bind(py).get_type().name();
    let name = name.map(|name| name.to_string()).unwrap_or_default();
    let mut text = format!("<{name}");
    if this.sock.is_empty() {
        text.push_str(" closed");
    } else if this.life.closing.get() {
        text.push_str(" closing");
    }
    // A string takes whatever is written into it.
    let _ = write!(text, " fd={}", this.fd.get());
    if this.engine().is_some_and(|engine| !engine.closed.get()) {
        let state = |watched: bool| if watched { "polling" } else { "idle" };
        let (read, write) = (
            state(this.life.reading.get()),
            state(this.life.writing.get()),
        );
        let owed = this.owed(py);
        let _ = write!(text, " read={read} write=<{write}, bufsize={owed}>");
    }
    text.push('>');
    text
}
