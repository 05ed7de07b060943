//! The native half of `StreamReaderProtocol`: where received bytes go, and whether who writes has to wait.

use std::cell::Cell;
use std::mem::offset_of;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::ours;
use super::reader::Reader;
use crate::ffi::{
    Buffer, Builder, Bytes, Class, ClassState, Instance, Object, Outcome, Ref, Slot, Visit, call,
    flag, is_empty, kept, referent,
};
use crate::names;

/// What asyncio's code keeps in the dictionary of a protocol.
#[repr(C)]
pub(super) struct StreamProtocol {
    dict: Slot,
    weak_references: Cell<usize>,
    /// The weak reference to the reader.
    reference: Slot,
    event_loop: Slot,
    /// Made when somebody asks: hardly any writer ever waits.
    drain_waiters: Slot,
    strong_reader: Slot,
    writer: Slot,
    task: Slot,
    transport: Slot,
    callback: Slot,
    closed: Slot,
    /// Where the reader was made, in debug mode; here, since a dictionary for it would be looked through at every packet.
    source: Slot,
    rejects: Cell<bool>,
    over_ssl: Cell<bool>,
    paused: Cell<bool>,
    lost: Cell<bool>,
}

static STATE: ClassState = ClassState::new();

impl Class for StreamProtocol {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.StreamReaderProtocol";

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

impl StreamProtocol {
    /// Where the dictionary and the list of weak references lie.
    const ATTRIBUTES: (usize, usize) = (offset_of!(Self, dict), offset_of!(Self, weak_references));

    fn unmade() -> Self {
        Self {
            dict: Slot::empty(),
            weak_references: Cell::new(0),
            reference: Slot::empty(),
            event_loop: Slot::empty(),
            drain_waiters: Slot::empty(),
            strong_reader: Slot::empty(),
            writer: Slot::empty(),
            task: Slot::empty(),
            transport: Slot::empty(),
            callback: Slot::empty(),
            closed: Slot::empty(),
            source: Slot::empty(),
            rejects: Cell::new(false),
            over_ssl: Cell::new(false),
            paused: Cell::new(false),
            lost: Cell::new(false),
        }
    }

    fn slots(&self) -> [&Slot; 11] {
        [
            &self.dict,
            &self.reference,
            &self.event_loop,
            &self.drain_waiters,
            &self.strong_reader,
            &self.writer,
            &self.task,
            &self.transport,
            &self.callback,
            &self.closed,
            &self.source,
        ]
    }
}

impl Instance<StreamProtocol> {
    /// Whether none of asyncio's methods that are done natively is replaced.
    #[inline]
    pub(super) fn is_plain(&self, py: Python<'_>) -> bool {
        ours().is_some_and(|ours| {
            ours.protocol.holds(py, self.object())
                && self
                    .dict
                    .share()
                    .is_none_or(|dict| !ours.protocol.is_any_in(py, &dict))
        })
    }

    /// Whether who writes may go on at once.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.paused.get() && !self.lost.get()
    }

    /// The reader, while it lives.
    #[inline]
    fn reader(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        match self.reference.share() {
            Some(reference) => referent(py, &reference),
            None => Ok(None),
        }
    }
}

/// Gives the protocol's reader bytes; false when `data_received` has to be called.
///
/// # Errors
/// What `feed_data` would raise.
#[inline]
pub(super) fn feed(py: Python<'_>, protocol: &Object, data: &[u8]) -> Outcome<bool> {
    let Some(this) = Instance::<StreamProtocol>::of(protocol) else {
        return Ok(false);
    };
    if !this.is_plain(py) {
        return Ok(false);
    }
    let Some(reader) = this.reader(py)? else {
        return Ok(true);
    };
    match Instance::<Reader>::of(&reader).filter(|reader| reader.is_plain(py)) {
        Some(reader) => reader.feed(py, data).map(|()| true),
        None => Ok(false),
    }
}

/// `data_received(data)`, for transports that call it.
fn data_received(py: Python<'_>, this: &Instance<StreamProtocol>, data: &Object) -> Outcome<Ref> {
    let fed = match Bytes::share(data) {
        Some(data) => feed(py, this.object(), data.as_ref())?,
        None if crate::ffi::is_bytearray(data) => {
            let data = Buffer::to_read(py, data)?.to_vec();
            feed(py, this.object(), &data)?
        }
        None => false,
    };
    if fed {
        return Ok(Ref::none());
    }
    match this.reader(py)? {
        Some(reader) => {
            crate::ffi::call_method(py, &reader, names::feed_data(py), &[data])?;
            Ok(Ref::none())
        }
        None => Ok(Ref::none()),
    }
}

/// `_drain_waiters`: asyncio sets an empty deque first, which is made when somebody asks.
fn set_drain_waiters(
    py: Python<'_>,
    this: &Instance<StreamProtocol>,
    value: Option<&Object>,
) -> Outcome<()> {
    let deque = names::deque(py)?;
    let value = value.filter(|value| value.class() != deque.as_ptr().cast() || !is_empty(value));
    drop(this.drain_waiters.replace(value.map(Object::share)));
    Ok(())
}

fn drain_waiters(py: Python<'_>, this: &Instance<StreamProtocol>) -> Outcome<Ref> {
    if let Some(waiters) = this.drain_waiters.share() {
        return Ok(waiters);
    }
    let waiters = call(py, names::deque(py)?, &[])?;
    this.drain_waiters.set(waiters.share());
    Ok(waiters)
}

/// The native half of `StreamReaderProtocol`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let (dict, weak_references) = StreamProtocol::ATTRIBUTES;
    let builder =
        Builder::<StreamProtocol>::new(c"The native half of conbrio.StreamReaderProtocol.")
            .subclassable()
            .with_attributes(dict, weak_references)
            .new_with(|_, _, _| Ok(StreamProtocol::unmade()))
            .named(
                c"data_received",
                c"data_received($self, data)\n--\n\nGives received bytes to the reader.",
                |py| ("data_received", names::data(py)),
                data_received,
            )
            .property(
                c"_drain_waiters",
                c"The futures of who waits for room.",
                drain_waiters,
                set_drain_waiters,
            );
    flags(slots(builder)).create(py, None)
}

fn slots(builder: Builder<StreamProtocol>) -> Builder<StreamProtocol> {
    let builder = kept!(
        builder,
        c"_stream_reader_wr",
        c"A weak reference to the reader.",
        reference
    );
    let builder = kept!(builder, c"_loop", c"The loop.", event_loop);
    let builder = kept!(
        builder,
        c"_strong_reader",
        c"The reader, until connected.",
        strong_reader
    );
    let builder = kept!(
        builder,
        c"_stream_writer",
        c"The writer of a server's side.",
        writer
    );
    let builder = kept!(builder, c"_task", c"The task of a server's callback.", task);
    let builder = kept!(builder, c"_transport", c"The transport.", transport);
    let builder = kept!(builder, c"_client_connected_cb", c"The callback.", callback);
    let builder = kept!(builder, c"_source_traceback", c"Where it began.", source);
    builder.property(
        c"_closed",
        c"A future: the connection is gone.",
        |_, this| {
            this.closed
                .share()
                .ok_or_else(|| PyAttributeError::new_err("_closed").into())
        },
        |_, this, value| {
            drop(this.closed.replace(value.map(Object::share)));
            Ok(())
        },
    )
}

fn flags(builder: Builder<StreamProtocol>) -> Builder<StreamProtocol> {
    let builder = flag!(
        builder,
        c"_paused",
        c"The transport has asked to pause.",
        paused
    );
    let builder = flag!(
        builder,
        c"_connection_lost",
        c"The connection is gone.",
        lost
    );
    let builder = flag!(
        builder,
        c"_reject_connection",
        c"The stream is dead already.",
        rejects
    );
    flag!(
        builder,
        c"_over_ssl",
        c"The transport speaks TLS.",
        over_ssl
    )
}
