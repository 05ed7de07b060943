//! Who hears which descriptor: entered in the loop's table and told to its driver.

use std::os::fd::RawFd;

use conbrio_core::sources::Side;
use conbrio_driver::driver::Driver;
use conbrio_driver::event::Interest;
use pyo3::prelude::*;

use super::Engine;
use crate::ffi::{Object, Outcome};
use crate::report::os_error;
use crate::runnable::Runnable;

impl Engine {
    /// Lets `runnable` hear `side` of `fd`; returns who heard it before.
    ///
    /// # Errors
    /// `OSError` when the system cannot watch the descriptor; nothing has changed then.
    pub(crate) fn watch(
        &self,
        py: Python<'_>,
        fd: RawFd,
        side: Side,
        runnable: Runnable,
    ) -> Outcome<Option<Runnable>> {
        let devices = self.devices(py)?;
        let change = self
            .sources
            .lend(py, |sources| sources.set(fd, side, runnable));
        if let Some(refusal) = devices.driver.arm(fd, change.token, change.interest).err() {
            let (gone, interest) = self.sources.lend(py, |sources| match change.old {
                Some(old) => {
                    let change = sources.set(fd, side, old);
                    (change.old, change.interest)
                }
                None => sources.unset(fd, side),
            });
            drop((gone, interest));
            return Err(os_error(py, &refusal));
        }
        self.note_watching(py);
        self.touch(py);
        Ok(change.old)
    }

    /// Lets `runnable` hear `side` of `fd` in place of somebody who does, so that the system need not be told; where nobody
    /// does it comes back.
    pub(crate) fn rewatch(
        &self,
        py: Python<'_>,
        fd: RawFd,
        side: Side,
        runnable: Runnable,
    ) -> Option<Runnable> {
        self.sources
            .lend(py, |sources| match sources.get(fd, side) {
                Some(_) => sources.set(fd, side, runnable).old,
                None => Some(runnable),
            })
    }

    /// Stops hearing `side` of `fd`; returns who heard it.
    pub(crate) fn unwatch(&self, py: Python<'_>, fd: RawFd, side: Side) -> Option<Runnable> {
        let (gone, interest, token) = self.sources.lend(py, |sources| {
            let token = sources.token(fd);
            let (gone, interest) = sources.unset(fd, side);
            (gone, interest, token)
        });
        // What a forked child took from the system would be taken from its parent.
        if gone.is_some()
            && !self.origin.is_elsewhere()
            && let Some(devices) = self.devices.lend(py, |devices| devices.clone())
        {
            // A descriptor that was closed first is no longer watched by the system: that is not an error.
            let _ = match token {
                Some(token) if interest != Interest::EMPTY => {
                    devices.driver.arm(fd, token, interest)
                }
                _ => devices.driver.disarm(fd),
            };
            self.note_watching(py);
        }
        gone
    }

    /// Stops hearing `side` of `fd`, if it still is `listener` that hears it.
    pub(crate) fn unwatch_own(&self, py: Python<'_>, fd: RawFd, side: Side, listener: &Object) {
        let watcher = self.watcher(py, fd, side);
        if watcher.is_some_and(|watcher| watcher.object().is(listener)) {
            drop(self.unwatch(py, fd, side));
        }
    }

    /// The same for the last side of a descriptor that `closing` is told of soon: the system may go on reporting it.
    pub(crate) fn unwatch_closing(&self, py: Python<'_>, fd: RawFd, side: Side) {
        let gone = self.sources.lend(py, |sources| sources.unset(fd, side));
        self.note_watching(py);
        drop(gone);
    }

    /// Hears that `fd` is about to be closed; by its only owner, if `alone`.
    pub(crate) fn closing(&self, py: Python<'_>, fd: RawFd, alone: bool) {
        // Who watches it has got the number since: the socket was closed before its connection.
        if self.origin.is_elsewhere() || self.is_watched(py, fd) {
            return;
        }
        if let Some(devices) = self.devices.lend(py, |devices| devices.clone()) {
            // As above: not an error.
            let _ = if alone {
                devices.driver.disarm_closing(fd)
            } else {
                devices.driver.disarm(fd)
            };
        }
    }

    fn is_watched(&self, py: Python<'_>, fd: RawFd) -> bool {
        self.sources
            .lend(py, |sources| sources.interest(fd) != Interest::EMPTY)
    }

    /// Remembers the object by which `fd` is watched.
    pub(crate) fn remember_file(&self, py: Python<'_>, fd: RawFd, file: &Object) {
        let file = file.share();
        let old = self.files.lend(py, |files| files.insert(fd, file));
        drop(old);
    }

    /// Forgets it, once nobody hears the descriptor.
    pub(crate) fn forget_file(&self, py: Python<'_>, fd: RawFd) {
        if self.is_watched(py, fd) {
            return;
        }
        let gone = self.files.lend(py, |files| files.remove(&fd));
        drop(gone);
    }

    /// The descriptor that is watched by this very object.
    pub(crate) fn number_of_file(&self, py: Python<'_>, file: &Object) -> Option<RawFd> {
        self.files.lend(py, |files| {
            let (fd, _) = files.iter().find(|(_, known)| known.is(file))?;
            Some(*fd)
        })
    }

    /// Who hears `side` of `fd`.
    pub(crate) fn watcher(&self, py: Python<'_>, fd: RawFd, side: Side) -> Option<Runnable> {
        self.sources
            .lend(py, |sources| sources.get(fd, side).map(Runnable::share))
    }

    /// Tells the turn whether there is anything to ask the driver about.
    pub(crate) fn note_watching(&self, py: Python<'_>) {
        let watched = self.sources.lend(py, |sources| !sources.is_empty());
        self.works.lend(py, |works| {
            works.watching = watched || self.hears_by_handlers.get();
        });
    }
}
