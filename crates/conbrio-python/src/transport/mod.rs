//! `StreamTransport`: a connected stream socket between the loop and a protocol.
//!
//! Behaves as CPython's `_SelectorSocketTransport`, but owes what is written until the end of the turn. The door: what a
//! transport is made of. It is watched and scheduled through the engine and does not know the loop's own methods.

mod attributes;
mod chunk;
mod datagram;
mod ending;
mod extra;
mod flow;
mod life;
mod make;
mod methods;
mod pipe;
mod read;
mod write;

use std::cell::Cell;
use std::mem::offset_of;
use std::os::fd::{OwnedFd, RawFd};

use conbrio_core::inflow::Inflow;
use conbrio_core::outbox::Outbox;
use conbrio_core::singles::Singles;
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::ffi::layout::TransportFields;
use crate::ffi::{Class, ClassState, Guarded, Instance, Object, Own, Slot, Visit};
use crate::protocol::Protocol;
use crate::watch::number_now;

pub(crate) use chunk::{Chunk, is_bytes_like};
pub(crate) use datagram::class as datagram_class;
use extra::KeptEnds;
pub(crate) use extra::{Ends, is_known_family, python_socket};
pub(crate) use make::{Connection, Made, make};
pub(crate) use methods::class;
pub(crate) use pipe::{read_class as read_pipe_class, write_class as write_pipe_class};
pub(crate) use write::{send_at_once, send_collected};

/// A connected stream socket and its protocol.
#[repr(C)]
pub(crate) struct StreamTransport {
    /// What asyncio's own transports keep.
    fields: TransportFields,
    dict: Slot,
    weak_references: Cell<usize>,
    /// The Python socket, if it was given or asked for.
    sock: Slot,
    /// The server that accepted the connection.
    server: Slot,
    protocol: Protocol,
    /// The context that the protocol is called in.
    context: Slot,
    /// Waits until nothing is owed, for `sendfile`.
    empty_waiter: Slot,
    /// What the protocol is going to be told as the reason of the loss.
    reason: Slot,
    outbox: Guarded<Outbox<Chunk>>,
    /// Both addresses, until somebody asks for them.
    ends: Guarded<KeptEnds>,
    /// The descriptor, while no Python socket owns it.
    own: Guarded<Option<OwnedFd>>,
    fd: Cell<RawFd>,
    life: Life,
}

/// What a transport does and may still do.
#[derive(Default)]
struct Life {
    /// The descriptor is open. CPython: `_sock is not None`.
    open: Cell<bool>,
    /// `close()` was called, or the connection is broken.
    closing: Cell<bool>,
    /// `pause_reading()` was called.
    paused: Cell<bool>,
    /// `write_eof()` was called.
    eof: Cell<bool>,
    /// `pause_writing()` of the protocol was called.
    protocol_paused: Cell<bool>,
    /// The engine hears for us whether the descriptor is readable.
    reading: Cell<bool>,
    /// The engine hears for us whether the descriptor is writable.
    writing: Cell<bool>,
    /// The engine is going to flush us at the end of this turn.
    flush_due: Cell<bool>,
    /// The context was given and stays; else it follows who resumes reading.
    context_given: Cell<bool>,
    /// Not 0 once `connection_lost()` is scheduled; then counts writes into the void. CPython: `_conn_lost`.
    lost: Cell<u32>,
    /// What reads were like.
    inflow: Cell<Inflow>,
    /// Whether it writes once a turn.
    singles: Cell<Singles>,
}

static STATE: ClassState = ClassState::new();

impl Class for StreamTransport {
    const NAME: &'static std::ffi::CStr = c"conbrio.StreamTransport";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.fields.traverse(visit);
        self.protocol.traverse(visit);
        for slot in [
            &self.dict,
            &self.sock,
            &self.server,
            &self.context,
            &self.empty_waiter,
            &self.reason,
        ] {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        self.protocol.clear();
        let fields = [&self.fields.extra, &self.fields.event_loop];
        for slot in [
            &self.dict,
            &self.server,
            &self.context,
            &self.empty_waiter,
            &self.reason,
        ]
        .into_iter()
        .chain(fields)
        {
            slot.clear();
        }
    }

    fn has_last_words(&self) -> bool {
        self.life.open.get()
    }
}

impl StreamTransport {
    /// The descriptor that the socket has now.
    #[inline]
    fn number_now(&self, py: Python<'_>) -> RawFd {
        number_now(py, &self.sock, self.fd.get())
    }

    /// Where the dictionary and the list of weak references lie.
    const ATTRIBUTES: (usize, usize) = (offset_of!(Self, dict), offset_of!(Self, weak_references));

    /// A transport that has no socket yet.
    fn unmade() -> Self {
        Self {
            fields: TransportFields::empty(),
            dict: Slot::empty(),
            weak_references: Cell::new(0),
            sock: Slot::empty(),
            server: Slot::empty(),
            protocol: Protocol::none(),
            context: Slot::empty(),
            empty_waiter: Slot::empty(),
            reason: Slot::empty(),
            outbox: Guarded::new(Outbox::new()),
            ends: Guarded::new(KeptEnds::default()),
            own: Guarded::new(None),
            fd: Cell::new(-1),
            life: Life::default(),
        }
    }

    /// The loop, until the connection is lost.
    #[inline]
    fn engine(&self) -> Option<Own<Engine>> {
        Own::of(self.fields.event_loop.share()?).ok()
    }

    /// The object as a transport of exactly this class on which nothing is replaced.
    #[inline]
    pub(crate) fn plain(object: &Object) -> Option<&Instance<Self>> {
        Instance::<Self>::of_exact(object).filter(|transport| transport.dict.is_empty())
    }

    /// Whether the connection ends or has ended.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.life.closing.get()
    }

    /// How many bytes are owed.
    #[inline]
    fn owed(&self, py: Python<'_>) -> usize {
        self.outbox.lend(py, |outbox| outbox.len())
    }

    /// Neither closing nor paused.
    #[inline]
    fn is_reading(&self) -> bool {
        !self.life.closing.get() && !self.life.paused.get()
    }
}
