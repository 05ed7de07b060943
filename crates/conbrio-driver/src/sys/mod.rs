//! Typed system calls: the one place of this crate where `unsafe` stands.
//!
//! One function for one call, with lengths and lifetimes checked by the compiler. They know no
//! driver and keep no state. Descriptors are plain numbers, as they come from Python.

use std::io;

pub mod address;
pub mod alarm;
pub mod bell;
pub mod clock;
pub mod datagram;
pub mod epoll;
pub mod file;
pub mod memory;
pub mod pipe;
pub mod poll;
pub mod process;
pub mod socket;

/// Tells errors that mean "later" from those that mean "never".
pub fn is_blocked(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Reads a result that counts bytes.
#[inline]
fn count(returned: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// Reads a result that is a descriptor or a number of things.
#[inline]
fn number(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}
