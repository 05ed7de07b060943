//! Datagrams that leave: the first of a turn at once, the others together at its end, the rest when the descriptor is
//! writable.

use std::io;

use conbrio_core::datagram::Datagrams;
use conbrio_core::sources::Side;
use conbrio_driver::sys::datagram::{MOST, send_many};
use conbrio_driver::sys::{is_blocked, socket};
use pyo3::exceptions::{
    PyBlockingIOError, PyInterruptedError, PyOSError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;

use super::addresses::Place;
use super::life::{connection_lost, lose};
use super::{DatagramTransport, Receiver, Way};
use crate::engine::Engine;
use crate::ffi::{
    Args, Bytes, Instance, Object, Outcome, Own, Parameters, Raised, Ref, Thunk, call_method,
    context, is_true, raise,
};
use crate::names;
use crate::report::{ends_loop, os_exception};
use crate::transport::Chunk;
use crate::transport::chunk::is_bytes_like;
use crate::transport::ending::{fatal, fatal_exception, guarded, run_in};
use crate::transport::write::UNMENTIONED;

const FAILED: &str = "Fatal write error on datagram transport";

/// `sendto(data, addr=None)`.
pub(super) fn sendto(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    args: Args<'_>,
) -> Outcome<Ref> {
    let [Some(data), address] = args.parse(&Parameters {
        function: "sendto",
        names: [names::data(py), names::addr(py)],
        positional: 2,
        required: 1,
    })?
    else {
        return Ok(Ref::none());
    };
    let address = address.filter(|address| !address.is_none());
    // CPython: has sent empty datagrams since 3.13.
    if !cfg!(Py_3_13) && is_bytes_like(py, data) && !is_true(py, data)? {
        return Ok(Ref::none());
    }
    let chunk = match Bytes::share(data) {
        Some(bytes) => Ok(Chunk::Shared(bytes)),
        // What is raised stands aside while Python code runs.
        None if is_bytes_like(py, data) => Chunk::of(py, data).map_err(Raised::take),
        None => return Err(not_bytes(py, data)),
    };
    let fixed = this.address.share();
    if let Some(fixed) = &fixed {
        check_address(py, address, fixed)?;
    }
    let given = fixed.as_deref().or(address);
    if this.life.lost.get() != 0 && (fixed.is_some() || this.sock.is_empty()) {
        this.count_lost(py)?;
        return Ok(Ref::none());
    }
    match chunk {
        Ok(chunk) => push(py, this, chunk, given)?,
        Err(exception) => {
            // What is wrong with this one takes none of those before it along.
            this.settle(py)?;
            fatal(py, this, raise(exception), FAILED)?;
        }
    }
    Ok(Ref::none())
}

#[cold]
fn not_bytes(py: Python<'_>, data: &Object) -> Raised {
    let name = data.bind(py).get_type().name();
    let name = name.map(|name| name.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!(
        "data argument must be a bytes-like object, not '{name}'"
    ))
    .into()
}

/// Refuses an address other than the endpoint's own.
fn check_address(py: Python<'_>, given: Option<&Object>, own: &Object) -> Outcome<()> {
    match given {
        Some(given) if !given.is(own) && !given.bind(py).eq(own.bind(py))? => {
            let own = own.bind(py).str()?;
            let text = format!("Invalid address: must be None or {own}");
            Err(PyValueError::new_err(text).into())
        }
        _ => Ok(()),
    }
}

/// Sends a datagram now, or keeps it for the end of the turn or until the descriptor is writable.
fn push(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    chunk: Chunk,
    address: Option<&Object>,
) -> Outcome<()> {
    let receiver = receiver(py, this, address);
    let is_known = matches!(receiver, Receiver::Known(_));
    if this.life.writing.get() {
        this.keep(py, chunk, receiver);
        return this.maybe_pause(py);
    }
    let Some(engine) = this.engine() else {
        return Ok(());
    };
    // CPython: an endpoint without a peer sends until its socket is closed.
    if is_known
        && !this.life.closing.get()
        && engine.comes_to_an_end_of_turn()
        && this.life.turn.replace(engine.turn(py)) == engine.turn(py)
    {
        return gather(py, this, &engine, chunk, receiver);
    }
    this.settle(py)?;
    if this.life.writing.get() {
        this.keep(py, chunk, receiver);
        return this.maybe_pause(py);
    }
    match try_one(py, this, &chunk, &receiver)? {
        Tried::Sent => engine.touch(py),
        Tried::Blocked => {
            this.keep(py, chunk, receiver);
            this.start_writing(py)?;
            return this.maybe_pause(py);
        }
        Tried::Failed(exception) => return this.tell_error(py, &exception),
        Tried::Broken(exception) => return fatal_exception(py, this, &exception, FAILED),
    }
    Ok(())
}

/// Keeps a datagram until the end of the turn: it was not the first that this turn sends.
fn gather(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    engine: &Instance<Engine>,
    chunk: Chunk,
    receiver: Receiver,
) -> Outcome<()> {
    this.keep(py, chunk, receiver);
    if this.outbox.lend(py, |outbox| outbox.len() >= MOST) {
        return this.settle(py);
    }
    if !this.life.flush_due.replace(true) {
        engine.flush_later(py, Thunk::new(this.own(), flush_due));
    }
    Ok(())
}

fn receiver(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    address: Option<&Object>,
) -> Receiver {
    if this.life.connected.get() || (address.is_none() && this.life.nameless.get()) {
        return Receiver::Peer;
    }
    let known = match (this.life.way.get(), address) {
        (Way::Internet(family), Some(address)) => Place::read(py, family, address),
        _ => None,
    };
    match known {
        Some(place) => Receiver::Known(place),
        None => Receiver::Asked(address.map_or_else(Ref::none, Object::share)),
    }
}

/// What came of a try.
enum Tried {
    Sent,
    Blocked,
    /// The system refuses this datagram.
    Failed(Ref),
    /// Something else is wrong, and nothing more can be sent.
    Broken(Ref),
}

fn try_one(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    chunk: &Chunk,
    receiver: &Receiver,
) -> Outcome<Tried> {
    let fd = this.number_now(py);
    let sent = match receiver {
        Receiver::Known(place) => socket::send_to(fd, chunk.as_ref(), place.as_bytes()),
        Receiver::Peer if this.life.way.get() != Way::Asked => socket::send(fd, chunk.as_ref()),
        Receiver::Peer => return ask(py, this, chunk, None),
        Receiver::Asked(address) => return ask(py, this, chunk, Some(address)),
    };
    match sent {
        Ok(_) => Ok(Tried::Sent),
        Err(error) if is_blocked(&error) => Ok(Tried::Blocked),
        Err(error) => Ok(Tried::Failed(os_exception(py, &error)?)),
    }
}

/// Has the Python socket send a datagram.
fn ask(
    py: Python<'_>,
    this: &Instance<DatagramTransport>,
    chunk: &Chunk,
    address: Option<&Object>,
) -> Outcome<Tried> {
    let sock = this.sock.share_or_none();
    let data = chunk.object(py)?;
    let answer = match address {
        Some(address) => call_method(py, &sock, names::sendto(py), &[&data, address]),
        None => call_method(py, &sock, names::send(py), &[&data]),
    };
    let Err(raised) = answer else {
        return Ok(Tried::Sent);
    };
    let exception = raised.take();
    let bound = exception.bind(py);
    if bound.is_instance_of::<PyBlockingIOError>() || bound.is_instance_of::<PyInterruptedError>() {
        return Ok(Tried::Blocked);
    }
    if bound.is_instance_of::<PyOSError>() {
        return Ok(Tried::Failed(exception));
    }
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    Ok(Tried::Broken(exception))
}

/// The end of the turn.
fn flush_due(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    this.life.flush_due.set(false);
    let Some(context) = this.context.share() else {
        return Ok(());
    };
    let answer = context::within(py, &context, || settle_due(py, &this));
    if !this.life.writing.get() && this.is_owing(py) {
        // What the protocol raised stops nothing else; what it has sent meanwhile goes in the next turn.
        if let Some(engine) = this.engine() {
            this.life.flush_due.set(true);
            engine.push(py, Thunk::new(this.own(), flush_due));
        }
    }
    guarded(py, &this, "_sendto_ready", answer)
}

/// Sends what the turn has gathered, and does what had to wait for the last datagram.
fn settle_due(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    this.settle(py)?;
    if this.life.closing.get() && !this.life.writing.get() && !this.is_owing(py) {
        return lose(py, this, Ref::none());
    }
    Ok(())
}

/// The descriptor is writable.
fn heard(py: Python<'_>, this: Own<DatagramTransport>) -> Outcome<()> {
    if this.life.lost.get() != 0 || !this.life.writing.get() {
        return Ok(());
    }
    let Some(context) = this.context.share() else {
        return Ok(());
    };
    run_in(py, &this, &context, "_sendto_ready", || {
        write_ready(py, &this)
    })
}

/// Sends more, and does what had to wait for the last datagram. CPython: `_sendto_ready`.
pub(super) fn write_ready(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<()> {
    loop {
        match send_first(py, this)? {
            Some(Tried::Sent) => {}
            None | Some(Tried::Blocked) => break,
            // CPython: the rest waits until the descriptor is heard again.
            Some(Tried::Failed(exception)) => return this.tell_error(py, &exception),
            Some(Tried::Broken(exception)) => {
                return fatal_exception(py, this, &exception, FAILED);
            }
        }
    }
    this.maybe_resume(py)?;
    if this.is_owing(py) || this.life.lost.get() != 0 {
        return Ok(());
    }
    this.stop_writing(py);
    if this.life.closing.get() {
        this.life.lost.set(1);
        return connection_lost(py, this, &Ref::none());
    }
    Ok(())
}

/// Sends what is owed first, and with it those behind it that the same call can send; what did not go is owed no more,
/// unless it has to wait.
fn send_first(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<Option<Tried>> {
    if let Some(tried) = send_several(py, this)? {
        return Ok(Some(tried));
    }
    let Some((chunk, receiver)) = this.outbox.lend(py, Datagrams::pop) else {
        return Ok(None);
    };
    this.touch(py);
    let tried = try_one(py, this, &chunk, &receiver)?;
    if matches!(tried, Tried::Blocked) {
        this.outbox
            .lend(py, |outbox| outbox.push_front(chunk, receiver));
    }
    Ok(Some(tried))
}

/// Sends those that go by one call: several in a row whose receivers the system can read. A socket with a peer sends one by
/// one, as the call for many would lose what the peer's host answers to one of them.
fn send_several(py: Python<'_>, this: &Instance<DatagramTransport>) -> Outcome<Option<Tried>> {
    let several = |datagram: &(Chunk, Receiver)| matches!(datagram.1, Receiver::Known(_));
    let fd = this.number_now(py);
    let sent = this.outbox.lend(py, |outbox| {
        let count = outbox
            .iter()
            .take(2)
            .take_while(|each| several(each))
            .count();
        if count < 2 || this.life.one_by_one.get() {
            return None;
        }
        let known = outbox.iter().map_while(|(chunk, receiver)| match receiver {
            Receiver::Known(place) => Some((chunk.as_ref(), place.as_bytes())),
            _ => None,
        });
        Some(send_many(fd, known))
    });
    this.touch(py);
    match sent {
        None => Ok(None),
        Some(Ok(count)) => {
            for _ in 0..count {
                drop(this.outbox.lend(py, Datagrams::pop));
            }
            Ok(Some(Tried::Sent))
        }
        Some(Err(error)) if is_blocked(&error) => Ok(Some(Tried::Blocked)),
        Some(Err(error)) if error.kind() == io::ErrorKind::Unsupported => {
            this.life.one_by_one.set(true);
            Ok(None)
        }
        Some(Err(error)) => {
            drop(this.outbox.lend(py, Datagrams::pop));
            Ok(Some(Tried::Failed(os_exception(py, &error)?)))
        }
    }
}

impl Instance<DatagramTransport> {
    /// Sends at once what would be sent at the end of the turn.
    ///
    /// # Errors
    /// What the protocol or the exception handler lets through.
    #[inline]
    pub(super) fn settle(&self, py: Python<'_>) -> Outcome<()> {
        // What the protocol sends because one of these has failed waits for the next turn, or this would never end.
        let owed = self.outbox.lend(py, |outbox| outbox.len());
        for _ in 0..owed {
            if self.life.writing.get() || self.life.lost.get() != 0 {
                break;
            }
            match send_first(py, self)? {
                None => break,
                Some(Tried::Sent) => {}
                Some(Tried::Blocked) => {
                    self.start_writing(py)?;
                    return self.maybe_pause(py);
                }
                Some(Tried::Failed(exception)) => self.tell_error(py, &exception)?,
                Some(Tried::Broken(exception)) => {
                    return fatal_exception(py, self, &exception, FAILED);
                }
            }
        }
        Ok(())
    }

    fn keep(&self, py: Python<'_>, chunk: Chunk, receiver: Receiver) {
        self.outbox.lend(py, |outbox| outbox.push(chunk, receiver));
    }

    /// Whether a datagram is still to be sent.
    pub(super) fn is_owing(&self, py: Python<'_>) -> bool {
        self.outbox.lend(py, |outbox| !outbox.is_empty())
    }

    /// How much is owed.
    pub(super) fn owed(&self, py: Python<'_>) -> usize {
        self.outbox.lend(py, |outbox| outbox.size())
    }

    /// Forgets what is owed.
    pub(super) fn forget_owed(&self, py: Python<'_>) {
        drop(self.outbox.lend(py, Datagrams::drain_all));
    }

    /// Has the engine listen for room to write.
    fn start_writing(&self, py: Python<'_>) -> Outcome<()> {
        let Some(engine) = self.engine() else {
            return Ok(());
        };
        let runnable = Thunk::new(self.own(), heard);
        drop(engine.watch(py, self.fd.get(), Side::Writer, runnable)?);
        self.life.writing.set(true);
        Ok(())
    }

    /// Has the engine listen no more for room to write.
    pub(super) fn stop_writing(&self, py: Python<'_>) {
        if self.life.writing.replace(false)
            && let Some(engine) = self.engine()
        {
            drop(engine.unwatch(py, self.fd.get(), Side::Writer));
        }
    }

    /// Counts a datagram that goes into the void.
    fn count_lost(&self, py: Python<'_>) -> Outcome<()> {
        let lost = self.life.lost.get();
        if lost >= UNMENTIONED {
            names::asyncio_logger(py)?
                .bind(py)
                .call_method1("warning", ("socket.send() raised exception.",))?;
        }
        self.life.lost.set(lost.saturating_add(1));
        Ok(())
    }
}
