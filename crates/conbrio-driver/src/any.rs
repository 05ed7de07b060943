//! One of the drivers, chosen at run time.
//!
//! An enum rather than a trait object, so that the choice costs a predictable branch.

use std::io;
use std::os::fd::RawFd;

use crate::driver::{Driver, Events, Timeout};
use crate::epoll::Epoll;
use crate::event::{Interest, Token};
use crate::poll::Poll;
use crate::sim::Sim;

/// One of the drivers.
#[derive(Debug)]
pub enum AnyDriver {
    /// Linux.
    Epoll(Epoll),
    /// Any Unix.
    Poll(Poll),
    /// Tests.
    Sim(Sim),
}

impl AnyDriver {
    /// What a person can call one.
    pub const NAMES: [&str; 2] = ["epoll", "poll"];

    /// What there is to say of a name that is none of them.
    pub fn refusal(name: &str) -> String {
        format!("no driver is called {name:?}: there are 'epoll' and 'poll'")
    }

    /// Makes the driver that a person named, or the best that this system has.
    pub fn choose(name: Option<&str>) -> io::Result<Self> {
        match name {
            None => Ok(Epoll::new().map_or_else(|_| Self::Poll(Poll::new()), Self::Epoll)),
            Some("epoll") => Epoll::new().map(Self::Epoll),
            Some("poll") => Ok(Self::Poll(Poll::new())),
            Some("sim") => Ok(Self::Sim(Sim::new())),
            Some(other) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                Self::refusal(other),
            )),
        }
    }
}

impl Driver for AnyDriver {
    #[inline]
    fn arm(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Epoll(driver) => driver.arm(fd, token, interest),
            Self::Poll(driver) => driver.arm(fd, token, interest),
            Self::Sim(driver) => driver.arm(fd, token, interest),
        }
    }

    #[inline]
    fn disarm(&self, fd: RawFd) -> io::Result<()> {
        match self {
            Self::Epoll(driver) => driver.disarm(fd),
            Self::Poll(driver) => driver.disarm(fd),
            Self::Sim(driver) => driver.disarm(fd),
        }
    }

    #[inline]
    fn disarm_closing(&self, fd: RawFd) -> io::Result<()> {
        match self {
            Self::Epoll(driver) => driver.disarm_closing(fd),
            Self::Poll(driver) => driver.disarm_closing(fd),
            Self::Sim(driver) => driver.disarm_closing(fd),
        }
    }

    fn is_armed(&self, fd: RawFd) -> bool {
        match self {
            Self::Epoll(driver) => driver.is_armed(fd),
            Self::Poll(driver) => driver.is_armed(fd),
            Self::Sim(driver) => driver.is_armed(fd),
        }
    }

    fn renew(&self, armed: &[(RawFd, Token, Interest)]) -> io::Result<()> {
        match self {
            Self::Epoll(driver) => driver.renew(armed),
            Self::Poll(driver) => driver.renew(armed),
            Self::Sim(driver) => driver.renew(armed),
        }
    }

    #[inline]
    fn knows_edges(&self) -> bool {
        matches!(self, Self::Epoll(_))
    }

    #[inline]
    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        match self {
            Self::Epoll(driver) => driver.wait(events, timeout),
            Self::Poll(driver) => driver.wait(events, timeout),
            Self::Sim(driver) => driver.wait(events, timeout),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Epoll(driver) => driver.name(),
            Self::Poll(driver) => driver.name(),
            Self::Sim(driver) => driver.name(),
        }
    }
}
