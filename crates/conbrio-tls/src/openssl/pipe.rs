//! The memory that stands where OpenSSL expects a socket: what has been received for it, and what it wants sent.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::slice;

use super::library::Library;

/// The kind of our memory: a source and sink (`BIO_TYPE_SOURCE_SINK`), of a number that OpenSSL leaves to programs.
pub(super) const KIND: c_int = 0x0400 | 0xf0;
/// `BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY`.
const READ_LATER: c_int = 0x01 | 0x08;
/// `BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY`.
const ANY_LATER: c_int = 0x07 | 0x08;
const CTRL_PENDING: c_int = 10;
const CTRL_FLUSH: c_int = 11;
const CTRL_DUP: c_int = 12;
const CTRL_WPENDING: c_int = 13;

/// Both directions of one connection, as ciphertext.
#[derive(Default)]
pub struct Pipe {
    /// Received bytes; what lies before `start` has been read, what lies from `end` on is room.
    inbound: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes to be sent.
    pub(super) outbound: Vec<u8>,
    /// Whose functions the callbacks use.
    library: Option<&'static Library>,
}

impl Pipe {
    /// A pipe of a connection of `library`.
    pub(super) fn new(library: &'static Library) -> Self {
        Self {
            library: Some(library),
            ..Self::default()
        }
    }

    /// How many received bytes OpenSSL has not read.
    #[inline]
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// How many bytes are to be sent.
    #[inline]
    pub fn owed(&self) -> usize {
        self.outbound.len()
    }

    /// Whether there is memory to receive into.
    #[inline]
    pub fn has_memory(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// Brings memory, which replaces an empty one.
    pub fn lend_memory(&mut self, inbound: Vec<u8>) {
        self.inbound = inbound;
        (self.start, self.end) = (0, 0);
    }

    /// Gives the memory back, if all in it has been read.
    #[inline]
    pub fn give_memory_back(&mut self) -> Option<Vec<u8>> {
        (self.pending() == 0 && self.has_memory()).then(|| {
            (self.start, self.end) = (0, 0);
            std::mem::take(&mut self.inbound)
        })
    }

    /// Has `receive` write into at least `room` bytes after what is pending; answers how many it wrote.
    ///
    /// # Errors
    /// What `receive` says.
    pub fn receive<E>(
        &mut self,
        room: usize,
        receive: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        if self.start > 0 {
            self.inbound.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let needed = self.end + room;
        if self.inbound.len() < needed {
            self.inbound.resize(needed, 0);
        }
        let free = self.inbound.get_mut(self.end..).unwrap_or_default();
        let count = receive(free)?.min(free.len());
        self.end += count;
        Ok(count)
    }

    /// Takes what is to be sent and leaves `spare`, which is empty.
    #[inline]
    pub fn take_owed(&mut self, spare: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.outbound, spare)
    }

    /// Forgets both directions.
    pub fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
        self.inbound = Vec::new();
        self.outbound = Vec::new();
    }

    fn read(&mut self, room: &mut [u8]) -> usize {
        let count = room.len().min(self.pending());
        let from = self.inbound.get(self.start..self.start + count);
        if let (Some(from), Some(to)) = (from, room.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.start += count;
        count
    }
}

/// The pipe of one of our BIOs, and whose functions serve it.
///
/// # Safety
/// `bio` is a live BIO of our method, and nobody else uses its pipe meanwhile.
unsafe fn pipe<'a>(bio: *mut c_void) -> Option<(&'a mut Pipe, &'static Library)> {
    // SAFETY: `Connection::adopt` has put a pipe there, which lives as long as the BIO.
    let pipe = unsafe { data(bio).as_mut() }?;
    let library = pipe.library?;
    Some((pipe, library))
}

/// Where `Connection::adopt` has put the pipe: the library that made the BIO is the one of this process.
///
/// # Safety
/// `bio` is a live BIO of our method.
unsafe fn data(bio: *mut c_void) -> *mut Pipe {
    match super::connection::library() {
        // SAFETY: promised by the caller.
        Some(library) => unsafe { (library.bio_get_data)(bio).cast() },
        None => std::ptr::null_mut(),
    }
}

/// OpenSSL reads ciphertext.
pub(super) unsafe extern "C" fn read(bio: *mut c_void, room: *mut c_char, length: c_int) -> c_int {
    let Ok(length) = usize::try_from(length) else {
        return 0;
    };
    // SAFETY: OpenSSL passes a BIO of ours and `length` writable bytes; `Connection` lends the pipe to nobody while it
    // calls OpenSSL.
    let (Some((pipe, library)), false) = (unsafe { pipe(bio) }, room.is_null()) else {
        return -1;
    };
    // SAFETY: as above.
    let room = unsafe { slice::from_raw_parts_mut(room.cast::<u8>(), length) };
    // SAFETY: a live BIO.
    unsafe { (library.bio_clear_flags)(bio, ANY_LATER) };
    let count = pipe.read(room);
    if count == 0 && length > 0 {
        // SAFETY: a live BIO.
        unsafe { (library.bio_set_flags)(bio, READ_LATER) };
        return -1;
    }
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

/// OpenSSL sends ciphertext.
pub(super) unsafe extern "C" fn write(
    bio: *mut c_void,
    bytes: *const c_char,
    length: c_int,
) -> c_int {
    let Ok(count) = usize::try_from(length) else {
        return 0;
    };
    // SAFETY: as `read`.
    let (Some((pipe, library)), false) = (unsafe { pipe(bio) }, bytes.is_null()) else {
        return -1;
    };
    // SAFETY: OpenSSL passes `length` readable bytes.
    pipe.outbound
        .extend_from_slice(unsafe { slice::from_raw_parts(bytes.cast::<u8>(), count) });
    // SAFETY: a live BIO.
    unsafe { (library.bio_clear_flags)(bio, ANY_LATER) };
    length
}

/// OpenSSL asks something.
pub(super) unsafe extern "C" fn ctrl(
    bio: *mut c_void,
    question: c_int,
    _number: c_long,
    _pointer: *mut c_void,
) -> c_long {
    // SAFETY: as `read`.
    let Some((pipe, _)) = (unsafe { pipe(bio) }) else {
        return 0;
    };
    match question {
        CTRL_FLUSH | CTRL_DUP => 1,
        CTRL_PENDING => c_long::try_from(pipe.pending()).unwrap_or(c_long::MAX),
        CTRL_WPENDING => c_long::try_from(pipe.owed()).unwrap_or(c_long::MAX),
        _ => 0,
    }
}

/// OpenSSL and we have both let the BIO go.
pub(super) unsafe extern "C" fn destroy(bio: *mut c_void) -> c_int {
    // SAFETY: a BIO of ours, whose pipe was a box and is freed here once.
    unsafe {
        let pipe = data(bio);
        if !pipe.is_null() {
            drop(Box::from_raw(pipe));
        }
    }
    1
}
