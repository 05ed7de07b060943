//! A connection's work: received bytes to plaintext, plaintext to records, with memory that is lent only while it is used.
//!
//! Thousands of connections are mostly idle, so none keeps a buffer: the two that are needed go from one to the next.

use std::cell::Cell;
use std::mem::MaybeUninit;

use crate::openssl::{Connection, Pipe, Read, Write};

/// How many bytes of plaintext one record has at most.
pub const RECORD: usize = 16 * 1024;
/// A buffer that has grown larger than this is not kept.
const KEPT: usize = 1024 * 1024;

thread_local! {
    static INBOUND: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUTBOUND: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static RECORDS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A connection and how much of a record it has begun to read.
pub struct Machine {
    connection: Connection,
    /// OpenSSL keeps the beginning of a record.
    began: Cell<bool>,
}

impl Machine {
    /// A machine of a connection that has just been taken over.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            began: Cell::new(false),
        }
    }

    /// Has `receive` write ciphertext into at least `room` bytes; answers how many it wrote, nothing if OpenSSL runs.
    ///
    /// # Errors
    /// What `receive` says.
    #[inline]
    pub fn receive<E>(
        &self,
        room: usize,
        receive: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Option<Result<usize, E>> {
        self.connection.pipe(|pipe| {
            if !pipe.has_memory() {
                pipe.lend_memory(INBOUND.take());
            }
            let received = pipe.receive(room, receive);
            give_back(pipe);
            received
        })
    }

    /// How many bytes of plaintext can be had of what was received, at most.
    #[inline]
    pub fn promised(&self) -> usize {
        let began = if self.began.get() { RECORD } else { 0 };
        self.pending() + began
    }

    /// How many received bytes OpenSSL has not read.
    #[inline]
    pub fn pending(&self) -> usize {
        self.connection.pipe(|pipe| pipe.pending()).unwrap_or(0)
    }

    /// How many bytes are to be sent.
    #[inline]
    pub fn owed(&self) -> usize {
        self.connection.pipe(|pipe| pipe.owed()).unwrap_or(0)
    }

    /// Fills `room` with plaintext as far as there is any; answers how much there was and why there was no more.
    #[inline]
    pub fn read(&self, room: &mut [MaybeUninit<u8>]) -> (usize, Read) {
        let mut filled = 0;
        let last = loop {
            let rest = room.get_mut(filled..).unwrap_or_default();
            if rest.is_empty() {
                break Read::Bytes(0);
            }
            match self.connection.read(rest) {
                Read::Bytes(count) => filled += count,
                other => break other,
            }
        };
        self.began
            .set(last == Read::Bytes(0) || self.connection.has_pending());
        (filled, last)
    }

    /// Lets the memory of what was received go, if all of it has been read.
    #[inline]
    pub fn settle(&self) {
        self.connection.pipe(give_back);
    }

    /// Encrypts the beginning of what `first` and the `rest` are one after the other, as one record if it fits.
    #[inline]
    pub fn write(&self, first: &[u8], mut rest: impl Iterator<Item: AsRef<[u8]>>) -> Write {
        self.connection.pipe(|pipe| {
            if pipe.owed() == 0 {
                drop(pipe.take_owed(OUTBOUND.take()));
            }
        });
        let next = if first.len() < RECORD {
            rest.next()
        } else {
            None
        };
        let Some(next) = next else {
            return self.connection.write(first);
        };
        let mut record = RECORDS.take();
        record.clear();
        record.extend_from_slice(first);
        for piece in std::iter::once(next).chain(rest) {
            let (piece, room) = (piece.as_ref(), RECORD - record.len());
            record.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if record.len() == RECORD {
                break;
            }
        }
        let written = self.connection.write(&record);
        RECORDS.set(record);
        written
    }

    /// Whether OpenSSL runs now: this was called by one of its callbacks.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.connection.is_busy()
    }

    /// Takes what is to be sent; `keep` gives its memory back.
    #[inline]
    pub fn take_owed(&self) -> Vec<u8> {
        self.connection
            .pipe(|pipe| pipe.take_owed(Vec::new()))
            .unwrap_or_default()
    }

    /// Keeps memory for the next connection that writes.
    #[inline]
    pub fn keep(mut sent: Vec<u8>) {
        if sent.capacity() <= KEPT {
            sent.clear();
            OUTBOUND.set(sent);
        }
    }

    /// Forgets what was received and what is to be sent.
    pub fn forget(&self) {
        self.connection.pipe(Pipe::forget);
    }
}

#[inline]
fn give_back(pipe: &mut Pipe) {
    if let Some(memory) = pipe.give_memory_back()
        && memory.len() <= KEPT
    {
        INBOUND.set(memory);
    }
}
