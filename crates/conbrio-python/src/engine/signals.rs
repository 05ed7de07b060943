//! Signals end waits: while a loop runs in the main thread, Python writes their numbers into its wake.
//!
//! It does not know what is done about a signal.

use std::os::fd::RawFd;

use pyo3::prelude::*;

use super::{Devices, Engine};
use crate::ffi::{Outcome, call, object, thread_ident};
use crate::names;

impl Engine {
    /// Lets signals end our waits, from the first wait that can block: a run that never waits pays nothing.
    ///
    /// # Errors
    /// What the handler of a signal raises that comes meanwhile.
    pub(super) fn hear_signals(&self, py: Python<'_>, devices: &Devices) -> Outcome<()> {
        if self.hears_signals.get() {
            return Ok(());
        }
        let is_main = is_main_thread(py)?;
        self.hears_signals.set(true);
        if !is_main {
            return Ok(());
        }
        let own = devices.wake.write_fd();
        let former = set_wakeup_fd(py, own);
        if former >= 0 && former != own {
            // Somebody else listens: the signal still interrupts the wait, and its bytes are theirs.
            set_wakeup_fd(py, former);
        }
        self.former_wakeup.set(Some(former));
        Ok(())
    }

    /// Whether somebody else's descriptor is told of signals: they end a wait that sleeps, and no other.
    pub(super) fn are_signals_told_elsewhere(&self, devices: &Devices) -> bool {
        self.former_wakeup
            .get()
            .is_some_and(|former| former >= 0 && former != devices.wake.write_fd())
    }

    /// Gives the descriptor back at the end of a run, unless a signal handler needs ours.
    pub(crate) fn leave_signals(&self, py: Python<'_>) {
        self.hears_signals.set(false);
        let Some(former) = self.former_wakeup.take() else {
            return;
        };
        let own = self.wakeup(py);
        // A handler needs ours to stay where it is: a signal may come at any moment.
        let next = own.filter(|_| self.hears_by_handlers.get());
        let found = set_wakeup_fd(py, next.unwrap_or(former));
        if Some(found) != own {
            // Who put another in its place was told of ours, and may put it back when this loop is closed.
            self.wakeup_was_seen
                .set(self.wakeup_was_seen.get() || former < 0);
            set_wakeup_fd(py, found);
        }
    }

    /// Makes sure that no signal is written into a descriptor about to be closed.
    pub(super) fn forget_signals(&self, py: Python<'_>) {
        if !self.hears_by_handlers.get() && self.former_wakeup.get().is_none() {
            return;
        }
        let found = set_wakeup_fd(py, -1);
        if Some(found) != self.wakeup(py) {
            set_wakeup_fd(py, found);
        }
    }

    /// Our descriptor, if there is one.
    fn wakeup(&self, py: Python<'_>) -> Option<RawFd> {
        self.devices.lend(py, |devices| {
            devices.as_ref().map(|devices| devices.wake.write_fd())
        })
    }
}

/// Makes `fd` the descriptor that receives a byte for each signal, -1 for none; returns the former one. Outside of the
/// main thread nothing happens, as Python refuses it.
fn set_wakeup_fd(py: Python<'_>, fd: RawFd) -> RawFd {
    let Ok(number) = fd.into_pyobject(py);
    let set = || call(py, names::set_wakeup_fd(py)?, &[object(&number)]);
    match set() {
        Ok(former) => former.bind(py).extract().unwrap_or(-1),
        Err(raised) => {
            drop(raised.take());
            -1
        }
    }
}

/// Whether this is the thread that Python runs signal handlers in.
///
/// # Errors
/// What such a handler raises: asking runs Python code, before which they run.
fn is_main_thread(py: Python<'_>) -> Outcome<bool> {
    let Ok(ask) = names::main_thread(py) else {
        // The interpreter ends.
        return Ok(false);
    };
    let ident = ask.bind(py).call0()?.getattr("ident")?;
    Ok(ident.extract::<u64>().ok() == Some(thread_ident()))
}
