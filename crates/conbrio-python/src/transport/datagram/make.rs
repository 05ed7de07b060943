//! How a transport begins: of a Python socket.

use std::os::fd::RawFd;

use conbrio_driver::sys::address::Address;
use conbrio_driver::sys::socket;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{DatagramTransport, Way};
use crate::engine::Engine;
use crate::ffi::{
    Builtin, Instance, Object, Outcome, Own, Ref, Thunk, attribute, call, call_method, is_true,
    object,
};
use crate::transport::attributes::number;
use crate::transport::ending::guarded;
use crate::transport::extra::{INET, INET6, UNIX, family};
use crate::transport::make::{ask_socket, enter, given, refuse_none};
use crate::{handle, names};

/// What a transport is made of.
struct Made<'a> {
    /// The loop, one of ours.
    event_loop: &'a Object,
    sock: &'a Object,
    /// Who hears.
    protocol: &'a Object,
    /// The one address that is sent to.
    address: Option<&'a Object>,
    /// A future that is told when reading has begun.
    waiter: Option<&'a Object>,
    /// The dictionary behind `get_extra_info`.
    extra: Option<&'a Object>,
}

/// `DatagramTransport(loop, sock, protocol, address=None, waiter=None, extra=None)`.
pub(super) fn init(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let keys = ["loop", "sock", "protocol", "address", "waiter", "extra"];
    let values = given(py, args, keywords, keys)?;
    let [event_loop, sock, protocol, address, waiter, extra] = &values;
    refuse_none(py, protocol.as_ref(), names::connection_made(py))?;
    let (Some(event_loop), Some(sock), Some(protocol)) = (event_loop, sock, protocol) else {
        let text = "DatagramTransport() needs a loop, a socket and a protocol";
        return Err(PyTypeError::new_err(text).into());
    };
    let made = Made {
        event_loop: object(event_loop),
        sock: object(sock),
        protocol: object(protocol),
        address: address.as_ref().map(object),
        waiter: waiter.as_ref().map(object),
        extra: extra.as_ref().map(object),
    };
    begin(py, this, &made)
}

fn begin(py: Python<'_>, this: &Instance<DatagramTransport>, made: &Made<'_>) -> Outcome<()> {
    let Some(engine) = Instance::<Engine>::of(made.event_loop) else {
        let text = "DatagramTransport() needs a loop of conbrio's";
        return Err(PyTypeError::new_err(text).into());
    };
    describe(py, this, made)?;
    this.fields.event_loop.set(made.event_loop.share());
    let fd = call_method(py, made.sock, names::fileno(py), &[])?;
    let fd = fd.bind(py).extract::<RawFd>()?;
    this.fd.set(fd);
    this.life.way.set(way(py, made.sock, fd)?);
    this.sock.set(made.sock.share());
    this.protocol.set(made.protocol.share());
    // CPython: an empty address counts as none.
    if let Some(address) = made.address
        && is_true(py, address)?
    {
        this.address.set(address.share());
    }
    enter(py, this.object(), made.event_loop, fd)?;
    schedule(py, this, engine, made)
}

/// Fills the dictionary behind `get_extra_info`.
fn describe(py: Python<'_>, this: &Instance<DatagramTransport>, made: &Made<'_>) -> Outcome<()> {
    let extra: Ref = match made.extra {
        Some(extra) => extra.share(),
        None => PyDict::new(py).into_any().into(),
    };
    this.fields.extra.set(extra.share());
    let extra = extra.bind(py);
    let class = names::transport_socket(py)?;
    let socket = call(py, class, &[made.sock, this.object()])?;
    extra.set_item(names::socket_name(py), socket.bind(py))?;
    let ask = |method: &str| ask_socket(py, made.sock, method);
    extra.set_item(names::sockname(py), ask("getsockname")?)?;
    if !extra.contains(names::peername(py))? {
        extra.set_item(names::peername(py), ask("getpeername")?)?;
    }
    let peer = extra.get_item(names::peername(py))?;
    this.life.connected.set(peer.is_truthy()?);
    this.life.nameless.set(!peer.is_none());
    Ok(())
}

/// How the socket is worked.
fn way(py: Python<'_>, sock: &Object, fd: RawFd) -> Outcome<Way> {
    // Somebody's own class may send and receive in its own way.
    if sock.class() != names::socket_class(py)?.as_ptr().cast() {
        return Ok(Way::Asked);
    }
    let mut local = Address::default();
    let known = socket::local_address(fd, &mut local).map(|()| family(local.as_bytes()));
    Ok(match known {
        Ok(family @ (INET | INET6)) => Way::Internet(family),
        Ok(UNIX) => Way::Unix,
        _ => Way::Asked,
    })
}

/// Order: `connection_made`, then reading begins, then the waiter hears of it.
fn schedule(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    engine: &Instance<Engine>,
    made: &Made<'_>,
) -> Outcome<()> {
    engine.check_closed()?;
    let connection_made = attribute(py, made.protocol, names::connection_made(py))?;
    handle::ask_soon(py, engine, &connection_made, &[this.object()], None)?;
    this.follow_context(py)?;
    if engine.plain.get() {
        engine.push(py, Thunk::new(this.own(), start));
    } else {
        let (start, fd) = (START.bind(py, this)?, number(py, this.fd.get())?);
        handle::ask_soon(py, engine, &start, &[&fd], None)?;
    }
    if let Some(waiter) = made.waiter {
        let set_result = names::set_result_unless_cancelled(py)?;
        handle::ask_soon(py, engine, set_result, &[waiter, &Ref::none()], None)?;
    }
    Ok(())
}

/// The beginning, for a `call_soon` that is not ours.
static START: Builtin = Builtin::new::<DatagramTransport, _>(
    c"_add_reader",
    |py, this: &Instance<DatagramTransport>, _: &Object| {
        start(py, this.own())?;
        Ok(Ref::none())
    },
);

/// Begins to receive, after `connection_made`.
fn start(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    if !this.is_reading() || this.life.reading.get() {
        return Ok(());
    }
    let answer = this.start_reading(py);
    guarded(py, &this, "_add_reader", answer)
}
