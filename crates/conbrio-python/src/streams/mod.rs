//! Streams: a reader that owns its buffer, a writer, and the protocol between them and a transport.
//!
//! The door: which protocols a transport feeds without a call, and the classes. What runs once per connection stays
//! asyncio's own code, which the package derives from; what runs per read and write is here.

mod attempt;
mod protocol;
mod reader;
mod reader_class;
mod reading;
mod stock;
mod waiter;
mod writer;

use std::sync::OnceLock;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::ffi::{
    Class as _, Instance, Object, Outcome, Raised, Ref, Unchanged, attribute, call, object,
};
use crate::protocol::{Fed, feed_by};

/// The package's classes, and their methods that native code relies on, as they were at import.
pub(crate) struct Ours {
    reader: Unchanged,
    protocol: Unchanged,
}

static OURS: OnceLock<Ours> = OnceLock::new();

/// The package's classes, once they are made.
#[inline]
fn ours() -> Option<&'static Ours> {
    OURS.get()
}

/// Says which classes are asyncio's: `StreamReader`, `StreamWriter` and `StreamReaderProtocol`.
#[pyfunction]
#[pyo3(name = "_know_stock_streams")]
pub(crate) fn know_stock_streams(
    reader: &Bound<'_, PyAny>,
    writer: &Bound<'_, PyAny>,
    protocol: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = protocol.py();
    stock::learn(py, object(reader), object(writer), object(protocol))?;
    feed_by(Fed {
        recognise,
        feeds: [protocol::feed, stock::feed],
    });
    Ok(())
}

/// Says which Python classes derive from the native ones, in the same order.
#[pyfunction]
#[pyo3(name = "_set_stream_classes")]
pub(crate) fn set_stream_classes(
    reader: &Bound<'_, PyAny>,
    writer: &Bound<'_, PyAny>,
    protocol: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = reader.py();
    reader::Reader::state().expect(object(reader));
    writer::Writer::state().expect(object(writer));
    protocol::StreamProtocol::state().expect(object(protocol));
    let intern = |name| PyString::intern(py, name);
    let of_reader = [
        "feed_data",
        "feed_eof",
        "exception",
        "set_exception",
        "readline",
        "readuntil",
        "readexactly",
        "read",
        "_wakeup_waiter",
        "_wait_for_data",
        "_maybe_resume_transport",
    ]
    .map(intern);
    let of_protocol = ["data_received", "_stream_reader", "_drain_helper"].map(intern);
    let learn = |class: &Bound<'_, PyAny>, names: &[Bound<'_, PyString>]| {
        let names: Vec<&Bound<'_, PyString>> = names.iter().collect();
        Unchanged::of(py, object(class), &names)
    };
    let _ = OURS.set(Ours {
        reader: learn(reader, &of_reader)?,
        protocol: learn(protocol, &of_protocol)?,
    });
    Ok(())
}

/// By which of the feeds a transport feeds `protocol`, if that is known.
fn recognise(protocol: &Object) -> Option<u8> {
    if Instance::<protocol::StreamProtocol>::of(protocol).is_some() {
        return Some(0);
    }
    stock::is_stock(protocol).then_some(1)
}

/// Makes the classes.
///
/// # Errors
/// When one cannot be made.
pub(crate) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("StreamReader", reader_class::class(py)?)?;
    module.add("StreamWriter", writer::class(py)?)?;
    module.add("StreamReaderProtocol", protocol::class(py)?)?;
    Ok(())
}

/// asyncio's own reader class.
fn stock_reader_class() -> Outcome<&'static Object> {
    stock::reader_class().ok_or_else(|| PyRuntimeError::new_err("streams are not known").into())
}

/// A method of asyncio's own reader class.
fn stock_reader_method(py: Python<'_>, name: &Bound<'_, PyString>) -> Outcome<Ref> {
    attribute(py, stock_reader_class()?, name)
}

/// Calls asyncio's own method `name` with a reader that is not plain.
#[cold]
fn ordinary_reader(
    py: Python<'_>,
    reader: &Object,
    name: &Bound<'_, PyString>,
    args: &[&Object],
) -> Outcome<Ref> {
    let method = stock_reader_method(py, name)?;
    let all: Vec<&Object> = std::iter::once(reader)
        .chain(args.iter().copied())
        .collect();
    call(py, &method, &all)
}

/// Calls asyncio's own method `name` with a writer.
#[cold]
fn ordinary_writer(py: Python<'_>, writer: &Object, name: &Bound<'_, PyString>) -> Outcome<Ref> {
    let class = stock::writer_class()
        .ok_or_else(|| Raised::from(PyRuntimeError::new_err("streams are not known")))?;
    call(py, &*attribute(py, class, name)?, &[writer])
}
