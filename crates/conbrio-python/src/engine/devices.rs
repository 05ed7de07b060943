//! What a loop holds of the system: its driver and its wake, of one process.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use conbrio_driver::any::AnyDriver;
use conbrio_driver::driver::Driver;
use conbrio_driver::wake::Wake;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::ffi::Outcome;
use crate::report::os_error;

/// How many forks lie between this process and the one that imported the package.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Notes, in a child, that it was forked.
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The process in which a loop first ran or watched something, once it did: it serves no other.
pub(crate) struct Origin(Cell<Option<u32>>);

impl Origin {
    /// That of a loop that has done nothing yet.
    pub(super) const fn none() -> Self {
        Self(Cell::new(None))
    }

    /// Whether this is another process.
    #[inline]
    pub(super) fn is_elsewhere(&self) -> bool {
        let here = GENERATION.load(Ordering::Relaxed);
        self.0.get().is_some_and(|generation| generation != here)
    }

    /// Makes this process the origin if there is none yet; refuses to serve another.
    ///
    /// # Errors
    /// `RuntimeError` in a forked child.
    #[inline]
    pub(super) fn check(&self) -> Outcome<()> {
        if self.is_elsewhere() {
            let text =
                "This event loop belongs to the parent process; a forked child makes its own";
            return Err(PyRuntimeError::new_err(text).into());
        }
        self.0.set(Some(GENERATION.load(Ordering::Relaxed)));
        Ok(())
    }
}

/// The driver and the wake of one loop.
pub(crate) struct Devices {
    /// Asks the system.
    pub(crate) driver: AnyDriver,
    /// Ends a wait from another thread, or for a signal.
    pub(crate) wake: Wake,
}

impl Devices {
    /// Opens them.
    ///
    /// # Errors
    /// `ValueError` for an unknown driver, `OSError` when the system gives no descriptors.
    pub(crate) fn new(py: Python<'_>, driver: Option<&str>) -> Outcome<Self> {
        let failed = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()).into(),
            _ => os_error(py, error),
        };
        let wake = Wake::new().map_err(|error| failed(&error))?;
        let driver = AnyDriver::choose(driver).map_err(|error| failed(&error))?;
        wake.arm(&driver).map_err(|error| failed(&error))?;
        Ok(Self { driver, wake })
    }

    /// The driver's name.
    pub(crate) fn name(&self) -> &'static str {
        self.driver.name()
    }
}
