//! Signals end waits: while a loop runs in the main thread, Python writes their numbers into its wake.
//!
//! It does not know what is done about a signal.

use std::os::fd::RawFd;

use pyo3::prelude::*;

use super::{Devices, Engine};
use crate::ffi::{call, object, thread_ident};
use crate::names;

impl Engine {
    /// Lets signals end our waits, from the first wait that can block: a run that never waits pays nothing.
    pub(super) fn hear_signals(&self, py: Python<'_>, devices: &Devices) {
        if self.hears_signals.replace(true) || !is_main_thread(py) {
            return;
        }
        let own = devices.wake.write_fd();
        let former = set_wakeup_fd(py, own);
        if former >= 0 && former != own {
            // Somebody else listens: the signal still interrupts the wait, and its bytes are theirs.
            set_wakeup_fd(py, former);
        }
        self.former_wakeup.set(Some(former));
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
        let found = set_wakeup_fd(py, former);
        let is_ours = Some(found) == self.wakeup(py);
        if !is_ours && former < 0 {
            // Who put another in its place was told of ours, and may put it back when this loop is closed.
            self.wakeup_was_seen.set(true);
        }
        if !is_ours || self.signals.get() > 0 {
            set_wakeup_fd(py, found);
        }
    }

    /// Makes sure that no signal is written into a descriptor about to be closed.
    pub(super) fn forget_signals(&self, py: Python<'_>) {
        if self.signals.get() == 0 && self.former_wakeup.get().is_none() {
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
fn is_main_thread(py: Python<'_>) -> bool {
    let ident = || {
        names::main_thread(py)
            .ok()?
            .bind(py)
            .call0()
            .ok()?
            .getattr("ident")
            .ok()?
            .extract::<u64>()
            .ok()
    };
    ident() == Some(thread_ident())
}
