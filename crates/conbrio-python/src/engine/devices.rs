//! What a loop holds of the system: its driver and its wake, of one process.

use std::sync::atomic::{AtomicU32, Ordering};

use conbrio_driver::any::AnyDriver;
use conbrio_driver::driver::Driver;
use conbrio_driver::event::{Interest, Token};
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

/// The driver and the wake of one loop.
pub(crate) struct Devices {
    /// Asks the system.
    pub(crate) driver: AnyDriver,
    /// Ends a wait from another thread, or for a signal.
    pub(crate) wake: Wake,
    /// The process that made them.
    generation: u32,
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
        driver
            .arm(wake.read_fd(), Token::WAKE, Interest::READ)
            .map_err(|error| failed(&error))?;
        Ok(Self {
            driver,
            wake,
            generation: GENERATION.load(Ordering::Relaxed),
        })
    }

    /// The driver's name.
    pub(crate) fn name(&self) -> &'static str {
        self.driver.name()
    }

    /// Refuses to serve another process than its own.
    ///
    /// # Errors
    /// `RuntimeError` in a forked child.
    #[inline]
    pub(crate) fn check_process(&self) -> Outcome<()> {
        if self.generation == GENERATION.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = "This event loop belongs to the parent process; a forked child makes its own";
        Err(PyRuntimeError::new_err(text).into())
    }
}
