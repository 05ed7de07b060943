//! `create_connection` to an address in numbers: a socket that is made, connected and given to its transport natively.
//!
//! Its own room beside `server`: what that does for a connection that comes, this does for one that goes. What it asks of
//! its futures and of the protocol's factory is the coroutine's affair. It looks up no names.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use conbrio_core::dial::{self, Dialled};
use conbrio_core::sources::Side;
use conbrio_driver::sys::address::family_of;
use conbrio_driver::sys::socket::closed;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::engine::Engine;
use crate::ffi::{
    Args, Builder, Class, ClassState, Guarded, Instance, Object, Outcome, Own, Ref, Slot, Thunk,
    Unchanged, Visit, call_method, is_audited, object, tuple,
};
use crate::jobs::port_number;
use crate::names;
use crate::report::{os_error, os_exception};
use crate::sock::{finish, is_done};
use crate::transport::{Connection, Ends, Made, make, python_socket};
use crate::watch::ensure_no_transport;

/// A connection that is being made, and the future that ends when it is known what came of it.
pub(crate) struct Dial {
    event_loop: Slot,
    future: Slot,
    /// The host as the program wrote it.
    host: Slot,
    /// The descriptor, until a transport or a socket has it.
    own: Guarded<Option<OwnedFd>>,
    fd: RawFd,
    peer: SocketAddr,
}

static STATE: ClassState = ClassState::new();

impl Class for Dial {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Dial";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in [&self.event_loop, &self.future, &self.host] {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in [&self.event_loop, &self.future, &self.host] {
            slot.clear();
        }
    }
}

/// The class `Dial`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Dial>::new(c"A connection that is being made.")
        .made_natively()
        .getter(c"future", c"What it ends with.", |_, this| {
            Ok(this.future.share_or_none())
        })
        .method(
            c"transport",
            c"transport($self, protocol, context, /)\n--\n\nIts transport, and the future that hears that it reads.",
            transport,
        )
        .plain(
            c"socket",
            c"socket($self)\n--\n\nIts socket.",
            socket,
        )
        .plain(
            c"close",
            c"close($self)\n--\n\nGives it up.",
            |py, this| {
                close(py, this);
                Ok(Ref::none())
            },
        )
        .create(py, None)
}

/// Adds what begins a connection to the loop's class.
pub(crate) fn methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder.method(
        c"_native_dial",
        c"_native_dial($self, host, port, family, proto, /)\n--\n\nA Dial; None for what only asyncio's own way can do.",
        begin,
    )
}

/// The methods by which CPython makes a connection: one that is replaced has to be called.
static WAYS: OnceLock<Unchanged> = OnceLock::new();

fn ways(py: Python<'_>) -> [&Bound<'_, PyString>; 9] {
    [
        pyo3::intern!(py, "_ensure_resolved"),
        pyo3::intern!(py, "getaddrinfo"),
        pyo3::intern!(py, "_connect_sock"),
        pyo3::intern!(py, "sock_connect"),
        pyo3::intern!(py, "_sock_connect"),
        pyo3::intern!(py, "_add_writer"),
        pyo3::intern!(py, "remove_writer"),
        pyo3::intern!(py, "_create_connection_transport"),
        pyo3::intern!(py, "_make_socket_transport"),
    ]
}

/// Remembers those methods as they are on `class`, the loops' own.
///
/// # Errors
/// When there is no such method.
pub(crate) fn learn(py: Python<'_>, class: &Object) -> Outcome<()> {
    let _ = WAYS.set(Unchanged::of(py, class, &ways(py))?);
    Ok(())
}

/// Notes that an attribute of this name was set on the loop itself.
pub(crate) fn attribute_set(py: Python<'_>, this: &Instance<Engine>, name: &Object) {
    if ways(py).iter().any(|way| object(way).is(name)) {
        this.own_ways.set(true);
    }
}

/// `_native_dial(host, port, family, proto)`.
fn begin(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let [host, port, family, protocol] = args.positional() else {
        return Ok(Ref::none());
    };
    let is_usual =
        !this.own_ways.get() && WAYS.get().is_some_and(|ways| ways.holds(py, this.object()));
    if !is_usual || is_audited(py) {
        return Ok(Ref::none());
    }
    let Some(peer) = address(py, host, port, family, protocol) else {
        return Ok(Ref::none());
    };
    let future = call_method(py, this.object(), names::create_future(py), &[])?;
    let begun = dial::dial(&peer);
    let (own, ending) = match begun {
        Ok(Dialled::Pending(own)) => (Some(own), None),
        Ok(Dialled::Connected(own)) => (Some(own), Some(Ok(Ref::none()))),
        Err(error) => (None, Some(Err(os_exception(py, &error)?))),
    };
    let dial = Dial {
        event_loop: Slot::holding(this.object().share()),
        future: Slot::holding(future.share()),
        host: Slot::holding(host.share()),
        fd: own.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        own: Guarded::new(own),
        peer,
    };
    let dial = Own::new(py, dial)?;
    if let Some(ending) = ending {
        finish(py, &future, ending)?;
        return Ok(dial.erase());
    }
    let Ok(fd) = dial.fd.into_pyobject(py);
    ensure_no_transport(py, this, object(&fd))?;
    drop(this.watch(py, dial.fd, Side::Writer, Thunk::new(dial.own(), heard))?);
    Ok(dial.erase())
}

/// An address that CPython would not look up. CPython: `_ipaddr_info`, which goes by neither flags nor the resolver.
fn address(
    py: Python<'_>,
    host: &Object,
    port: &Object,
    family: &Object,
    protocol: &Object,
) -> Option<SocketAddr> {
    let number = |value: &Object| value.bind(py).extract::<i32>().ok();
    let host = host.bind(py).cast_exact::<PyString>().ok()?;
    let host: IpAddr = host.to_str().ok()?.parse().ok()?;
    let family = number(family)?;
    let own = family_of(&host);
    let known = [0, 6, 17].contains(&number(protocol)?);
    if !known || (family != 0 && family != own) || port.is_none() {
        return None;
    }
    Some(SocketAddr::new(host, port_number(&port.bind(py))?))
}

/// It is known what came of it.
fn heard(py: Python<'_>, this: Own<Dial>) -> Outcome<()> {
    let future = this.future.share();
    let pending = match &future {
        Some(future) => !is_done(py, future)?,
        None => false,
    };
    let (Some(future), true) = (future, pending) else {
        forget(py, &this);
        return Ok(());
    };
    let ending = match dial::outcome(this.fd) {
        Ok(None) => return Ok(()),
        Ok(Some(())) => Ok(Ref::none()),
        Err(error) => Err(failure(py, &this, &error)?),
    };
    forget(py, &this);
    finish(py, &future, ending)
}

/// In the words of CPython's `_sock_connect_cb`.
#[cold]
fn failure(py: Python<'_>, this: &Instance<Dial>, error: &std::io::Error) -> Outcome<Ref> {
    let (host, port) = (this.host.share_or_none(), this.peer.port());
    let address = if this.peer.is_ipv4() {
        (host.bind(py), port).into_pyobject(py)?.into_any()
    } else {
        (host.bind(py), port, 0, 0).into_pyobject(py)?.into_any()
    };
    let words = format!("Connect call failed {address}");
    let class = py.get_type::<PyOSError>();
    Ok(class.call1((error.raw_os_error(), words))?.into())
}

/// Hears the descriptor no more, if it still is this dial that hears it.
fn forget(py: Python<'_>, this: &Instance<Dial>) {
    let Some(event_loop) = this.event_loop.share() else {
        return;
    };
    let Some(engine) = Instance::<Engine>::of(&event_loop) else {
        return;
    };
    engine.unwatch_own(py, this.fd, Side::Writer, this.object());
}

/// `close()`: gives the connection up.
fn close(py: Python<'_>, this: &Instance<Dial>) {
    forget(py, this);
    this.future.clear();
    drop(this.own.replace(None));
    let event_loop = this.event_loop.take();
    if let Some(engine) = event_loop.as_deref().and_then(Instance::<Engine>::of) {
        // Order: a peer in this loop hears of it in the next turn.
        engine.touch(py);
    }
}

/// `transport(protocol, context)`: also the future that hears that it reads.
fn transport(py: Python<'_>, this: &Instance<Dial>, args: Args<'_>) -> Outcome<Ref> {
    let [protocol, context] = args.positional() else {
        return Err(
            pyo3::exceptions::PyTypeError::new_err("expected a protocol and a context").into(),
        );
    };
    let event_loop = this.event_loop.share_or_none();
    let waiter = call_method(py, &event_loop, names::create_future(py), &[])?;
    let made = Made {
        event_loop: &event_loop,
        protocol,
        waiter: Some(&waiter),
        extra: None,
        server: None,
        context: Some(*context).filter(|context| !context.is_none()),
    };
    let transport = make(py, &made, Connection::Dialled(take(py, this)?, ends(this)))?;
    tuple(py, &[transport.object(), &waiter])
}

/// `socket()`: a Python socket that owns the descriptor.
fn socket(py: Python<'_>, this: &Instance<Dial>) -> Outcome<Ref> {
    let ends = ends(this).asked(this.fd);
    python_socket(py, take(py, this)?, &ends).map_err(|(raised, _)| raised)
}

fn ends(this: &Instance<Dial>) -> Ends {
    Ends::dialled(this.fd, dial::PROTOCOL)
}

/// The descriptor, once.
fn take(py: Python<'_>, this: &Instance<Dial>) -> Outcome<OwnedFd> {
    let own = this.own.lend(py, Option::take);
    own.ok_or_else(|| os_error(py, &closed()))
}
