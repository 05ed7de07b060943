//! A transport's protocol: which one it is, and how it wants to be given bytes.
//!
//! Its own room because every transport asks the same of it. A method is looked up when it is called, as CPython does,
//! so a protocol may change under way; the lookup goes through CPython's own method cache. It knows no transport.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;

use pyo3::prelude::*;

use crate::ffi::{Object, Outcome, Ref, Slot, Visit, call_method};
use crate::names;

/// Gives a protocol bytes without a call of its `data_received`; false when the call has to be made after all.
pub(crate) type Feed = fn(Python<'_>, &Object, &[u8]) -> Outcome<bool>;

/// Which protocols are fed without a call, and how.
pub(crate) struct Fed {
    /// Says by which of `feeds` a protocol is fed, if it is one whose `data_received` is known.
    pub(crate) recognise: fn(&Object) -> Option<u8>,
    /// The ways of feeding.
    pub(crate) feeds: [Feed; 2],
}

static FED: OnceLock<Fed> = OnceLock::new();

/// Says, once, which protocols are fed without a call.
pub(crate) fn feed_by(fed: Fed) {
    let _ = FED.set(fed);
}

/// How a native protocol (a higher room's) takes what was received, with no Python object in between.
#[derive(Clone, Copy)]
pub(crate) struct Native {
    /// Whether an object is such a protocol.
    pub(crate) is: fn(&Object) -> bool,
    /// Has memory written by the function it is given, which answers how much it wrote; runs no Python code.
    pub(crate) receive: Receive,
    /// Works on what was received.
    pub(crate) received: fn(Python<'_>, &Object) -> Outcome<()>,
    /// Sends what it would send at the end of the turn.
    pub(crate) send_last: fn(Python<'_>, &Object),
}

/// Has memory written.
pub(crate) type Receive = fn(Python<'_>, &Object, Source<'_>) -> io::Result<usize>;
/// Writes memory and answers how much.
pub(crate) type Source<'a> = &'a mut dyn FnMut(&mut [u8]) -> io::Result<usize>;

static NATIVE: OnceLock<Native> = OnceLock::new();

/// Says, once, what native protocols there are.
pub(crate) fn native_is(native: Native) {
    let _ = NATIVE.set(native);
}

/// How a protocol wants to be given bytes.
#[derive(Clone, Copy)]
pub(crate) enum Hears {
    /// By `data_received`.
    Called,
    /// Bytes are received straight into its memory: it is an `asyncio.BufferedProtocol`, or can be nothing else.
    Buffered,
    /// Natively, as long as nothing of it is replaced.
    Fed(Feed),
    /// Ciphertext, natively.
    Native(&'static Native),
}

/// The same in one byte, as every connection has one.
#[derive(Clone, Copy)]
enum Way {
    Called,
    Buffered,
    Fed(u8),
    Native,
}

/// The protocol of one transport.
pub(crate) struct Protocol {
    object: Slot,
    way: Cell<Way>,
}

impl Protocol {
    /// No protocol yet.
    pub(crate) const fn none() -> Self {
        Self {
            object: Slot::empty(),
            way: Cell::new(Way::Called),
        }
    }

    /// Makes `protocol` the one that hears.
    ///
    /// # Errors
    /// What a foreign `__instancecheck__` raises.
    pub(crate) fn set(&self, py: Python<'_>, protocol: &Object) -> Outcome<()> {
        let class = names::buffered_protocol(py)?;
        let native = NATIVE.get().is_some_and(|native| (native.is)(protocol));
        let fed = || FED.get().and_then(|fed| (fed.recognise)(protocol));
        let way = if native {
            Way::Native
        } else if protocol.bind(py).is_instance(&class.bind(py))? {
            Way::Buffered
        } else if let Some(feed) = fed() {
            Way::Fed(feed)
        } else if acts_buffered(py, protocol) {
            Way::Buffered
        } else {
            Way::Called
        };
        self.way.set(way);
        self.object.set(protocol.share());
        Ok(())
    }

    /// Lets the protocol go.
    pub(crate) fn clear(&self) {
        self.object.clear();
    }

    /// The protocol, while there is one.
    #[inline]
    pub(crate) fn share(&self) -> Option<Ref> {
        self.object.share()
    }

    /// Has a native protocol send what it would send at the end of the turn: what carries it is about to end.
    pub(crate) fn send_last(&self, py: Python<'_>) {
        if let Hears::Native(native) = self.hears()
            && let Some(protocol) = self.share()
        {
            (native.send_last)(py, &protocol);
        }
    }

    /// How it wants to be given bytes.
    #[inline]
    pub(crate) fn hears(&self) -> Hears {
        let found = match self.way.get() {
            Way::Called => None,
            Way::Buffered => Some(Hears::Buffered),
            Way::Fed(which) => FED
                .get()
                .and_then(|fed| fed.feeds.get(usize::from(which)))
                .map(|feed| Hears::Fed(*feed)),
            Way::Native => NATIVE.get().map(Hears::Native),
        };
        found.unwrap_or(Hears::Called)
    }

    /// Shows the collector the protocol.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.object);
    }
}

/// Whether a protocol of no known class has a buffer to receive into, and no way to be given bytes.
fn acts_buffered(py: Python<'_>, protocol: &Object) -> bool {
    let has = |name| protocol.bind(py).hasattr(name);
    let takes_bytes = has(names::data_received(py)).unwrap_or(true);
    !takes_bytes && has(names::get_buffer(py)).unwrap_or(false)
}

/// Hands received bytes over.
///
/// # Errors
/// What the protocol raises, here and below.
#[inline]
pub(crate) fn data_received(py: Python<'_>, protocol: &Object, data: &Object) -> Outcome<()> {
    call_method(py, protocol, names::data_received(py), &[data]).map(drop)
}

/// Hands a received datagram over, and its sender's address.
#[inline]
pub(crate) fn datagram_received(
    py: Python<'_>,
    protocol: &Object,
    data: &Object,
    sender: &Object,
) -> Outcome<()> {
    call_method(py, protocol, names::datagram_received(py), &[data, sender]).map(drop)
}

/// Tells that a datagram could not be sent or received.
#[inline]
pub(crate) fn error_received(py: Python<'_>, protocol: &Object, exception: &Object) -> Outcome<()> {
    call_method(py, protocol, names::error_received(py), &[exception]).map(drop)
}

/// Tells that the peer will send no more; the answer says whether the transport stays open.
#[inline]
pub(crate) fn eof_received(py: Python<'_>, protocol: &Object) -> Outcome<Ref> {
    call_method(py, protocol, names::eof_received(py), &[])
}

/// Tells that the connection is gone, and why.
#[inline]
pub(crate) fn connection_lost(
    py: Python<'_>,
    protocol: &Object,
    exception: &Object,
) -> Outcome<()> {
    call_method(py, protocol, names::connection_lost(py), &[exception]).map(drop)
}
