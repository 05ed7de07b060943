//! When the protocol is told to pause writing and to go on.
//!
//! What asks it says in one trait where it keeps what, so that all of them are told alike.

use std::cell::Cell;

use conbrio_core::outbox::BadLimits;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::StreamTransport;
use crate::ffi::{Class, Instance, Object, Outcome, Raised, Ref, call_method};
use crate::names;
use crate::report::report_raised;

/// A transport that may owe too much.
pub(crate) trait Pressed: Class {
    /// So much is owed that the protocol has to pause.
    fn is_over_high(&self, py: Python<'_>) -> bool;

    /// So little is owed that a paused protocol may go on.
    fn is_under_low(&self, py: Python<'_>) -> bool;

    /// Sets the marks.
    ///
    /// # Errors
    /// When they are none.
    fn set_marks(
        &self,
        py: Python<'_>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> Result<(), BadLimits>;

    /// Whether the protocol pauses.
    fn protocol_paused(&self) -> &Cell<bool>;

    /// The protocol, until the connection is lost.
    fn protocol(&self) -> Option<Ref>;

    /// The loop, until the connection is lost.
    fn event_loop(&self) -> Option<Ref>;
}

impl Pressed for StreamTransport {
    #[inline]
    fn is_over_high(&self, py: Python<'_>) -> bool {
        self.outbox.lend(py, |outbox| outbox.over_high())
    }

    #[inline]
    fn is_under_low(&self, py: Python<'_>) -> bool {
        self.outbox.lend(py, |outbox| outbox.under_low())
    }

    fn set_marks(
        &self,
        py: Python<'_>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> Result<(), BadLimits> {
        self.outbox.lend(py, |outbox| outbox.limits(high, low))
    }

    #[inline]
    fn protocol_paused(&self) -> &Cell<bool> {
        &self.life.protocol_paused
    }

    #[inline]
    fn protocol(&self) -> Option<Ref> {
        self.protocol.share()
    }

    #[inline]
    fn event_loop(&self) -> Option<Ref> {
        self.fields.event_loop.share()
    }
}

impl<T: Pressed> Instance<T> {
    /// Tells the protocol to pause when too much is owed.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; others are reported.
    #[inline]
    pub(super) fn maybe_pause(&self, py: Python<'_>) -> Outcome<()> {
        if self.protocol_paused().get() || !self.is_over_high(py) {
            return Ok(());
        }
        self.protocol_paused().set(true);
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
        if !self.protocol_paused().get() || !self.is_under_low(py) {
            return Ok(());
        }
        self.protocol_paused().set(false);
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
        let Some(protocol) = self.protocol() else {
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
        let Some(event_loop) = self.event_loop() else {
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
        self.set_marks(py, high, low)
            .map_err(|bad| PyValueError::new_err(bad.to_string()).into())
    }
}

/// A mark in bytes; one that is larger than any memory stands for "never".
pub(super) fn mark(py: Python<'_>, mark: Option<&Object>) -> Outcome<Option<i64>> {
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
