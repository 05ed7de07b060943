//! What `get_extra_info` answers: the socket and both addresses, as Python objects made when they are asked for.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use conbrio_core::resolve::Address as Host;
use conbrio_driver::sys::address::Address;
use conbrio_driver::sys::socket;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PySuper, PyType};

use super::StreamTransport;
use crate::ffi::{Instance, Object, Outcome, Raised, Ref, attribute, call, object};
use crate::names;

pub(super) const UNIX: u16 = 1;
pub(super) const INET: u16 = 2;
pub(super) const INET6: u16 = 10;
const STREAM: i32 = 1;
/// The number of the TCP protocol.
const TCP: i32 = 6;

/// Both ends of a connection, as they were when it was made: later the system may not know them any more.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ends {
    /// Our address, if there is one and it was asked for.
    pub(crate) local: Option<Address>,
    /// The peer's address, if there is one.
    pub(crate) peer: Option<Address>,
    /// The socket's protocol, as the program that made the socket named it.
    pub(crate) protocol: i32,
}

impl Ends {
    /// Asks the system.
    pub(crate) fn of(fd: RawFd, protocol: i32) -> Self {
        Self::dialled(fd, protocol).asked(fd)
    }

    /// The ends of a connection that was accepted from `peer`; ours is asked for when somebody wants to know it.
    pub(crate) const fn accepted(peer: Address, protocol: i32) -> Self {
        Self {
            local: None,
            peer: Some(peer),
            protocol,
        }
    }

    /// The ends of a connection that `fd` has dialled, ours unasked too.
    pub(crate) fn dialled(fd: RawFd, protocol: i32) -> Self {
        let peer = Some(Address::default());
        Self {
            local: None,
            peer: peer.filter_mut(|address| socket::peer_address(fd, address).is_ok()),
            protocol,
        }
    }

    /// The same with our end asked for.
    pub(crate) fn asked(self, fd: RawFd) -> Self {
        Self {
            local: Self::local_of(fd),
            ..self
        }
    }

    /// The peer's address as a Python object.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn peer_object(&self, py: Python<'_>) -> Outcome<Ref> {
        self.peer
            .map_or_else(|| Ok(Ref::none()), |peer| address_object(py, &peer))
    }

    /// Whether the connection is TCP: said by its socket, or what a stream of its family is when nothing is said.
    pub(crate) fn is_tcp(&self) -> bool {
        let unsaid = self.protocol == 0 && matches!(self.family(), INET | INET6);
        unsaid || self.protocol == TCP
    }

    fn family(&self) -> u16 {
        self.local
            .or(self.peer)
            .map_or(0, |address| family(address.as_bytes()))
    }

    /// What is known of the end that `fd` is.
    fn local_of(fd: RawFd) -> Option<Address> {
        Some(Address::default()).filter_mut(|address| socket::local_address(fd, address).is_ok())
    }
}

/// Both ends as a connection keeps them: their bytes alone, as there may be very many connections.
#[derive(Default)]
pub(super) struct KeptEnds {
    /// The local address, then the peer's.
    bytes: Box<[u8]>,
    /// How many bytes the local address has; `ABSENT` when there is none, `UNASKED` when nobody has asked for it yet.
    local: u8,
    /// The same of the peer's.
    peer: u8,
    /// The socket's protocol.
    protocol: i32,
}

/// The length of no address; a real one is shorter.
const ABSENT: u8 = u8::MAX;

/// The length of an address that the system has not been asked for.
const UNASKED: u8 = u8::MAX - 1;

impl KeptEnds {
    /// Packs.
    pub(super) fn of(ends: &Ends) -> Self {
        let bytes = |end: &Option<Address>| end.as_ref().map_or(&[][..], Address::as_bytes).len();
        let length = |end: &Option<Address>| {
            end.as_ref()
                .map_or(ABSENT, |_| u8::try_from(bytes(end)).unwrap_or(ABSENT))
        };
        let mut packed = Vec::with_capacity(bytes(&ends.local) + bytes(&ends.peer));
        for end in [&ends.local, &ends.peer].into_iter().flatten() {
            packed.extend_from_slice(end.as_bytes());
        }
        Self {
            bytes: packed.into_boxed_slice(),
            local: length(&ends.local),
            peer: length(&ends.peer),
            protocol: ends.protocol,
        }
    }

    /// The same of ends of which ours has not been asked for.
    pub(super) fn unasked(ends: &Ends) -> Self {
        Self {
            local: UNASKED,
            ..Self::of(ends)
        }
    }

    /// Asks the system for our end, if nobody has yet.
    #[inline]
    pub(super) fn ask(&mut self, fd: RawFd) {
        if self.local == UNASKED {
            *self = Self::of(&self.ends().asked(fd));
        }
    }

    /// Unpacks.
    fn ends(&self) -> Ends {
        let present = |length: u8| {
            if length >= UNASKED {
                0
            } else {
                usize::from(length)
            }
        };
        let (local, rest) = self
            .bytes
            .split_at_checked(present(self.local))
            .unwrap_or_default();
        let peer = rest.get(..present(self.peer)).unwrap_or_default();
        Ends {
            local: (self.local < UNASKED).then(|| Address::of_bytes(local)),
            peer: (self.peer < UNASKED).then(|| Address::of_bytes(peer)),
            protocol: self.protocol,
        }
    }
}

/// Whether `address_object` can write the addresses of a socket as Python does.
pub(crate) fn is_known_family(fd: RawFd) -> bool {
    let mut local = Address::default();
    socket::local_address(fd, &mut local).is_ok()
        && matches!(family(local.as_bytes()), UNIX | INET | INET6)
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

/// The dictionary behind `get_extra_info`, made now if nobody has asked before.
pub(super) fn dictionary(py: Python<'_>, this: &Instance<StreamTransport>) -> Ref {
    if this.fields.extra.is_empty() {
        this.fields.extra.set(PyDict::new(py).into_any().into());
    }
    this.fields.extra.share_or_none()
}

/// `get_extra_info(name, default)`.
pub(super) fn get(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
    name: &Object,
    default: Option<&Object>,
) -> Outcome<Ref> {
    let extra = dictionary(py, this);
    let extra = extra.bind(py);
    let name = name.bind(py);
    if this.life.flush_due.get() && name.eq("socket")? {
        // What is done to it comes after what was written.
        this.settle(py)?;
    }
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
    for name in [
        names::socket_name(py),
        names::sockname(py),
        names::peername(py),
    ] {
        get(py, this, object(name), None)?;
    }
    Ok(this.fields.extra.share_or_none())
}

/// asyncio's own `get_extra_info`, as it was when our class was made.
static INHERITED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn inherited(py: Python<'_>) -> Outcome<Ref> {
    attribute(py, names::flow_control(py)?, names::get_extra_info(py))
}

/// Keeps what stands in asyncio's classes now.
///
/// # Errors
/// When it is not there.
pub(super) fn remember(py: Python<'_>) -> Outcome<()> {
    let method = inherited(py)?;
    INHERITED.get_or_init(py, || method.bind(py).to_owned().unbind());
    Ok(())
}

/// What a program has put in the place of asyncio's `get_extra_info`, which then answers for our transports too.
///
/// # Errors
/// What the class of the replacement raises.
pub(super) fn replacement(
    py: Python<'_>,
    this: &Instance<StreamTransport>,
) -> Outcome<Option<Ref>> {
    let method = inherited(py)?;
    if INHERITED
        .get(py)
        .is_some_and(|kept| kept.is(method.bind(py)))
    {
        return Ok(None);
    }
    let class = names::flow_control(py)?.bind(py);
    let class = class.cast::<PyType>().map_err(PyErr::from)?;
    let next = PySuper::new(&class, &this.object().bind(py))?;
    attribute(py, object(&next), names::get_extra_info(py)).map(Some)
}

fn make(py: Python<'_>, this: &Instance<StreamTransport>, name: &str) -> Outcome<Option<Ref>> {
    let end = |choose: fn(&Ends) -> Option<Address>| {
        ask_local(py, this);
        let address = this.ends.lend(py, |ends| choose(&ends.ends()));
        address.map_or_else(|| Ok(Ref::none()), |address| address_object(py, &address))
    };
    match name {
        "socket" => {
            let sock = sock(py, this)?;
            let class = names::transport_socket(py)?;
            Ok(Some(call(py, class, &[&sock, this.object()])?))
        }
        "sockname" => end(|ends| ends.local).map(Some),
        "peername" => end(|ends| ends.peer).map(Some),
        _ => Ok(None),
    }
}

/// Asks the system for our end while it can answer, if nobody has yet.
pub(super) fn ask_local(py: Python<'_>, this: &Instance<StreamTransport>) {
    if this.life.open.get() {
        this.ends.lend(py, |ends| ends.ask(this.fd.get()));
    }
}

/// The Python socket, which owns the descriptor from now on.
pub(super) fn sock(py: Python<'_>, this: &Instance<StreamTransport>) -> Outcome<Ref> {
    if this.sock.is_empty() {
        ask_local(py, this);
        let ends = this.ends.lend(py, |ends| ends.ends());
        let own = this.own.replace(None);
        let made = match own {
            Some(own) => python_socket(py, own, &ends).map_err(|(raised, own)| {
                // The connection goes on without.
                drop(this.own.replace(Some(own)));
                raised
            })?,
            None => closed_socket(py, &ends)?,
        };
        this.sock.set(made);
    }
    Ok(this.sock.share_or_none())
}

/// A Python socket, not blocking, that owns `own`.
///
/// # Errors
/// What making it raises, audit hooks included, and the descriptor.
pub(crate) fn python_socket(
    py: Python<'_>,
    own: OwnedFd,
    ends: &Ends,
) -> Result<Ref, (Raised, OwnedFd)> {
    let made = names::socket_class(py).and_then(|class| {
        let fd = own.as_raw_fd();
        Ok(class
            .bind(py)
            .call1((ends.family(), STREAM, ends.protocol, fd))?)
    });
    let sock = match made {
        Ok(sock) => sock,
        Err(raised) => return Err((raised, own)),
    };
    match sock.call_method1("settimeout", (0.0,)) {
        Ok(_) => {
            let _ = own.into_raw_fd();
            Ok(sock.into())
        }
        Err(error) => {
            // It owns the descriptor too, until it has let go of it.
            let raised = Raised::from(error);
            drop(sock.call_method0("detach"));
            Err((raised, own))
        }
    }
}

/// What stands for the socket of a connection that is over: one without a descriptor, which says so.
fn closed_socket(py: Python<'_>, ends: &Ends) -> Outcome<Ref> {
    let sock = names::socket_class(py)?
        .bind(py)
        .call1((ends.family(), STREAM, ends.protocol))?;
    sock.call_method0("close")?;
    Ok(sock.into())
}

/// An address as Python's socket module writes it.
pub(super) fn address_object(py: Python<'_>, address: &Address) -> Outcome<Ref> {
    let bytes = address.as_bytes();
    let made = match family(bytes) {
        _ if bytes.is_empty() => return Ok(Ref::none()),
        INET => {
            let host = Ipv4Addr::from(array::<4>(bytes, 4));
            (host.to_string(), port(bytes))
                .into_pyobject(py)?
                .into_any()
        }
        INET6 => {
            let host = Ipv6Addr::from(array::<16>(bytes, 8));
            let host = Host {
                host: IpAddr::V6(host),
                port: 0,
            }
            .host_text();
            let flow = u32::from_be_bytes(array(bytes, 4));
            (
                host,
                port(bytes),
                flow,
                u32::from_ne_bytes(array(bytes, 24)),
            )
                .into_pyobject(py)?
                .into_any()
        }
        UNIX => unix(py, bytes.get(2..).unwrap_or_default())?,
        // CPython: an address of a family it does not know is shown as its number and its bytes.
        other => (other, PyBytes::new(py, bytes.get(2..).unwrap_or_default()))
            .into_pyobject(py)?
            .into_any(),
    };
    Ok(made.into())
}

/// A path; a name that is not in the file system begins with a zero and is bytes.
fn unix<'py>(py: Python<'py>, path: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if path.first() == Some(&0) {
        return Ok(PyBytes::new(py, path).into_any());
    }
    let end = path
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(path.len());
    let path = OsStr::from_bytes(path.get(..end).unwrap_or_default());
    Ok(path.into_pyobject(py)?.into_any())
}

pub(super) fn family(bytes: &[u8]) -> u16 {
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
