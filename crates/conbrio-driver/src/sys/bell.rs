//! The calls of an event counter: a descriptor that is readable once somebody has rung it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::number;

/// Makes a bell that blocks nobody, is not inherited and has not been rung.
pub fn bell() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = number(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Rings it.
#[inline]
pub fn ring(bell: &OwnedFd) -> io::Result<()> {
    super::pipe::write(bell.as_raw_fd(), &1_u64.to_ne_bytes()).map(drop)
}

/// Makes it as if it had not been rung; one that was not is an error, `WouldBlock`.
pub fn hush(bell: &OwnedFd) -> io::Result<()> {
    super::pipe::read(bell.as_raw_fd(), &mut [0; size_of::<u64>()]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{bell, hush, ring};

    #[test]
    fn a_bell_is_hushed_once_however_often_it_was_rung() {
        let bell = bell().unwrap();
        let silent = || hush(&bell).unwrap_err().kind();
        assert_eq!(silent(), io::ErrorKind::WouldBlock);
        for _ in 0..3 {
            ring(&bell).unwrap();
        }
        hush(&bell).unwrap();
        assert_eq!(silent(), io::ErrorKind::WouldBlock);
    }
}
