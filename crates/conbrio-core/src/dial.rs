//! Connecting to an address of the internet, and what each answer means.
//!
//! Its own room beside `listener`: what may still come of a connect is a rule of CPython's (`_sock_connect`). It looks up
//! no names and does not know who waits.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use conbrio_driver::sys;
use conbrio_driver::sys::address::{Address, family_of};

/// The protocol that a dialled socket names: TCP.
pub const PROTOCOL: i32 = 6;

/// What became of a dial.
#[derive(Debug)]
pub enum Dialled {
    /// It is connected already.
    Connected(OwnedFd),
    /// The descriptor is writable when it is known what came of it.
    Pending(OwnedFd),
}

/// Makes a socket and begins to connect it, without waiting.
///
/// # Errors
/// What the system says at once; the socket is closed.
pub fn dial(peer: &SocketAddr) -> io::Result<Dialled> {
    let own = sys::socket::stream(family_of(&peer.ip()), PROTOCOL)?;
    match sys::socket::connect(own.as_raw_fd(), &Address::of_internet(peer)) {
        Ok(()) => Ok(Dialled::Connected(own)),
        Err(error) if sys::socket::is_begun(&error) => Ok(Dialled::Pending(own)),
        Err(error) => Err(error),
    }
}

/// What came of a pending dial; nothing is an error that says to ask again.
///
/// # Errors
/// Why there is no connection.
pub fn outcome(fd: RawFd) -> io::Result<Option<()>> {
    match sys::socket::take_error(fd)? {
        None => Ok(Some(())),
        Some(error) if sys::socket::is_begun(&error) => Ok(None),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::AsRawFd;

    use super::{Dialled, dial, outcome};

    fn settle(dialled: Dialled) -> io::Result<()> {
        let own = match dialled {
            Dialled::Connected(_) => return Ok(()),
            Dialled::Pending(own) => own,
        };
        let mut asked = [conbrio_driver::sys::poll::ask(own.as_raw_fd(), false, true)];
        conbrio_driver::sys::poll::wait(&mut asked, None)?;
        outcome(own.as_raw_fd()).map(|known| assert_eq!(known, Some(())))
    }

    #[test]
    fn reaches_who_listens_and_hears_that_nobody_does() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        settle(dial(&address).unwrap()).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), address.ip());
        drop(listener);
        let refused = dial(&address).and_then(settle).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn says_at_once_what_cannot_be() {
        let nowhere: SocketAddr = "255.255.255.255:1".parse().unwrap();
        dial(&nowhere).unwrap_err();
    }
}
