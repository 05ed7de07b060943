//! Plaintext that has been written and is not encrypted yet.

use std::collections::VecDeque;

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

    /// A copy of the first bytes, at most `most` of them; none if nothing waits.
    pub(super) fn beginning(&self, most: usize) -> Option<Vec<u8>> {
        let (first, rest) = self.front()?;
        let mut copied = first.get(..most).unwrap_or(first).to_vec();
        for piece in rest {
            let (piece, room) = (piece.as_ref(), most - copied.len());
            copied.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if copied.len() == most {
                break;
            }
        }
        Some(copied)
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
