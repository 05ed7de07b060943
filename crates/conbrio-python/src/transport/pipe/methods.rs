//! What the Python classes of both ends have in common: methods, attributes and `repr`.

use std::fmt::Write as _;

use pyo3::prelude::*;

use super::{End, init};
use crate::ffi::{Builder, Instance, Object, Ref, none, object};
use crate::names;
use crate::transport::attributes::or_none;
use crate::transport::ending;

/// Begins a class with what both ends have; `close` is each one's own.
pub(super) fn shared<T: End>(builder: Builder<T>) -> Builder<T> {
    ending::add(attributes(methods(builder))).init(init)
}

fn methods<T: End>(builder: Builder<T>) -> Builder<T> {
    builder
        .plain(
            c"is_closing",
            c"is_closing($self)\n--\n\nTells whether the connection ends or has ended.",
            |_, this| Ok(Ref::boolean(this.pipe().closing.get())),
        )
        .named(
            c"set_protocol",
            c"set_protocol($self, protocol)\n--\n\nMakes protocol the one that hears.",
            |py| ("set_protocol", names::protocol(py)),
            |py, this, protocol| none(this.pipe().protocol.set(py, protocol)),
        )
        .plain(
            c"_read_ready",
            c"_read_ready($self)\n--\n\nDoes what there is to do when the descriptor is readable.",
            |py, this| none(T::read_ready(py, this)),
        )
        .plain(
            c"get_protocol",
            c"get_protocol($self)\n--\n\nThe protocol.",
            |_, this| Ok(or_none(this.pipe().protocol.share())),
        )
}

fn attributes<T: End>(builder: Builder<T>) -> Builder<T> {
    builder
        .getter(c"_pipe", c"The file, None once it is closed.", |_, this| {
            Ok(this.pipe().file.share_or_none())
        })
        .getter(c"_fileno", c"The descriptor.", |py, this| {
            let Ok(fd) = this.pipe().fd.get().into_pyobject(py);
            Ok(object(&fd).share())
        })
        .getter(
            c"_loop",
            c"The loop, None once the connection is lost.",
            |_, this| Ok(this.pipe().event_loop.share_or_none()),
        )
        .getter(
            c"_protocol",
            c"The protocol, None once the connection is lost.",
            |_, this| Ok(or_none(this.pipe().protocol.share())),
        )
        .getter(c"_closing", c"Whether the connection ends.", |_, this| {
            Ok(Ref::boolean(this.pipe().closing.get()))
        })
}

/// `repr(transport)`, with CPython's fields.
pub(super) fn text<T: End>(py: Python<'_>, this: &Instance<T>) -> String {
    let pipe = this.pipe();
    let mut text = format!("<{}", name(py, this.object()));
    let is_open = !pipe.file.is_empty();
    if !is_open {
        text.push_str(" closed");
    } else if pipe.closing.get() {
        text.push_str(" closing");
    }
    let served = pipe.engine().is_some_and(|engine| !engine.closed.get());
    let state = match (is_open, served) {
        (true, true) => this.state(py),
        (true, false) => "open".to_owned(),
        (false, _) => "closed".to_owned(),
    };
    // A string takes whatever is written into it.
    let _ = write!(text, " fd={} {state}>", pipe.fd.get());
    text
}

fn name(py: Python<'_>, object: &Object) -> String {
    let name = object.bind(py).get_type().name();
    name.map(|name| name.to_string()).unwrap_or_default()
}

/// What the engine hears, in `repr`'s words.
pub(super) fn polling(watched: bool) -> &'static str {
    if watched { "polling" } else { "idle" }
}
