//! One try of each way to read: the bytes, an exception, or that there are not enough yet.

use conbrio_core::lines::Found;
use pyo3::exceptions::{PyStopAsyncIteration, PyValueError};
use pyo3::prelude::*;

use super::reader::Reader;
use crate::ffi::{
    Bytes, Instance, Object, Outcome, Raised, Ref, bytes, call, exception, object, raise,
    raise_in_context, tuple_items,
};
use crate::{names, report};

/// What came of a try.
pub(super) enum Attempt {
    /// What was read.
    Done(Ref),
    /// There must be so many bytes, or the end.
    Wait(usize),
}

const FOUND_LATE: &str = "Separator is found, but chunk is longer than limit";
const NOT_FOUND: &str = "Separator is not found, and chunk exceed the limit";

/// What came of looking for a separator.
enum Sought {
    /// The bytes up to its end, taken.
    Chunk(Ref),
    /// There is none, and this was the rest.
    Rest(Ref),
    /// It is, or will be, further away than the limit.
    Overrun(&'static str, usize),
    /// It may yet come.
    Wait,
}

/// `readline()`: what a line without an end is, asyncio says otherwise than for `readuntil`.
pub(super) fn line(py: Python<'_>, reader: &Instance<Reader>) -> Outcome<Attempt> {
    match seek(py, reader, &[b"\n"])? {
        Sought::Chunk(line) | Sought::Rest(line) => Ok(Attempt::Done(line)),
        Sought::Wait => Ok(Attempt::Wait(0)),
        Sought::Overrun(message, consumed) => {
            reader.with(py, |lines| {
                if lines.held().get(consumed) == Some(&b'\n') {
                    lines.consume(consumed + 1);
                } else {
                    lines.clear();
                }
            })?;
            reader.maybe_resume(py)?;
            let context = raise_in_context(&*overrun(py, message, consumed)?).take();
            let class = py.get_type::<PyValueError>();
            let error = report::exception(py, object(&class), message)?;
            exception::set_context(py, &error, context);
            Err(raise(error))
        }
    }
}

/// `__anext__()`.
pub(super) fn next(py: Python<'_>, reader: &Instance<Reader>) -> Outcome<Attempt> {
    match line(py, reader)? {
        Attempt::Done(line) if Bytes::share(&line).is_some_and(|line| line.as_ref().is_empty()) => {
            Err(PyStopAsyncIteration::new_err(()).into())
        }
        attempt => Ok(attempt),
    }
}

/// `readuntil(separator)`.
pub(super) fn until(
    py: Python<'_>,
    reader: &Instance<Reader>,
    separator: &Object,
) -> Outcome<Attempt> {
    let sought = if let Some(separator) = Bytes::share(separator) {
        seek(py, reader, &[separator.as_ref()])?
    } else {
        let several = tuple_items(separator).iter();
        let mut several: Vec<Bytes> = several.filter_map(|one| Bytes::share(one)).collect();
        several.sort_by_key(|one| one.as_ref().len());
        let slices: Vec<&[u8]> = several.iter().map(AsRef::as_ref).collect();
        seek(py, reader, &slices)?
    };
    match sought {
        Sought::Chunk(chunk) => Ok(Attempt::Done(chunk)),
        Sought::Wait => Ok(Attempt::Wait(0)),
        Sought::Rest(rest) => Err(incomplete(py, &rest, &Ref::none())),
        Sought::Overrun(message, consumed) => {
            Err(raise_in_context(&*overrun(py, message, consumed)?))
        }
    }
}

/// Whether `separator` is one that `until` takes; asyncio's own code says what is wrong with others.
pub(super) fn is_plain_separator(separator: &Object) -> bool {
    let is_plain = |one: &Object| Bytes::share(one).is_some_and(|one| !one.as_ref().is_empty());
    let several = tuple_items(separator);
    is_plain(separator)
        || (cfg!(Py_3_13) && !several.is_empty() && several.iter().all(|one| is_plain(one)))
}

#[inline]
fn seek(py: Python<'_>, reader: &Instance<Reader>, separators: &[&[u8]]) -> Outcome<Sought> {
    let (limit, ended) = (reader.limit(), reader.eof.get());
    let longest = separators.last().map_or(1, |longest| longest.len());
    let sought = reader.with(py, |lines| -> Outcome<Sought> {
        match lines.find(separators) {
            Some(Found { start, .. }) if start > limit => Ok(Sought::Overrun(FOUND_LATE, start)),
            Some(Found { end, .. }) => {
                let chunk = bytes(py, lines.front(end))?;
                lines.consume(end);
                Ok(Sought::Chunk(chunk))
            }
            None => {
                let searched = (lines.len() + 1).saturating_sub(longest);
                if searched > limit {
                    return Ok(Sought::Overrun(NOT_FOUND, searched));
                }
                if !ended {
                    return Ok(Sought::Wait);
                }
                let rest = bytes(py, lines.held())?;
                lines.clear();
                Ok(Sought::Rest(rest))
            }
        }
    })??;
    if let Sought::Chunk(_) = sought {
        reader.maybe_resume(py)?;
    }
    Ok(sought)
}

/// `readexactly(n)`.
#[inline]
pub(super) fn exactly(py: Python<'_>, reader: &Instance<Reader>, count: usize) -> Outcome<Attempt> {
    if count == 0 {
        return bytes(py, &[]).map(Attempt::Done);
    }
    if reader.held(py) >= count {
        return take(py, reader, count).map(Attempt::Done);
    }
    if !reader.eof.get() {
        return Ok(Attempt::Wait(count));
    }
    let rest = reader.with(py, |lines| {
        let rest = bytes(py, lines.held());
        lines.clear();
        rest
    })??;
    let Ok(expected) = count.into_pyobject(py);
    Err(incomplete(py, &rest, object(&expected)))
}

/// `read(n)`; `woken` says that it has waited, and takes what there is, even nothing.
#[inline]
pub(super) fn some(
    py: Python<'_>,
    reader: &Instance<Reader>,
    count: usize,
    woken: bool,
) -> Outcome<Attempt> {
    if count == 0 {
        return bytes(py, &[]).map(Attempt::Done);
    }
    if !woken && !reader.eof.get() && reader.held(py) == 0 {
        return Ok(Attempt::Wait(0));
    }
    take(py, reader, count).map(Attempt::Done)
}

/// Takes at most `count` bytes out.
#[inline]
fn take(py: Python<'_>, reader: &Instance<Reader>, count: usize) -> Outcome<Ref> {
    let taken = reader.with(py, |lines| {
        let taken = bytes(py, lines.front(count));
        lines.consume(count);
        taken
    })??;
    reader.maybe_resume(py)?;
    Ok(taken)
}

/// Raises what the reader was told of.
///
/// # Errors
/// That.
#[inline]
pub(super) fn check(reader: &Instance<Reader>) -> Outcome<()> {
    match reader.exception.share() {
        Some(exception) => Err(raise_in_context(&exception)),
        None => Ok(()),
    }
}

#[cold]
fn overrun(py: Python<'_>, message: &str, consumed: usize) -> Outcome<Ref> {
    let message = pyo3::types::PyString::new(py, message);
    let Ok(consumed) = consumed.into_pyobject(py);
    let class = names::limit_overrun_error(py)?;
    call(py, class, &[object(&message), object(&consumed)])
}

#[cold]
fn incomplete(py: Python<'_>, partial: &Object, expected: &Object) -> Raised {
    let made =
        names::incomplete_read_error(py).and_then(|class| call(py, class, &[partial, expected]));
    match made {
        Ok(exception) => raise_in_context(&exception),
        Err(raised) => raised,
    }
}
