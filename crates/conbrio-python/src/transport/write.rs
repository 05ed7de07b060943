//! Bytes that leave: owed until the end of the turn, then sent at once, the rest when the descriptor is writable.

use std::io;

use conbrio_core::outbox::Flush;
use conbrio_core::singles::Before;
use conbrio_core::sources::Side;
use conbrio_driver::sys::{is_blocked, socket};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::StreamTransport;
use super::chunk::{Chunk, chunks, is_bytes_like, not_bytes};
use super::ending::run_in;
use super::life::{connection_lost, fatal_io};
use crate::engine::Engine;
use crate::ffi::{Buffer, Bytes, Instance, Object, Outcome, Own, Ref, Thunk, call_method};
use crate::names;
use crate::report::{os_error, os_exception};

/// More than this is not kept until the end of the turn.
const AT_ONCE: usize = 64 * 1024;
/// How many writes into a lost connection go unmentioned. CPython: `LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
pub(super) const UNMENTIONED: u32 = 5;

const UNWRITABLE: &str = "Fatal write error on socket transport";
const AFTER_EOF: &str = "Cannot call write() after write_eof()";
const BUSY: &str = "unable to write; sendfile is in progress";

/// `write(data)`.
#[inline]
pub(super) fn write(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    data: &Object,
) -> Outcome<Ref> {
    let chunk = match Bytes::share(data) {
        Some(bytes) => Chunk::Shared(bytes),
        None if is_bytes_like(py, data) => {
            let buffer = Buffer::to_read(py, data)?;
            if buffer.len() > AT_ONCE {
                return write_lent(py, this, buffer);
            }
            Chunk::Copied(buffer.to_vec().into_boxed_slice())
        }
        None => return Err(not_bytes(py, data)),
    };
    check_writable(this, AFTER_EOF, BUSY)?;
    if chunk.as_ref().is_empty() || this.is_lost(py)? {
        return Ok(Ref::none());
    }
    this.outbox.lend(py, |outbox| outbox.push(chunk));
    owe(py, this)?;
    Ok(Ref::none())
}

/// `write(data)` of so much that it is sent at once, from memory that may change: only what the system does not take is copied.
// Bench: tcp_buffered_100k_c10.
fn write_lent(py: Python<'_>, this: &Instance<StreamTransport>, buffer: Buffer) -> Outcome<Ref> {
    check_writable(this, AFTER_EOF, BUSY)?;
    if this.is_lost(py)? || this.engine().is_none() {
        return Ok(Ref::none());
    }
    let rest = buffer.read(|bytes| {
        send_first(py, this, bytes).map(|sent| Box::from(bytes.get(sent..).unwrap_or_default()))
    });
    drop(buffer);
    match rest {
        Ok(rest) => owe_rest(py, this, rest)?,
        Err(error) => fatal_io(py, this, &error, UNWRITABLE)?,
    }
    Ok(Ref::none())
}

/// `writelines(list_of_data)`. CPython 3.11: joins the pieces and has `write` send what that gives.
pub(super) fn writelines(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    list: &Object,
) -> Outcome<Ref> {
    if cfg!(not(Py_3_12)) {
        let chunks = chunks(py, list)?;
        check_writable(this, AFTER_EOF, BUSY)?;
        return write_chunks(py, this, chunks);
    }
    let after_eof = "Cannot call writelines() after write_eof()";
    let busy = "unable to writelines; sendfile is in progress";
    check_writable(this, after_eof, busy)?;
    // CPython 3.14: of a connection that is lost, whatever it is given.
    if !list.bind(py).is_truthy()? || cfg!(Py_3_14) && this.is_lost(py)? {
        return Ok(Ref::none());
    }
    write_chunks(py, this, chunks(py, list)?)
}

fn write_chunks(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    chunks: Vec<Chunk>,
) -> Outcome<Ref> {
    if chunks.iter().all(|chunk| chunk.as_ref().is_empty()) || this.is_lost(py)? {
        return Ok(Ref::none());
    }
    this.outbox.lend(py, |outbox| {
        for chunk in chunks {
            outbox.push(chunk);
        }
    });
    owe(py, this)?;
    Ok(Ref::none())
}

/// `write_eof()`.
pub(super) fn write_eof(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<Ref> {
    if this.life.closing.get() || this.life.eof.get() {
        return Ok(Ref::none());
    }
    this.protocol.send_last(py);
    this.life.eof.set(true);
    this.settle(py)?;
    if this.owed(py) == 0 && this.life.open.get() && this.life.lost.get() == 0 {
        this.touch(py);
        socket::shutdown_write(this.number_now(py)).map_err(|error| os_error(py, &error))?;
    }
    Ok(Ref::none())
}

fn check_writable(
    this: &Instance<StreamTransport>,
    after_eof: &'static str,
    busy: &'static str,
) -> Outcome<()> {
    if this.life.eof.get() {
        return Err(PyRuntimeError::new_err(after_eof).into());
    }
    if !this.empty_waiter.is_empty() {
        return Err(PyRuntimeError::new_err(busy).into());
    }
    Ok(())
}

/// Sends `bytes` now, as at the end of a turn, for a layer above that has collected them; lets their memory be used again.
///
/// # Errors
/// As `write`.
pub(crate) fn send_collected(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    bytes: Vec<u8>,
) -> Outcome<Vec<u8>> {
    check_writable(this, AFTER_EOF, BUSY)?;
    if bytes.is_empty() || this.is_lost(py)? {
        return Ok(bytes);
    }
    match send_first(py, this, &bytes) {
        Ok(sent) => owe_rest(py, this, bytes.get(sent..).unwrap_or_default().into())?,
        Err(error) => fatal_io(py, this, &error, UNWRITABLE)?,
    }
    Ok(bytes)
}

/// Sends a `bytes` object now, as at the end of a turn; what the system does not take is not copied.
///
/// # Errors
/// As `write`.
pub(crate) fn send_at_once(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    bytes: Bytes,
) -> Outcome<()> {
    check_writable(this, AFTER_EOF, BUSY)?;
    if bytes.as_ref().is_empty() || this.is_lost(py)? {
        return Ok(());
    }
    push_and_send(py, this, Chunk::Shared(bytes))
}

/// Sends the beginning of `bytes`, if nothing is owed that comes before; says how many the system has taken.
fn send_first(py: Python<'_>, this: &Instance<StreamTransport>, bytes: &[u8]) -> io::Result<usize> {
    if this.life.writing.get() || this.owed(py) > 0 {
        return Ok(0);
    }
    this.touch(py);
    match socket::send(this.number_now(py), bytes) {
        Err(error) if is_blocked(&error) => Ok(0),
        other => other,
    }
}

/// Owes what was not taken, and sends it as soon as that is possible.
fn owe_rest(py: Python<'_>, this: &Instance<StreamTransport>, rest: Box<[u8]>) -> Outcome<()> {
    if rest.is_empty() {
        return Ok(());
    }
    push_and_send(py, this, Chunk::Copied(rest))
}

fn push_and_send(py: Python<'_>, this: &Instance<StreamTransport>, chunk: Chunk) -> Outcome<()> {
    this.outbox.lend(py, |outbox| outbox.push(chunk));
    if this.life.writing.get() {
        this.maybe_pause(py)
    } else {
        flush(py, this)
    }
}

/// Sends what has been pushed: at the end of the turn, or now if it is much, if nothing else will come, or if nobody would do
/// it later.
#[inline]
fn owe(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    if this.life.writing.get() {
        return this.maybe_pause(py);
    }
    let Some(engine) = this.engine() else {
        return Ok(());
    };
    let much = this
        .outbox
        .lend(py, |outbox| outbox.len() > AT_ONCE || outbox.over_high());
    if is_single(py, this, &engine) || much || !engine.comes_to_an_end_of_turn() {
        return flush(py, this);
    }
    if !this.life.flush_due.replace(true) {
        engine.flush_later(py, Thunk::new(this.own(), flush_due));
    }
    Ok(())
}

/// Whether this write is the only one of its turn, as far as can be foreseen, and nobody else has anything to do: its
/// receiver can work while the writer comes to an end.
// Bench: http_aiohttp_c1; a reply that waits for the turn's end finds the loop asleep when it is answered.
#[inline]
fn is_single(py: Python<'_>, this: &Instance<StreamTransport>, engine: &Instance<Engine>) -> bool {
    let (turn, alone) = engine.moment(py);
    let here = Some((turn, this.object().as_ptr().addr()));
    let before = if this.life.flush_due.get() {
        Before::Write
    } else if engine.single.get() == here {
        Before::Single
    } else {
        Before::Nothing
    };
    let mut singles = this.life.singles.get();
    let foreseen = singles.note(before);
    this.life.singles.set(singles);
    if foreseen && alone {
        engine.single.set(here);
    }
    foreseen && alone
}

/// The end of the turn.
fn flush_due(py: Python<'_>, this: Own<StreamTransport>) -> Outcome<()> {
    this.life.flush_due.set(false);
    if !this.has_to_send(py) {
        return Ok(());
    }
    match send(py, &this) {
        Ok(Flush::Done) => Ok(()),
        sent => go_on_in_context(py, &this, sent),
    }
}

/// What comes of a send that has not taken all, in the protocol's own context: who wrote has come to an end.
#[cold]
fn go_on_in_context(
    py: Python<'_>,
    this: &Own<StreamTransport>,
    sent: io::Result<Flush>,
) -> Outcome<()> {
    let Some(context) = this.context.share() else {
        return go_on(py, this, sent);
    };
    run_in(py, this, &context, "_write_ready", || go_on(py, this, sent))
}

/// Sends what is owed; what the system does not take waits until the descriptor is writable.
fn flush(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    let sent = send(py, this);
    go_on(py, this, sent)
}

#[inline]
fn go_on(py: Python<'_>, this: &Instance<StreamTransport>, sent: io::Result<Flush>) -> Outcome<()> {
    match sent {
        Ok(Flush::Done) => Ok(()),
        Ok(Flush::Blocked) => {
            let Some(engine) = this.engine() else {
                return Ok(());
            };
            let runnable = Thunk::new(this.own(), heard);
            match engine.watch(py, this.fd.get(), Side::Writer, runnable) {
                Ok(former) => drop(former),
                Err(raised) => {
                    // CPython: owes only what the loop is going to send; a closed one sends nothing.
                    this.forget_owed(py);
                    return Err(raised);
                }
            }
            this.life.writing.set(true);
            this.maybe_pause(py)
        }
        Err(error) => {
            this.forget_owed(py);
            fatal_io(py, this, &error, UNWRITABLE)
        }
    }
}

fn send(py: Python<'_>, this: &Instance<StreamTransport>) -> io::Result<Flush> {
    let fd = this.number_now(py);
    this.touch(py);
    this.outbox.lend(py, |outbox| {
        outbox.flush(|slices| match slices {
            [only] => socket::send(fd, only),
            several => socket::send_gather(fd, several),
        })
    })
}

/// The descriptor is writable.
fn heard(py: Python<'_>, this: Own<StreamTransport>) -> Outcome<()> {
    if this.life.lost.get() != 0 || !this.life.writing.get() {
        return Ok(());
    }
    let Some(context) = this.context.share() else {
        return Ok(());
    };
    run_in(py, &this, &context, "_write_ready", || {
        write_ready(py, &this)
    })
}

/// Sends more, and does what had to wait for the last byte.
pub(super) fn write_ready(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    match send(py, this) {
        // What a resumed protocol writes is sent at once, as long as the system takes it.
        Ok(Flush::Done) => this.life.writing.set(false),
        Ok(Flush::Blocked) => {}
        Err(error) => {
            this.stop_writing(py);
            this.forget_owed(py);
            let exception = os_exception(py, &error)?;
            fatal_io(py, this, &error, UNWRITABLE)?;
            return this.tell_waiter(py, Some(&exception));
        }
    }
    let resumed = this.maybe_resume(py);
    if !this.life.writing.get() {
        this.unwatch_writing(py);
    }
    resumed?;
    // What it has written now is all there is to come, if the transport closes.
    this.settle(py)?;
    if this.owed(py) > 0 || this.life.lost.get() != 0 {
        return Ok(());
    }
    this.tell_waiter(py, None)?;
    if this.life.closing.get() {
        this.life.lost.set(1);
        return connection_lost(py, this, &Ref::none());
    }
    if this.life.eof.get() {
        socket::shutdown_write(this.number_now(py)).map_err(|error| os_error(py, &error))?;
    }
    Ok(())
}

impl Instance<StreamTransport> {
    /// `write(data)`.
    ///
    /// # Errors
    /// What Python's method raises.
    #[inline]
    pub(crate) fn write(&self, py: Python<'_>, data: &Object) -> Outcome<Ref> {
        write(py, self, data)
    }

    /// Sends at once what would be sent at the end of the turn.
    ///
    /// # Errors
    /// What the protocol or the exception handler lets through.
    #[inline]
    pub(super) fn settle(&self, py: Python<'_>) -> Outcome<()> {
        if self.has_to_send(py) {
            flush(py, self)
        } else {
            Ok(())
        }
    }

    /// Whether something is owed that does not wait until the descriptor is writable.
    #[inline]
    fn has_to_send(&self, py: Python<'_>) -> bool {
        !self.life.writing.get() && self.life.lost.get() == 0 && self.owed(py) > 0
    }

    /// Offers the system what would be sent at the end of the turn, as CPython has when it was written, and asks for no more:
    /// the connection is about to end.
    pub(super) fn send_last(&self, py: Python<'_>) {
        self.protocol.send_last(py);
        if !self.life.writing.get() && self.owed(py) > 0 {
            let _ = send(py, self);
        }
    }

    /// Forgets what is owed.
    pub(super) fn forget_owed(&self, py: Python<'_>) {
        let owed: Vec<Chunk> = self.outbox.lend(py, |outbox| outbox.drain_all().collect());
        drop(owed);
    }

    /// Has the engine listen no more for room to write.
    pub(super) fn stop_writing(&self, py: Python<'_>) {
        if self.life.writing.replace(false) {
            self.unwatch_writing(py);
        }
    }

    fn unwatch_writing(&self, py: Python<'_>) {
        if let Some(engine) = self.engine() {
            drop(engine.unwatch(py, self.fd.get(), Side::Writer));
        }
    }

    /// Whether a write goes into the void; counts it if so.
    fn is_lost(&self, py: Python<'_>) -> Outcome<bool> {
        let lost = self.life.lost.get();
        if lost == 0 {
            return Ok(false);
        }
        if lost >= UNMENTIONED {
            names::asyncio_logger(py)?
                .bind(py)
                .call_method1("warning", ("socket.send() raised exception.",))?;
        }
        self.life.lost.set(lost.saturating_add(1));
        Ok(true)
    }

    /// Tells who waits until nothing is owed that this is so, or why it will never be.
    pub(super) fn tell_waiter(&self, py: Python<'_>, exception: Option<&Object>) -> Outcome<()> {
        let Some(waiter) = self.empty_waiter.share() else {
            return Ok(());
        };
        if crate::ffi::is_true(py, &*call_method(py, &waiter, names::done(py), &[])?)? {
            return Ok(());
        }
        match exception {
            Some(exception) => call_method(py, &waiter, names::set_exception(py), &[exception])?,
            None => call_method(py, &waiter, names::set_result(py), &[&Ref::none()])?,
        };
        Ok(())
    }
}
