//! TLS between a transport and a protocol: the part that runs for each packet.
//!
//! Handshake, shutdown and what is reported then run once per connection, and are CPython's `SSLProtocol`, of which
//! `conbrio._tls` derives a class whose first base is `TlsFlow`. What CPython's half shares with this one, its state and
//! its switches, are attributes of `TlsFlow` under CPython's names. The door: what a flow is made of.

mod backlog;
mod class;
mod engine;
mod handshake;
mod objects;
mod pieces;
mod read;
mod states;
mod write;
mod writer;

use std::cell::{Cell, OnceCell};
use std::io;

use pyo3::prelude::*;

use crate::ffi::{
    Class, ClassState, Guarded, Instance, Object, Outcome, Own, Slot, Visit, call_method, object,
};
use crate::names;
use crate::protocol::{Native, Protocol, Source, native_is};

use backlog::Backlog;
use engine::Engine;

pub(crate) use class::class;
pub(crate) use engine::refusal;
pub(crate) use writer::class as writer_class;

/// Room for ciphertext, at least. Twice as much does not stay in the processor's nearer caches until it is decrypted.
/// Bench: `bulk_tls_recv`.
const ROOM: usize = 128 * 1024;

/// A connection's state, as CPython's `SSLProtocolState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There is no TLS yet, or no more.
    #[default]
    Unwrapped,
    /// The handshake goes on.
    Handshake,
    /// Bytes flow.
    Wrapped,
    /// What was written leaves before the shutdown.
    Flushing,
    /// The shutdown goes on.
    Shutdown,
}

/// Both directions of a TLS connection.
pub(crate) struct TlsFlow {
    /// The member of CPython's enumeration that `state` stands for.
    state_object: Slot,
    state: Cell<State>,
    event_loop: Slot,
    /// Who is given plaintext. CPython: `_app_protocol`.
    protocol: Protocol,
    /// What carries ciphertext.
    transport: Slot,
    engine: OnceCell<Engine>,
    /// Written and not encrypted.
    backlog: Guarded<Backlog>,
    switches: Switches,
    /// What of the outgoing makes the protocol pause, and go on.
    outgoing: Marks,
    /// What of the incoming makes the transport pause, and go on.
    incoming: Marks,
    /// How often was written in vain. CPython: `_conn_lost`.
    lost: Cell<u32>,
    /// The turn's end is going to encrypt the backlog.
    flush_due: Cell<bool>,
    /// The connection was closed here: the protocol is given nothing more.
    deaf: Cell<bool>,
}

/// Who has been paused.
#[derive(Default)]
struct Switches {
    /// `pause_reading()` was called on our transport.
    app_reading: Cell<bool>,
    /// The protocol's `pause_writing()` was called.
    app_writing: Cell<bool>,
    /// The carrying transport was told to pause reading.
    carrier_reading: Cell<bool>,
    /// The carrying transport has told us to pause writing.
    carrier_writing: Cell<bool>,
}

/// Marks in bytes; fractions are possible, as CPython compares whatever it is given.
#[derive(Default)]
struct Marks {
    low: Cell<f64>,
    high: Cell<f64>,
}

static STATE: ClassState = ClassState::new();

impl Class for TlsFlow {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.TlsFlow";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.state_object);
        visit.slot(&self.event_loop);
        visit.slot(&self.transport);
        self.protocol.traverse(visit);
        if let Some(engine) = self.engine.get() {
            engine.traverse(visit);
        }
    }

    fn clear(&self) {
        self.protocol.clear();
        self.event_loop.clear();
        self.transport.clear();
    }
}

impl TlsFlow {
    /// A flow that nobody has begun.
    fn unmade() -> Self {
        Self {
            state_object: Slot::empty(),
            state: Cell::default(),
            event_loop: Slot::empty(),
            protocol: Protocol::none(),
            transport: Slot::empty(),
            engine: OnceCell::new(),
            backlog: Guarded::new(Backlog::default()),
            switches: Switches::default(),
            outgoing: Marks::default(),
            incoming: Marks::default(),
            lost: Cell::new(0),
            flush_due: Cell::new(false),
            deaf: Cell::new(false),
        }
    }

    /// The loop, if it is one of ours.
    fn turns(&self) -> Option<Own<crate::engine::Engine>> {
        Own::of(self.event_loop.share()?).ok()
    }

    /// How many received bytes have not been decrypted.
    fn pending(&self, py: Python<'_>) -> Outcome<usize> {
        match self.engine.get() {
            Some(Engine::Native(session)) => Ok(session.pending()),
            Some(Engine::Objects(objects)) => objects.pending(py),
            None => Ok(0),
        }
    }

    /// How many written bytes the carrying transport was not given.
    fn owed(&self, py: Python<'_>) -> Outcome<usize> {
        let backlog = self.backlog.lend(py, |backlog| backlog.len());
        match self.engine.get() {
            Some(Engine::Native(session)) => Ok(session.owed() + backlog),
            Some(Engine::Objects(objects)) => Ok(objects.owed(py)? + backlog),
            None => Ok(backlog),
        }
    }
}

/// Lets transports hand bytes over natively.
pub(crate) fn begin() {
    native_is(Native {
        is: |object| {
            Instance::<TlsFlow>::of(object).is_some_and(|flow| flow.engine.get().is_some())
        },
        ..OWN
    });
}

/// Says which classes derived from `TlsFlow` and `TlsWriter` connections have.
#[pyfunction]
pub(crate) fn expect_tls(flow: &Bound<'_, PyAny>, writer: &Bound<'_, PyAny>) {
    TlsFlow::state().expect(object(flow));
    writer::TlsWriter::state().expect(object(writer));
}

/// Takes ciphertext; runs no Python code.
fn receive(py: Python<'_>, object: &Object, source: Source<'_>) -> io::Result<usize> {
    let engine = Instance::<TlsFlow>::of(object).and_then(|flow| flow.engine.get());
    match engine {
        Some(Engine::Native(session)) => session
            .receive(ROOM, source)
            .unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into())),
        Some(Engine::Objects(objects)) => objects.receive(py, ROOM, source),
        None => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Works on ciphertext that has been taken. CPython: `buffer_updated`.
fn received(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    let step = match this.state.get() {
        State::Wrapped => return read::read(py, this),
        State::Handshake => names::do_handshake(py),
        State::Flushing => names::do_flush(py),
        State::Shutdown => names::do_shutdown(py),
        State::Unwrapped => return Ok(()),
    };
    call_method(py, this.object(), step, &[]).map(drop)
}

/// How a flow takes bytes from a room that knows it.
const OWN: Native = Native {
    is: |_| true,
    receive,
    received: |py, object| match Instance::<TlsFlow>::of(object) {
        Some(flow) => received(py, flow),
        None => Ok(()),
    },
    send_last: |py, object| {
        if let Some(flow) = Instance::<TlsFlow>::of(object) {
            write::send_last(py, flow);
        }
    },
};

/// Gives a native protocol what stands in a piece of memory.
fn feed(py: Python<'_>, protocol: &Object, native: &Native, mut data: &[u8]) -> Outcome<()> {
    while !data.is_empty() {
        let fed = (native.receive)(py, protocol, &mut |room| Ok(copy(room, &mut data)));
        if fed.is_err() {
            // Only a flow that has ended, or is asked by a callback of its own, takes nothing.
            return Ok(());
        }
        (native.received)(py, protocol)?;
    }
    Ok(())
}

/// Moves the beginning of `data` into `room`.
fn copy(room: &mut [u8], data: &mut &[u8]) -> usize {
    let count = room.len().min(data.len());
    let (now, later) = data.split_at(count);
    if let Some(room) = room.get_mut(..count) {
        room.copy_from_slice(now);
    }
    *data = later;
    count
}
