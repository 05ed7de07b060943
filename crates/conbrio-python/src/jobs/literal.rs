//! Names to addresses: what needs no look-up is answered at once; the rest is a job for the executor.

use conbrio_core::resolve::{Hints, Info, literal};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyString};
use std::net::IpAddr;

use crate::names;

/// What `socket.getaddrinfo` answers to a host written in numbers; `None` when it has to be asked.
///
/// # Errors
/// `MemoryError`, or what cannot be imported.
#[pyfunction]
#[pyo3(signature = (host, port, family, r#type, proto, flags))]
#[expect(clippy::too_many_arguments, reason = "getaddrinfo's own parameters")]
pub(crate) fn resolve_literal<'py>(
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    family: i32,
    r#type: i32,
    proto: i32,
    flags: i32,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let py = host.py();
    let hints = Hints {
        family,
        kind: r#type,
        protocol: proto,
        flags,
    };
    let Some(port) = port_number(port) else {
        return Ok(None);
    };
    let found = if let Ok(host) = host.cast_exact::<PyString>() {
        host.to_str()
            .ok()
            .and_then(|host| literal(host, port, hints))
    } else if let Ok(host) = host.cast_exact::<PyBytes>() {
        std::str::from_utf8(host.as_bytes())
            .ok()
            .and_then(|host| literal(host, port, hints))
    } else {
        None
    };
    let Some(found) = found else { return Ok(None) };
    let entries = PyList::empty(py);
    for info in found {
        entries.append(entry(py, &info)?)?;
    }
    Ok(Some(entries))
}

/// A port given as a number or in digits; 0 if it was not given.
pub(crate) fn port_number(port: &Bound<'_, PyAny>) -> Option<u16> {
    if port.is_none() {
        return Some(0);
    }
    if port.is_exact_instance_of::<PyInt>() {
        return port.extract().ok();
    }
    let port = port.cast_exact::<PyString>().ok()?;
    let digits = port
        .to_str()
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

fn entry<'py>(py: Python<'py>, info: &Info) -> PyResult<Bound<'py, PyAny>> {
    let host = info.address.host_text();
    let (family, address) = match info.address.host {
        IpAddr::V4(_) => (
            names::af_inet(py),
            (host, info.address.port).into_pyobject(py)?.into_any(),
        ),
        IpAddr::V6(_) => (
            names::af_inet6(py),
            (host, info.address.port, 0, 0)
                .into_pyobject(py)?
                .into_any(),
        ),
    };
    let kind = match info.kind {
        1 => names::sock_stream(py),
        2 => names::sock_dgram(py),
        _ => names::sock_raw(py),
    };
    let empty = pyo3::intern!(py, "");
    Ok((
        family?.bind(py),
        kind?.bind(py),
        info.protocol,
        empty,
        address,
    )
        .into_pyobject(py)?
        .into_any())
}
