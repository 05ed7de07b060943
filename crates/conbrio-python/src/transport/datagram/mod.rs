//! `DatagramTransport`: a datagram socket between the loop and a protocol.
//!
//! Behaves as CPython's `_SelectorDatagramTransport`, but takes many datagrams from the system at once, and sends the
//! second and further ones of a turn at its end. The door: what a transport is made of. The stream's twin, with the same
//! methods in the same order.

mod addresses;
mod attributes;
mod flow;
mod life;
mod make;
mod methods;
mod read;
mod write;

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem::offset_of;
use std::os::fd::RawFd;

use conbrio_core::datagram::{Datagrams, Window};
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::ffi::layout::TransportFields;
use crate::ffi::{Class, ClassState, Guarded, Own, Ref, Slot, Visit};
use crate::transport::Chunk;
use crate::watch::number_now;

use addresses::{Place, Senders};
pub(crate) use methods::class;

/// What a datagram counts beyond its bytes in what is owed. CPython: `_header_size`, from 3.13 on.
const HEADER: usize = if cfg!(Py_3_13) { 8 } else { 0 };

/// A datagram socket and its protocol.
#[repr(C)]
pub(crate) struct DatagramTransport {
    /// What asyncio's own transports keep.
    fields: TransportFields,
    dict: Slot,
    weak_references: Cell<usize>,
    /// The Python socket, which owns the descriptor, until it is closed.
    sock: Slot,
    protocol: Slot,
    /// The one address that is sent to, if the endpoint was made with one.
    address: Slot,
    /// The context that the protocol is called in.
    context: Slot,
    /// What the protocol is going to be told as the reason of the loss.
    reason: Slot,
    /// What the system has given and the protocol has not.
    arrived: Guarded<VecDeque<(Ref, Place)>>,
    outbox: Guarded<Datagrams<Chunk, Receiver>>,
    /// The senders' addresses as Python objects.
    senders: Guarded<Senders>,
    fd: Cell<RawFd>,
    life: Life,
}

/// Who gets a datagram.
enum Receiver {
    /// The socket's peer.
    Peer,
    /// Whoever has this address.
    Known(Place),
    /// What only the Python socket can read as an address.
    Asked(Ref),
}

impl Receiver {
    /// The Python object, if that is what is kept.
    fn asked(&self) -> Option<&Ref> {
        match self {
            Self::Asked(address) => Some(address),
            _ => None,
        }
    }
}

/// How a socket is worked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    /// By calling the Python socket: its addresses are of a family that only it can write, or its class is not socket's.
    #[default]
    Asked,
    /// By the system's calls; the addresses are of the internet.
    Internet(u16),
    /// By the system's calls; the addresses are paths, or there are none.
    Unix,
}

/// What a transport does and may still do.
#[derive(Default)]
struct Life {
    way: Cell<Way>,
    /// The socket has a peer. CPython: `_extra['peername']`.
    connected: Cell<bool>,
    /// The socket has a peer, which may have no name. CPython: would send to nobody then.
    nameless: Cell<bool>,
    /// `close()` was called, or the socket is broken.
    closing: Cell<bool>,
    /// `pause_reading()` was called.
    paused: Cell<bool>,
    /// `pause_writing()` of the protocol was called.
    protocol_paused: Cell<bool>,
    /// The engine hears for us whether the descriptor is readable.
    reading: Cell<bool>,
    /// The engine hears for us whether the descriptor is writable.
    writing: Cell<bool>,
    /// The engine is going to flush us at the end of this turn.
    flush_due: Cell<bool>,
    /// What has arrived is going to be given to the protocol in the next turn.
    rest_due: Cell<bool>,
    /// The turn in which the protocol was given what was left, last.
    rest_turn: Cell<u64>,
    /// The kernel has no call for many datagrams.
    one_by_one: Cell<bool>,
    /// The turn in which a datagram was sent last.
    turn: Cell<u64>,
    /// Not 0 once `connection_lost()` is scheduled; then counts what is sent into the void. CPython: `_conn_lost`.
    lost: Cell<u32>,
    /// How many datagrams to ask for.
    window: Cell<Window>,
}

static STATE: ClassState = ClassState::new();

impl Class for DatagramTransport {
    const NAME: &'static std::ffi::CStr = c"conbrio.DatagramTransport";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.fields.traverse(visit);
        for slot in [
            &self.dict,
            &self.sock,
            &self.protocol,
            &self.address,
            &self.context,
            &self.reason,
        ] {
            visit.slot(slot);
        }
        self.outbox.inspect(|outbox| {
            let asked = outbox.iter().filter_map(|(_, receiver)| receiver.asked());
            asked.for_each(|address| visit.reference(address));
        });
    }

    fn clear(&self) {
        for slot in [
            &self.dict,
            &self.protocol,
            &self.address,
            &self.context,
            &self.reason,
            &self.fields.extra,
            &self.fields.event_loop,
        ] {
            slot.clear();
        }
        drop(self.outbox.replace(Datagrams::new(HEADER)));
    }

    fn has_last_words(&self) -> bool {
        !self.sock.is_empty()
    }
}

impl DatagramTransport {
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
            protocol: Slot::empty(),
            address: Slot::empty(),
            context: Slot::empty(),
            reason: Slot::empty(),
            arrived: Guarded::new(VecDeque::new()),
            outbox: Guarded::new(Datagrams::new(HEADER)),
            senders: Guarded::new(Senders::new()),
            fd: Cell::new(-1),
            life: Life::default(),
        }
    }

    /// The loop, until the socket is closed.
    #[inline]
    fn engine(&self) -> Option<Own<Engine>> {
        Own::of(self.fields.event_loop.share()?).ok()
    }

    /// Neither closing nor paused.
    #[inline]
    fn is_reading(&self) -> bool {
        !self.life.closing.get() && !self.life.paused.get()
    }
}
