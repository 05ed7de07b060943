//! The driver without a system: tests and fuzzers say what is ready, and time passes by waiting.
//!
//! Its own room so that order can be tested without descriptors. It makes no system call.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::driver::{Driver, Events, Timeout};
use crate::event::{Event, Interest, Token};

/// What the simulation knows.
#[derive(Debug, Default)]
struct World {
    /// What is watched.
    armed: BTreeMap<RawFd, (Token, Interest)>,
    /// Which directions would not wait, until told otherwise.
    ready: BTreeMap<RawFd, Interest>,
    /// How every wait so far was asked for.
    waits: Vec<Timeout>,
    /// How much time passed by waiting.
    elapsed: Duration,
    /// The next wait is interrupted.
    interrupted: bool,
}

/// Reports what a test said.
#[derive(Debug, Default)]
pub struct Sim {
    world: Mutex<World>,
}

impl Sim {
    /// Makes a world in which nothing is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says in which directions `fd` is ready from now on.
    pub fn set_ready(&self, fd: RawFd, directions: Interest) {
        self.world().ready.insert(fd, directions);
    }

    /// Interrupts the next wait, as a signal would.
    pub fn interrupt(&self) {
        self.world().interrupted = true;
    }

    /// Gives how the waits since the last call were asked for.
    pub fn take_waits(&self) -> Vec<Timeout> {
        std::mem::take(&mut self.world().waits)
    }

    /// Says how much time passed by waiting.
    pub fn elapsed(&self) -> Duration {
        self.world().elapsed
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Sim {
    fn arm(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        if interest.is_empty() {
            return self.disarm(fd);
        }
        self.world().armed.insert(fd, (token, interest));
        Ok(())
    }

    fn disarm(&self, fd: RawFd) -> io::Result<()> {
        self.world().armed.remove(&fd);
        Ok(())
    }

    fn is_armed(&self, fd: RawFd) -> bool {
        self.world().armed.contains_key(&fd)
    }

    fn renew(&self, armed: &[(RawFd, Token, Interest)]) -> io::Result<()> {
        let armed = armed
            .iter()
            .map(|&(fd, token, interest)| (fd, (token, interest)));
        self.world().armed = armed.collect();
        Ok(())
    }

    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        events.ready.clear();
        let mut world = self.world();
        world.waits.push(timeout);
        if std::mem::take(&mut world.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        for (fd, (token, interest)) in &world.armed {
            let ready = world.ready.get(fd).copied().unwrap_or_default();
            let readable = ready.contains(Interest::READ) && interest.contains(Interest::READ);
            let writable = ready.contains(Interest::WRITE) && interest.contains(Interest::WRITE);
            if readable || writable {
                events.ready.push(Event {
                    token: *token,
                    readable,
                    writable,
                });
            }
        }
        if events.is_empty() {
            // Nobody else acts in this world: a wait for ever would never end.
            world.elapsed += timeout.end().ok_or(io::ErrorKind::Deadlock)?;
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "sim"
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::Sim;
    use crate::driver::{Driver, Events, Timeout};

    #[test]
    fn waiting_is_what_passes_time() {
        let (sim, mut events) = (Sim::new(), Events::new());
        sim.wait(&mut events, Timeout::within(Duration::from_secs(3)))
            .unwrap();
        // A long wait ends a millisecond late.
        assert_eq!(sim.elapsed(), Duration::from_millis(3001));
        assert_eq!(sim.take_waits(), [Timeout::within(Duration::from_secs(3))]);
    }

    #[test]
    fn a_wait_that_nothing_ends_is_an_error() {
        let (sim, mut events) = (Sim::new(), Events::new());
        let error = sim.wait(&mut events, Timeout::Forever).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    }

    #[test]
    fn an_interruption_comes_once() {
        let (sim, mut events) = (Sim::new(), Events::new());
        sim.interrupt();
        let error = sim.wait(&mut events, Timeout::Now).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        sim.wait(&mut events, Timeout::Now).unwrap();
    }
}
