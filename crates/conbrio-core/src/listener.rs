//! Accepting connections, and what each answer means for the listener.
//!
//! Its own room because what each error of `accept` means is a rule of CPython's
//! (`_accept_connection`). It does not know what becomes of a connection, nor how long a rest
//! lasts.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use conbrio_driver::sys;
use conbrio_driver::sys::address::Address;

/// What a listener answered.
#[derive(Debug)]
pub enum Accepted {
    /// A connection, and its peer's address.
    Connection(OwnedFd, Address),
    /// One went away before it was accepted; another may wait.
    Aborted,
    /// Nobody waits any more.
    Drained,
    /// The system has run out of descriptors or memory: stop listening for a while.
    Rest(io::Error),
    /// The listener is broken.
    Failed(io::Error),
}

/// Accepts one connection from `listener`, without waiting for one.
pub fn accept(listener: RawFd) -> Accepted {
    let mut peer = Address::default();
    match sys::socket::accept_from(listener, &mut peer) {
        Ok(connection) => Accepted::Connection(connection, peer),
        Err(error) => refused(error),
    }
}

fn refused(error: io::Error) -> Accepted {
    match error.kind() {
        io::ErrorKind::ConnectionAborted => Accepted::Aborted,
        _ if sys::is_blocked(&error) => Accepted::Drained,
        _ if sys::socket::is_exhaustion(&error) => Accepted::Rest(error),
        _ => Accepted::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::{Accepted, accept, refused};

    #[test]
    fn accepts_until_nobody_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let _peers: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        for _ in 0..3 {
            let accepted = accept(listener.as_raw_fd());
            assert!(
                matches!(accepted, Accepted::Connection(_, peer) if !peer.as_bytes().is_empty())
            );
        }
        assert!(matches!(accept(listener.as_raw_fd()), Accepted::Drained));
    }

    #[test]
    fn each_error_has_its_meaning() {
        let end = |code| refused(io::Error::from_raw_os_error(code));
        // EMFILE, ENFILE, ENOBUFS, ENOMEM
        for exhausted in [24, 23, 105, 12] {
            assert!(matches!(end(exhausted), Accepted::Rest(_)));
        }
        let (invalid, interrupted, aborted) = (22, 4, 103);
        assert!(matches!(end(invalid), Accepted::Failed(_)));
        assert!(matches!(end(interrupted), Accepted::Drained));
        assert!(matches!(end(aborted), Accepted::Aborted));
    }
}
