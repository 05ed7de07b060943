//! `ReadPipeTransport`: bytes that come out of a pipe.

use std::cell::Cell;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::RawFd;

use conbrio_core::inflow::{Inflow, Read};
use conbrio_driver::sys::is_blocked;
use conbrio_driver::sys::pipe::{self, Kind};
use pyo3::prelude::*;

use super::life::lose;
use super::methods::{polling, shared};
use super::{End, Pipe};
use crate::engine::SHARED;
use crate::ffi::layout::{ExtraField, prove_extra};
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, attribute, bytes,
    context, none,
};
use crate::report::os_error;
use crate::transport::attributes::number;
use crate::transport::ending::{Ending, fatal, log};
use crate::transport::read::bytes_read;
use crate::{handle, names, protocol};

/// The reading end of a pipe, and its protocol.
#[repr(C)]
pub(crate) struct ReadPipeTransport {
    /// What asyncio's own transports keep.
    fields: ExtraField,
    dict: Slot,
    weak_references: Cell<usize>,
    pipe: Pipe,
    /// What reads were like.
    inflow: Cell<Inflow>,
}

static STATE: ClassState = ClassState::new();

impl Class for ReadPipeTransport {
    const NAME: &'static std::ffi::CStr = c"conbrio.ReadPipeTransport";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.fields.0);
        visit.slot(&self.dict);
        self.pipe.traverse(visit);
    }

    fn clear(&self) {
        self.fields.0.clear();
        self.dict.clear();
        self.pipe.clear();
    }

    fn has_last_words(&self) -> bool {
        !self.pipe.file.is_empty()
    }
}

impl End for ReadPipeTransport {
    const REFUSAL: &'static str = "Pipe transport is for pipes/sockets only.";

    fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    fn extra(&self) -> &Slot {
        &self.fields.0
    }

    fn listens(_: Kind) -> bool {
        true
    }

    fn read_ready(py: Python<'_>, this: &Instance<Self>) -> Outcome<()> {
        receive(py, this)
    }

    /// CPython: the other side of a terminal has hung up.
    fn is_harmless(py: Python<'_>, exception: &Object) -> bool {
        let number = exception.bind(py).getattr(pyo3::intern!(py, "errno"));
        exception
            .bind(py)
            .is_instance_of::<pyo3::exceptions::PyOSError>()
            && number.is_ok_and(|number| number.extract::<i32>().is_ok_and(|number| number == EIO))
    }

    fn end(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()> {
        this.pipe.closing.set(true);
        this.stop_reading(py);
        lose(py, this, exception.share())
    }

    fn state(&self, _: Python<'_>) -> String {
        polling(self.pipe.reading.get()).to_owned()
    }
}

/// The number of an error of the device itself.
const EIO: i32 = 5;

/// The class `ReadPipeTransport`.
///
/// # Errors
/// When it cannot be made, or asyncio's transports are laid out otherwise than we know.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let base = names::read_transport(py)?;
    let base = base.bind(py);
    prove_extra(py, &base)?;
    let builder =
        Builder::<ReadPipeTransport>::new(c"The reading end of a pipe; made by the loop.")
            .with_attributes(
                offset_of!(ReadPipeTransport, dict),
                offset_of!(ReadPipeTransport, weak_references),
            )
            .new_with(|_, _, _| Ok(ReadPipeTransport::unmade()));
    own(shared(builder)).create(py, Some(&base))
}

fn own(builder: Builder<ReadPipeTransport>) -> Builder<ReadPipeTransport> {
    builder
        .plain(
            c"is_reading",
            c"is_reading($self)\n--\n\nTells whether bytes are received.",
            |_, this| Ok(Ref::boolean(this.is_reading())),
        )
        .plain(
            c"pause_reading",
            c"pause_reading($self)\n--\n\nReceives nothing until resume_reading().",
            |py, this| none(pause_reading(py, this)),
        )
        .plain(
            c"resume_reading",
            c"resume_reading($self)\n--\n\nReceives again.",
            |py, this| none(resume_reading(py, this)),
        )
        .plain(
            c"close",
            c"close($self)\n--\n\nEnds the connection.",
            |py, this| none(close(py, this)),
        )
        .getter(c"_paused", c"Whether reading is paused.", |_, this| {
            Ok(Ref::boolean(this.pipe.paused.get()))
        })
        .getter(c"max_size", c"How much one read takes at most.", |py, _| {
            number(py, SHARED)
        })
}

impl ReadPipeTransport {
    /// A transport that has no pipe yet.
    fn unmade() -> Self {
        Self {
            fields: ExtraField(Slot::empty()),
            dict: Slot::empty(),
            weak_references: Cell::new(0),
            pipe: Pipe::unmade(),
            inflow: Cell::new(Inflow::default()),
        }
    }

    /// Neither closing nor paused.
    fn is_reading(&self) -> bool {
        !self.pipe.closing.get() && !self.pipe.paused.get()
    }
}

/// `pause_reading()`.
fn pause_reading(py: Python<'_>, this: &Instance<ReadPipeTransport>) -> Outcome<()> {
    if !this.is_reading() {
        return Ok(());
    }
    this.pipe.paused.set(true);
    this.stop_reading(py);
    log(py, this, "debug", "%r pauses reading")
}

/// `resume_reading()`.
fn resume_reading(py: Python<'_>, this: &Instance<ReadPipeTransport>) -> Outcome<()> {
    if this.pipe.closing.get() || !this.pipe.paused.get() {
        return Ok(());
    }
    this.pipe.paused.set(false);
    this.pipe.context.set(context::copy_current(py)?);
    this.start_reading(py)?;
    log(py, this, "debug", "%r resumes reading")
}

/// `close()`.
fn close(py: Python<'_>, this: &Instance<ReadPipeTransport>) -> Outcome<()> {
    if this.pipe.closing.get() {
        return Ok(());
    }
    ReadPipeTransport::force_close(py, this, &Ref::none())
}

/// Reads once and hands a `bytes` to the protocol.
fn receive(py: Python<'_>, this: &Instance<ReadPipeTransport>) -> Outcome<()> {
    let (Some(engine), Some(protocol)) = (this.pipe.engine(), this.pipe.protocol.share()) else {
        return Ok(());
    };
    let mut inflow = this.inflow.get();
    let fd = this.pipe.fd.get();
    let read = if pipe::is_blocking(fd) {
        read_waiting(py, fd)?
    } else {
        let next = if this.pipe.whole.get() {
            Read::Shared
        } else {
            inflow.next()
        };
        let (read, read_uninit) = (
            |room: &mut [u8]| pipe::read(fd, room),
            |room: &mut [MaybeUninit<u8>]| pipe::read_uninit(fd, room),
        );
        bytes_read(py, &engine, next, read, read_uninit)?
    };
    match read {
        Ok((_, 0)) => end(py, this, &protocol),
        Ok((data, count)) => {
            inflow.note(count);
            this.inflow.set(inflow);
            protocol::data_received(py, &protocol, &data)
        }
        Err(error) if is_blocked(&error) => Ok(()),
        Err(error) => fatal(
            py,
            this,
            os_error(py, &error),
            "Fatal read error on pipe transport",
        ),
    }
}

/// The same where another holder of the pipe has made it wait: other threads run meanwhile.
#[cold]
fn read_waiting(py: Python<'_>, fd: RawFd) -> Outcome<io::Result<(Ref, usize)>> {
    let mut room = vec![0; SHARED];
    match py.detach(|| pipe::read(fd, &mut room)) {
        Ok(count) => {
            let data = bytes(py, room.get(..count).unwrap_or_default())?;
            Ok(Ok((data, count)))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// Nobody writes any more. Order: `eof_received`, then `connection_lost`, in the next turn.
fn end(py: Python<'_>, this: &Instance<ReadPipeTransport>, protocol: &Object) -> Outcome<()> {
    log(py, this, "info", "%r was closed by peer")?;
    this.pipe.closing.set(true);
    this.stop_reading(py);
    let eof_received = attribute(py, protocol, names::eof_received(py))?;
    if let Some(engine) = this.pipe.engine() {
        handle::call_soon(py, &engine, &eof_received, &[], None)?;
    }
    lose(py, this, Ref::none())
}
