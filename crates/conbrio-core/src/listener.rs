//! Accepting in batches.
//!
//! Its own room because what each error of `accept` means is a rule of CPython's
//! (`_accept_connection`). It does not know what becomes of a connection, nor how long a rest
//! lasts.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use conbrio_driver::sys;

/// How a batch ended.
#[derive(Debug)]
pub enum Accepted {
    /// Nobody waits any more.
    Drained,
    /// As many as wanted; more may wait.
    More,
    /// The system has run out of descriptors or memory: stop listening for a while.
    Rest(io::Error),
    /// The listener is broken.
    Failed(io::Error),
}

/// Accepts at most `most` connections from `listener` and hands each to `on`.
pub fn accept_batch(listener: RawFd, most: usize, on: impl FnMut(OwnedFd)) -> Accepted {
    batch(most, || sys::socket::accept(listener), on)
}

fn batch<C>(
    most: usize,
    mut accept: impl FnMut() -> io::Result<C>,
    mut on: impl FnMut(C),
) -> Accepted {
    for _ in 0..most {
        match accept() {
            Ok(connection) => on(connection),
            // CPython: one that was aborted before it was accepted is passed over.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return ended(error),
        }
    }
    Accepted::More
}

fn ended(error: io::Error) -> Accepted {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Accepted::Drained,
        _ if sys::socket::is_exhaustion(&error) => Accepted::Rest(error),
        _ => Accepted::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::{Accepted, accept_batch, batch};

    #[test]
    fn a_batch_ends_when_nobody_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let _peers: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let mut accepted = Vec::new();
        let end = accept_batch(listener.as_raw_fd(), 2, |fd| accepted.push(fd));
        assert!(matches!(end, Accepted::More));
        let end = accept_batch(listener.as_raw_fd(), 2, |fd| accepted.push(fd));
        assert!(matches!(end, Accepted::Drained));
        assert_eq!(accepted.len(), 3);
    }

    #[test]
    fn each_error_has_its_meaning() {
        let end = |code| {
            batch(
                3,
                || Err::<(), _>(io::Error::from_raw_os_error(code)),
                |()| (),
            )
        };
        // EMFILE, ENFILE, ENOBUFS, ENOMEM
        for exhausted in [24, 23, 105, 12] {
            assert!(matches!(end(exhausted), Accepted::Rest(_)));
        }
        let (invalid, interrupted, aborted) = (22, 4, 103);
        assert!(matches!(end(invalid), Accepted::Failed(_)));
        assert!(matches!(end(interrupted), Accepted::Drained));
        assert!(matches!(end(aborted), Accepted::More));
    }
}
