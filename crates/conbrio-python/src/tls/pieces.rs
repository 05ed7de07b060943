//! Plaintext as it was read, piece by piece, until the protocol is given it as one.

use pyo3::prelude::*;

use crate::ffi::{Bytes, Outcome, Ref, joined_bytes};

/// Pieces of plaintext in order; one costs no memory of its own.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Ref>,
    more: Vec<Ref>,
}

impl Pieces {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds one that is not empty.
    #[inline]
    pub(super) fn push(&mut self, piece: Ref) {
        if self.first.is_none() {
            self.first = Some(piece);
        } else {
            self.more.push(piece);
        }
    }

    /// All of them as one object, if there are any.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(super) fn join(self, py: Python<'_>) -> Outcome<Option<Ref>> {
        if self.more.is_empty() {
            return Ok(self.first);
        }
        let pieces: Vec<Bytes> = self
            .first
            .iter()
            .chain(&self.more)
            .filter_map(|piece| Bytes::share(piece))
            .collect();
        joined_bytes(py, &pieces).map(Some)
    }
}
