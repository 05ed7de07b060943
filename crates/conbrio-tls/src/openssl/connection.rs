//! One connection that Python made, with our memory where a socket would be.

use std::cell::Cell;
use std::ffi::{CStr, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::library::Library;
use super::pipe::Pipe;

const WANT_READ: i32 = 2;
const WANT_WRITE: i32 = 3;
const ZERO_RETURN: i32 = 6;
/// `SSL_RECEIVED_SHUTDOWN`.
const RECEIVED_SHUTDOWN: i32 = 2;

static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();

/// The library of this process, once it was found.
#[inline]
pub(super) fn library() -> Option<&'static Library> {
    LIBRARY.get()?.as_ref().ok()
}

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of plaintext.
    Bytes(usize),
    /// More ciphertext is needed.
    Again,
    /// The peer has said that it sends no more.
    End,
    /// The same, and so have we.
    Over,
    /// Something else; OpenSSL's queue of errors says what.
    Failed,
}

/// What writing gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// So many bytes of plaintext were taken.
    Bytes(usize),
    /// The peer must be heard first.
    Again,
    /// Something else; OpenSSL's queue of errors says what.
    Failed,
}

/// A connection, driven by one thread at a time.
pub struct Connection {
    library: &'static Library,
    /// The `SSL` that Python made; alive as long as this value, as `adopt` was promised.
    ssl: NonNull<c_void>,
    /// Our BIO, of which we count one reference.
    bio: NonNull<c_void>,
    /// What the BIO keeps.
    pipe: NonNull<Pipe>,
    /// OpenSSL runs now, and with it perhaps a callback that comes back here.
    busy: Cell<bool>,
}

impl Connection {
    /// Finds, once, the library that the module in `file` is linked to.
    ///
    /// # Errors
    /// As `Library::find`.
    pub fn library(file: Option<&CStr>, version: c_ulong) -> Result<(), &'static str> {
        LIBRARY
            .get_or_init(|| Library::find(file, version))
            .as_ref()
            .map(|_| ())
            .map_err(String::as_str)
    }

    /// Takes a connection over, unless it is not one of `context` or the library was not found.
    ///
    /// # Safety
    /// `ssl` is a live `SSL` that has not begun its handshake, of the library that Python has; it lives as long as the
    /// answer does, and nobody else drives it from another thread.
    pub unsafe fn adopt(ssl: NonNull<c_void>, context: NonNull<c_void>) -> Option<Self> {
        let library = library()?;
        // SAFETY: `ssl` is live; the new BIO goes to it with one reference, which serves both directions, and we keep
        // another.
        unsafe {
            if (library.ssl_get_ssl_ctx)(ssl.as_ptr()) != context.as_ptr() {
                return None;
            }
            let bio = NonNull::new((library.bio_new)(library.method.as_ptr()))?;
            let pipe = NonNull::from(Box::leak(Box::new(Pipe::new(library))));
            (library.bio_set_data)(bio.as_ptr(), pipe.as_ptr().cast());
            (library.bio_set_init)(bio.as_ptr(), 1);
            (library.bio_up_ref)(bio.as_ptr());
            (library.ssl_set_bio)(ssl.as_ptr(), bio.as_ptr(), bio.as_ptr());
            Some(Self {
                library,
                ssl,
                bio,
                pipe,
                busy: Cell::new(false),
            })
        }
    }

    /// Lends the ciphertext of both directions; nothing is lent while OpenSSL runs.
    #[inline]
    pub fn pipe<R>(&self, user: impl FnOnce(&mut Pipe) -> R) -> Option<R> {
        if self.busy.replace(true) {
            return None;
        }
        // SAFETY: the pipe lives as long as our reference to the BIO; `busy` keeps everybody else out.
        let answer = user(unsafe { &mut *self.pipe.as_ptr() });
        self.busy.set(false);
        Some(answer)
    }

    /// Whether OpenSSL runs or the ciphertext is lent.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Decrypts into `room`.
    #[inline]
    pub fn read(&self, room: &mut [MaybeUninit<u8>]) -> Read {
        if self.busy.replace(true) {
            return Read::Again;
        }
        let mut count = 0;
        // SAFETY: a live `SSL`; `room` is writable for its length, of which OpenSSL reads nothing.
        let answer = unsafe {
            (self.library.err_clear_error)();
            let memory = room.as_mut_ptr().cast();
            (self.library.ssl_read_ex)(self.ssl.as_ptr(), memory, room.len(), &raw mut count)
        };
        self.busy.set(false);
        if answer == 1 {
            return Read::Bytes(count);
        }
        // SAFETY: a live `SSL`, and the answer that it has just given.
        match unsafe { (self.library.ssl_get_error)(self.ssl.as_ptr(), answer) } {
            WANT_READ | WANT_WRITE => Read::Again,
            ZERO_RETURN if self.shutdown() == RECEIVED_SHUTDOWN => Read::End,
            ZERO_RETURN => Read::Over,
            _ => Read::Failed,
        }
    }

    fn shutdown(&self) -> i32 {
        // SAFETY: a live `SSL`.
        unsafe { (self.library.ssl_get_shutdown)(self.ssl.as_ptr()) }
    }

    /// Encrypts the beginning of `bytes`.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> Write {
        if self.busy.replace(true) {
            return Write::Again;
        }
        let mut count = 0;
        // SAFETY: a live `SSL`; `bytes` is readable for its length.
        let answer = unsafe {
            (self.library.err_clear_error)();
            let memory = bytes.as_ptr().cast();
            (self.library.ssl_write_ex)(self.ssl.as_ptr(), memory, bytes.len(), &raw mut count)
        };
        self.busy.set(false);
        if answer == 1 {
            return Write::Bytes(count);
        }
        // SAFETY: as in `read`.
        match unsafe { (self.library.ssl_get_error)(self.ssl.as_ptr(), answer) } {
            WANT_READ | WANT_WRITE => Write::Again,
            _ => Write::Failed,
        }
    }

    /// Whether OpenSSL itself keeps bytes: a record that has not come whole, or plaintext that was not read.
    #[inline]
    pub fn has_pending(&self) -> bool {
        // SAFETY: a live `SSL`.
        unsafe { (self.library.ssl_has_pending)(self.ssl.as_ptr()) == 1 }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: gives our reference up; the `SSL` has its own.
        unsafe {
            (self.library.bio_free)(self.bio.as_ptr());
        }
    }
}
