//! A transport's protocol: which one it is, and how it wants to be given bytes.
//!
//! Its own room because every transport asks the same of it. A method is looked up when it is called, as CPython does,
//! so a protocol may change under way; the lookup goes through CPython's own method cache. It knows no transport.

use std::cell::Cell;

use pyo3::prelude::*;

use crate::ffi::{Object, Outcome, Ref, Slot, Visit, call_method};
use crate::names;

/// The protocol of one transport.
pub(crate) struct Protocol {
    object: Slot,
    /// It is an `asyncio.BufferedProtocol`: bytes are received straight into its memory.
    buffered: Cell<bool>,
}

impl Protocol {
    /// No protocol yet.
    pub(crate) const fn none() -> Self {
        Self {
            object: Slot::empty(),
            buffered: Cell::new(false),
        }
    }

    /// Makes `protocol` the one that hears.
    ///
    /// # Errors
    /// What a foreign `__instancecheck__` raises.
    pub(crate) fn set(&self, py: Python<'_>, protocol: &Object) -> Outcome<()> {
        let buffered = protocol
            .bind(py)
            .is_instance(&names::buffered_protocol(py)?.bind(py))?;
        self.buffered.set(buffered);
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

    /// Whether bytes are received into the protocol's memory.
    #[inline]
    pub(crate) fn is_buffered(&self) -> bool {
        self.buffered.get()
    }

    /// Shows the collector the protocol.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.object);
    }
}

/// Hands received bytes over.
///
/// # Errors
/// What the protocol raises, here and below.
#[inline]
pub(crate) fn data_received(py: Python<'_>, protocol: &Object, data: &Object) -> Outcome<()> {
    call_method(py, protocol, names::data_received(py), &[data]).map(drop)
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
