//! Feeds asyncio's own `StreamReaderProtocol` and `StreamReader`, when both are just that.
//!
//! Does natively what `data_received`, `feed_data` and `_wakeup_waiter` do with their attributes. Whatever has been
//! replaced, on a class or on an instance, and whatever is rare, takes the ordinary way: a call of `data_received`.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::waiter;
use crate::ffi::{
    Object, Outcome, Ref, Unchanged, attribute, bytearray_len, extend_bytearray, is_bytearray,
    is_true, referent, set_attribute,
};
use crate::names;

/// The methods of asyncio's two classes that are not called, as they were at import.
struct Stock {
    protocol: Unchanged,
    reader: Unchanged,
    writer: Unchanged,
}

static STOCK: OnceLock<Stock> = OnceLock::new();

// Where the methods stand in what `learn` asks for.
const DATA_RECEIVED: usize = 0;
const FEED_DATA: usize = 0;
const WAKEUP_WAITER: usize = 1;

/// Remembers the methods of asyncio's classes.
///
/// # Errors
/// When asyncio's streams are otherwise than we know.
pub(super) fn learn(
    py: Python<'_>,
    reader: &Object,
    writer: &Object,
    protocol: &Object,
) -> Outcome<()> {
    let stream_reader = pyo3::intern!(py, "_stream_reader");
    let stock = Stock {
        protocol: Unchanged::of(py, protocol, &[names::data_received(py), stream_reader])?,
        reader: Unchanged::of(
            py,
            reader,
            &[names::feed_data(py), names::wakeup_waiter(py)],
        )?,
        writer: Unchanged::of(py, writer, &[])?,
    };
    let _ = STOCK.set(stock);
    Ok(())
}

/// asyncio's own reader class.
pub(super) fn reader_class() -> Option<&'static Object> {
    STOCK.get().map(|stock| stock.reader.class())
}

/// asyncio's own writer class.
pub(super) fn writer_class() -> Option<&'static Object> {
    STOCK.get().map(|stock| stock.writer.class())
}

/// Whether `protocol` is of asyncio's own class.
pub(super) fn is_stock(protocol: &Object) -> bool {
    STOCK
        .get()
        .is_some_and(|stock| stock.protocol.is_class_of(protocol))
}

/// Gives the protocol's reader bytes; false when `data_received` has to be called.
///
/// # Errors
/// What `feed_data` would raise.
pub(super) fn feed(py: Python<'_>, protocol: &Object, data: &[u8]) -> Outcome<bool> {
    let Some(stock) = STOCK.get() else {
        return Ok(false);
    };
    let known = &stock.protocol;
    if !known.is_class_of(protocol)
        || !known.holds(py, protocol)
        || !known.is_method_of(py, protocol, DATA_RECEIVED)?
    {
        return Ok(false);
    }
    let reference = attribute(py, protocol, names::stream_reader_wr(py))?;
    if reference.is_none() {
        return Ok(true);
    }
    match referent(py, &reference)? {
        Some(reader) => feed_reader(py, &stock.reader, &reader, data),
        None => Ok(true),
    }
}

fn feed_reader(py: Python<'_>, known: &Unchanged, reader: &Object, data: &[u8]) -> Outcome<bool> {
    if !known.is_class_of(reader)
        || !known.holds(py, reader)
        || !known.is_method_of(py, reader, FEED_DATA)?
        || !known.is_method_of(py, reader, WAKEUP_WAITER)?
        || is_true(py, &*attribute(py, reader, names::private_eof(py))?)?
    {
        return Ok(false);
    }
    let buffer = attribute(py, reader, names::private_buffer(py))?;
    let limit = attribute(py, reader, names::private_limit(py))?;
    if !is_bytearray(&buffer) || !leaves_room(py, &limit, bytearray_len(&buffer) + data.len()) {
        return Ok(false);
    }
    extend_bytearray(py, &buffer, data)?;
    let waiter = attribute(py, reader, names::private_waiter(py))?;
    if waiter.is_none() {
        return Ok(true);
    }
    set_attribute(py, reader, names::private_waiter(py), &Ref::none())?;
    waiter::wake(py, &waiter)?;
    Ok(true)
}

/// Whether a reader with this limit would not pause its transport.
#[inline]
fn leaves_room(py: Python<'_>, limit: &Object, length: usize) -> bool {
    let limit = limit.bind(py);
    limit.is_exact_instance_of::<PyInt>()
        && limit
            .extract::<usize>()
            .is_ok_and(|limit| length <= limit.saturating_mul(2))
}
