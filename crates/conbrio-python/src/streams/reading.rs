//! What the reader's coroutine methods do when they are awaited: try, and wait for more bytes until there are enough.

use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::prelude::*;

use super::attempt::{Attempt, check, exactly, line, next, some, until};
use super::reader::Reader;
use crate::ffi::{
    Bytes, Instance, Outcome, Ref, Slot, bytearray, bytearray_len, bytes, extend_bytearray,
    raise_in_context,
};
use crate::op::{self, Deed, Doing, Op};

/// One try of an op with its reader; the flag says that it has waited.
type Try = fn(Python<'_>, &Instance<Op>, &Instance<Reader>, bool) -> Outcome<Attempt>;

/// Declares what a method of the reader does.
macro_rules! deed {
    ($name:ident, $qualified:literal, $attempt:expr, $waits:literal) => {
        pub(super) static $name: Deed = Deed {
            name: $qualified,
            begin: |py, op| {
                let reader = op.owner.share_or_none();
                let reader = the_reader(&reader)?;
                check(reader)?;
                go_on(py, op, reader, ($attempt, $waits), false)
            },
            resume: |py, op| {
                let reader = op.owner.share_or_none();
                let reader = the_reader(&reader)?;
                reader.waiter.clear();
                if let Some(exception) = op.extra.take() {
                    return Err(raise_in_context(&exception));
                }
                go_on(py, op, reader, ($attempt, $waits), true)
            },
            abandon,
        };
    };
}

deed!(
    LINE,
    "StreamReader.readline",
    |py, _, reader, _| line(py, reader),
    "readuntil"
);
deed!(
    NEXT,
    "StreamReader.__anext__",
    |py, _, reader, _| next(py, reader),
    "readuntil"
);
deed!(
    UNTIL,
    "StreamReader.readuntil",
    |py, op, reader, _| until(py, reader, &op.item.share_or_none()),
    "readuntil"
);
deed!(
    EXACTLY,
    "StreamReader.readexactly",
    |py, op, reader, _| exactly(py, reader, count(op)),
    "readexactly"
);
deed!(
    SOME,
    "StreamReader.read",
    |py, op, reader, woken| some(py, reader, count(op), woken),
    "read"
);
deed!(ALL, "StreamReader.read", all, "read");

/// An op that reads.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(super) fn new(
    py: Python<'_>,
    reader: &Instance<Reader>,
    deed: &'static Deed,
    separator: Option<Ref>,
    count: usize,
) -> Outcome<Ref> {
    let op = op::new(py, deed, Some(reader.object().share()), separator)?;
    op.number.set(u64::try_from(count).unwrap_or(u64::MAX));
    Ok(op.erase())
}

#[inline]
fn count(op: &Instance<Op>) -> usize {
    usize::try_from(op.number.get()).unwrap_or(usize::MAX)
}

#[inline]
fn the_reader(owner: &Ref) -> Outcome<&Instance<Reader>> {
    Instance::<Reader>::of(owner)
        .ok_or_else(|| PyRuntimeError::new_err("the read has lost its reader").into())
}

/// Tries, and parks when there is not enough. CPython: `_wait_for_data`.
#[inline]
fn go_on(
    py: Python<'_>,
    op: &Instance<Op>,
    reader: &Instance<Reader>,
    (attempt, waits): (Try, &'static str),
    woken: bool,
) -> Outcome<Doing> {
    let needed = match attempt(py, op, reader, woken)? {
        Attempt::Done(value) => return Ok(Doing::Done(value)),
        Attempt::Wait(needed) => needed,
    };
    if !reader.waiter.is_empty() && !reader.outlives_waiter(py) {
        let text = format!(
            "{waits}() called while another coroutine is already waiting for incoming data"
        );
        return Err(PyRuntimeError::new_err(text).into());
    }
    if reader.eof.get() {
        return Err(PyAssertionError::new_err("_wait_for_data after EOF").into());
    }
    reader.resume(py)?;
    reader.wait(op.object().share(), needed);
    op.park(reader.event_loop.share_or_none());
    Ok(Doing::Parked)
}

/// The wait ends by an exception: nobody waits any more.
fn abandon(_: Python<'_>, op: &Instance<Op>, exception: Ref, _: bool) -> Outcome<Doing> {
    if let Some(reader) = op.owner.share()
        && let Some(reader) = Instance::<Reader>::of(&reader)
    {
        reader.waiter.clear();
    }
    Err(raise_in_context(&exception))
}

/// `read()`: blocks of at most the limit, until one is empty.
fn all(
    py: Python<'_>,
    op: &Instance<Op>,
    reader: &Instance<Reader>,
    mut woken: bool,
) -> Outcome<Attempt> {
    loop {
        let block = match some(py, reader, reader.limit().max(1), woken)? {
            Attempt::Done(block) => block,
            wait @ Attempt::Wait(_) => return Ok(wait),
        };
        let Some(block) = Bytes::share(&block) else {
            return Ok(Attempt::Done(block));
        };
        if block.as_ref().is_empty() {
            return joined(py, &op.item).map(Attempt::Done);
        }
        match op.item.share() {
            Some(blocks) => extend_bytearray(py, &blocks, block.as_ref())?,
            None => op.item.set(bytearray(py, block.as_ref())?),
        }
        check(reader)?;
        woken = false;
    }
}

/// What has been read block by block, as `bytes`.
fn joined(py: Python<'_>, blocks: &Slot) -> Outcome<Ref> {
    match blocks.take() {
        Some(blocks) if bytearray_len(&blocks) > 0 => {
            let read = crate::ffi::Buffer::to_read(py, &blocks)?;
            read.read(|read| bytes(py, read))
        }
        _ => bytes(py, &[]),
    }
}
