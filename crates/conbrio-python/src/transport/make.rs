//! How a transport begins: of a Python socket, or of a descriptor that was accepted natively.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use conbrio_driver::sys::socket;
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::attributes::number;
use super::ending::guarded;
use super::extra::KeptEnds;
use super::{Ends, StreamTransport, is_known_family};
use crate::engine::Engine;
use crate::ffi::{
    Builtin, Instance, Object, Outcome, Own, Ref, Thunk, attribute, attribute_if_any, call_method,
    object, weak_reference,
};
use crate::{handle, names};

/// Where a connection's descriptor comes from.
pub(crate) enum Connection<'a> {
    /// A Python socket, which goes on owning it.
    Socket(&'a Object),
    /// Accepted natively: owned by the transport until somebody asks for the socket.
    Accepted(OwnedFd, Ends),
    /// The same of one that was dialled.
    Dialled(OwnedFd, Ends),
}

/// What a transport is made of besides its connection.
pub(crate) struct Made<'a> {
    /// The loop, one of ours.
    pub(crate) event_loop: &'a Object,
    /// Who hears.
    pub(crate) protocol: &'a Object,
    /// A future that is told when reading has begun.
    pub(crate) waiter: Option<&'a Object>,
    /// The dictionary behind `get_extra_info`.
    pub(crate) extra: Option<&'a Object>,
    /// What the transport is attached to while it is open.
    pub(crate) server: Option<&'a Object>,
    /// The context that the protocol is called in.
    pub(crate) context: Option<&'a Object>,
}

/// Makes a transport and has the protocol told in the next turn.
///
/// # Errors
/// What the server or the loop's table raises.
pub(crate) fn make(
    py: Python<'_>,
    made: &Made<'_>,
    connection: Connection<'_>,
) -> Outcome<Own<StreamTransport>> {
    let this = Own::new(py, StreamTransport::unmade())?;
    begin(py, &this, made, connection)?;
    Ok(this)
}

/// `StreamTransport(loop, sock, protocol, waiter=None, extra=None, server=None, context=None)`.
pub(super) fn init(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let keys = [
        "loop", "sock", "protocol", "waiter", "extra", "server", "context",
    ];
    let values = given(py, args, keywords, keys)?;
    let [event_loop, sock, protocol, waiter, extra, server, context] = &values;
    refuse_none(py, protocol.as_ref(), names::connection_made(py))?;
    let (Some(event_loop), Some(sock), Some(protocol)) = (event_loop, sock, protocol) else {
        return Err(PyTypeError::new_err(
            "StreamTransport() needs a loop, a socket and a protocol",
        )
        .into());
    };
    let made = Made {
        event_loop: object(event_loop),
        protocol: object(protocol),
        waiter: waiter.as_ref().map(object),
        extra: extra.as_ref().map(object),
        server: server.as_ref().map(object),
        context: context.as_ref().map(object),
    };
    begin(py, this, &made, Connection::Socket(object(sock)))
}

/// Refuses `None`, as CPython would once it asked it for an attribute.
///
/// # Errors
/// `AttributeError` if it is `None`.
pub(super) fn refuse_none(
    py: Python<'_>,
    value: Option<&Bound<'_, PyAny>>,
    name: &Bound<'_, PyString>,
) -> Outcome<()> {
    match value {
        Some(_) => Ok(()),
        None => attribute(py, &Ref::none(), name).map(drop),
    }
}

/// The arguments of a constructor, by place or by name; `None` is as good as nothing.
///
/// # Errors
/// What looking them up raises.
pub(super) fn given<'py, const N: usize>(
    py: Python<'py>,
    args: &Object,
    keywords: Option<&Object>,
    names: [&str; N],
) -> Outcome<[Option<Bound<'py, PyAny>>; N]> {
    let args = args
        .bind(py)
        .to_owned()
        .cast_into::<PyTuple>()
        .map_err(PyErr::from)?;
    let keywords = keywords.map(|keywords| keywords.bind(py).to_owned().cast_into::<PyDict>());
    let keywords = keywords.transpose().map_err(PyErr::from)?;
    let mut values = [const { None }; N];
    for (index, (value, name)) in values.iter_mut().zip(names).enumerate() {
        let keyword = keywords.as_ref().map(|keywords| keywords.get_item(name));
        *value = args
            .get_item(index)
            .ok()
            .or(keyword.transpose()?.flatten())
            .filter(|value| !value.is_none());
    }
    Ok(values)
}

fn begin(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    made: &Made<'_>,
    connection: Connection<'_>,
) -> Outcome<()> {
    let Some(engine) = Instance::<Engine>::of(made.event_loop) else {
        return Err(PyTypeError::new_err("StreamTransport() needs a loop of conbrio's").into());
    };
    // The dictionary is made when somebody asks: an idle connection needs none.
    if let Some(extra) = made.extra.filter(|extra| !extra.is_none()) {
        this.fields.extra.set(extra.share());
    }
    this.fields.event_loop.set(made.event_loop.share());
    if let Some(context) = made.context {
        this.context.set(context.share());
        this.life.context_given.set(true);
    }
    let fd = adopt(py, this, connection)?;
    this.protocol.set(py, made.protocol)?;
    if let Some(server) = made.server {
        let arguments: &[&Object] = if cfg!(Py_3_13) { &[this.object()] } else { &[] };
        call_method(py, server, names::attach(py), arguments)?;
        this.server.set(server.share());
    }
    enter(py, this.object(), made.event_loop, fd)?;
    schedule(py, this, engine, made)
}

/// Takes the descriptor over and asks for both addresses while there is a peer.
fn adopt(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    connection: Connection<'_>,
) -> Outcome<RawFd> {
    let (fd, ends, nodelay) = match connection {
        Connection::Socket(sock) => {
            let fd = call_method(py, sock, names::fileno(py), &[])?
                .bind(py)
                .extract::<RawFd>()?;
            let protocol = sock.bind(py).getattr(pyo3::intern!(py, "proto"));
            let protocol = protocol
                .and_then(|protocol| protocol.extract::<i32>())
                .unwrap_or_default();
            this.sock.set(sock.share());
            if !is_known_family(fd) {
                ask_python(py, this, sock)?;
            }
            let ends = Ends::of(fd, protocol);
            (fd, KeptEnds::of(&ends), ends.is_tcp())
        }
        Connection::Accepted(own, ends) => {
            let fd = own.as_raw_fd();
            drop(this.own.replace(Some(own)));
            // Its listener sends small packets at once, and so does it.
            (fd, KeptEnds::unasked(&ends), false)
        }
        Connection::Dialled(own, ends) => {
            let fd = own.as_raw_fd();
            drop(this.own.replace(Some(own)));
            (fd, KeptEnds::unasked(&ends), ends.is_tcp())
        }
    };
    if nodelay {
        // A connection that is already broken refuses; reading will tell.
        let _ = socket::set_nodelay(fd, true);
    }
    this.fd.set(fd);
    this.life.open.set(true);
    drop(this.ends.replace(ends));
    Ok(fd)
}

/// Enters the transport in the loop's table, which does not keep it alive.
pub(super) fn enter(py: Python<'_>, this: &Object, event_loop: &Object, fd: RawFd) -> Outcome<()> {
    let Some(transports) = attribute_if_any(py, event_loop, names::transports(py))? else {
        return Ok(());
    };
    let transports = transports.bind(py);
    match transports.cast::<PyDict>() {
        // Our own table of weak references; a plain dictionary is somebody else's.
        Ok(table) if !table.is_exact_instance_of::<PyDict>() => {
            table.set_item(fd, weak_reference(py, this)?.bind(py))?;
        }
        _ => transports.set_item(fd, this.bind(py))?,
    }
    Ok(())
}

/// Asks the Python socket for addresses that we cannot write.
#[cold]
fn ask_python(py: Python<'_>, this: &Instance<StreamTransport>, sock: &Object) -> Outcome<()> {
    let extra = super::extra::dictionary(py, this);
    for (name, method) in [
        (names::sockname(py), "getsockname"),
        (names::peername(py), "getpeername"),
    ] {
        if !extra.bind(py).contains(name)? {
            extra
                .bind(py)
                .set_item(name, ask_socket(py, sock, method)?)?;
        }
    }
    Ok(())
}

/// What a method of a Python socket says of an end; `None` where the system does not know.
pub(super) fn ask_socket<'py>(
    py: Python<'py>,
    sock: &Object,
    method: &str,
) -> PyResult<Bound<'py, PyAny>> {
    match sock.bind(py).call_method0(method) {
        Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(py.None().into_bound(py)),
        answer => answer,
    }
}

/// Order: `connection_made`, then reading begins, then the waiter hears of it.
fn schedule(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    engine: &Instance<Engine>,
    made: &Made<'_>,
) -> Outcome<()> {
    engine.check_closed()?;
    let connection_made = attribute(py, made.protocol, names::connection_made(py))?;
    handle::ask_soon(py, engine, &connection_made, &[this.object()], made.context)?;
    this.follow_context(py)?;
    if engine.plain.get() {
        engine.push(py, Thunk::new(this.own(), start));
    } else {
        let (start, fd) = (START.bind(py, this)?, number(py, this.fd.get())?);
        handle::ask_soon(py, engine, &start, &[&fd], made.context)?;
    }
    if let Some(waiter) = made.waiter {
        let set_result = names::set_result_unless_cancelled(py)?;
        handle::ask_soon(
            py,
            engine,
            set_result,
            &[waiter, &Ref::none()],
            made.context,
        )?;
    }
    Ok(())
}

/// The beginning, for a `call_soon` that is not ours.
static START: Builtin = Builtin::new::<StreamTransport, _>(
    c"_add_reader",
    |py, this: &Instance<StreamTransport>, _: &Object| {
        start(py, this.own())?;
        Ok(Ref::none())
    },
);

/// Begins to read, after `connection_made`.
fn start(py: Python<'_>, this: Own<StreamTransport>) -> Outcome<()> {
    if !this.is_reading() || this.life.reading.get() {
        return Ok(());
    }
    let answer = this.start_reading(py);
    guarded(py, &this, "_add_reader", answer)
}
