//! Watching descriptors: `add_reader`, `add_writer` and their removal, and the check that no transport uses them.
//!
//! Its own room because what counts as a descriptor is a rule of CPython's (`selectors._fileobj_to_fd`,
//! `_ensure_fd_no_transport`). It does not know what a transport is: the loop's own table says which descriptors have one.

use std::os::fd::RawFd;

use conbrio_core::sources::Side;
use pyo3::exceptions::{
    PyAttributeError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt};

use crate::engine::Engine;
use crate::ffi::{
    Args, Builder, Instance, Leading, Object, Outcome, Own, Parameters, Raised, Ref, Slot,
    attribute_if_any, call_method, file_descriptor, is_true, object, raise, referent,
    socket_number,
};
use crate::handle::{self, Handle};
use crate::names;
use crate::report::text_of;
use crate::runnable::Runnable;

/// The descriptor of the socket in `sock`, whose own is `fd`, or -1 once somebody has closed it: the number may be another's by now.
#[inline]
pub(crate) fn number_now(py: Python<'_>, sock: &Slot, fd: RawFd) -> RawFd {
    let Some(sock) = sock.share() else {
        return fd;
    };
    names::system_socket_class(py)
        .ok()
        .and_then(|class| socket_number(py, &sock, class))
        .unwrap_or(fd)
}

/// Adds the methods that watch descriptors to the loop's class.
pub(crate) fn methods(builder: Builder<Engine>) -> Builder<Engine> {
    checked_methods(unchecked_methods(builder))
}

fn checked_methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .method(
            c"add_reader",
            c"add_reader($self, fd, callback, *args)\n--\n\nCalls callback(*args) whenever fd, a number or what has a fileno(), is readable; replaces the one before.\n\nRaises ValueError for what is no descriptor, OSError when the system refuses it, RuntimeError when a transport uses it or the loop\nis closed. As asyncio.loop.add_reader. Not thread-safe.",
            |py, this, args| add_checked(py, this, args, Side::Reader),
        )
        .method(
            c"add_writer",
            c"add_writer($self, fd, callback, *args)\n--\n\nCalls callback(*args) whenever fd, a number or what has a fileno(), is writable; replaces the one before.\n\nRaises ValueError for what is no descriptor, OSError when the system refuses it, RuntimeError when a transport uses it or the loop\nis closed. As asyncio.loop.add_writer. Not thread-safe.",
            |py, this, args| add_checked(py, this, args, Side::Writer),
        )
        .method(
            c"remove_reader",
            c"remove_reader($self, fd)\n--\n\nForgets the reader of fd; tells whether there was one.\n\nRaises RuntimeError when a transport uses it. As asyncio.loop.remove_reader. Not thread-safe.",
            |py, this, args| remove_checked(py, this, args, Side::Reader),
        )
        .method(
            c"remove_writer",
            c"remove_writer($self, fd)\n--\n\nForgets the writer of fd; tells whether there was one.\n\nRaises RuntimeError when a transport uses it. As asyncio.loop.remove_writer. Not thread-safe.",
            |py, this, args| remove_checked(py, this, args, Side::Writer),
        )
}

fn unchecked_methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .method(
            c"_add_reader",
            c"_add_reader($self, fd, callback, *args)\n--\n\nAs add_reader, for transports; returns the handle.",
            |py, this, args| add(py, this, args, Side::Reader),
        )
        .method(
            c"_add_writer",
            c"_add_writer($self, fd, callback, *args)\n--\n\nAs add_writer, for transports; returns the handle.",
            |py, this, args| add(py, this, args, Side::Writer),
        )
        .one(
            c"_remove_reader",
            c"_remove_reader($self, fd, /)\n--\n\nAs remove_reader, for transports.",
            |py, this, fd| remove(py, this, fd, Side::Reader),
        )
        .one(
            c"_remove_writer",
            c"_remove_writer($self, fd, /)\n--\n\nAs remove_writer, for transports.",
            |py, this, fd| remove(py, this, fd, Side::Writer),
        )
        .one(
            c"_ensure_fd_no_transport",
            c"_ensure_fd_no_transport($self, fd, /)\n--\n\nRefuses when a transport that is open uses fd.",
            |py, this, fd| {
                ensure_no_transport(py, this, fd)?;
                Ok(Ref::none())
            },
        )
}

fn add_checked(
    py: Python<'_>,
    this: &Instance<Engine>,
    args: Args<'_>,
    side: Side,
) -> Outcome<Ref> {
    let given = leading(py, args, side)?;
    let [fd, _] = given.given;
    ensure_no_transport(py, this, fd)?;
    watch(py, this, &given, side)?;
    Ok(Ref::none())
}

fn remove_checked(
    py: Python<'_>,
    this: &Instance<Engine>,
    args: Args<'_>,
    side: Side,
) -> Outcome<Ref> {
    let function = match side {
        Side::Reader => "remove_reader",
        Side::Writer => "remove_writer",
    };
    let parameters = Parameters {
        function,
        names: [names::fd(py)],
        positional: 1,
        required: 1,
    };
    let [Some(fd)] = args.parse(&parameters)? else {
        return Ok(Ref::none());
    };
    ensure_no_transport(py, this, fd)?;
    remove(py, this, fd, side)
}

fn add(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>, side: Side) -> Outcome<Ref> {
    watch(py, this, &leading(py, args, side)?, side)
}

/// `fd`, `callback` and its arguments. CPython: takes a context from 3.15 on.
fn leading<'a>(py: Python<'_>, args: Args<'a>, side: Side) -> Outcome<Leading<'a, 2>> {
    let function = match side {
        Side::Reader => "add_reader",
        Side::Writer => "add_writer",
    };
    args.leading(function, || {
        let option = cfg!(Py_3_15).then(|| names::context(py));
        ([names::fd(py), names::callback(py)], option)
    })
}

fn watch(
    py: Python<'_>,
    this: &Instance<Engine>,
    given: &Leading<'_, 2>,
    side: Side,
) -> Outcome<Ref> {
    let [fd, callback] = given.given;
    this.check_closed()?;
    let handle = handle::new(py, this, callback, given.rest, given.option)?;
    let (file, fd) = (fd, watched_descriptor(py, this, fd)?);
    if file.bind(py).is_instance_of::<PyBool>() {
        // CPython: warns of it in later releases.
        file_descriptor(py, file)?;
    }
    let old = this.watch(py, fd, side, handle::watcher(&handle))?;
    // Order: what is ready already is heard in the next turn.
    this.touch(py);
    if !file.bind(py).is_instance_of::<PyInt>() {
        this.remember_file(py, fd, file);
    }
    cancel(py, old)?;
    Ok(handle.erase())
}

/// The number of a descriptor; of an object that is watched and was closed since, the number it had.
///
/// # Errors
/// As `descriptor`.
fn watched_descriptor(py: Python<'_>, this: &Instance<Engine>, file: &Object) -> Outcome<RawFd> {
    descriptor(py, file).or_else(|raised| {
        let exception = raised.take();
        let known = this.number_of_file(py, file);
        known.ok_or_else(|| raise(exception))
    })
}

fn remove(py: Python<'_>, this: &Instance<Engine>, fd: &Object, side: Side) -> Outcome<Ref> {
    if this.closed.get() {
        return Ok(Ref::boolean(false));
    }
    let fd = match watched_descriptor(py, this, fd) {
        Ok(fd) => fd,
        Err(raised) => return not_removed(py, fd, raised),
    };
    let gone = this.unwatch(py, fd, side);
    // Order: most are removed to be closed, and a peer in this loop hears of that in the next turn.
    this.touch(py);
    this.forget_file(py, fd);
    cancel(py, gone).map(Ref::boolean)
}

/// Cancels the handle that heard a descriptor, so that an event already on its way does not run it; false if it was no
/// handle: then somebody heard it for the loop's own purposes, and looks for itself whether it still does.
///
/// # Errors
/// What `repr` raises, in debug mode.
pub(crate) fn cancel(py: Python<'_>, gone: Option<Runnable>) -> Outcome<bool> {
    match gone.map(|gone| Own::<Handle>::of(gone.object().share())) {
        Some(Ok(handle)) => handle::cancel(py, handle.object(), handle.fields()).map(|()| true),
        _ => Ok(false),
    }
}

/// Nobody watches a number that no descriptor can have; for all else that is no descriptor `raised` is said.
#[cold]
fn not_removed(py: Python<'_>, file: &Object, raised: Raised) -> Outcome<Ref> {
    let raised = raised.take();
    match number(py, file) {
        Ok(Number::TooLarge(number)) if number.gt(0)? => Ok(Ref::boolean(false)),
        Ok(_) => Err(raise(raised)),
        Err(other) => {
            drop(other.take());
            Err(raise(raised))
        }
    }
}

/// What stands for a descriptor.
enum Number<'py> {
    /// A number as descriptors have it, or a negative one.
    Usual(RawFd),
    /// One beyond what the system counts with.
    TooLarge(Bound<'py, PyAny>),
}

/// The number of a descriptor, or of an object that has one.
///
/// # Errors
/// `ValueError` in the words of CPython's `selectors`, `OverflowError` in those of `select`.
pub(crate) fn descriptor(py: Python<'_>, file: &Object) -> Outcome<RawFd> {
    match number(py, file)? {
        Number::Usual(fd) if fd >= 0 => Ok(fd),
        Number::Usual(fd) => Err(invalid(&fd)),
        Number::TooLarge(number) if number.lt(0)? => Err(invalid(&number)),
        Number::TooLarge(_) => {
            let text = "Python int too large to convert to C int";
            Err(PyOverflowError::new_err(text).into())
        }
    }
}

#[cold]
fn invalid(number: &impl std::fmt::Display) -> Raised {
    PyValueError::new_err(format!("Invalid file descriptor: {number}")).into()
}

/// The number without a look at its sign.
fn number<'py>(py: Python<'py>, file: &Object) -> Outcome<Number<'py>> {
    let bound = file.bind(py);
    if bound.is_instance_of::<PyInt>() {
        return usual_or_not(&bound);
    }
    let asked = bound
        .call_method0(names::fileno(py))
        .and_then(|number| number.call_method0(pyo3::intern!(py, "__int__")));
    asked
        .map_err(|error: PyErr| {
            // Not dropped as a `PyErr`, which would keep it, and `file` with it, until a loop runs.
            let error = Raised::from(error).take();
            let kind = error.bind(py);
            let known = kind.is_instance_of::<PyAttributeError>()
                || kind.is_instance_of::<PyTypeError>()
                || kind.is_instance_of::<PyValueError>();
            if !known {
                return raise(error);
            }
            let text = text_of(py, file);
            PyValueError::new_err(format!("Invalid file object: {text}")).into()
        })
        .and_then(|number| usual_or_not(&number))
}

fn usual_or_not<'py>(number: &Bound<'py, PyAny>) -> Outcome<Number<'py>> {
    match number.extract::<RawFd>() {
        Ok(fd) => Ok(Number::Usual(fd)),
        Err(error) if error.is_instance_of::<PyOverflowError>(number.py()) => {
            drop(Raised::from(error).take());
            Ok(Number::TooLarge(number.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses when a transport that is not closing uses the descriptor.
///
/// # Errors
/// `RuntimeError` with CPython's words, `ValueError` for what is no descriptor.
pub(crate) fn ensure_no_transport(
    py: Python<'_>,
    this: &Instance<Engine>,
    file: &Object,
) -> Outcome<()> {
    let Number::Usual(fd) = number(py, file)? else {
        return Ok(());
    };
    let Some(transports) = attribute_if_any(py, this.object(), names::transports(py))? else {
        return Ok(());
    };
    let Ok(fd) = fd.into_pyobject(py);
    if is_free(py, &transports, object(&fd))? {
        return Ok(());
    }
    let transport = call_method(py, &transports, names::get(py), &[object(&fd)])?;
    if transport.is_none() || !is_true(py, &transport)? {
        return Ok(());
    }
    if is_true(
        py,
        &*call_method(py, &transport, names::is_closing(py), &[])?,
    )? {
        return Ok(());
    }
    let (file, transport) = (file.bind(py).repr()?, transport.bind(py).repr()?);
    Err(PyRuntimeError::new_err(format!(
        "File descriptor {file} is used by transport {transport}"
    ))
    .into())
}

/// Whether our own table of weak references says that nobody has the descriptor; any other table has to be asked.
fn is_free(py: Python<'_>, transports: &Object, fd: &Object) -> Outcome<bool> {
    let transports = transports.bind(py);
    match transports.cast::<PyDict>() {
        Ok(table) if !table.is_exact_instance_of::<PyDict>() => {
            match table.get_item(fd.bind(py))? {
                Some(reference) => Ok(referent(py, object(&reference))?.is_none()),
                None => Ok(true),
            }
        }
        _ => Ok(false),
    }
}
