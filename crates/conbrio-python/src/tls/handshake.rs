//! One step of the handshake, for each piece of it that has come; what is said of its end is CPython's.

use pyo3::prelude::*;

use super::TlsFlow;
use super::write::send;
use crate::ffi::{Instance, Object, Outcome, Raised, Ref, attribute, call_method, is_true, raise};
use crate::names;

/// CPython: `_do_handshake`.
pub(super) fn shake(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    let flow = this.object();
    // A server has nothing to do before the client has said something. CPython: tries, and is told to come again by an
    // exception.
    if this.pending(py)? == 0 {
        let is_server = attribute(py, flow, names::server_side(py))?;
        if is_true(py, &is_server)? {
            return Ok(());
        }
    }
    let connection = attribute(py, flow, names::sslobj(py))?;
    let end = match call_method(py, &connection, names::handshake(py), &[]) {
        Ok(_) => Ref::none(),
        Err(raised) => match failure(py, raised)? {
            Some(exception) => exception,
            None => return send(py, this),
        },
    };
    call_method(py, flow, names::on_handshake_complete(py), &[&end]).map(drop)
}

/// What the handshake failed of, if what was raised does not only say that more is needed.
fn failure(py: Python<'_>, raised: Raised) -> Outcome<Option<Ref>> {
    let exception = raised.take();
    if is_again(py, &exception)? {
        return Ok(None);
    }
    let class = names::ssl_error(py)?;
    if exception.bind(py).is_instance(&class.bind(py))? {
        return Ok(Some(exception));
    }
    Err(raise(exception))
}

/// Whether what was raised only says that more is needed. CPython: `SSLAgainErrors`.
pub(super) fn is_again(py: Python<'_>, exception: &Object) -> Outcome<bool> {
    let classes = names::ssl_again_errors(py)?;
    Ok(exception.bind(py).is_instance(&classes.bind(py))?)
}
