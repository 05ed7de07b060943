//! The class of readers: every method and attribute, a few lines each.
//!
//! A method does its work natively for a reader whose class has all of asyncio's methods as they are; for others it
//! returns what asyncio's own code does, which calls what has been replaced.

use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use super::attempt::is_plain_separator;
use super::reader::Reader;
use super::{ordinary_reader, reading};
use crate::engine::Engine;
use crate::ffi::{
    Args, Buffer, Builder, Bytes, Instance, Object, Outcome, Parameters, Ref, bytes, call, flag,
    kept, none, object,
};
use crate::names;

/// The native half of `StreamReader`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let (dict, weak_references) = Reader::ATTRIBUTES;
    let builder = Builder::<Reader>::new(
        c"StreamReader(limit=65536, loop=None)\n--\n\nThe native half of conbrio.StreamReader.",
    )
    .subclassable()
    .with_attributes(dict, weak_references)
    .new_with(|_, _, _| Ok(Reader::unmade()))
    .init(init);
    let builder = internals(feeding(reading_methods(builder)));
    attributes(flags(builder)).create(py, None)
}

fn init(
    py: Python<'_>,
    this: &Instance<Reader>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    if let Some((limit, event_loop)) = usual_arguments(py, args, keywords)? {
        if limit <= 0 {
            return Err(PyValueError::new_err("Limit cannot be <= 0").into());
        }
        reset(py, this, limit.unsigned_abs())?;
        this.event_loop.set(event_loop);
        return Ok(());
    }
    reset(py, this, 1)?;
    let init = super::stock_reader_method(py, pyo3::intern!(py, "__init__"))?;
    let args = args.bind(py).cast::<PyTuple>().map_err(PyErr::from)?;
    let mut all = vec![this.object().bind(py).to_owned()];
    all.extend(args.iter());
    let all = PyTuple::new(py, all)?;
    let keywords = keywords.map(|keywords| keywords.bind(py).to_owned());
    let keywords = keywords
        .map(|keywords| keywords.cast_into::<PyDict>().map_err(PyErr::from))
        .transpose()?;
    init.bind(py).call(all, keywords.as_ref())?;
    Ok(())
}

/// The limit and the loop, the running one if none is given, if both are plain and it is one of ours that debugs nothing.
fn usual_arguments(
    py: Python<'_>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<Option<(isize, Ref)>> {
    let args = args
        .bind(py)
        .cast::<PyTuple>()
        .map_err(PyErr::from)?
        .to_owned();
    let (mut limit, mut event_loop) = (args.get_item(0).ok(), args.get_item(1).ok());
    if args.len() > 2 {
        return Ok(None);
    }
    if let Some(keywords) = keywords {
        let keywords = keywords
            .bind(py)
            .cast::<PyDict>()
            .map_err(PyErr::from)?
            .to_owned();
        for (name, value) in keywords.iter() {
            let name = name.cast::<PyString>().map_err(PyErr::from)?.to_string();
            match (name.as_str(), &limit, &event_loop) {
                ("limit", None, _) => limit = Some(value),
                ("loop", _, None) => event_loop = Some(value),
                _ => return Ok(None),
            }
        }
    }
    let event_loop = match event_loop.filter(|given| !given.is_none()) {
        Some(given) => given,
        None => call(py, names::get_running_loop(py)?, &[])?
            .bind(py)
            .to_owned(),
    };
    let is_ours =
        Instance::<Engine>::of(object(&event_loop)).is_some_and(|engine| !engine.debug.get());
    let limit = match limit {
        None => Some(64 * 1024),
        Some(limit) if limit.is_exact_instance_of::<PyInt>() => limit.extract::<isize>().ok(),
        Some(_) => None,
    };
    Ok(limit
        .filter(|_| is_ours)
        .map(|limit| (limit, event_loop.into())))
}

/// What `__init__` sets anew.
fn reset(py: Python<'_>, this: &Instance<Reader>, limit: usize) -> Outcome<()> {
    let Ok(limit) = limit.into_pyobject(py);
    this.set_limit(py, object(&limit))?;
    this.with(py, conbrio_core::lines::Lines::clear)?;
    for slot in [&this.waiter, &this.exception, &this.transport] {
        slot.clear();
    }
    this.eof.set(false);
    this.paused.set(false);
    Ok(())
}

/// The only argument of `function`, by position or by name.
fn only<'a>(
    args: Args<'a>,
    function: &'static str,
    name: &Bound<'_, PyString>,
    required: usize,
) -> Outcome<Option<&'a Object>> {
    if let ([only], false) = (args.positional(), args.has_keywords()) {
        return Ok(Some(only));
    }
    let parameters = Parameters {
        function,
        names: [name],
        positional: 1,
        required,
    };
    Ok(args.parse(&parameters)?[0])
}

/// A whole number that is no bool nor anything else.
fn count_of(py: Python<'_>, number: &Object) -> Option<isize> {
    let number = number.bind(py);
    number
        .is_exact_instance_of::<PyInt>()
        .then(|| number.extract::<isize>().ok())
        .flatten()
}

fn reading_methods(builder: Builder<Reader>) -> Builder<Reader> {
    builder
        .plain(
            c"readline",
            c"readline($self)\n--\n\nReads up to the end of the line.",
            |py, this| {
                if this.is_plain(py) {
                    reading::new(py, this, &reading::LINE, None, 0)
                } else {
                    ordinary_reader(py, this.object(), pyo3::intern!(py, "readline"), &[])
                }
            },
        )
        .coroutine()
        .method(
            c"readuntil",
            c"readuntil($self, separator=b'\\n')\n--\n\nReads up to the end of the separator.",
            readuntil,
        )
        .coroutine()
        .method(
            c"readexactly",
            c"readexactly($self, n)\n--\n\nReads n bytes.",
            readexactly,
        )
        .coroutine()
        .method(
            c"read",
            c"read($self, n=-1)\n--\n\nReads at most n bytes, or all up to the end.",
            read,
        )
        .coroutine()
        .plain(
            c"__anext__",
            c"__anext__($self)\n--\n\nThe next line.",
            |py, this| {
                if this.is_plain(py) {
                    reading::new(py, this, &reading::NEXT, None, 0)
                } else {
                    ordinary_reader(py, this.object(), pyo3::intern!(py, "__anext__"), &[])
                }
            },
        )
        .coroutine()
}

fn readuntil(py: Python<'_>, this: &Instance<Reader>, args: Args<'_>) -> Outcome<Ref> {
    let name = pyo3::intern!(py, "separator");
    let separator = match only(args, "StreamReader.readuntil", name, 0)? {
        Some(separator) => separator.share(),
        None => bytes(py, b"\n")?,
    };
    if this.is_plain(py) && is_plain_separator(&separator) {
        return reading::new(py, this, &reading::UNTIL, Some(separator), 0);
    }
    let method = pyo3::intern!(py, "readuntil");
    ordinary_reader(py, this.object(), method, &[&separator])
}

fn readexactly(py: Python<'_>, this: &Instance<Reader>, args: Args<'_>) -> Outcome<Ref> {
    let name = pyo3::intern!(py, "n");
    let Some(number) = only(args, "StreamReader.readexactly", name, 1)? else {
        return Ok(Ref::none());
    };
    match count_of(py, number).map(usize::try_from) {
        Some(Ok(count)) if this.is_plain(py) => {
            reading::new(py, this, &reading::EXACTLY, None, count)
        }
        _ => {
            let method = pyo3::intern!(py, "readexactly");
            ordinary_reader(py, this.object(), method, &[number])
        }
    }
}

fn read(py: Python<'_>, this: &Instance<Reader>, args: Args<'_>) -> Outcome<Ref> {
    let number = only(args, "StreamReader.read", pyo3::intern!(py, "n"), 0)?;
    let count = number.map_or(Some(-1), |number| count_of(py, number));
    if let Some(count) = count
        && this.is_plain(py)
    {
        return match usize::try_from(count) {
            Ok(count) => reading::new(py, this, &reading::SOME, None, count),
            Err(_) => reading::new(py, this, &reading::ALL, None, 0),
        };
    }
    let method = pyo3::intern!(py, "read");
    match number {
        Some(number) => ordinary_reader(py, this.object(), method, &[number]),
        None => ordinary_reader(py, this.object(), method, &[]),
    }
}

fn feeding(builder: Builder<Reader>) -> Builder<Reader> {
    builder
        .method(
            c"feed_data",
            c"feed_data($self, data)\n--\n\nAdds received bytes.",
            feed_data,
        )
        .plain(
            c"feed_eof",
            c"feed_eof($self)\n--\n\nSays that there are no more bytes.",
            |py, this| {
                if this.is_plain(py) {
                    none(this.feed_eof(py))
                } else {
                    ordinary_reader(py, this.object(), pyo3::intern!(py, "feed_eof"), &[])
                }
            },
        )
        .plain(
            c"at_eof",
            c"at_eof($self)\n--\n\nTells whether everything was read and no more comes.",
            |py, this| Ok(Ref::boolean(this.eof.get() && this.held(py) == 0)),
        )
        .plain(
            c"exception",
            c"exception($self)\n--\n\nWhat set_exception() was given.",
            |_, this| Ok(this.exception.share_or_none()),
        )
        .method(
            c"set_exception",
            c"set_exception($self, exc)\n--\n\nLets reads raise exc.",
            |py, this, args| match only(args, "StreamReader.set_exception", names::exc(py), 1)? {
                Some(exception) => none(this.set_exception(py, exception)),
                None => Ok(Ref::none()),
            },
        )
        .method(
            c"set_transport",
            c"set_transport($self, transport)\n--\n\nSays which transport to pause.",
            |py, this, args| {
                let name = pyo3::intern!(py, "transport");
                if !this.transport.is_empty() {
                    return Err(PyAssertionError::new_err("Transport already set").into());
                }
                if let Some(transport) = only(args, "StreamReader.set_transport", name, 1)? {
                    this.transport.keep(Some(transport));
                }
                Ok(Ref::none())
            },
        )
}

/// What asyncio's own code calls on a reader.
fn internals(builder: Builder<Reader>) -> Builder<Reader> {
    builder
        .plain(
            c"_wakeup_waiter",
            c"_wakeup_waiter($self)\n--\n\nWakes who waits for bytes.",
            |py, this| none(this.wake(py)),
        )
        .plain(
            c"_maybe_resume_transport",
            c"_maybe_resume_transport($self)\n--\n\nLets the transport go on when little waits.",
            |py, this| none(this.maybe_resume(py)),
        )
}

fn feed_data(py: Python<'_>, this: &Instance<Reader>, args: Args<'_>) -> Outcome<Ref> {
    let name = pyo3::intern!(py, "data");
    let Some(data) = only(args, "StreamReader.feed_data", name, 1)? else {
        return Ok(Ref::none());
    };
    if this.is_plain(py) {
        if let Some(data) = Bytes::share(data) {
            return none(this.feed(py, data.as_ref()));
        }
        if crate::ffi::is_bytearray(data) {
            let data = Buffer::to_read(py, data)?.to_vec();
            return none(this.feed(py, &data));
        }
    }
    ordinary_reader(py, this.object(), names::feed_data(py), &[data])
}

fn attributes(builder: Builder<Reader>) -> Builder<Reader> {
    let builder = kept!(builder, c"_loop", c"The loop.", event_loop);
    let builder = kept!(builder, c"_transport", c"The transport.", transport);
    let builder = kept!(builder, c"_exception", c"What reads raise.", exception);
    builder
        .property(
            c"_buffer",
            c"The received bytes.",
            |py, this| this.show_buffer(py),
            |py, this, value| match value {
                Some(value) => this.replace_buffer(py, value),
                None => this.with(py, conbrio_core::lines::Lines::clear),
            },
        )
        .property(
            c"_limit",
            c"How long a line may be.",
            |py, this| Ok(this.shown_limit(py)),
            |py, this, value| this.set_limit(py, &value.map_or_else(Ref::none, Object::share)),
        )
        .property(
            c"_waiter",
            c"The future of who waits.",
            |py, this| {
                this.outlives_waiter(py);
                Ok(this.waiter.share_or_none())
            },
            |_, this, value| {
                match value.filter(|value| !value.is_none()) {
                    Some(future) => this.wait(future.share(), 0),
                    None => this.waiter.clear(),
                }
                Ok(())
            },
        )
}

fn flags(builder: Builder<Reader>) -> Builder<Reader> {
    let builder = flag!(builder, c"_eof", c"No more bytes come.", eof);
    flag!(builder, c"_paused", c"The transport is paused.", paused)
}
