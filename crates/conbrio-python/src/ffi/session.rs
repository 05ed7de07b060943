//! A connection of Python's `ssl` module, whose OpenSSL object is driven without Python.
//!
//! `_ssl` keeps the pointers that are needed in private fields. They are read only when a third field, next to them,
//! holds what it must: the context that the connection was made of.

use std::ffi::c_void;
use std::ops::Deref;
use std::ptr::NonNull;

use conbrio_tls::machine::Machine;
use conbrio_tls::openssl::Connection;
use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Slot};
use super::visit::Visit;

/// Where `_ssl._SSLSocket` keeps its `SSL`, in words.
const SSL: usize = 3;
/// Where it keeps its Python context.
const CONTEXT: usize = 4;
/// Where `_ssl._SSLContext` keeps its `SSL_CTX`.
const SSL_CTX: usize = 2;

/// A machine, and the Python object that owns what it drives.
pub(crate) struct Session {
    machine: Machine,
    /// Dropped after the machine, which it must outlive.
    owner: Slot,
}

impl Session {
    /// Takes the connection of `socket`, an `_ssl._SSLSocket` of `context`, over; nothing if they are made otherwise than
    /// we know.
    pub(crate) fn adopt(_py: Python<'_>, socket: &Object, context: &Object) -> Option<Self> {
        let owner = word(socket, CONTEXT)?;
        if owner.as_ptr().cast() != context.as_ptr() {
            return None;
        }
        let (ssl, ssl_ctx) = (word(socket, SSL)?, word(context, SSL_CTX)?);
        // SAFETY: the fields beside it are as known, so this is the `SSL` of `socket`, which `owner` keeps alive for as
        // long as the machine lives; who drives it holds the interpreter's lock.
        let connection = unsafe { Connection::adopt(ssl, ssl_ctx) }?;
        Some(Self {
            machine: Machine::new(connection),
            owner: Slot::holding(socket.share()),
        })
    }

    /// Shows the collector the owner.
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.owner);
    }
}

impl Deref for Session {
    type Target = Machine;

    #[inline]
    fn deref(&self) -> &Machine {
        &self.machine
    }
}

/// The word at `index` of an object that is large enough for it.
fn word(object: &Object, index: usize) -> Option<NonNull<c_void>> {
    // SAFETY: a live object, of at least the size that its class says.
    unsafe {
        let size = usize::try_from((*ffi::Py_TYPE(object.as_ptr())).tp_basicsize).ok()?;
        if size < (index + 1) * size_of::<*mut c_void>() {
            return None;
        }
        NonNull::new(*object.as_ptr().cast::<*mut c_void>().add(index))
    }
}
