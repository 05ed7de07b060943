//! Waking a wait from another thread or from a signal: a bell and a pipe.
//!
//! Its own room because two kinds of writers share it: threads that ring, and the interpreter's
//! signal handler, which writes signal numbers. It does not know what the woken side then does.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::driver::Driver;
use crate::event::{Interest, Token};
use crate::sys;

/// A bell and a pipe's reading end, which a driver watches.
#[derive(Debug)]
pub struct Wake {
    bell: OwnedFd,
    read: OwnedFd,
    write: OwnedFd,
}

impl Wake {
    /// Makes both.
    pub fn new() -> io::Result<Self> {
        let (read, write) = sys::pipe::pipe()?;
        Ok(Self {
            bell: sys::bell::bell()?,
            read,
            write,
        })
    }

    /// What a driver watches for it.
    #[inline]
    pub fn watched(&self) -> [(RawFd, Token, Interest); 2] {
        [
            (self.bell.as_raw_fd(), Token::BELL, Interest::EDGE),
            (self.read.as_raw_fd(), Token::WAKE, Interest::READ),
        ]
    }

    /// Lets `driver` watch it.
    pub fn arm(&self, driver: &impl Driver) -> io::Result<()> {
        self.watched()
            .into_iter()
            .try_for_each(|(fd, token, interest)| driver.arm(fd, token, interest))
    }

    /// The end into which a signal handler writes signal numbers.
    #[inline]
    pub fn write_fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }

    /// Closes all but the number of the end into which signal handlers write: somebody may hold it yet, and nobody else
    /// is to be given it.
    pub fn retire(self) {
        if sys::pipe::silence(self.write_fd()).is_ok() {
            std::mem::forget(self.write);
        }
    }

    /// Ends the wait that goes on or comes next.
    #[inline]
    pub fn ring(&self) {
        // One that was rung 2^64 times and never hushed has ended as many waits; a closed one has nobody to wake.
        let _ = sys::bell::ring(&self.bell);
    }

    /// Makes the bell as if nobody had rung it: for drivers that know no edges, else every wait would end at once.
    ///
    /// A ring that comes before has pushed its work already, which the caller sees when it looks afterwards.
    pub fn hush(&self) {
        let _ = sys::bell::hush(&self.bell);
    }

    /// Reads the signal numbers that were written, and lets `hear` know them in their order.
    pub fn drain(&self, hear: &mut dyn FnMut(u8)) {
        let mut room = [0_u8; 512];
        while let Ok(count) = sys::pipe::read(self.read.as_raw_fd(), &mut room) {
            let bytes = room.get(..count).unwrap_or_default();
            bytes
                .iter()
                .filter(|&&byte| byte != 0)
                .for_each(|&byte| hear(byte));
            if count < room.len() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wake;
    use crate::sys;

    fn drained(wake: &Wake) -> Vec<u8> {
        let mut heard = Vec::new();
        wake.drain(&mut |byte| heard.push(byte));
        heard
    }

    #[test]
    fn signals_are_heard_in_their_order() {
        let wake = Wake::new().unwrap();
        sys::pipe::write(wake.write_fd(), &[15]).unwrap();
        wake.ring();
        sys::pipe::write(wake.write_fd(), &[0, 2]).unwrap();
        assert_eq!(drained(&wake), [15, 2]);
        assert_eq!(drained(&wake), [0_u8; 0]);
    }

    #[test]
    fn the_number_of_a_retired_one_takes_signals_on() {
        let wake = Wake::new().unwrap();
        let fd = wake.write_fd();
        wake.retire();
        assert_eq!(sys::pipe::write(fd, &[15]).unwrap(), 1);
    }

    #[test]
    fn more_than_one_buffer_is_drained() {
        let wake = Wake::new().unwrap();
        sys::pipe::write(wake.write_fd(), &[10; 2000]).unwrap();
        assert_eq!(drained(&wake).len(), 2000);
    }

    #[test]
    fn a_full_pipe_is_drained_whole() {
        let wake = Wake::new().unwrap();
        let mut count = 0;
        while let Ok(more) = sys::pipe::write(wake.write_fd(), &[1; 4096]) {
            count += more;
        }
        assert_eq!(drained(&wake).len(), count);
    }
}
