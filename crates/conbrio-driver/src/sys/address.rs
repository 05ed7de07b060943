//! A socket address as opaque bytes, for calls that pass it through unread.

use std::net::{IpAddr, SocketAddr};

/// The address family of the internet's fourth version.
pub const INET: i32 = libc::AF_INET;
/// The address family of its sixth.
pub const INET6: i32 = libc::AF_INET6;

/// The family of an address of the internet.
pub const fn family_of(host: &IpAddr) -> i32 {
    if host.is_ipv4() { INET } else { INET6 }
}

/// A socket address that the kernel wrote.
#[derive(Clone, Copy)]
pub struct Address {
    /// Large enough for an address of any family.
    bytes: [u8; size_of::<libc::sockaddr_storage>()],
    /// How many of the bytes the kernel wrote.
    length: usize,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Address")
            .field(&self.as_bytes())
            .finish()
    }
}

impl Default for Address {
    fn default() -> Self {
        Self {
            bytes: [0; size_of::<libc::sockaddr_storage>()],
            length: 0,
        }
    }
}

impl Address {
    /// An address that `as_bytes` gave; what is too long is cut.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut address = Self::default();
        for (place, byte) in address.bytes.iter_mut().zip(bytes) {
            *place = *byte;
        }
        address.length = bytes.len().min(address.bytes.len());
        address
    }

    /// An address of the internet.
    pub fn of_internet(address: &SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        let mut made = Self::default();
        match address {
            SocketAddr::V4(address) => {
                made.append(&family(libc::AF_INET));
                made.append(&port);
                made.append(&address.ip().octets());
                // The rest of a `sockaddr_in` is zeroes.
                made.append(&[0; 8]);
            }
            SocketAddr::V6(address) => {
                made.append(&family(libc::AF_INET6));
                made.append(&port);
                made.append(&address.flowinfo().to_be_bytes());
                made.append(&address.ip().octets());
                made.append(&address.scope_id().to_ne_bytes());
            }
        }
        made
    }

    fn append(&mut self, bytes: &[u8]) {
        let places = self.bytes.iter_mut().skip(self.length);
        self.length += places
            .zip(bytes)
            .map(|(place, byte)| *place = *byte)
            .count();
    }

    /// Gives the bytes of a `sockaddr`; none when the peer has no address.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// Gives where the kernel writes, and how much fits.
    pub(super) fn room(&mut self) -> (*mut libc::sockaddr, libc::socklen_t) {
        let length = libc::socklen_t::try_from(self.bytes.len()).unwrap_or(0);
        (self.bytes.as_mut_ptr().cast(), length)
    }

    /// Notes how much the kernel wrote.
    pub(super) fn written(&mut self, length: libc::socklen_t) {
        self.length = usize::try_from(length).unwrap_or(0);
    }
}

/// A family as a `sockaddr` begins with it.
fn family(family: libc::c_int) -> [u8; 2] {
    libc::sa_family_t::try_from(family)
        .unwrap_or(0)
        .to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::Address;
    use crate::sys::socket::{local_address, peer_address};

    #[test]
    fn an_address_is_written_as_the_kernel_writes_it() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue; // a machine without IPv6
            };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut local, mut peer) = (Address::default(), Address::default());
            local_address(stream.as_raw_fd(), &mut local).unwrap();
            peer_address(stream.as_raw_fd(), &mut peer).unwrap();
            let written = |address: std::net::SocketAddr| Address::of_internet(&address);
            assert_eq!(
                written(stream.local_addr().unwrap()).as_bytes(),
                local.as_bytes()
            );
            assert_eq!(
                written(stream.peer_addr().unwrap()).as_bytes(),
                peer.as_bytes()
            );
        }
    }
}
