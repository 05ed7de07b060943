//! `WritePipeTransport`: bytes that go into a pipe.
//!
//! They are written when `write` is called, and only what the pipe does not take is owed: a short write stays in one
//! piece among those of other processes, as the system promises.

use std::cell::Cell;
use std::io;
use std::mem::offset_of;
use std::os::fd::RawFd;

use conbrio_core::outbox::{BadLimits, Flush, Outbox};
use conbrio_core::sources::Side;
use conbrio_driver::sys::pipe::{self, Kind};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyOSError};
use pyo3::prelude::*;

use super::life::{connection_lost, lose};
use super::methods::{polling, shared};
use super::{End, Pipe};
use crate::ffi::layout::{TransportFields, prove_transports};
use crate::ffi::{
    Builder, Class, ClassState, Guarded, Instance, Object, Outcome, Own, Raised, Ref, Slot, Thunk,
    Visit, check_signals, context, none, object, raise,
};
use crate::names;
use crate::report::{ends_loop, os_error, text_of};
use crate::transport::attributes::number;
use crate::transport::chunk::{Chunk, is_bytes_like};
use crate::transport::ending::{Ending, fatal, log, run_in};
use crate::transport::flow::{self, Pressed};
use crate::transport::write::UNMENTIONED;

/// The writing end of a pipe, and its protocol.
#[repr(C)]
pub(crate) struct WritePipeTransport {
    /// What asyncio's own transports keep.
    fields: TransportFields,
    dict: Slot,
    weak_references: Cell<usize>,
    pipe: Pipe,
    /// The context in which the write was made that waits for room.
    writer_context: Slot,
    outbox: Guarded<Outbox<Chunk>>,
    /// The engine hears for us whether the descriptor is writable.
    writing: Cell<bool>,
    /// `pause_writing()` of the protocol was called.
    protocol_paused: Cell<bool>,
    /// Writes that failed or went into the void. CPython: `_conn_lost`.
    void_writes: Cell<u32>,
}

static STATE: ClassState = ClassState::new();

impl Class for WritePipeTransport {
    const NAME: &'static std::ffi::CStr = c"conbrio.WritePipeTransport";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.fields.traverse(visit);
        visit.slot(&self.dict);
        visit.slot(&self.writer_context);
        self.pipe.traverse(visit);
    }

    fn clear(&self) {
        self.fields.extra.clear();
        self.dict.clear();
        self.writer_context.clear();
        self.pipe.clear();
    }

    fn has_last_words(&self) -> bool {
        !self.pipe.file.is_empty()
    }
}

impl End for WritePipeTransport {
    const REFUSAL: &'static str = "Pipe transport is only for pipes, sockets and character devices";

    fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    fn extra(&self) -> &Slot {
        &self.fields.extra
    }

    /// A pipe or a socket is readable when its other end is closed; a device is when somebody types.
    fn listens(kind: Kind) -> bool {
        kind != Kind::Device
    }

    fn read_ready(py: Python<'_>, this: &Instance<Self>) -> Outcome<()> {
        log(py, this, "info", "%r was closed by peer")?;
        if this.owed(py) == 0 {
            return Self::force_close(py, this, &Ref::none());
        }
        let broken = PyBrokenPipeError::new_err(()).into_value(py).into_bound(py);
        Self::force_close(py, this, object(&broken))
    }

    fn is_harmless(py: Python<'_>, exception: &Object) -> bool {
        exception.bind(py).is_instance_of::<PyOSError>()
    }

    fn end(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()> {
        this.pipe.closing.set(true);
        this.stop_writing(py);
        this.forget_owed(py);
        this.stop_reading(py);
        lose(py, this, exception.share())
    }

    fn state(&self, py: Python<'_>) -> String {
        let owed = self.outbox.lend(py, |outbox| outbox.len());
        format!("{} bufsize={owed}", polling(self.writing.get()))
    }
}

impl Pressed for WritePipeTransport {
    fn is_over_high(&self, py: Python<'_>) -> bool {
        self.outbox.lend(py, |outbox| outbox.over_high())
    }

    fn is_under_low(&self, py: Python<'_>) -> bool {
        self.outbox.lend(py, |outbox| outbox.under_low())
    }

    fn set_marks(
        &self,
        py: Python<'_>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> Result<(), BadLimits> {
        self.outbox.lend(py, |outbox| outbox.limits(high, low))
    }

    fn protocol_paused(&self) -> &Cell<bool> {
        &self.protocol_paused
    }

    fn marks(&self, py: Python<'_>) -> (usize, usize) {
        self.outbox.lend(py, |outbox| outbox.marks())
    }

    fn size(&self, py: Python<'_>) -> usize {
        self.owed(py)
    }

    /// What a pipe does not take at once waits already.
    fn settle(_: Python<'_>, _: &Instance<Self>) -> Outcome<()> {
        Ok(())
    }
}

/// The class `WritePipeTransport`.
///
/// # Errors
/// When it cannot be made, or asyncio's transports are laid out otherwise than we know.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    prove_transports(py)?;
    let base = names::flow_control(py)?;
    let builder =
        Builder::<WritePipeTransport>::new(c"The writing end of a pipe; made by the loop.")
            .with_attributes(
                offset_of!(WritePipeTransport, dict),
                offset_of!(WritePipeTransport, weak_references),
            )
            .new_with(|_, _, _| Ok(WritePipeTransport::unmade()));
    flow::add(own(shared(builder))).create(py, Some(&base.bind(py)))
}

fn own(builder: Builder<WritePipeTransport>) -> Builder<WritePipeTransport> {
    builder
        .named(
            c"write",
            c"write($self, data)\n--\n\nWrites data; does not wait.",
            |py| ("write", names::data(py)),
            write,
        )
        .plain(
            c"write_eof",
            c"write_eof($self)\n--\n\nCloses the pipe after what is owed.",
            |py, this| none(write_eof(py, this)),
        )
        .plain(
            c"can_write_eof",
            c"can_write_eof($self)\n--\n\nTrue.",
            |_, _| Ok(Ref::boolean(true)),
        )
        .plain(
            c"close",
            c"close($self)\n--\n\nThe same as write_eof().",
            |py, this| none(write_eof(py, this)),
        )
        .plain(
            c"abort",
            c"abort($self)\n--\n\nCloses the pipe at once.",
            |py, this| none(WritePipeTransport::force_close(py, this, &Ref::none())),
        )
        .plain(
            c"_write_ready",
            c"_write_ready($self)\n--\n\nWrites what is owed.",
            |py, this| none(write_ready(py, this)),
        )
        .getter(
            c"_conn_lost",
            c"How many writes went into the void.",
            |py, this| number(py, this.void_writes.get()),
        )
}

impl WritePipeTransport {
    /// A transport that has no pipe yet.
    fn unmade() -> Self {
        Self {
            fields: TransportFields::empty(),
            dict: Slot::empty(),
            weak_references: Cell::new(0),
            pipe: Pipe::unmade(),
            writer_context: Slot::empty(),
            outbox: Guarded::new(Outbox::new()),
            writing: Cell::new(false),
            protocol_paused: Cell::new(false),
            void_writes: Cell::new(0),
        }
    }

    /// How many bytes are owed.
    fn owed(&self, py: Python<'_>) -> usize {
        self.outbox.lend(py, |outbox| outbox.len())
    }

    fn note_void(&self) {
        self.void_writes
            .set(self.void_writes.get().saturating_add(1));
    }
}

/// `write(data)`.
fn write(py: Python<'_>, this: &Instance<WritePipeTransport>, data: &Object) -> Outcome<Ref> {
    if !is_bytes_like(py, data) {
        // CPython: an assertion guards it.
        return Err(PyAssertionError::new_err(text_of(py, data)).into());
    }
    // CPython: what is empty is not even counted as written in vain.
    if data.bind(py).len().is_ok_and(|length| length == 0) || is_void(py, this)? {
        return Ok(Ref::none());
    }
    let chunk = Chunk::of(py, data)?;
    let was_owed = this.outbox.lend(py, |outbox| {
        let was_owed = !outbox.is_empty();
        outbox.push(chunk);
        was_owed
    });
    none(if was_owed {
        this.maybe_pause(py)
    } else {
        flush(py, this)
    })
}

/// `write_eof()` and `close()`: writes what is owed, then the connection is lost.
fn write_eof(py: Python<'_>, this: &Instance<WritePipeTransport>) -> Outcome<()> {
    if this.pipe.closing.get() || this.pipe.file.is_empty() {
        return Ok(());
    }
    this.pipe.closing.set(true);
    if this.owed(py) > 0 {
        return Ok(());
    }
    this.stop_reading(py);
    lose(py, this, Ref::none())
}

/// Whether a write goes into the void; counts it if so.
fn is_void(py: Python<'_>, this: &Instance<WritePipeTransport>) -> Outcome<bool> {
    let before = this.void_writes.get();
    if before == 0 && !this.pipe.closing.get() {
        return Ok(false);
    }
    if before >= UNMENTIONED {
        let words = "pipe closed by peer or os.write(pipe, data) raised exception.";
        names::asyncio_logger(py)?
            .bind(py)
            .call_method1("warning", (words,))?;
    }
    this.note_void();
    Ok(true)
}

/// Writes what is owed; what the pipe does not take waits until there is room.
fn flush(py: Python<'_>, this: &Instance<WritePipeTransport>) -> Outcome<()> {
    match send(py, this) {
        Ok(Flush::Done) => Ok(()),
        Ok(Flush::Blocked) => {
            let Some(engine) = this.pipe.engine() else {
                return Ok(());
            };
            this.writer_context.set(context::copy_current(py)?);
            let runnable = Thunk::new(this.own(), heard);
            match engine.watch(py, this.pipe.fd.get(), Side::Writer, runnable) {
                Ok(former) => drop(former),
                Err(raised) => {
                    // CPython: owes only what the loop is going to send; a closed one sends nothing.
                    this.forget_owed(py);
                    return Err(raised);
                }
            }
            this.writing.set(true);
            this.maybe_pause(py)
        }
        Err(raised) => failed(py, this, raised),
    }
}

/// What a write raises ends the transport, unless it must leave the loop.
fn failed(py: Python<'_>, this: &Instance<WritePipeTransport>, raised: Raised) -> Outcome<()> {
    let exception = raised.take();
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    this.forget_owed(py);
    this.stop_writing(py);
    broken(py, this, &exception)
}

/// Sends what the pipe takes.
fn send(py: Python<'_>, this: &Instance<WritePipeTransport>) -> Outcome<Flush> {
    let fd = this.pipe.fd.get();
    this.touch(py);
    if pipe::is_blocking(fd) {
        return send_waiting(py, this, fd);
    }
    let sent = this.outbox.lend(py, |outbox| {
        outbox.flush(|slices| match slices {
            [only] => pipe::write(fd, only),
            several => pipe::write_gather(fd, several),
        })
    });
    sent.map_err(|error| os_error(py, &error))
}

/// The same where another holder of the pipe has made it wait: other threads run meanwhile, one of which may read it.
#[cold]
fn send_waiting(py: Python<'_>, this: &Instance<WritePipeTransport>, fd: RawFd) -> Outcome<Flush> {
    let owed: Vec<u8> = this
        .outbox
        .lend(py, |outbox| outbox.iter().flatten().copied().collect());
    this.forget_owed(py);
    let mut left = &owed[..];
    let keep = |left: &[u8]| {
        let chunk = Chunk::Copied(left.into());
        this.outbox.lend(py, |outbox| outbox.push(chunk));
    };
    while !left.is_empty() {
        let rest = left;
        match py.detach(|| pipe::write(fd, rest)) {
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                keep(left);
                return Ok(Flush::Blocked);
            }
            Err(error) => return Err(os_error(py, &error)),
        }
        // A signal ends a write, with what has been written if that is something.
        check_signals(py).inspect_err(|_| {
            // CPython: what is written first is lost then; what has waited for room waits on.
            this.writing.get().then(|| keep(left));
        })?;
    }
    Ok(Flush::Done)
}

fn broken(py: Python<'_>, this: &Instance<WritePipeTransport>, exception: &Object) -> Outcome<()> {
    this.note_void();
    fatal(
        py,
        this,
        raise(exception.share()),
        "Fatal write error on pipe transport",
    )
}

/// The descriptor is writable.
fn heard(py: Python<'_>, this: Own<WritePipeTransport>) -> Outcome<()> {
    if this.pipe.lost.get() || !this.writing.get() {
        return Ok(());
    }
    let Some(context) = this.writer_context.share() else {
        return Ok(());
    };
    run_in(py, &this, &context, "_write_ready", || {
        write_ready(py, &this)
    })
}

/// Writes more, and does what had to wait for the last byte.
fn write_ready(py: Python<'_>, this: &Instance<WritePipeTransport>) -> Outcome<()> {
    if let Err(raised) = send(py, this) {
        return failed(py, this, raised);
    }
    if this.owed(py) > 0 {
        return Ok(());
    }
    this.stop_writing(py);
    this.maybe_resume(py)?;
    if this.pipe.closing.get() && !this.pipe.lost.get() {
        this.stop_reading(py);
        return connection_lost(py, this, &Ref::none());
    }
    Ok(())
}

impl Instance<WritePipeTransport> {
    /// Forgets what is owed.
    fn forget_owed(&self, py: Python<'_>) {
        let owed: Vec<Chunk> = self.outbox.lend(py, |outbox| outbox.drain_all().collect());
        drop(owed);
    }

    /// Has the engine listen no more for room to write.
    fn stop_writing(&self, py: Python<'_>) {
        if self.writing.replace(false)
            && let Some(engine) = self.pipe.engine()
        {
            drop(engine.unwatch(py, self.pipe.fd.get(), Side::Writer));
        }
    }
}
