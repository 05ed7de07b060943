//! Addresses of the internet between Python's tuples and the system's bytes.
//!
//! A sender is seen again and again, so the tuple made of its address is kept for the next time.

use std::net::{Ipv4Addr, Ipv6Addr};

use conbrio_driver::sys::address::Address;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use super::DatagramTransport;
use crate::ffi::{Instance, Object, Outcome, Ref, tuple_items};
use crate::transport::extra::{INET, INET6, address_object};

/// How many bytes the longest address has.
const LONGEST: usize = 28;
/// How many senders are remembered at first, and at most.
const PLACES: (usize, usize) = (8, 1024);
/// CPython: a larger flow is refused.
const FLOW_MAX: u32 = 0xf_ffff;

/// An address as the system writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Place {
    /// The bytes of a `sockaddr`; what is too long is cut.
    #[inline]
    pub(super) fn of_bytes(address: &[u8]) -> Self {
        let length = address.len().min(LONGEST);
        let mut bytes = [0; LONGEST];
        if let (Some(place), Some(address)) = (bytes.get_mut(..length), address.get(..length)) {
            place.copy_from_slice(address);
        }
        Self {
            bytes,
            length: u8::try_from(length).unwrap_or(0),
        }
    }

    /// What a Python tuple says; none if only the Python socket can tell: a name, an address of a zone, or no address.
    pub(super) fn read(py: Python<'_>, family: u16, address: &Object) -> Option<Self> {
        let (host, port, rest) = match tuple_items(address) {
            [host, port, rest @ ..] => (host.bind(py), port, rest),
            _ => return None,
        };
        let host = host.cast_exact::<PyString>().ok()?;
        let host = host.to_str().ok()?;
        let port = u16::try_from(number(py, port)?).ok()?.to_be_bytes();
        let mut place = Self {
            bytes: [0; LONGEST],
            length: 0,
        };
        let family_bytes = family.to_ne_bytes();
        match (family, rest) {
            (INET, []) => {
                let host = host.parse::<Ipv4Addr>().ok()?.octets();
                place.write(&[&family_bytes, &port, &host, &[0; 8]]);
            }
            (INET6, rest) if rest.len() <= 2 => {
                let host = host.parse::<Ipv6Addr>().ok()?.octets();
                let extra =
                    |index: usize| rest.get(index).map_or(Some(0), |extra| number(py, extra));
                let flow = extra(0).filter(|flow| *flow <= FLOW_MAX)?.to_be_bytes();
                let scope = extra(1)?.to_ne_bytes();
                place.write(&[&family_bytes, &port, &flow, &host, &scope]);
            }
            _ => return None,
        }
        Some(place)
    }

    /// The bytes of the `sockaddr`.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    fn write(&mut self, parts: &[&[u8]]) {
        let all = parts.iter().flat_map(|part| part.iter());
        for (place, byte) in self.bytes.iter_mut().zip(all) {
            *place = *byte;
            self.length += 1;
        }
    }

    /// Where a table of this many places keeps it.
    #[inline]
    fn index(&self, places: usize) -> usize {
        let mix = |mixed: u32, byte: &u8| (mixed ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let mixed = self.as_bytes().iter().skip(2).fold(0x811c_9dc5, mix);
        mixed as usize & (places - 1)
    }
}

/// A whole number that is not negative and of exactly Python's class.
fn number(py: Python<'_>, value: &Object) -> Option<u32> {
    let value = value.bind(py);
    value.cast_exact::<PyInt>().ok()?;
    value.extract::<u32>().ok()
}

/// The Python objects of senders' addresses: a table with one place for each hash, in which the latest stays.
pub(super) struct Senders {
    /// Invariant: none, or a power of two.
    places: Vec<Option<(Place, Ref)>>,
}

impl Senders {
    /// Knows nobody.
    pub(super) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    #[inline]
    fn find(&self, place: &Place) -> Option<Ref> {
        let index = place.index(self.places.len().max(1));
        match self.places.get(index) {
            Some(Some((known, address))) if known == place => Some(address.share()),
            _ => None,
        }
    }

    /// Remembers an address; returns the one that had its place.
    fn remember(&mut self, place: Place, address: Ref) -> Option<(Place, Ref)> {
        let (first, most) = PLACES;
        if self.places.is_empty() {
            self.places.resize_with(first, || None);
        }
        let index = place.index(self.places.len());
        if self.places.len() < most && matches!(self.places.get(index), Some(Some(_))) {
            self.grow();
        }
        let index = place.index(self.places.len());
        self.places.get_mut(index)?.replace((place, address))
    }

    fn grow(&mut self) {
        let mut places: Vec<Option<(Place, Ref)>> = Vec::new();
        places.resize_with(self.places.len() * 2, || None);
        // Two of one place in the small table had been one of them alone, so none meets another here.
        for known in self.places.drain(..).flatten() {
            let index = known.0.index(places.len());
            if let Some(slot) = places.get_mut(index) {
                *slot = Some(known);
            }
        }
        self.places = places;
    }
}

impl Instance<DatagramTransport> {
    /// The Python object of a sender's address.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(super) fn sender(&self, py: Python<'_>, place: &Place) -> Outcome<Ref> {
        if let Some(known) = self.senders.lend(py, |senders| senders.find(place)) {
            return Ok(known);
        }
        let address = address_object(py, &Address::of_bytes(place.as_bytes()))?;
        let kept = address.share();
        drop(
            self.senders
                .lend(py, |senders| senders.remember(*place, kept)),
        );
        Ok(address)
    }
}
