//! Plaintext that has been written and is not encrypted yet.

use std::collections::VecDeque;

use pyo3::prelude::*;

use crate::ffi::{Outcome, Ref, bytes};
use crate::transport::Chunk;

/// Chunks in order; one costs no memory of its own.
#[derive(Default)]
pub(super) struct Backlog {
    first: Option<Chunk>,
    rest: VecDeque<Chunk>,
    /// How much of the first chunk has been taken.
    taken: usize,
    length: usize,
}

impl Backlog {
    /// How many bytes wait.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Accepts `chunk`; an empty one is forgotten.
    #[inline]
    pub(super) fn push(&mut self, chunk: Chunk) {
        let length = chunk.as_ref().len();
        if length == 0 {
            return;
        }
        self.length += length;
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.rest.push_back(chunk);
        }
    }

    /// What comes next, and the chunks after it.
    #[inline]
    pub(super) fn front(&self) -> Option<(&[u8], impl Iterator<Item = &Chunk>)> {
        let first = self.first.as_ref()?;
        let first = first.as_ref().get(self.taken..).unwrap_or_default();
        Some((first, self.rest.iter()))
    }

    /// The first chunk as an object, and if it is short the next ones with it, up to `most` bytes; none if nothing waits.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn beginning(&self, py: Python<'_>, most: usize) -> Outcome<Option<Ref>> {
        let Some((first, rest)) = self.front() else {
            return Ok(None);
        };
        if first.len() >= most || self.rest.is_empty() {
            return match &self.first {
                Some(whole) if self.taken == 0 => whole.object(py).map(Some),
                _ => bytes(py, first).map(Some),
            };
        }
        let mut copied = first.to_vec();
        for piece in rest {
            let (piece, room) = (piece.as_ref(), most - copied.len());
            copied.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if copied.len() == most {
                break;
            }
        }
        bytes(py, &copied).map(Some)
    }

    /// Forgets the first `count` bytes.
    #[inline]
    pub(super) fn forget(&mut self, count: usize) {
        self.taken += count;
        self.length = self.length.saturating_sub(count);
        while let Some(first) = &self.first {
            let length = first.as_ref().len();
            if self.taken < length {
                return;
            }
            self.taken -= length;
            self.first = self.rest.pop_front();
        }
        self.taken = 0;
    }

    /// Puts what came meanwhile behind.
    pub(super) fn append(&mut self, later: Self) {
        let left = later.first.into_iter().chain(later.rest);
        for chunk in left {
            self.push(chunk);
        }
    }
}
