//! The native half of `StreamWriter`: writes go straight to a transport of ours, and `drain` costs nothing while there is room.

use std::cell::Cell;
use std::mem::offset_of;

use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods, PyString, PyTuple};

use super::protocol::StreamProtocol;
use super::reader::Reader;
use crate::ffi::{
    Args, Builder, Class, ClassState, Instance, Object, Outcome, Parameters, Ref, Slot, Visit,
    call_method, kept, object,
};
use crate::names;
use crate::op;
use crate::transport::StreamTransport;

/// The native half of a `StreamWriter`.
#[repr(C)]
pub(super) struct Writer {
    dict: Slot,
    weak_references: Cell<usize>,
    transport: Slot,
    protocol: Slot,
    reader: Slot,
    event_loop: Slot,
    /// asyncio keeps a future that is done; made when somebody asks.
    complete: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for Writer {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.StreamWriter";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
    }
}

impl Writer {
    const ATTRIBUTES: (usize, usize) = (offset_of!(Self, dict), offset_of!(Self, weak_references));

    fn slots(&self) -> [&Slot; 6] {
        [
            &self.dict,
            &self.transport,
            &self.protocol,
            &self.reader,
            &self.event_loop,
            &self.complete,
        ]
    }
}

/// The native half of `StreamWriter`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let (dict, weak_references) = Writer::ATTRIBUTES;
    let builder = Builder::<Writer>::new(
        c"StreamWriter(transport, protocol, reader, loop)\n--\n\nThe native half of conbrio.StreamWriter.",
    )
    .subclassable()
    .with_attributes(dict, weak_references)
    .new_with(|_, _, _| {
        Ok(Writer {
            dict: Slot::empty(),
            weak_references: Cell::new(0),
            transport: Slot::empty(),
            protocol: Slot::empty(),
            reader: Slot::empty(),
            event_loop: Slot::empty(),
            complete: Slot::empty(),
        })
    })
    .init(init);
    attributes(ending(writing(builder))).create(py, None)
}

fn init(
    py: Python<'_>,
    this: &Instance<Writer>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let args = args
        .bind(py)
        .cast::<PyTuple>()
        .map_err(PyErr::from)?
        .to_owned();
    let keywords = keywords.map(|keywords| keywords.bind(py).to_owned().cast_into::<PyDict>());
    let keywords = keywords.transpose().map_err(PyErr::from)?;
    let names = ["transport", "protocol", "reader", "loop"];
    let given = args.len() + keywords.as_ref().map_or(0, PyDictMethods::len);
    let mut values = [const { None }; 4];
    for (index, (value, name)) in values.iter_mut().zip(names).enumerate() {
        let keyword = keywords.as_ref().map(|keywords| keywords.get_item(name));
        *value = args.get_item(index).ok().or(keyword.transpose()?.flatten());
    }
    let [
        Some(transport),
        Some(protocol),
        Some(reader),
        Some(event_loop),
    ] = &values
    else {
        return Err(wrong_arguments());
    };
    if given != 4 {
        return Err(wrong_arguments());
    }
    // CPython: these two stand when the reader is refused.
    this.transport.keep(Some(object(transport)));
    this.protocol.keep(Some(object(protocol)));
    let is_reader = reader.is_none()
        || Instance::<Reader>::of(object(reader)).is_some()
        || reader.is_instance(&super::stock_reader_class()?.bind(py))?;
    if !is_reader {
        return Err(PyAssertionError::new_err(()).into());
    }
    this.complete.clear();
    for (slot, value) in [(&this.reader, reader), (&this.event_loop, event_loop)] {
        slot.keep(Some(object(value)));
    }
    Ok(())
}

#[cold]
fn wrong_arguments() -> crate::ffi::Raised {
    pyo3::exceptions::PyTypeError::new_err(
        "StreamWriter.__init__() takes 4 arguments: 'transport', 'protocol', 'reader', and 'loop'",
    )
    .into()
}

impl Instance<Writer> {
    /// Calls a method of the transport.
    fn ask(&self, py: Python<'_>, name: &Bound<'_, PyString>, args: &[&Object]) -> Outcome<Ref> {
        call_method(py, &self.transport.share_or_none(), name, args)
    }
}

/// The only argument of `function`, by position or by name.
#[inline]
fn only<'a>(
    args: Args<'a>,
    function: &'static str,
    name: &Bound<'_, PyString>,
) -> Outcome<&'a Object> {
    if let ([only], false) = (args.positional(), args.has_keywords()) {
        return Ok(only);
    }
    let parameters = Parameters {
        function,
        names: [name],
        positional: 1,
        required: 1,
    };
    match args.parse(&parameters)? {
        [Some(only)] => Ok(only),
        [None] => Err(wrong_arguments()),
    }
}

fn writing(builder: Builder<Writer>) -> Builder<Writer> {
    builder
        .method(
            c"write",
            c"write($self, data)\n--\n\nSends data; does not wait.",
            |py, this, args| {
                let data = only(args, "StreamWriter.write", pyo3::intern!(py, "data"))?;
                let transport = this.transport.share_or_none();
                match StreamTransport::plain(&transport) {
                    Some(transport) => transport.write(py, data)?,
                    None => call_method(py, &transport, names::write(py), &[data])?,
                };
                Ok(Ref::none())
            },
        )
        .method(
            c"writelines",
            c"writelines($self, data)\n--\n\nSends several pieces of data.",
            |py, this, args| {
                let data = only(args, "StreamWriter.writelines", pyo3::intern!(py, "data"))?;
                this.ask(py, names::writelines(py), &[data])?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"write_eof",
            c"write_eof($self)\n--\n\nSends no more after what is owed.",
            |py, this| this.ask(py, pyo3::intern!(py, "write_eof"), &[]),
        )
        .plain(
            c"can_write_eof",
            c"can_write_eof($self)\n--\n\nTells whether write_eof() can be called.",
            |py, this| this.ask(py, pyo3::intern!(py, "can_write_eof"), &[]),
        )
        .plain(
            c"drain",
            c"drain($self)\n--\n\nWaits until there is room to write.",
            drain,
        )
        .coroutine()
}

/// `drain()`: nothing to wait for when both ends are ours and there is room, else asyncio's own coroutine.
fn drain(py: Python<'_>, this: &Instance<Writer>) -> Outcome<Ref> {
    if has_room(py, this) {
        return op::drained(py);
    }
    super::ordinary_writer(py, this.object(), pyo3::intern!(py, "drain"))
}

#[inline]
fn has_room(py: Python<'_>, this: &Instance<Writer>) -> bool {
    if let Some(reader) = this.reader.share() {
        let calm = Instance::<Reader>::of(&reader)
            .is_some_and(|reader| reader.exception.is_empty() && reader.is_plain(py));
        if !calm {
            return false;
        }
    }
    let transport = this.transport.share();
    let open = transport.is_some_and(|transport| {
        StreamTransport::plain(&transport).is_some_and(|transport| !transport.is_closing())
    });
    let protocol = this.protocol.share();
    open && protocol.is_some_and(|protocol| {
        Instance::<StreamProtocol>::of(&protocol)
            .is_some_and(|protocol| protocol.has_room() && protocol.is_plain(py))
    })
}

fn ending(builder: Builder<Writer>) -> Builder<Writer> {
    builder
        .plain(
            c"close",
            c"close($self)\n--\n\nSends what is owed, then ends the connection.",
            |py, this| this.ask(py, names::close(py), &[]),
        )
        .plain(
            c"is_closing",
            c"is_closing($self)\n--\n\nTells whether the connection ends or has ended.",
            |py, this| this.ask(py, names::is_closing(py), &[]),
        )
        .method(
            c"get_extra_info",
            c"get_extra_info($self, name, default=None)\n--\n\nOptional information of the transport.",
            |py, this, args| {
                let parameters = Parameters {
                    function: "StreamWriter.get_extra_info",
                    names: [names::name(py), names::default(py)],
                    positional: 2,
                    required: 1,
                };
                let [Some(name), default] = args.parse(&parameters)? else {
                    return Ok(Ref::none());
                };
                let none = Ref::none();
                let default = default.unwrap_or(&none);
                this.ask(py, pyo3::intern!(py, "get_extra_info"), &[name, default])
            },
        )
}

fn attributes(builder: Builder<Writer>) -> Builder<Writer> {
    let builder = kept!(builder, c"_transport", c"The transport.", transport);
    let builder = kept!(builder, c"_protocol", c"The protocol.", protocol);
    let builder = kept!(builder, c"_reader", c"The reader.", reader);
    let builder = kept!(builder, c"_loop", c"The loop.", event_loop);
    builder
        .getter(c"transport", c"The transport.", |_, this| {
            Ok(this.transport.share_or_none())
        })
        .property(
            c"_complete_fut",
            c"A future that is done.",
            |py, this| {
                if let Some(complete) = this.complete.share() {
                    return Ok(complete);
                }
                let event_loop = this.event_loop.share_or_none();
                let future = call_method(py, &event_loop, names::create_future(py), &[])?;
                call_method(py, &future, names::set_result(py), &[&Ref::none()])?;
                this.complete.set(future.share());
                Ok(future)
            },
            |_, this, value| {
                this.complete.keep(value);
                Ok(())
            },
        )
}
