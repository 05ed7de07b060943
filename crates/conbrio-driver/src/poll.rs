//! The driver for any Unix: `poll`, and the reference that the others are compared with.
//!
//! Slow and obvious on purpose: the whole table is handed to the kernel at every wait.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::driver::{Driver, Events, Timeout};
use crate::event::{Event, Interest, Token};
use crate::sys;

/// One watched descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watched {
    fd: RawFd,
    token: Token,
    interest: Interest,
}

/// Watches descriptors by `poll`.
#[derive(Debug, Default)]
pub struct Poll {
    /// What is watched; each wait works on a copy, so that others may change it meanwhile.
    table: Mutex<Vec<Watched>>,
}

impl Poll {
    /// Makes a driver that watches nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn table(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Poll {
    fn arm(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        if interest.is_empty() {
            return self.disarm(fd);
        }
        sys::pipe::check_open(fd)?;
        let watched = Watched {
            fd,
            token,
            interest,
        };
        let mut table = self.table();
        match table.iter_mut().find(|old| old.fd == fd) {
            Some(old) => *old = watched,
            None => table.push(watched),
        }
        Ok(())
    }

    fn disarm(&self, fd: RawFd) -> io::Result<()> {
        self.table().retain(|watched| watched.fd != fd);
        Ok(())
    }

    fn is_armed(&self, fd: RawFd) -> bool {
        self.table().iter().any(|watched| watched.fd == fd)
    }

    fn renew(&self, armed: &[(RawFd, Token, Interest)]) -> io::Result<()> {
        let armed = armed.iter().map(|&(fd, token, interest)| Watched {
            fd,
            token,
            interest,
        });
        *self.table() = armed.collect();
        Ok(())
    }

    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        events.ready.clear();
        let table = self.table().clone();
        let mut asked: Vec<_> = table
            .iter()
            .map(|watched| {
                sys::poll::ask(
                    watched.fd,
                    watched.interest.contains(Interest::READ),
                    watched.interest.contains(Interest::WRITE),
                )
            })
            .collect();
        sys::poll::wait(&mut asked, timeout.end())?;
        for (watched, answer) in table.iter().zip(&asked) {
            match sys::poll::heard(answer) {
                sys::poll::Heard::Nothing => {}
                // Closed under its watcher: goes silent, as it does with epoll.
                sys::poll::Heard::Closed => self.table().retain(|other| other != watched),
                sys::poll::Heard::Ready { readable, writable } => {
                    events.ready.push(Event {
                        token: watched.token,
                        readable,
                        writable,
                    });
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "poll"
    }
}
