//! What `get_extra_info` answers: the socket and both addresses, as Python objects made when they are asked for.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use conbrio_core::resolve::Address as Host;
use conbrio_driver::sys::address::Address;
use conbrio_driver::sys::socket;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::StreamTransport;
use crate::ffi::{Instance, Object, Outcome, Ref, call, object};
use crate::names;

const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;
const STREAM: i32 = 1;

/// Both ends of a connection, as they were when it was made: later the system may not know them any more.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// Our address, if there is one.
    pub(crate) local: Option<Address>,
    /// The peer's address, if there is one.
    pub(crate) peer: Option<Address>,
    /// The socket's protocol, as the program that made the socket named it.
    pub(crate) protocol: i32,
}

impl Ends {
    /// Asks the system.
    pub(crate) fn of(fd: RawFd, protocol: i32) -> Self {
        let mut ends = Self { local: Some(Address::default()), peer: Some(Address::default()), protocol };
        ends.local = ends.local.filter_mut(|address| socket::local_address(fd, address).is_ok());
        ends.peer = ends.peer.filter_mut(|address| socket::peer_address(fd, address).is_ok());
        ends
    }

    /// The ends of a connection that was accepted from `peer`.
    pub(crate) fn accepted(fd: RawFd, peer: Address, protocol: i32) -> Self {
        let mut local = Address::default();
        let known = socket::local_address(fd, &mut local).is_ok();
        Self { local: known.then_some(local), peer: Some(peer), protocol }
    }
}

/// Keeps a value that a test has filled.
trait FilterMut<T> {
    fn filter_mut(self, keep: impl FnOnce(&mut T) -> bool) -> Self;
}

impl<T> FilterMut<T> for Option<T> {
    fn filter_mut(self, keep: impl FnOnce(&mut T) -> bool) -> Self {
        let mut value = self?;
        keep(&mut value).then_some(value)
    }
}

/// `get_extra_info(name, default)`.
pub(super) fn get(py: Python<'_>, this: &Instance<StreamTransport>, name: &Object, default: Option<&Object>) -> Outcome<Ref> {
    let extra = this.fields.extra.share_or_none();
    let extra = extra.bind(py);
    let name = name.bind(py);
    if let Ok(known) = extra.cast::<PyDict>() {
        if let Some(value) = known.get_item(name)? {
            return Ok(value.into());
        }
        if let Ok(name) = name.cast::<PyString>()
            && let Some(value) = make(py, this, &name.to_string_lossy())?
        {
            known.set_item(name, value.bind(py))?;
            return Ok(value);
        }
    }
    Ok(default.map_or_else(Ref::none, Object::share))
}

/// The whole dictionary, nothing left out.
pub(super) fn all(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<Ref> {
    for name in [names::socket_name(py), names::sockname(py), names::peername(py)] {
        get(py, this, object(name), None)?;
    }
    Ok(this.fields.extra.share_or_none())
}

fn make(py: Python<'_>, this: &Instance<StreamTransport>, name: &str) -> Outcome<Option<Ref>> {
    let end = |choose: fn(&Ends) -> Option<Address>| {
        let address = this.ends.lend(py, |ends| ends.as_deref().and_then(choose));
        address.map_or_else(|| Ok(Ref::none()), |address| address_object(py, &address))
    };
    match name {
        "socket" => {
            let sock = sock(py, this)?;
            Ok(Some(call(py, names::transport_socket(py)?, &[&sock])?))
        }
        "sockname" => end(|ends| ends.local).map(Some),
        "peername" => end(|ends| ends.peer).map(Some),
        _ => Ok(None),
    }
}

/// The Python socket, which owns the descriptor from now on.
pub(super) fn sock(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<Ref> {
    if let Some(sock) = this.sock.share() {
        return Ok(sock);
    }
    let class = names::socket_class(py)?.bind(py);
    let ends = this.ends.lend(py, |ends| ends.as_deref().copied());
    let family = ends.and_then(|ends| ends.local.or(ends.peer)).map_or(0, |address| family(address.as_bytes()));
    let protocol = ends.map_or(0, |ends| ends.protocol);
    let own = this.own.replace(None);
    let Some(own) = own else {
        // The connection is over: a socket without a descriptor, which says so.
        let closed = class.call1((i32::from(family), STREAM, protocol))?;
        closed.call_method0("close")?;
        this.sock.set(closed.into());
        return Ok(this.sock.share_or_none());
    };
    let made = class.call1((i32::from(family), STREAM, protocol, own.as_raw_fd()));
    match made {
        Ok(sock) => {
            let _ = own.into_raw_fd();
            sock.call_method1("settimeout", (0.0,))?;
            this.sock.set(sock.into());
            Ok(this.sock.share_or_none())
        }
        Err(error) => {
            drop(this.own.replace(Some(own)));
            Err(error.into())
        }
    }
}

/// An address as Python's socket module writes it.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn address_object(py: Python<'_>, address: &Address) -> Outcome<Ref> {
    let bytes = address.as_bytes();
    let made = match family(bytes) {
        INET => {
            let host = Ipv4Addr::from(array::<4>(bytes, 4));
            (host.to_string(), port(bytes)).into_pyobject(py)?.into_any()
        }
        INET6 => {
            let host = Ipv6Addr::from(array::<16>(bytes, 8));
            let host = Host { host: IpAddr::V6(host), port: 0 }.host_text();
            let flow = u32::from_be_bytes(array(bytes, 4));
            (host, port(bytes), flow, u32::from_ne_bytes(array(bytes, 24))).into_pyobject(py)?.into_any()
        }
        UNIX => unix(py, bytes.get(2..).unwrap_or_default())?,
        // CPython: an address of another family is shown as its number and its bytes.
        other => (other, PyBytes::new(py, bytes.get(2..).unwrap_or_default())).into_pyobject(py)?.into_any(),
    };
    Ok(made.into())
}

/// A path; a name that is not in the file system begins with a zero and is bytes.
fn unix<'py>(py: Python<'py>, path: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if path.first() == Some(&0) {
        return Ok(PyBytes::new(py, path).into_any());
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    let path = OsStr::from_bytes(path.get(..end).unwrap_or_default());
    Ok(path.into_pyobject(py)?.into_any())
}

fn family(bytes: &[u8]) -> u16 {
    u16::from_ne_bytes(array(bytes, 0))
}

fn port(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(array(bytes, 2))
}

/// `N` bytes from `start`; zeroes where there are none.
fn array<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(bytes.iter().skip(start)) {
        *to = *from;
    }
    array
}
