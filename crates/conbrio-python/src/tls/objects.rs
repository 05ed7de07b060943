//! TLS by the methods of Python's own objects, where OpenSSL cannot be driven natively.
//!
//! CPython's `sslproto` has the same calls. Where the methods are known to be `_ssl`'s they are given memory of ours, which
//! saves the copies that CPython makes of what comes in.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::handshake::is_again;
use super::pieces::Pieces;
use crate::ffi::{
    Borrower, Object, Outcome, Raised, Ref, Visit, attribute, call, filled_bytes, is_empty, object,
    raise,
};
use crate::names;
use crate::protocol::Source;

/// How much plaintext is asked for at once: a record's. More makes Python clear memory that is not filled.
pub(super) const PIECE: usize = 16 * 1024;
/// Plaintext is given at least this much room.
const ROOM: usize = 64;

thread_local! {
    /// What connections receive into, one after the other.
    static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Methods of an `ssl.SSLObject` and its two `MemoryBIO`s.
pub(super) struct Objects {
    read: Ref,
    write: Ref,
    incoming: Ref,
    outgoing: Ref,
    incoming_write: Borrower,
    outgoing_read: Ref,
    /// `read`, where it is `_ssl`'s own and can be lent memory.
    fill: Option<Borrower>,
}

/// Why there is no more to be read or written just now.
pub(super) enum Pause {
    /// The peer must be heard first.
    Again,
    /// The peer has said that it sends no more.
    End,
}

impl Objects {
    /// Looks the methods up.
    pub(super) fn of(
        py: Python<'_>,
        sslobj: &Object,
        incoming: &Object,
        outgoing: &Object,
    ) -> Outcome<Box<Self>> {
        let incoming_write = attribute(py, incoming, names::write(py))?;
        // Nothing else is taken by `wrap_bio`, and none can be derived.
        let Some(incoming_write) = Borrower::of(incoming_write, names::memory_bio(py)?) else {
            return Err(PyTypeError::new_err("the incoming memory must be a MemoryBIO").into());
        };
        let plain = is_plain(py, sslobj)?;
        let reader = if plain {
            // What the methods of Python's half call, and do no more.
            attribute(py, sslobj, names::sslobj(py))?
        } else {
            sslobj.share()
        };
        let read = attribute(py, &reader, names::read(py))?;
        Ok(Box::new(Self {
            fill: Borrower::of(read.share(), names::ssl_socket(py)?),
            read,
            write: attribute(py, &reader, names::write(py))?,
            incoming_write,
            outgoing_read: attribute(py, outgoing, names::read(py))?,
            incoming: incoming.share(),
            outgoing: outgoing.share(),
        }))
    }

    /// Has memory written to and hands it over, which runs no Python code.
    pub(super) fn receive(
        &self,
        py: Python<'_>,
        room: usize,
        source: Source<'_>,
    ) -> io::Result<usize> {
        let mut memory = MEMORY.take();
        memory.resize(room, 0);
        let mut received = source(&mut memory);
        if let Ok(count @ 1..) = received
            && let Some(filled) = memory.get(..count)
            && let Err(raised) = self.incoming_write.lend(py, filled)
        {
            // Nothing but memory can be missing.
            drop(raised.take());
            received = Err(io::ErrorKind::OutOfMemory.into());
        }
        MEMORY.set(memory);
        received
    }

    /// All the plaintext there is, in pieces, and why there is no more.
    pub(super) fn read_all(&self, py: Python<'_>) -> Outcome<(Pieces, Pause)> {
        let mut pieces = Pieces::default();
        loop {
            let pause = match &self.fill {
                Some(fill) => self.read_piece(py, fill, &mut pieces)?,
                None => match self.read(py)? {
                    Ok(data) => {
                        pieces.push(data);
                        None
                    }
                    Err(pause) => Some(pause),
                },
            };
            if let Some(pause) = pause {
                return Ok((pieces, pause));
            }
        }
    }

    /// Adds what can be read to `pieces`, all in one object if it is what was received.
    fn read_piece(
        &self,
        py: Python<'_>,
        fill: &Borrower,
        pieces: &mut Pieces,
    ) -> Outcome<Option<Pause>> {
        let pending = self.pending(py)?;
        // Many bytes may end a record whose beginning OpenSSL has; the second piece is the rest of one.
        let begun = pending > PIECE || !pieces.is_empty();
        let room = if begun { pending + PIECE } else { pending };
        let mut pause = None;
        let (piece, filled) = filled_bytes(py, room.max(ROOM), |room| {
            let mut filled = 0;
            while pause.is_none()
                && let Some(rest @ [_, ..]) = room.get_mut(filled..)
            {
                let (count, why) = self.read_record(py, fill, rest)?;
                filled += count;
                pause = why;
            }
            Ok::<_, Raised>(filled)
        })??;
        if filled > 0 {
            pieces.push(piece);
        }
        Ok(pause)
    }

    /// Fills the beginning of `room` with one record's rest: how much it was, and why there is no more, if that is known.
    fn read_record(
        &self,
        py: Python<'_>,
        fill: &Borrower,
        room: &mut [MaybeUninit<u8>],
    ) -> Outcome<(usize, Option<Pause>)> {
        let count = match fill.fill(py, room) {
            Ok(count) => count.bind(py).extract::<usize>()?,
            Err(raised) => return Ok((0, Some(again(py, raised)?))),
        };
        if count == 0 {
            return Ok((0, Some(Pause::End)));
        }
        // Less than the most that a record has is the end of one: where nothing else was received, nothing more can be read.
        let ends = count < room.len().min(PIECE) && self.pending(py)? == 0;
        Ok((count, ends.then_some(Pause::Again)))
    }

    /// Some plaintext, or why there is none.
    pub(super) fn read(&self, py: Python<'_>) -> Outcome<Result<Ref, Pause>> {
        let Ok(piece) = PIECE.into_pyobject(py);
        match call(py, &self.read, &[object(&piece)]) {
            Ok(data) if is_empty(&data) => Ok(Err(Pause::End)),
            Ok(data) => Ok(Ok(data)),
            Err(raised) => again(py, raised).map(Err),
        }
    }

    /// Plaintext into an object's memory: how much, or why none.
    pub(super) fn read_into(
        &self,
        py: Python<'_>,
        room: usize,
        memory: &Object,
    ) -> Outcome<Result<usize, Pause>> {
        let Ok(room) = room.into_pyobject(py);
        match call(py, &self.read, &[object(&room), memory]) {
            Ok(count) => match count.bind(py).extract::<usize>()? {
                0 => Ok(Err(Pause::End)),
                count => Ok(Ok(count)),
            },
            Err(raised) => again(py, raised).map(Err),
        }
    }

    /// Encrypts the beginning of `plain`: how much, or none if the peer must be heard first.
    pub(super) fn write(&self, py: Python<'_>, plain: &Object) -> Outcome<Option<usize>> {
        match call(py, &self.write, &[plain]) {
            Ok(count) => Ok(Some(count.bind(py).extract()?)),
            Err(raised) => again(py, raised).map(|_| None),
        }
    }

    /// What is to be sent.
    pub(super) fn take_owed(&self, py: Python<'_>) -> Outcome<Ref> {
        call(py, &self.outgoing_read, &[])
    }

    /// How many bytes are to be sent.
    pub(super) fn owed(&self, py: Python<'_>) -> Outcome<usize> {
        pending(py, &self.outgoing)
    }

    /// How many received bytes have not been read.
    pub(super) fn pending(&self, py: Python<'_>) -> Outcome<usize> {
        pending(py, &self.incoming)
    }

    /// Shows the collector the objects.
    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        for reference in [
            &self.read,
            &self.write,
            &self.incoming,
            &self.outgoing,
            &self.outgoing_read,
        ] {
            visit.reference(reference);
        }
        self.incoming_write.traverse(visit);
        if let Some(fill) = &self.fill {
            fill.traverse(visit);
        }
    }
}

/// Whether nobody has put methods of their own before those that read and write, on its class or on itself.
pub(super) fn is_plain(py: Python<'_>, sslobj: &Object) -> Outcome<bool> {
    let plain = names::ssl_object(py)?.bind(py);
    let function = |method| sslobj.bind(py).getattr(method)?.getattr("__func__");
    Ok(["read", "write"].into_iter().all(|method| {
        function(method).is_ok_and(|own| plain.getattr(method).is_ok_and(|method| method.is(&own)))
    }))
}

fn pending(py: Python<'_>, memory: &Object) -> Outcome<usize> {
    Ok(attribute(py, memory, names::pending(py))?
        .bind(py)
        .extract()?)
}

/// Why there is no more, if what was raised only says that more is needed.
fn again(py: Python<'_>, raised: Raised) -> Outcome<Pause> {
    let exception = raised.take();
    if is_again(py, &exception)? {
        return Ok(Pause::Again);
    }
    Err(raise(exception))
}
