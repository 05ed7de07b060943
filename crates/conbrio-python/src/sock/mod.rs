//! `sock_recv` and its family: one try that answers at once, or a wait that tries again when the descriptor is ready.
//!
//! Its own room because these verbs have neither protocol nor transport. The coroutines around them are Python's, so that
//! they look like CPython's own; here is what each does once per packet.

mod attempt;
mod sendfile;

use std::cell::Cell;
use std::os::fd::RawFd;

use conbrio_core::sources::Side;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use self::attempt::attempt;
use self::sendfile::{SendFile, try_sendfile};
use crate::engine::Engine;
use crate::ffi::{
    Args, Buffer, Builder, Class, ClassState, Guarded, Instance, Object, Outcome, Own, Raised, Ref,
    Slot, Thunk, Unchanged, Visit, call, call_method, object, raise, tuple, weak_reference,
};
use crate::future::Future;
use crate::names;
use crate::report::{ends_loop, report_raised, text_of};
use crate::watch::{cancel, ensure_no_transport, number_now};

/// What is tried.
enum Deed {
    /// Receives at most so many bytes.
    Receive(usize),
    /// Receives into the memory that the argument lends.
    ReceiveInto,
    /// Sends all of `memory`; so much of it is sent.
    SendAll(Cell<usize>),
    /// Sends a file.
    SendFile(SendFile),
    /// Calls a method of the socket; its name and its arguments are in `method` and `args`.
    Call,
}

/// A deed that could not be done at once.
pub(crate) struct SocketWait {
    event_loop: Slot,
    /// The socket, kept alive while it waits.
    sock: Slot,
    /// The weak reference to a socket that can be told from every other.
    identity: Slot,
    future: Slot,
    method: Slot,
    args: Slot,
    /// Lent while the deed lasts.
    memory: Guarded<Option<Buffer>>,
    fd: RawFd,
    is_writer: bool,
    /// It is done, and still hears the descriptor: who waits next for the same socket takes its place.
    idle: Cell<bool>,
    deed: Deed,
}

static STATE: ClassState = ClassState::new();

impl Class for SocketWait {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.SocketWait";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in [
            &self.event_loop,
            &self.sock,
            &self.identity,
            &self.future,
            &self.method,
            &self.args,
        ] {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in [
            &self.event_loop,
            &self.sock,
            &self.identity,
            &self.future,
            &self.method,
            &self.args,
        ] {
            slot.clear();
        }
    }
}

/// The class `SocketWait`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<SocketWait>::new(
        c"A socket operation that waits: its future is awaited, then it is released.",
    )
    .made_natively()
    .getter(c"future", c"What it ends with.", |_, this| {
        Ok(this.future.share_or_none())
    })
    .plain(
        c"release",
        c"release($self)\n--\n\nStops waiting.",
        |py, this| {
            release(py, this);
            Ok(Ref::none())
        },
    )
    .create(py, None)
}

/// Adds the tries to the loop's class.
pub(crate) fn methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .method(c"_native_recv", c"_native_recv($self, sock, n, /)\n--\n\nReceived bytes, or a SocketWait.", try_recv)
        .method(c"_native_recv_into", c"_native_recv_into($self, sock, buf, /)\n--\n\nA count, or a SocketWait.", try_recv_into)
        .method(c"_native_sendall", c"_native_sendall($self, sock, data, /)\n--\n\nNone, or a SocketWait.", try_sendall)
        .method(
            c"_native_sendfile",
            c"_native_sendfile($self, sock, file, offset, count, size, /)\n--\n\nHow much was sent, or a SocketWait.",
            try_sendfile,
        )
        .method(
            c"_native_reading",
            c"_native_reading($self, sock, method, *args)\n--\n\nWhat the socket's method answers, or a SocketWait.",
            |py, this, args| try_method(py, this, args, false),
        )
        .method(
            c"_native_writing",
            c"_native_writing($self, sock, method, *args)\n--\n\nWhat the socket's method answers, or a SocketWait.",
            |py, this, args| try_method(py, this, args, true),
        )
}

fn try_recv(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let [sock, count] = args.positional() else {
        return Err(wrong_arguments());
    };
    let size = count
        .bind(py)
        .extract::<isize>()
        .ok()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size > 0);
    match size {
        Some(size) if is_plain(py, sock)? => {
            let wait = wait(py, this, sock, Deed::Receive(size), false)?;
            begin(py, this, wait)
        }
        // CPython: the socket's own `recv` says what is wrong with the size, or has a meaning of its own.
        _ => try_call(py, this, sock, pyo3::intern!(py, "recv"), &[count], false),
    }
}

fn try_recv_into(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let [sock, memory] = args.positional() else {
        return Err(wrong_arguments());
    };
    if !is_plain(py, sock)? {
        return try_call(
            py,
            this,
            sock,
            pyo3::intern!(py, "recv_into"),
            &[memory],
            false,
        );
    }
    let wait = wait(py, this, sock, Deed::ReceiveInto, false)?;
    wait.args.set(memory.share());
    begin(py, this, wait)
}

fn try_sendall(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let [sock, data] = args.positional() else {
        return Err(wrong_arguments());
    };
    if !is_plain(py, sock)? && !sends_as_socket(py, sock)? {
        // Whoever has a `send` of its own is asked by it, as often as it takes.
        return Ok(object(py.NotImplemented().bind(py)).share());
    }
    let wait = wait(py, this, sock, Deed::SendAll(Cell::new(0)), true)?;
    drop(wait.memory.replace(Some(Buffer::to_read(py, data)?)));
    begin(py, this, wait)
}

fn try_method(
    py: Python<'_>,
    this: &Instance<Engine>,
    args: Args<'_>,
    is_writer: bool,
) -> Outcome<Ref> {
    let [sock, method, rest @ ..] = args.positional() else {
        return Err(wrong_arguments());
    };
    let method = method
        .bind(py)
        .to_owned()
        .cast_into::<PyString>()
        .map_err(PyErr::from)?;
    check_ssl(py, sock)?;
    try_call(py, this, sock, &method, rest, is_writer)
}

#[expect(clippy::too_many_arguments, reason = "what one deed needs")]
fn try_call(
    py: Python<'_>,
    this: &Instance<Engine>,
    sock: &Object,
    method: &Bound<'_, PyString>,
    args: &[&Object],
    is_writer: bool,
) -> Outcome<Ref> {
    let wait = wait(py, this, sock, Deed::Call, is_writer)?;
    wait.method.set(object(method).share());
    wait.args.set(tuple(py, args)?);
    begin(py, this, wait)
}

#[cold]
fn wrong_arguments() -> Raised {
    PyTypeError::new_err("expected a socket and its operation's arguments").into()
}

/// Whether the socket is one whose descriptor may be used without asking it.
fn is_plain(py: Python<'_>, sock: &Object) -> Outcome<bool> {
    if sock.class() == names::socket_class(py)?.as_ptr().cast() {
        return Ok(ways(py)?.holds(py, sock));
    }
    check_ssl(py, sock)?;
    Ok(false)
}

/// The methods of the system's sockets that do what is done here by the descriptor: one that is replaced, in `socket.socket`
/// too, is called.
fn ways(py: Python<'_>) -> Outcome<&'static Unchanged> {
    static WAYS: PyOnceLock<Unchanged> = PyOnceLock::new();
    WAYS.get_or_try_init(py, || {
        let names = ["recv", "recv_into", "send"].map(|name| PyString::intern(py, name));
        let names = names.each_ref();
        Unchanged::of(py, names::system_socket_class(py)?, &names)
    })
}

/// Whether the class of a socket leaves sending to the system's.
fn sends_as_socket(py: Python<'_>, sock: &Object) -> Outcome<bool> {
    let kind = sock.bind(py).get_type();
    Ok(ways(py)?.is_kept_by(py, object(&kind), pyo3::intern!(py, "send")))
}

/// Refuses the sockets of the `ssl` module, in CPython's words.
fn check_ssl(py: Python<'_>, sock: &Object) -> Outcome<()> {
    if sock.class() != names::socket_class(py)?.as_ptr().cast() {
        call(py, names::check_ssl_socket(py)?, &[sock])?;
    }
    Ok(())
}

fn wait(
    py: Python<'_>,
    this: &Instance<Engine>,
    sock: &Object,
    deed: Deed,
    is_writer: bool,
) -> Outcome<Own<SocketWait>> {
    if this.debug.get() {
        let timeout = sock
            .bind(py)
            .call_method0(pyo3::intern!(py, "gettimeout"))?;
        if timeout.ne(0)? {
            return Err(PyValueError::new_err("the socket must be non-blocking").into());
        }
    }
    let fd = call_method(py, sock, names::fileno(py), &[])?
        .bind(py)
        .extract::<RawFd>()?;
    let wait = SocketWait {
        event_loop: Slot::holding(this.object().share()),
        sock: Slot::holding(sock.share()),
        identity: Slot::empty(),
        future: Slot::empty(),
        method: Slot::empty(),
        args: Slot::empty(),
        memory: Guarded::new(None),
        fd,
        is_writer,
        idle: Cell::new(false),
        deed,
    };
    Own::new(py, wait)
}

/// The first try; if it would block, the wait itself is the answer.
fn begin(py: Python<'_>, this: &Instance<Engine>, wait: Own<SocketWait>) -> Outcome<Ref> {
    if let Some(answer) = attempt(py, this, &wait)? {
        return Ok(answer);
    }
    let Ok(fd) = wait.fd.into_pyobject(py);
    ensure_no_transport(py, this, object(&fd))?;
    let watched = takes_over(py, this, &wait)?;
    wait.future.set(call_method(
        py,
        this.object(),
        names::create_future(py),
        &[],
    )?);
    let runnable = Thunk::new(wait.own(), heard);
    if watched {
        drop(this.rewatch(py, wait.fd, wait.side(), runnable));
    } else {
        let former = this.watch(py, wait.fd, wait.side(), runnable)?;
        cancel(py, former)?;
    }
    Ok(wait.erase())
}

/// Whether the descriptor is still watched for a wait of the same socket that is done.
///
/// A socket is told from another that got the same number by its weak reference, which outlives no socket.
fn takes_over(
    py: Python<'_>,
    this: &Instance<Engine>,
    wait: &Instance<SocketWait>,
) -> Outcome<bool> {
    let sock = wait.sock.share_or_none();
    if wait.is_writer || sock.class() != names::socket_class(py)?.as_ptr().cast() {
        return Ok(false);
    }
    let identity = weak_reference(py, &sock)?;
    let former = this.watcher(py, wait.fd, wait.side());
    let former = former
        .as_ref()
        .and_then(|former| Instance::<SocketWait>::of(former.object()));
    let same = former.is_some_and(|former| former.idle.get() && former.identity.holds(&identity));
    wait.identity.set(identity);
    Ok(same)
}

/// The descriptor is ready.
fn heard(py: Python<'_>, wait: Own<SocketWait>) -> Outcome<()> {
    let Some(event_loop) = wait.event_loop.share() else {
        return Ok(());
    };
    let Some(engine) = Instance::<Engine>::of(&event_loop) else {
        return Ok(());
    };
    go_on(py, &wait, engine).or_else(|raised| {
        // CPython: it is a callback; who ends the future while the socket's own methods run has it raise.
        let words = || format!("Exception in callback {}", text_of(py, wait.object()));
        report_raised(py, &event_loop, raised, words, &[])
    })
}

/// Tries again, and ends the future with what came of it.
fn go_on(py: Python<'_>, wait: &Instance<SocketWait>, engine: &Instance<Engine>) -> Outcome<()> {
    let future = wait.future.share().filter(|_| !wait.idle.get());
    let Some(future) = future else {
        // Nobody has asked for more yet.
        stop(py, wait, engine);
        return Ok(());
    };
    if is_done(py, &future)? {
        stop(py, wait, engine);
        return Ok(());
    }
    let ending = match attempt(py, engine, wait) {
        Ok(None) => return Ok(()),
        Ok(Some(answer)) => Ok(answer),
        Err(raised) => {
            let exception = raised.take();
            if ends_loop(py, &exception) {
                return Err(raise(exception));
            }
            Err(exception)
        }
    };
    if ending.is_ok() && !wait.identity.is_empty() {
        wait.idle.set(true);
        wait.forget();
        // Who awaits it has it; kept here, it would keep what was received.
        wait.future.clear();
    } else {
        stop(py, wait, engine);
    }
    finish(py, &future, ending)
}

/// Whether a future of any class is done.
///
/// # Errors
/// What its `done` raises.
pub(crate) fn is_done(py: Python<'_>, future: &Object) -> Outcome<bool> {
    match Instance::<Future>::of(future) {
        Some(future) => Ok(!future.is_pending()),
        None => crate::ffi::is_true(py, &*call_method(py, future, names::done(py), &[])?),
    }
}

/// Ends a future of any class.
///
/// # Errors
/// What its setter raises.
pub(crate) fn finish(py: Python<'_>, future: &Object, ending: Result<Ref, Ref>) -> Outcome<()> {
    match (Instance::<Future>::of(future), ending) {
        (Some(future), Ok(result)) => future.set_result(py, result),
        (Some(future), Err(exception)) => future.set_exception(py, &exception),
        (None, Ok(result)) => call_method(py, future, names::set_result(py), &[&result]).map(drop),
        (None, Err(exception)) => {
            call_method(py, future, names::set_exception(py), &[&exception]).map(drop)
        }
    }
}

/// The coroutine goes on: stops waiting, unless the wait is done.
fn release(py: Python<'_>, wait: &Instance<SocketWait>) {
    if wait.idle.get() {
        return;
    }
    if let Deed::SendFile(deed) = &wait.deed {
        deed.place_cancelled();
    }
    if let Some(event_loop) = wait.event_loop.share()
        && let Some(engine) = Instance::<Engine>::of(&event_loop)
    {
        stop(py, wait, engine);
    }
}

/// Hears the descriptor no more, if it still is this wait that hears it.
fn stop(py: Python<'_>, wait: &Instance<SocketWait>, engine: &Instance<Engine>) {
    wait.forget();
    engine.unwatch_own(py, wait.fd, wait.side(), wait.object());
}

impl SocketWait {
    /// The descriptor that the socket has now.
    fn number_now(&self, py: Python<'_>) -> RawFd {
        number_now(py, &self.sock, self.fd)
    }

    fn side(&self) -> Side {
        if self.is_writer {
            Side::Writer
        } else {
            Side::Reader
        }
    }

    /// Lets go of what only the deed needed.
    fn forget(&self) {
        drop(self.memory.replace(None));
        self.sock.clear();
        self.args.clear();
    }
}
