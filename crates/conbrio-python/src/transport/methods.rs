//! The Python class: every method and attribute, a line or two each.

use std::fmt::Write as _;

use pyo3::prelude::*;

use super::attributes::or_none;
use super::life::{abort, close};
use super::write::{write, write_eof, write_ready, writelines};
use super::{StreamTransport, attributes, ending, extra, flow, make, read};
use crate::ffi::layout::prove_transports;
use crate::ffi::{Builder, Instance, Outcome, Parameters, Ref, call, call_method, none};
use crate::names;

/// The class `StreamTransport`.
///
/// # Errors
/// When it cannot be made, or asyncio's transports are laid out otherwise than we know.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    prove_transports(py)?;
    // Imported now: transports say their last words even when nothing can be imported any more.
    names::warn(py)?;
    let base = names::flow_control(py)?;
    extra::remember(py)?;
    let (dict, weak_references) = StreamTransport::ATTRIBUTES;
    let builder = Builder::<StreamTransport>::new(
        c"The two directions of a connected stream socket; made by the loop.",
    )
    .with_attributes(dict, weak_references)
    .new_with(|_, _, _| Ok(StreamTransport::unmade()))
    .init(make::init);
    let builder = flow::add(internals(writing(reading(builder))));
    let builder = ending::add(attributes::add(builder));
    builder.create(py, Some(&base.bind(py)))
}

fn reading(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    builder
        .plain(c"is_reading", c"is_reading($self)\n--\n\nTells whether bytes are received.", |_, this| {
            Ok(Ref::boolean(this.is_reading()))
        })
        .plain(c"pause_reading", c"pause_reading($self)\n--\n\nReceives nothing until resume_reading().", |py, this| {
            none(this.pause_reading(py))
        })
        .plain(c"resume_reading", c"resume_reading($self)\n--\n\nReceives again.", |py, this| {
            none(this.resume_reading(py))
        })
        .named(c"set_protocol", c"set_protocol($self, protocol)\n--\n\nMakes protocol the one that hears.",|py| ("set_protocol", names::protocol(py)), |py, this, protocol| {
            none(this.protocol.set(py, protocol))
        })
        .plain(c"get_protocol", c"get_protocol($self)\n--\n\nThe protocol.", |_, this| Ok(or_none(this.protocol.share())))
        .method(
            c"get_extra_info",
            c"get_extra_info($self, name, default=None)\n--\n\nOptional information: socket, sockname, peername.",
            |py, this, args| {
                let parameters = Parameters {
                    function: "get_extra_info",
                    names: [names::name(py), names::default(py)],
                    positional: 2,
                    required: 1,
                };
                let [Some(name), default] = args.parse(&parameters)? else {
                    return Ok(Ref::none());
                };
                match (extra::replacement(py, this)?, default) {
                    (None, _) => extra::get(py, this, name, default),
                    (Some(method), None) => call(py, &method, &[name]),
                    (Some(method), Some(default)) => call(py, &method, &[name, default]),
                }
            },
        )
}

fn writing(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    builder
        .named(
            c"write",
            c"write($self, data)\n--\n\nSends data, bytes-like; does not wait.\n\nRaises TypeError for what is no bytes, RuntimeError after write_eof(). As asyncio.WriteTransport.write. Not thread-safe.",
            |py| ("write", names::data(py)),
            write,
        )
        .named(
            c"writelines",
            c"writelines($self, list_of_data)\n--\n\nSends several pieces of data.\n\nRaises as write() does. As asyncio.WriteTransport.writelines. Not thread-safe.",
            |py| ("writelines", names::list_of_data(py)),
            writelines,
        )
        .plain(
            c"write_eof",
            c"write_eof($self)\n--\n\nSends no more after what is owed.",
            write_eof,
        )
        .plain(
            c"can_write_eof",
            c"can_write_eof($self)\n--\n\nTrue.",
            |_, _| Ok(Ref::boolean(true)),
        )
        .plain(
            c"close",
            c"close($self)\n--\n\nSends what is owed, then ends the connection.",
            |py, this| none(close(py, this)),
        )
        .plain(
            c"abort",
            c"abort($self)\n--\n\nEnds the connection at once; what is owed is dropped. As asyncio.WriteTransport.abort.",
            |py, this| none(abort(py, this)),
        )
        .plain(
            c"is_closing",
            c"is_closing($self)\n--\n\nTells whether the connection ends or has ended.",
            |_, this| Ok(Ref::boolean(this.life.closing.get())),
        )
}

/// What asyncio's own modules call on a transport.
fn internals(builder: Builder<StreamTransport>) -> Builder<StreamTransport> {
    builder
        .plain(
            c"_make_empty_waiter",
            c"_make_empty_waiter($self)\n--\n\nA future: nothing is owed.",
            make_empty_waiter,
        )
        .plain(
            c"_reset_empty_waiter",
            c"_reset_empty_waiter($self)\n--\n\nForgets that future.",
            |_, this| {
                this.empty_waiter.clear();
                Ok(Ref::none())
            },
        )
        .plain(
            c"_read_ready",
            c"_read_ready($self)\n--\n\nReads once.",
            |py, this| none(read::heard(py, this.own())),
        )
        .plain(
            c"_write_ready",
            c"_write_ready($self)\n--\n\nSends what is owed.",
            |py, this| none(write_ready(py, this)),
        )
        .plain(
            c"_settle",
            c"_settle($self)\n--\n\nSends at once what would be sent at the end of the turn.",
            |py, this| {
                this.protocol.send_last(py);
                none(this.settle(py))
            },
        )
}

fn make_empty_waiter(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<Ref> {
    if !this.empty_waiter.is_empty() {
        return Err(
            pyo3::exceptions::PyRuntimeError::new_err("Empty waiter is already set").into(),
        );
    }
    this.settle(py)?;
    let waiter = call_method(
        py,
        &this.fields.event_loop.share_or_none(),
        names::create_future(py),
        &[],
    )?;
    this.empty_waiter.set(waiter.share());
    if this.owed(py) == 0 {
        this.tell_waiter(py, None)?;
    }
    Ok(waiter)
}

/// `repr(transport)`, with CPython's fields.
pub(super) fn text(py: Python<'_>, this: &Instance<StreamTransport>) -> String {
    let name = this
        .object()
        .bind(py)
        .get_type()
        .name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    let mut text = format!("<{name}");
    if !this.life.open.get() {
        text.push_str(" closed");
    } else if this.life.closing.get() {
        text.push_str(" closing");
    }
    // A string takes whatever is written into it.
    let _ = write!(text, " fd={}", this.fd.get());
    if this.engine().is_some_and(|engine| !engine.closed.get()) {
        let state = |watched: bool| if watched { "polling" } else { "idle" };
        let (read, write, owed) = (
            state(this.life.reading.get() && !this.life.paused.get()),
            state(this.life.writing.get()),
            this.owed(py),
        );
        let _ = write!(text, " read={read} write=<{write}, bufsize={owed}>");
    }
    text.push('>');
    text
}
