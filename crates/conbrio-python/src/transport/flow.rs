//! When the protocol is told to pause writing and to go on.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::StreamTransport;
use crate::ffi::{Instance, Object, Outcome, Raised, call_method};
use crate::names;
use crate::report::report_raised;

impl Instance<StreamTransport> {
    /// Tells the protocol to pause when too much is owed.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; others are reported.
    pub(super) fn maybe_pause(&self, py: Python<'_>) -> Outcome<()> {
        if self.life.protocol_paused.get() || !self.outbox.lend(py, |outbox| outbox.over_high()) {
            return Ok(());
        }
        self.life.protocol_paused.set(true);
        self.tell(
            py,
            names::pause_writing(py),
            "protocol.pause_writing() failed",
        )
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
        self.tell(
            py,
            names::resume_writing(py),
            "protocol.resume_writing() failed",
        )
    }

    fn tell(
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

    /// Reports what the protocol raised.
    ///
    /// # Errors
    /// As `maybe_pause`.
    pub(super) fn report(
        &self,
        py: Python<'_>,
        raised: Raised,
        message: &str,
        protocol: &Object,
    ) -> Outcome<()> {
        let Some(event_loop) = self.fields.event_loop.share() else {
            return Err(raised);
        };
        let details = [("transport", self.object()), ("protocol", protocol)];
        report_raised(py, &event_loop, raised, || message.to_owned(), &details)
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

/// A mark in bytes; one that is larger than any memory stands for "never".
fn mark(py: Python<'_>, mark: Option<&Object>) -> Outcome<Option<i64>> {
    let Some(mark) = mark.filter(|mark| !mark.is_none()) else {
        return Ok(None);
    };
    let mark = mark.bind(py);
    match mark.extract::<i64>() {
        Ok(mark) => Ok(Some(mark)),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            Ok(Some(if mark.lt(0)? { -1 } else { i64::MAX }))
        }
        // CPython: compares whatever it is given, so fractions and infinity do.
        Err(error) => match mark.extract::<f64>() {
            #[expect(clippy::cast_possible_truncation, reason = "saturates, as a mark may")]
            Ok(mark) => Ok(Some(mark.floor() as i64)),
            Err(_) => Err(error.into()),
        },
    }
}
