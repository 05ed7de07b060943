//! `bytes` objects as memory: made exactly as long as what was received, and kept by reference until they are sent.

use std::convert::Infallible;
use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;

use super::guarded::Guarded;
use super::object::{Object, Outcome, Raised, Ref};

unsafe extern "C" {
    fn _PyBytes_Resize(object: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> std::ffi::c_int;
}

/// A `bytes` object, of exactly that class, that somebody still reads; its memory never changes nor moves.
pub(crate) struct Bytes(Ref);

impl Bytes {
    /// Shares `object`, if it is exactly a `bytes`: a derived class may run code when it dies.
    #[inline]
    pub(crate) fn share(object: &Object) -> Option<Self> {
        // SAFETY: a live object.
        (unsafe { ffi::PyBytes_CheckExact(object.as_ptr()) } != 0).then(|| Self(object.share()))
    }

    /// The object, once more.
    pub(crate) fn object(&self) -> Ref {
        self.0.share()
    }

    /// Makes `content` its content, if that is as long and nobody else has the object; tells whether.
    #[inline]
    #[expect(
        deprecated,
        reason = "a content that changes has to take its hash along"
    )]
    fn refill(&mut self, content: &[u8]) -> bool {
        let object = self.0.as_ptr();
        // SAFETY: a live `bytes`, as long as `content`. Its only reference is ours, and that is borrowed for writing, so
        // nobody reads it; no hash is what a new one has.
        unsafe {
            if ffi::Py_REFCNT(object) != 1 || ffi::Py_SIZE(object) != content.len().cast_signed() {
                return false;
            }
            (*object.cast::<ffi::PyBytesObject>()).ob_shash = -1;
            let memory = ffi::PyBytes_AS_STRING(object).cast_mut().cast::<u8>();
            memory.copy_from_nonoverlapping(content.as_ptr(), content.len());
        }
        true
    }
}

impl AsRef<[u8]> for Bytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a live `bytes`; what it points to is as long as it says and lives as long as it does.
        unsafe {
            let length = ffi::Py_SIZE(self.0.as_ptr()).unsigned_abs();
            std::slice::from_raw_parts(ffi::PyBytes_AS_STRING(self.0.as_ptr()).cast(), length)
        }
    }
}

/// How many objects are kept to be filled again: as many as stay close to the processor.
// Bench: tcp_proto_1k_c1000; 128 cost it 5 %.
const KEPT: usize = 16;

/// Shorter ones the interpreter's own allocator has ready.
const SHORTEST: usize = 480;

/// Longer ones are not kept.
const LONGEST: usize = 8192;

/// The last objects that were made, each filled again where the next content is as long and nobody else has it any more.
///
/// Invariant: none is shorter than `SHORTEST`; the interpreter shares only the shortest of all.
// Bench: tcp_proto_1k_c10; malloc's fast part ends just below a KiB, and what lies above costs more than the rest of a read.
struct Refilled(Guarded<(usize, Places)>);

/// Where they lie; so many have been asked for since the last `refill_bytes`.
type Places = [Option<Bytes>; KEPT];

// SAFETY: opened with the interpreter's token alone.
unsafe impl Sync for Refilled {}

static REFILLED: Refilled = Refilled(Guarded::new((0, [const { None }; KEPT])));

/// Begins with the first of the kept objects again: those that were made since the last time may have come back.
#[inline]
pub(crate) fn refill_bytes(py: Python<'_>) {
    REFILLED.0.lend(py, |(next, _)| *next = 0);
}

/// A `bytes` object with a copy of `content`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn bytes(py: Python<'_>, content: &[u8]) -> Outcome<Ref> {
    if (SHORTEST..=LONGEST).contains(&content.len()) {
        refilled(py, content)
    } else {
        fresh(py, content)
    }
}

#[inline(never)]
fn refilled(py: Python<'_>, content: &[u8]) -> Outcome<Ref> {
    let made = REFILLED.0.lend(py, |(next, places)| {
        let Some(place) = places.get_mut(*next) else {
            return Ok((fresh(py, content)?, None));
        };
        *next += 1;
        if let Some(kept) = place
            && kept.refill(content)
        {
            return Ok((kept.object(), None));
        }
        let made = fresh(py, content)?;
        let former = place.replace(Bytes(made.share()));
        Ok((made, former))
    });
    made.map(|(made, _former)| made)
}

/// A `bytes` object that nobody has had.
#[inline]
fn fresh(_py: Python<'_>, content: &[u8]) -> Outcome<Ref> {
    // SAFETY: `content` is readable for its length.
    unsafe {
        Ref::returned(ffi::PyBytes_FromStringAndSize(
            content.as_ptr().cast(),
            content.len().cast_signed(),
        ))
    }
}

/// A `bytes` object of all `pieces`, one after the other.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn joined_bytes(py: Python<'_>, pieces: &[Bytes]) -> Outcome<Ref> {
    let length = pieces.iter().map(|piece| piece.as_ref().len()).sum();
    let Ok((whole, _)) = filled_bytes::<Infallible>(py, length, |mut room| {
        for piece in pieces {
            let (place, rest) = room.split_at_mut(piece.as_ref().len());
            place.write_copy_of_slice(piece.as_ref());
            room = rest;
        }
        Ok(length)
    })?;
    Ok(whole)
}

/// A `bytes` object of what `fill` writes into `room` bytes of fresh memory, and its length; nothing is made of a failure.
///
/// # Errors
/// `MemoryError`.
#[inline]
#[expect(
    clippy::type_complexity,
    reason = "two kinds of failure, and neither is a room's own"
)]
pub(crate) fn filled_bytes<E>(
    _py: Python<'_>,
    room: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> Outcome<Result<(Ref, usize), E>> {
    // SAFETY: the fresh object is unshared until it is returned; `fill` sees its memory as never written, and says how
    // much of it now is. The resize takes over the reference and gives one back, or raises.
    unsafe {
        let fresh = Ref::returned(ffi::PyBytes_FromStringAndSize(
            std::ptr::null(),
            room.cast_signed(),
        ))?;
        let memory = ffi::PyBytes_AS_STRING(fresh.as_ptr()).cast_mut().cast();
        let length = match fill(std::slice::from_raw_parts_mut(memory, room)) {
            Ok(length) => length.min(room),
            Err(error) => return Ok(Err(error)),
        };
        let mut object = fresh.into_ptr();
        if length < room && _PyBytes_Resize(&raw mut object, length.cast_signed()) < 0 {
            return Err(Raised::already());
        }
        Ok(Ok((Ref::steal(object), length)))
    }
}
