//! What encrypts and decrypts: OpenSSL driven natively, or the methods of Python's own objects.

use std::cell::Cell;
use std::ffi::CString;
use std::io;

use conbrio_tls::openssl::Connection;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ffi::{
    Guarded, Object, Outcome, Raised, Ref, Session, Visit, attribute, bytes, call, object, raise,
};
use crate::names;
use crate::protocol::Source;

/// How much plaintext is asked for at once: a record's. More makes Python clear memory that is not filled.
pub(super) const PIECE: usize = 16 * 1024;

thread_local! {
    /// What connections receive into, one after the other.
    static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What encrypts and decrypts a connection.
pub(super) enum Engine {
    /// OpenSSL, without Python.
    Native(Session),
    /// Python's objects.
    Objects(Box<Objects>),
}

/// Methods of an `ssl.SSLObject` and its two `MemoryBIO`s.
pub(super) struct Objects {
    read: Ref,
    write: Ref,
    incoming: Ref,
    outgoing: Ref,
    incoming_write: Ref,
    outgoing_read: Ref,
    /// Received, and not yet written to `incoming`.
    staged: Guarded<Vec<u8>>,
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
        Ok(Box::new(Self {
            read: attribute(py, sslobj, names::read(py))?,
            write: attribute(py, sslobj, names::write(py))?,
            incoming_write: attribute(py, incoming, names::write(py))?,
            outgoing_read: attribute(py, outgoing, names::read(py))?,
            incoming: incoming.share(),
            outgoing: outgoing.share(),
            staged: Guarded::new(Vec::new()),
        }))
    }

    /// Has memory written to that is handed over by `feed`.
    pub(super) fn receive(
        &self,
        py: Python<'_>,
        room: usize,
        source: Source<'_>,
    ) -> io::Result<usize> {
        let mut memory = MEMORY.take();
        memory.resize(room, 0);
        let received = source(&mut memory);
        let count = *received.as_ref().unwrap_or(&0);
        self.staged.lend(py, |staged| {
            staged.extend_from_slice(memory.get(..count).unwrap_or_default());
        });
        MEMORY.set(memory);
        received
    }

    /// Hands over what was received.
    pub(super) fn feed(&self, py: Python<'_>) -> Outcome<()> {
        let staged = self.staged.replace(Vec::new());
        if staged.is_empty() {
            return Ok(());
        }
        let data = bytes(py, &staged)?;
        call(py, &self.incoming_write, &[&data])?;
        Ok(())
    }

    /// Some plaintext, or why there is none.
    pub(super) fn read(&self, py: Python<'_>) -> Outcome<Result<Ref, Pause>> {
        let Ok(piece) = PIECE.into_pyobject(py);
        match call(py, &self.read, &[object(&piece)]) {
            Ok(data) if data.bind(py).len()? == 0 => Ok(Err(Pause::End)),
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
        Ok(pending(py, &self.incoming)? + self.staged.lend(py, |staged| staged.len()))
    }
}

fn pending(py: Python<'_>, memory: &Object) -> Outcome<usize> {
    Ok(attribute(py, memory, names::pending(py))?
        .bind(py)
        .extract()?)
}

/// Whether what was raised only says that more is needed. CPython: `SSLAgainErrors`.
fn again(py: Python<'_>, raised: Raised) -> Outcome<Pause> {
    let exception = raised.take();
    let again = exception
        .bind(py)
        .is_instance(&names::ssl_again_errors(py)?.bind(py))?;
    if again {
        return Ok(Pause::Again);
    }
    Err(raise(exception))
}

impl Engine {
    /// Shows the collector what the engine keeps.
    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Self::Native(session) => session.traverse(visit),
            Self::Objects(objects) => {
                let Objects {
                    read,
                    write,
                    incoming,
                    outgoing,
                    incoming_write,
                    outgoing_read,
                    staged: _,
                } = &**objects;
                for reference in [
                    read,
                    write,
                    incoming,
                    outgoing,
                    incoming_write,
                    outgoing_read,
                ] {
                    visit.reference(reference);
                }
            }
        }
    }
}

/// Drives the connection of `sslobj` natively, if that can be done and nobody has put methods of their own in between.
pub(super) fn native(
    py: Python<'_>,
    sslobj: &Object,
    context: &Object,
) -> Outcome<Option<Session>> {
    if refusal(py).is_some() {
        return Ok(None);
    }
    let class = sslobj.bind(py).get_type();
    let plain = names::ssl_object(py)?.bind(py);
    for method in ["read", "write"] {
        if !class
            .getattr(method)
            .is_ok_and(|own| plain.getattr(method).is_ok_and(|method| method.is(&own)))
        {
            return Ok(None);
        }
    }
    // A message callback is called from within OpenSSL for each record, with what was raised kept for Python's methods.
    let heard = context.bind(py).getattr("_msg_callback");
    if !heard.is_ok_and(|callback| callback.is_none()) {
        return Ok(None);
    }
    let Ok(socket) = sslobj.bind(py).getattr("_sslobj") else {
        return Ok(None);
    };
    Ok(Session::adopt(py, object(&socket), context))
}

/// Why TLS is not driven natively, if it is not.
pub(crate) fn refusal(py: Python<'_>) -> Option<String> {
    static REFUSAL: PyOnceLock<Option<String>> = PyOnceLock::new();
    REFUSAL
        .get_or_init(py, || prove(py).err().map(|error| error.to_string()))
        .clone()
}

/// Finds the OpenSSL of Python's `ssl` module.
fn prove(py: Python<'_>) -> PyResult<()> {
    if std::env::var_os("CONBRIO_NATIVE_TLS").is_some_and(|value| value == "0") {
        return Err(PyRuntimeError::new_err("CONBRIO_NATIVE_TLS=0"));
    }
    let module = py.import("_ssl")?;
    let version = module
        .getattr("OPENSSL_VERSION_NUMBER")?
        .extract::<std::ffi::c_ulong>()?;
    // A module that is part of the program has no file.
    let file = module
        .getattr("__file__")
        .ok()
        .map(|file| file.extract::<std::ffi::OsString>())
        .transpose()?;
    let file = file
        .map(|file| CString::new(std::os::unix::ffi::OsStringExt::into_vec(file)))
        .transpose()?;
    Connection::library(file.as_deref(), version).map_err(PyRuntimeError::new_err)
}
