//! The driver for Linux: one epoll instance.
//!
//! It remembers which descriptors it added, so that a change costs one system call; the memory is
//! only a hint, since descriptors are closed and numbered anew without asking.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::driver::{Driver, Events, Timeout};
use crate::event::{Event, Interest, Token};
use crate::sys;

/// Watches descriptors by epoll.
#[derive(Debug)]
pub struct Epoll {
    /// The epoll instance.
    instance: OwnedFd,
    /// One bit for every descriptor that was added and not taken away since.
    known: Mutex<Vec<u64>>,
    /// Set once the kernel refused a wait in nanoseconds.
    coarse: AtomicBool,
    /// Set once a closed descriptor was reported: others hold them open, so closing does not end the watching.
    shared: AtomicBool,
}

impl Epoll {
    /// Makes an epoll instance.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            instance: sys::epoll::create()?,
            known: Mutex::new(Vec::new()),
            coarse: AtomicBool::new(false),
            shared: AtomicBool::new(false),
        })
    }

    fn known(&self) -> MutexGuard<'_, Vec<u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_within(&self, events: &mut Events, time: std::time::Duration) -> io::Result<()> {
        if !self.coarse.load(Ordering::Relaxed) {
            match sys::epoll::wait_precisely(&self.instance, &mut events.room, time) {
                // Old kernels do not know the call, some sandboxes forbid it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.coarse.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        sys::epoll::wait(&self.instance, &mut events.room, sys::epoll::millis(time))
    }
}

impl Driver for Epoll {
    fn arm(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        if interest.is_empty() {
            // An epoll registration without directions would still report hang-ups.
            return self.disarm(fd);
        }
        let (flags, data) = (flags(interest), token.to_bits());
        let mut known = self.known();
        let (first, second) = if has(&known, fd) {
            (
                sys::epoll::modify as sys::epoll::Control,
                sys::epoll::add as sys::epoll::Control,
            )
        } else {
            (
                sys::epoll::add as sys::epoll::Control,
                sys::epoll::modify as sys::epoll::Control,
            )
        };
        match first(&self.instance, fd, flags, data) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EEXIST)) => {
                second(&self.instance, fd, flags, data)?;
            }
            other => other?,
        }
        insert(&mut known, fd);
        Ok(())
    }

    fn disarm(&self, fd: RawFd) -> io::Result<()> {
        let mut known = self.known();
        if !remove(&mut known, fd) {
            return Ok(());
        }
        match sys::epoll::delete(&self.instance, fd) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF)) => {
                Ok(())
            }
            other => other,
        }
    }

    fn disarm_closing(&self, fd: RawFd) -> io::Result<()> {
        // Bench: accept_close; closing takes the descriptor out of the instance, at no price of its own.
        if self.shared.load(Ordering::Relaxed) {
            return self.disarm(fd);
        }
        remove(&mut self.known(), fd);
        Ok(())
    }

    fn is_armed(&self, fd: RawFd) -> bool {
        has(&self.known(), fd)
    }

    fn renew(&self, armed: &[(RawFd, Token, Interest)]) -> io::Result<()> {
        self.shared.store(true, Ordering::Relaxed);
        let fresh = sys::epoll::create()?;
        let mut known = self.known();
        known.clear();
        for &(fd, token, interest) in armed {
            // One that was closed under its watcher stays silent.
            if sys::epoll::add(&fresh, fd, flags(interest), token.to_bits()).is_ok() {
                insert(&mut known, fd);
            }
        }
        // The number stays the same, so that nobody has to be told of the new instance.
        sys::epoll::replace(&self.instance, &fresh)
    }

    #[inline]
    fn knows_edges(&self) -> bool {
        true
    }

    #[inline]
    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        events.ready.clear();
        match timeout {
            Timeout::Now => sys::epoll::wait(&self.instance, &mut events.room, 0)?,
            Timeout::Forever => sys::epoll::wait(&self.instance, &mut events.room, -1)?,
            Timeout::Within(time) => self.wait_within(events, time)?,
        }
        events
            .ready
            .extend(events.room.iter().map(|(flags, data)| Event {
                token: Token::from_bits(data),
                readable: flags & !sys::epoll::OUT != 0,
                writable: flags & !sys::epoll::IN != 0,
            }));
        Ok(())
    }

    fn name(&self) -> &'static str {
        "epoll"
    }
}

const fn flags(interest: Interest) -> u32 {
    let read = if interest.contains(Interest::READ) {
        sys::epoll::IN
    } else {
        0
    };
    let write = if interest.contains(Interest::WRITE) {
        sys::epoll::OUT
    } else {
        0
    };
    let edge = if interest.contains(Interest::EDGE) {
        sys::epoll::EDGE
    } else {
        0
    };
    read | write | edge
}

/// Splits a descriptor into its word and its bit; negative numbers are never known.
fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((fd / 64, 1 << (fd % 64)))
}

fn has(known: &[u64], fd: RawFd) -> bool {
    place(fd).is_some_and(|(word, bit)| known.get(word).is_some_and(|bits| bits & bit != 0))
}

fn insert(known: &mut Vec<u64>, fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        if known.len() <= word {
            known.resize(word + 1, 0);
        }
        if let Some(bits) = known.get_mut(word) {
            *bits |= bit;
        }
    }
}

fn remove(known: &mut [u64], fd: RawFd) -> bool {
    let was = has(known, fd);
    if let Some((word, bit)) = place(fd)
        && let Some(bits) = known.get_mut(word)
    {
        *bits &= !bit;
    }
    was
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::Epoll;
    use crate::driver::{Driver, Events, Timeout};
    use crate::sys;

    #[test]
    fn a_coarse_wait_is_never_too_short() {
        let epoll = Epoll::new().unwrap();
        epoll.coarse.store(true, Ordering::Relaxed);
        let mut events = Events::new();
        let before = sys::clock::monotonic();
        epoll
            .wait(&mut events, Timeout::Within(Duration::from_micros(1500)))
            .unwrap();
        assert!(sys::clock::monotonic() - before >= 0.0015);
        assert!(events.is_empty());
    }
}
