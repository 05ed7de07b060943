//! Listening sockets: accepted in batches, each connection given its protocol and a transport.
//!
//! Its own room because it runs once per connection and CPython does it with a task each. It does not know TLS:
//! the factory of such a server makes a protocol that does.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use conbrio_core::listener::{Accepted, accept};
use conbrio_core::sources::Side;
use conbrio_driver::sys::address::Address;
use conbrio_driver::sys::socket;
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Own, Raised, Ref, Slot, Thunk, Visit,
    call, call_method, context, object, raise,
};
use crate::names;
use crate::report::{ends_loop, os_error, os_exception, report, report_raised};
use crate::transport::{Connection, Ends, Made, is_known_family, make, python_socket};

/// How long a listener rests when descriptors have run out, in seconds. CPython: `ACCEPT_RETRY_DELAY`.
const REST: f64 = 1.0;

/// A listening socket and what becomes of those who knock.
pub(crate) struct Listener {
    event_loop: Slot,
    protocol_factory: Slot,
    /// The listening socket, which owns the descriptor.
    sock: Slot,
    /// What each transport is attached to, if there is a server.
    server: Slot,
    /// The context that each connection's own is a copy of.
    context: Slot,
    /// The context was given by the program: a connection stays in its copy.
    context_given: bool,
    fd: RawFd,
    /// The listener's protocol, which is its connections'.
    protocol: i32,
    /// Most connections accepted in one turn.
    most: usize,
}

static STATE: ClassState = ClassState::new();

impl Class for Listener {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Listener";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in [
            &self.event_loop,
            &self.protocol_factory,
            &self.sock,
            &self.server,
            &self.context,
        ] {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in [
            &self.event_loop,
            &self.protocol_factory,
            &self.sock,
            &self.server,
            &self.context,
        ] {
            slot.clear();
        }
    }
}

/// The class `Listener`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Listener>::new(c"A listening socket that the loop watches.")
        .made_natively()
        .create(py, None)
}

/// Begins to accept connections from `sock`; false if its addresses are of a family that only Python's socket can write.
///
/// # Errors
/// `OSError` when the system cannot watch the descriptor.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "asyncio's own parameters")]
#[pyo3(signature = (event_loop, protocol_factory, sock, server, backlog, context))]
pub(crate) fn serve(
    event_loop: &Bound<'_, PyAny>,
    protocol_factory: &Bound<'_, PyAny>,
    sock: &Bound<'_, PyAny>,
    server: &Bound<'_, PyAny>,
    backlog: i64,
    context: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    let py = event_loop.py();
    let fd = sock.call_method0(names::fileno(py))?.extract::<RawFd>()?;
    if Instance::<Engine>::of(object(event_loop)).is_none() || !is_known_family(fd) {
        return Ok(false);
    }
    let protocol = sock
        .getattr(pyo3::intern!(py, "proto"))
        .and_then(|protocol| protocol.extract::<i32>());
    let protocol = protocol.unwrap_or_default();
    if Ends::accepted(Address::default(), protocol)
        .asked(fd)
        .is_tcp()
    {
        // Bench: accept_close; whoever is accepted has it from here. What only looks like TCP refuses.
        let _ = socket::set_nodelay(fd, true);
    }
    let base = match context {
        Some(given) => Ok(object(given).share()),
        None => context::copy_current(py),
    };
    let begun = base.and_then(|base| {
        let listener = Listener {
            event_loop: Slot::holding(object(event_loop).share()),
            protocol_factory: Slot::holding(object(protocol_factory).share()),
            sock: Slot::holding(object(sock).share()),
            server: Slot::holding(object(server).share()),
            context: Slot::holding(base),
            context_given: context.is_some(),
            fd,
            protocol,
            // CPython: one more than the backlog, so that a burst which fills it is seen to end.
            most: usize::try_from(backlog).unwrap_or(0).saturating_add(1),
        };
        arm(py, Own::new(py, listener)?)
    });
    begun?;
    Ok(true)
}

/// Listens, unless the socket was closed meanwhile.
fn arm(py: Python<'_>, this: Own<Listener>) -> Outcome<()> {
    let (Some(event_loop), Some(sock)) = (this.event_loop.share(), this.sock.share()) else {
        return Ok(());
    };
    let Some(engine) = Instance::<Engine>::of(&event_loop) else {
        return Ok(());
    };
    let fd = call_method(py, &sock, names::fileno(py), &[])?
        .bind(py)
        .extract::<RawFd>()?;
    if fd == this.fd && !engine.closed.get() {
        drop(engine.watch(py, fd, Side::Reader, Thunk::new(this.own(), heard))?);
    }
    Ok(())
}

/// Listens again, from a timer: what goes wrong is reported, as for any callback.
fn arm_again(py: Python<'_>, this: Own<Listener>) -> Outcome<()> {
    let event_loop = this.event_loop.share_or_none();
    arm(py, this).or_else(|raised| {
        let message = || "Exception in callback Listener._start_serving()".to_owned();
        report_raised(py, &event_loop, raised, message, &[])
    })
}

/// Somebody knocks.
fn heard(py: Python<'_>, this: Own<Listener>) -> Outcome<()> {
    let Some(event_loop) = this.event_loop.share() else {
        return Ok(());
    };
    let Ok(engine) = Own::<Engine>::of(event_loop) else {
        return Ok(());
    };
    for _ in 0..this.most {
        // The factory may have closed the server, and the descriptor's number may be somebody else's by now.
        let watcher = engine.watcher(py, this.fd, Side::Reader);
        if !watcher.is_some_and(|watcher| watcher.object().is(this.object())) {
            return Ok(());
        }
        match accept(this.fd) {
            Accepted::Connection(connection, peer) => greet(py, &this, &engine, connection, peer)?,
            Accepted::Aborted => {}
            Accepted::Drained => break,
            Accepted::Rest(error) => return rest(py, &this, &engine, &error),
            Accepted::Failed(error) => {
                let message = || "Exception in callback Listener._accept_connection()".to_owned();
                return report_raised(py, engine.object(), os_error(py, &error), message, &[]);
            }
        }
    }
    engine.touch(py);
    Ok(())
}

/// Reports that nothing is left to make sockets of, and stops listening for a while: the system would go on calling.
#[cold]
fn rest(
    py: Python<'_>,
    this: &Instance<Listener>,
    engine: &Instance<Engine>,
    error: &std::io::Error,
) -> Outcome<()> {
    drop(engine.unwatch(py, this.fd, Side::Reader));
    let deadline = engine.now(py)? + REST;
    engine.push_timer(py, deadline, Thunk::new(this.own(), arm_again));
    let exception = os_exception(py, error)?;
    let sock = call(py, names::report_socket(py)?, &[&this.sock.share_or_none()])?;
    let details: [(&str, &Object); 2] = [("exception", &exception), ("socket", &sock)];
    report(
        py,
        engine.object(),
        "socket.accept() out of system resource",
        &details,
    )
}

/// Gives a connection its protocol and transport, in a context of its own.
fn greet(
    py: Python<'_>,
    this: &Instance<Listener>,
    engine: &Instance<Engine>,
    connection: OwnedFd,
    peer: Address,
) -> Outcome<()> {
    let context = context::copy(py, &this.context.share_or_none())?;
    context::enter(py, &context)?;
    let mut protocol = None;
    let answer = connect(
        py,
        this,
        engine,
        &context,
        (connection, peer),
        &mut protocol,
    );
    context::leave(py, &context);
    match answer {
        Ok(()) => Ok(()),
        Err(raised) => failed(py, engine, raised, protocol.as_deref()),
    }
}

#[expect(clippy::too_many_arguments, reason = "what one connection is made of")]
fn connect(
    py: Python<'_>,
    this: &Instance<Listener>,
    engine: &Instance<Engine>,
    context: &Object,
    (connection, peer): (OwnedFd, Address),
    protocol: &mut Option<Ref>,
) -> Outcome<()> {
    let ends = Ends::accepted(peer, this.protocol);
    let mut sock = None;
    let connection = if engine.debug.get() {
        let ends = ends.asked(connection.as_raw_fd());
        Connection::Socket(sock.insert(announced(py, this, connection, &ends)?))
    } else {
        Connection::Accepted(connection, ends)
    };
    let server = this.server.share_or_none();
    let made = call(py, &this.protocol_factory.share_or_none(), &[]).and_then(|made| {
        let server = Some(&*server).filter(|server| !server.is_none());
        let context = this.context_given.then_some(context);
        let protocol = &*protocol.insert(made);
        let made = Made {
            event_loop: engine.object(),
            protocol,
            waiter: None,
            extra: None,
            server,
            context,
        };
        make(py, &made, connection).map(drop)
    });
    match (made, sock) {
        (Err(raised), Some(sock)) => {
            let exception = raised.take();
            call_method(py, &sock, names::close(py), &[])?;
            Err(raise(exception))
        }
        (made, _) => made,
    }
}

/// The connection's Python socket, after saying in debug mode that it has come.
#[cold]
fn announced(
    py: Python<'_>,
    this: &Instance<Listener>,
    connection: OwnedFd,
    ends: &Ends,
) -> Outcome<Ref> {
    let sock = python_socket(py, connection, ends).map_err(|(raised, _)| raised)?;
    let (server, address) = (this.server.share_or_none(), ends.peer_object(py)?);
    let words = (
        "%r got a new connection from %r: %r",
        server.bind(py),
        address.bind(py),
        sock.bind(py),
    );
    names::asyncio_logger(py)?
        .bind(py)
        .call_method1("debug", words)?;
    Ok(sock)
}

/// Tells in debug mode of a connection that could not be made. CPython: `_accept_connection2`.
#[cold]
fn failed(
    py: Python<'_>,
    engine: &Instance<Engine>,
    raised: Raised,
    protocol: Option<&Object>,
) -> Outcome<()> {
    let exception = raised.take();
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    if !engine.debug.get() {
        return Ok(());
    }
    let mut details: Vec<(&str, &Object)> = vec![("exception", &exception)];
    details.extend(protocol.map(|protocol| ("protocol", protocol)));
    report(
        py,
        engine.object(),
        "Error on transport creation for incoming connection",
        &details,
    )
}
