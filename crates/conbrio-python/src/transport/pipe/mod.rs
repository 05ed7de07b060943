//! The two ends of a pipe: what a transport that only reads and one that only writes have in common.
//!
//! They behave as CPython's `_UnixReadPipeTransport` and `_UnixWritePipeTransport`. The door: what both are made of and
//! how both begin. What only one of them does is in a file of its own.

mod life;
mod methods;
mod read;
mod write;

use std::cell::Cell;
use std::os::fd::RawFd;

use conbrio_core::sources::Side;
use conbrio_driver::sys::pipe::{self, Kind};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::ending::{guarded, run_in, short_name};
use super::make::{given, refuse_none};
use crate::engine::Engine;
use crate::ffi::{
    Class, Instance, Object, Outcome, Own, Ref, Slot, Thunk, Visit, attribute, call_method,
    context, object,
};
use crate::protocol::Protocol;
use crate::report::os_error;
use crate::{handle, names};

pub(crate) use read::class as read_class;
pub(crate) use write::class as write_class;

/// What both ends keep.
pub(crate) struct Pipe {
    /// The file object; empty once it is closed.
    file: Slot,
    /// The loop; empty once the connection is lost.
    event_loop: Slot,
    protocol: Protocol,
    /// The context that what the engine hears runs in.
    context: Slot,
    /// What the protocol is going to be told as the reason of the loss.
    reason: Slot,
    fd: Cell<RawFd>,
    /// `close()` was called, or the connection is broken.
    closing: Cell<bool>,
    /// `pause_reading()` was called.
    paused: Cell<bool>,
    /// The engine hears for us whether the descriptor is readable.
    reading: Cell<bool>,
    /// `connection_lost()` is due, or over.
    lost: Cell<bool>,
    /// What is read in pieces too small for a message may lose its rest: a socket's messages are read whole.
    whole: Cell<bool>,
}

impl Pipe {
    /// An end that is not made yet.
    const fn unmade() -> Self {
        Self {
            file: Slot::empty(),
            event_loop: Slot::empty(),
            protocol: Protocol::none(),
            context: Slot::empty(),
            reason: Slot::empty(),
            fd: Cell::new(-1),
            closing: Cell::new(false),
            paused: Cell::new(false),
            reading: Cell::new(false),
            lost: Cell::new(false),
            whole: Cell::new(false),
        }
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.protocol.traverse(visit);
        for slot in [&self.file, &self.event_loop, &self.context, &self.reason] {
            visit.slot(slot);
        }
    }

    /// Lets go of what can be part of a cycle; the file is still to be closed.
    fn clear(&self) {
        self.protocol.clear();
        for slot in [&self.event_loop, &self.context, &self.reason] {
            slot.clear();
        }
    }

    /// The loop, until the connection is lost.
    fn engine(&self) -> Option<Own<Engine>> {
        Own::of(self.event_loop.share()?).ok()
    }
}

/// One end of a pipe: what it has of its own.
pub(crate) trait End: Class {
    /// What is said of a file that nobody can wait for.
    const REFUSAL: &'static str;

    /// What both ends keep.
    fn pipe(&self) -> &Pipe;

    /// The dictionary behind `get_extra_info`.
    fn extra(&self) -> &Slot;

    /// Whether it is of interest that a descriptor of this kind is readable.
    fn listens(kind: Kind) -> bool;

    /// The descriptor is readable.
    fn read_ready(py: Python<'_>, this: &Instance<Self>) -> Outcome<()>;

    /// Whether an exception that ends the connection is nobody's fault, and goes unreported.
    fn is_harmless(py: Python<'_>, exception: &Object) -> bool;

    /// Ends the connection because of `exception`. CPython: `_close`.
    fn end(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()>;

    /// What the engine hears for it, in `repr`'s words.
    fn state(&self, py: Python<'_>) -> String;
}

/// `Class(loop, pipe, protocol, waiter=None, extra=None)`.
fn init<T: End>(
    py: Python<'_>,
    this: &Instance<T>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let keys = ["loop", "pipe", "protocol", "waiter", "extra"];
    let [event_loop, file, protocol, waiter, extra] = given(py, args, keywords, keys)?;
    refuse_none(py, file.as_ref(), names::fileno(py))?;
    refuse_none(py, protocol.as_ref(), names::connection_made(py))?;
    let (Some(event_loop), Some(file), Some(protocol)) = (event_loop, file, protocol) else {
        let text = format!(
            "{}() needs a loop, a pipe and a protocol",
            short_name::<T>()
        );
        return Err(PyTypeError::new_err(text).into());
    };
    let Some(engine) = Instance::<Engine>::of(object(&event_loop)) else {
        let text = format!("{}() needs a loop of conbrio's", short_name::<T>());
        return Err(PyTypeError::new_err(text).into());
    };
    let extra = extra.unwrap_or_else(|| PyDict::new(py).into_any());
    extra.set_item(names::pipe(py), &file)?;
    this.extra().set(extra.into());
    let fd = call_method(py, object(&file), names::fileno(py), &[])?;
    let fd = fd.bind(py).extract::<RawFd>()?;
    let kind = pipe::kind(fd).map_err(|error| os_error(py, &error))?;
    if kind == Kind::Other {
        return Err(PyValueError::new_err(T::REFUSAL).into());
    }
    pipe::set_nonblocking(fd).map_err(|error| os_error(py, &error))?;
    let pipe = this.pipe();
    pipe.fd.set(fd);
    pipe.whole.set(kind == Kind::Socket);
    pipe.event_loop.set(object(&event_loop).share());
    pipe.protocol.set(py, object(&protocol))?;
    pipe.file.set(file.into());
    schedule(py, this, engine, waiter.as_ref().map(object), kind)
}

/// Order: `connection_made`, then reading begins, then the waiter hears of it.
fn schedule<T: End>(
    py: Python<'_>,
    this: &Instance<T>,
    engine: &Instance<Engine>,
    waiter: Option<&Object>,
    kind: Kind,
) -> Outcome<()> {
    engine.check_closed()?;
    let protocol = this.pipe().protocol.share().unwrap_or_else(Ref::none);
    let connection_made = attribute(py, &protocol, names::connection_made(py))?;
    handle::call_soon(py, engine, &connection_made, &[this.object()], None)?;
    this.pipe().context.set(context::copy_current(py)?);
    if T::listens(kind) {
        engine.push(py, Thunk::new(this.own(), start));
    }
    if let Some(waiter) = waiter {
        let set_result = names::set_result_unless_cancelled(py)?;
        handle::call_soon(py, engine, set_result, &[waiter, &Ref::none()], None)?;
    }
    Ok(())
}

/// Begins to listen, after `connection_made`.
fn start<T: End>(py: Python<'_>, this: Own<T>) -> Outcome<()> {
    let pipe = this.pipe();
    if pipe.closing.get() || pipe.paused.get() || pipe.reading.get() {
        return Ok(());
    }
    let answer = this.start_reading(py);
    guarded(py, &this, "_add_reader", answer)
}

/// The descriptor is readable.
fn heard<T: End>(py: Python<'_>, this: Own<T>) -> Outcome<()> {
    let pipe = this.pipe();
    // CPython: a reader that was removed meanwhile is a cancelled handle.
    if pipe.lost.get() || !pipe.reading.get() {
        return Ok(());
    }
    let Some(context) = pipe.context.share() else {
        return Ok(());
    };
    run_in(py, &this, &context, "_read_ready", || {
        T::read_ready(py, &this)
    })
}

impl<T: End> Instance<T> {
    /// Has the engine listen for bytes, or for the end.
    ///
    /// # Errors
    /// `OSError` when the system cannot watch the descriptor.
    fn start_reading(&self, py: Python<'_>) -> Outcome<()> {
        let pipe = self.pipe();
        let Some(engine) = pipe.engine() else {
            return Ok(());
        };
        let runnable = Thunk::new(self.own(), heard);
        drop(engine.watch(py, pipe.fd.get(), Side::Reader, runnable)?);
        pipe.reading.set(true);
        Ok(())
    }

    /// Has the engine listen no more.
    fn stop_reading(&self, py: Python<'_>) {
        let pipe = self.pipe();
        if pipe.reading.replace(false)
            && let Some(engine) = pipe.engine()
        {
            drop(engine.unwatch(py, pipe.fd.get(), Side::Reader));
        }
    }
}
