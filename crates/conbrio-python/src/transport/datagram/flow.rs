//! When the protocol is told to pause sending and to go on.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::DatagramTransport;
use crate::ffi::{Instance, Object, Outcome, call_method};
use crate::names;
use crate::transport::flow::mark;

impl Instance<DatagramTransport> {
    /// Tells the protocol to pause when too much is owed.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; others are reported.
    pub(super) fn maybe_pause(&self, py: Python<'_>) -> Outcome<()> {
        if self.life.protocol_paused.get() || !self.outbox.lend(py, |outbox| outbox.over_high()) {
            return Ok(());
        }
        self.life.protocol_paused.set(true);
        let message = "protocol.pause_writing() failed";
        self.tell_flow(py, names::pause_writing(py), message)
    }

    /// Tells a paused protocol to go on when little is owed.
    ///
    /// # Errors
    /// As `maybe_pause`.
    pub(super) fn maybe_resume(&self, py: Python<'_>) -> Outcome<()> {
        if !self.life.protocol_paused.get() || !self.outbox.lend(py, |outbox| outbox.under_low()) {
            return Ok(());
        }
        self.life.protocol_paused.set(false);
        let message = "protocol.resume_writing() failed";
        self.tell_flow(py, names::resume_writing(py), message)
    }

    fn tell_flow(
        &self,
        py: Python<'_>,
        method: &Bound<'_, PyString>,
        message: &'static str,
    ) -> Outcome<()> {
        let Some(protocol) = self.protocol.share() else {
            return Ok(());
        };
        match call_method(py, &protocol, method, &[]) {
            Ok(_) => Ok(()),
            Err(raised) => self.report(py, raised, message, &protocol),
        }
    }

    /// `set_write_buffer_limits(high, low)` without a look at what is owed.
    ///
    /// # Errors
    /// `ValueError` with CPython's words.
    pub(super) fn set_limits(
        &self,
        py: Python<'_>,
        high: Option<&Object>,
        low: Option<&Object>,
    ) -> Outcome<()> {
        let (high, low) = (mark(py, high)?, mark(py, low)?);
        let set = self.outbox.lend(py, |outbox| outbox.limits(high, low));
        set.map_err(|bad| PyValueError::new_err(bad.to_string()).into())
    }
}
