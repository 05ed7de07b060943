//! Bytes that arrive: one read for each time the descriptor is readable, and what the protocol is told.

use std::io;
use std::mem::MaybeUninit;

use conbrio_core::inflow::{DIRECT, Read};
use conbrio_core::sources::Side;
use conbrio_driver::sys::{is_blocked, socket};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::StreamTransport;
use super::ending::{fatal, guarded, log};
use super::life::{close, fatal_io};
use crate::engine::{Engine, SHARED};
use crate::ffi::{
    Buffer, Instance, Object, Outcome, Own, Ref, Thunk, bytes, call_method, context, filled_bytes,
    is_true, object,
};
use crate::names;
use crate::protocol::{self, Feed, Hears, Native};
use crate::runnable::Runnable;

/// The most that one read for a fed protocol takes. Twice as much does not stay in the processor's nearer caches until it
/// is copied. Bench: `bulk_recv_streams`.
const FED: usize = DIRECT;
const _: () = assert!(FED <= SHARED);

/// Why a connection is ended whose bytes cannot be had.
const UNREADABLE: &str = "Fatal read error on socket transport";

/// The descriptor is readable.
pub(super) fn heard(py: Python<'_>, this: Own<StreamTransport>) -> Outcome<()> {
    // CPython: a reader that was removed meanwhile is a cancelled handle.
    if this.life.lost.get() != 0 || !this.life.reading.get() {
        return Ok(());
    }
    if this.life.paused.get() {
        this.stop_reading(py);
        return Ok(());
    }
    let (Some(context), Some(protocol)) = (this.context.share(), this.protocol.share()) else {
        return Ok(());
    };
    if let Err(raised) = context::enter(py, &context) {
        return guarded(py, &this, "_read_ready", Err(raised));
    }
    let answer = match this.protocol.hears() {
        Hears::Called => receive(py, &this, &protocol),
        Hears::Buffered => receive_into(py, &this, &protocol),
        Hears::Fed(feed) => receive_for(py, &this, &protocol, feed),
        Hears::Native(native) => receive_natively(py, &this, &protocol, native),
    };
    context::leave(py, &context);
    match answer.and_then(|()| flush_in_a_crowd(py, &this)) {
        Ok(()) => Ok(()),
        Err(raised) => guarded(py, &this, "_read_ready", Err(raised)),
    }
}

/// When very many connections are heard in one turn, sends what the protocol has just written while it is at hand: at
/// the end of the turn the processor would have to fetch it again.
/// Bench: `tcp_proto_1k_c1000`.
#[inline]
fn flush_in_a_crowd(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<()> {
    if this.life.flush_due.get() && this.engine().is_some_and(|engine| engine.is_crowded(py)) {
        return this.settle(py);
    }
    Ok(())
}

/// Reads and hands a `bytes` to the protocol.
fn receive(py: Python<'_>, this: &Instance<StreamTransport>, protocol: &Object) -> Outcome<()> {
    let (data, count) = match read(py, this) {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return failed(py, this, &error),
        Err(raised) => return fatal(py, this, raised, UNREADABLE),
    };
    if count == 0 {
        drop(data);
        return end(py, this, protocol);
    }
    note(this, count);
    let heard = protocol::data_received(py, protocol, &data);
    judge(py, this, heard)
}

/// Reads and feeds the protocol, without a `bytes` between.
fn receive_for(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    protocol: &Object,
    feed: Feed,
) -> Outcome<()> {
    let Some(engine) = this.engine() else {
        return Ok(());
    };
    let fd = this.number_now(py);
    // Not lent: who is fed may run code.
    let mut buffer = engine.take_buffer(py);
    let answer = match socket::recv(fd, buffer.get_mut(..FED).unwrap_or_default()) {
        Ok(0) => end(py, this, protocol),
        Ok(count) => {
            let data = buffer.get(..count).unwrap_or_default();
            let heard = feed(py, protocol, data).and_then(|fed| {
                if fed {
                    return Ok(());
                }
                protocol::data_received(py, protocol, &*bytes(py, data)?)
            });
            judge(py, this, heard)
        }
        Err(error) => failed(py, this, &error),
    };
    engine.give_buffer(py, buffer);
    answer
}

/// Ends the connection if the protocol raised.
#[inline]
fn judge(py: Python<'_>, this: &Instance<StreamTransport>, heard: Outcome<()>) -> Outcome<()> {
    match heard {
        Ok(()) => Ok(()),
        Err(raised) => fatal(
            py,
            this,
            raised,
            "Fatal error: protocol.data_received() call failed.",
        ),
    }
}

fn read(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<io::Result<(Ref, usize)>> {
    let fd = this.number_now(py);
    let Some(engine) = this.engine() else {
        return Ok(Err(io::ErrorKind::WouldBlock.into()));
    };
    bytes_read(
        py,
        &engine,
        this.life.inflow.get().next(),
        |room| socket::recv(fd, room),
        |room| socket::recv_uninit(fd, room),
    )
}

/// Reads by one of the two calls, as `next` says: into the buffer that the loop shares, or into the object itself.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(super) fn bytes_read(
    py: Python<'_>,
    engine: &Engine,
    next: Read,
    read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    read_uninit: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<usize>,
) -> Outcome<io::Result<(Ref, usize)>> {
    match next {
        Read::Direct(room) => filled_bytes(py, room, |room| read_uninit(room)),
        Read::Shared => engine.with_buffer(py, |buffer| match read(buffer) {
            Ok(count) => {
                bytes(py, buffer.get(..count).unwrap_or_default()).map(|data| Ok((data, count)))
            }
            Err(error) => Ok(Err(error)),
        }),
    }
}

#[inline]
fn note(this: &Instance<StreamTransport>, count: usize) {
    let mut inflow = this.life.inflow.get();
    inflow.note(count);
    this.life.inflow.set(inflow);
}

/// Reads into the protocol's own memory.
fn receive_into(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    protocol: &Object,
) -> Outcome<()> {
    let room = match lent_buffer(py, protocol) {
        Ok(room) => room,
        Err(raised) => {
            return fatal(
                py,
                this,
                raised,
                "Fatal error: protocol.get_buffer() call failed.",
            );
        }
    };
    let buffer = match Buffer::to_write(py, &room, "recv_into() argument 1") {
        Ok(buffer) => buffer,
        Err(raised) => return fatal(py, this, raised, UNREADABLE),
    };
    let fd = this.number_now(py);
    let read = buffer.write(|memory| socket::recv_uninit(fd, memory));
    drop(buffer);
    drop(room);
    let count = match read {
        Ok(count) => count,
        Err(error) => return failed(py, this, &error),
    };
    if count == 0 {
        return end(py, this, protocol);
    }
    let Ok(number) = count.into_pyobject(py);
    // Whoever is the protocol by now: `get_buffer()` may have put another in its place.
    let Some(protocol) = this.protocol.share() else {
        return Ok(());
    };
    match call_method(py, &protocol, names::buffer_updated(py), &[object(&number)]) {
        Ok(_) => Ok(()),
        Err(raised) => fatal(
            py,
            this,
            raised,
            "Fatal error: protocol.buffer_updated() call failed.",
        ),
    }
}

/// Reads into a native protocol's own memory.
fn receive_natively(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    protocol: &Object,
    native: &Native,
) -> Outcome<()> {
    let fd = this.number_now(py);
    match (native.receive)(py, protocol, &mut |room| socket::recv(fd, room)) {
        Ok(0) => end(py, this, protocol),
        Ok(_) => (native.received)(py, protocol).or_else(|raised| {
            fatal(
                py,
                this,
                raised,
                "Fatal error: protocol.buffer_updated() call failed.",
            )
        }),
        Err(error) => failed(py, this, &error),
    }
}

fn lent_buffer(py: Python<'_>, protocol: &Object) -> Outcome<Ref> {
    let Ok(hint) = (-1).into_pyobject(py);
    let room = call_method(py, protocol, names::get_buffer(py), &[object(&hint)])?;
    if room.bind(py).len()? == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer").into());
    }
    Ok(room)
}

#[cold]
fn failed(py: Python<'_>, this: &Instance<StreamTransport>, error: &io::Error) -> Outcome<()> {
    if is_blocked(error) {
        return Ok(());
    }
    fatal_io(py, this, error, UNREADABLE)
}

/// The peer sends no more.
fn end(py: Python<'_>, this: &Instance<StreamTransport>, protocol: &Object) -> Outcome<()> {
    log(py, this, "debug", "%r received EOF")?;
    let keep_open = protocol::eof_received(py, protocol).and_then(|answer| is_true(py, &answer));
    match keep_open {
        Err(raised) => fatal(
            py,
            this,
            raised,
            "Fatal error: protocol.eof_received() call failed.",
        ),
        Ok(false) => close(py, this),
        Ok(true) => {
            // The protocol may still write, but there is nothing more to read.
            this.stop_reading(py);
            Ok(())
        }
    }
}

impl Instance<StreamTransport> {
    /// Has the engine listen for bytes.
    ///
    /// # Errors
    /// `OSError` when the system cannot watch the descriptor.
    pub(super) fn start_reading(&self, py: Python<'_>) -> Outcome<()> {
        let Some(engine) = self.engine() else {
            return Ok(());
        };
        let runnable = Thunk::new(self.own(), heard);
        drop(engine.watch(py, self.fd.get(), Side::Reader, runnable)?);
        self.life.reading.set(true);
        Ok(())
    }

    /// Has the engine listen no more.
    pub(super) fn stop_reading(&self, py: Python<'_>) {
        if self.life.reading.replace(false)
            && let Some(engine) = self.engine()
        {
            drop(engine.unwatch(py, self.fd.get(), Side::Reader));
        }
    }

    /// The same of a connection that is closed in the next turn: then the system need not be told.
    pub(super) fn end_reading(&self, py: Python<'_>) {
        if !self.life.reading.replace(false) {
            return;
        }
        let Some(engine) = self.engine() else {
            return;
        };
        if self.own.lend(py, |own| own.is_some()) {
            engine.unwatch_closing(py, self.fd.get(), Side::Reader);
        } else {
            drop(engine.unwatch(py, self.fd.get(), Side::Reader));
        }
    }

    /// `pause_reading()`.
    pub(super) fn pause_reading(&self, py: Python<'_>) -> Outcome<()> {
        if !self.is_reading() {
            return Ok(());
        }
        // The engine goes on hearing for us until something comes: most pauses are shorter. It does not keep us meanwhile.
        self.life.paused.set(true);
        if self.life.reading.get() {
            match Thunk::weakly(py, self, heard) {
                Ok(runnable) => self.hear_by(py, runnable),
                Err(raised) => drop(raised.take()),
            }
        }
        log(py, self, "debug", "%r pauses reading")
    }

    /// `resume_reading()`.
    pub(super) fn resume_reading(&self, py: Python<'_>) -> Outcome<()> {
        if self.life.closing.get() || !self.life.paused.get() {
            return Ok(());
        }
        self.life.paused.set(false);
        self.follow_context(py)?;
        if !self.life.reading.get() {
            self.start_reading(py)?;
        } else if let Some(engine) = self.engine() {
            self.hear_by(py, Thunk::new(self.own(), heard));
            engine.touch(py);
        }
        log(py, self, "debug", "%r resumes reading")
    }

    /// Puts another in the place of who hears for us.
    fn hear_by(&self, py: Python<'_>, runnable: Runnable) {
        if let Some(engine) = self.engine().filter(|engine| !engine.closed.get()) {
            drop(engine.rewatch(py, self.fd.get(), Side::Reader, runnable));
        }
    }
}
