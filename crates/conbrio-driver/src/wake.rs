//! Waking a wait from another thread or from a signal: one pipe.
//!
//! Its own room because two kinds of writers share it: threads that ring, and the interpreter's
//! signal handler, which writes signal numbers. It does not know what the woken side then does.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// A pipe whose reading end a driver watches.
#[derive(Debug)]
pub struct Wake {
    read: OwnedFd,
    write: OwnedFd,
    /// A zero was written and not yet drained.
    rung: AtomicBool,
}

impl Wake {
    /// Makes the pipe.
    pub fn new() -> io::Result<Self> {
        let (read, write) = sys::pipe::pipe()?;
        Ok(Self {
            read,
            write,
            rung: AtomicBool::new(false),
        })
    }

    /// The end that a driver watches for reading.
    #[inline]
    pub fn read_fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// The end into which a signal handler writes signal numbers.
    #[inline]
    pub fn write_fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }

    /// Makes the reading end readable, with at most one byte since the last drain.
    pub fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // A full pipe wakes as well as one byte more; a closed one has nobody to wake.
        let _ = sys::pipe::write(self.write_fd(), &[0]);
    }

    /// Reads all there is and lets `hear` know the signal numbers, in their order.
    pub fn drain(&self, hear: &mut dyn FnMut(u8)) {
        let mut room = [0_u8; 512];
        while let Ok(count) = sys::pipe::read(self.read_fd(), &mut room) {
            let bytes = room.get(..count).unwrap_or_default();
            bytes
                .iter()
                .filter(|&&byte| byte != 0)
                .for_each(|&byte| hear(byte));
            if count < room.len() {
                break;
            }
        }
        // After the reading: cleared before it, the byte of a ring in between would be read here
        // and the next ring would write none. A ring that comes before this line has pushed its
        // work already, which the caller sees when it looks after the drain.
        self.rung.swap(false, Ordering::AcqRel);
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
    fn many_rings_are_one_byte() {
        let wake = Wake::new().unwrap();
        wake.ring();
        wake.ring();
        assert_eq!(sys::pipe::read(wake.read_fd(), &mut [9; 8]).unwrap(), 1);
        drained(&wake);
        wake.ring();
        assert_eq!(sys::pipe::read(wake.read_fd(), &mut [9; 8]).unwrap(), 1);
    }

    #[test]
    fn signals_are_heard_and_rings_are_not() {
        let wake = Wake::new().unwrap();
        sys::pipe::write(wake.write_fd(), &[15]).unwrap();
        wake.ring();
        sys::pipe::write(wake.write_fd(), &[2]).unwrap();
        assert_eq!(drained(&wake), [15, 2]);
        assert_eq!(drained(&wake), [0_u8; 0]);
    }

    #[test]
    fn more_than_one_buffer_is_drained() {
        let wake = Wake::new().unwrap();
        sys::pipe::write(wake.write_fd(), &[10; 2000]).unwrap();
        assert_eq!(drained(&wake).len(), 2000);
    }

    #[test]
    fn a_full_pipe_does_not_hold_up_the_ringer() {
        let wake = Wake::new().unwrap();
        while sys::pipe::write(wake.write_fd(), &[1; 4096]).is_ok() {}
        wake.ring();
        assert!(!drained(&wake).is_empty());
    }
}
