//! What encrypts and decrypts: OpenSSL driven natively, or the methods of Python's own objects.

use std::ffi::CString;

use conbrio_tls::openssl::Connection;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::objects::{Objects, is_plain};
use crate::ffi::{Object, Outcome, Session, Visit, object};

/// What encrypts and decrypts a connection.
pub(super) enum Engine {
    /// OpenSSL, without Python.
    Native(Session),
    /// Python's objects.
    Objects(Box<Objects>),
}

impl Engine {
    /// Shows the collector what the engine keeps.
    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Self::Native(session) => session.traverse(visit),
            Self::Objects(objects) => objects.traverse(visit),
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
    if !is_plain(py, sslobj)? {
        return Ok(None);
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
