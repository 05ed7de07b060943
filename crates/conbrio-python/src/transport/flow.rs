//! When the protocol is told to pause writing and to go on.
//!
//! What asks it says in one trait where it keeps what, so that all of them are told alike.

use std::cell::Cell;

use conbrio_core::outbox::BadLimits;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::StreamTransport;
use super::attributes::number;
use super::ending::Ending;
use crate::ffi::{Args, Builder, Instance, Object, Outcome, Parameters, Ref, call_method, none};
use crate::names;

/// A transport that may owe too much.
pub(crate) trait Pressed: Ending {
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

    /// The marks: low, high.
    fn marks(&self, py: Python<'_>) -> (usize, usize);

    /// How much is owed, in what the marks count.
    fn size(&self, py: Python<'_>) -> usize;

    /// Sends what only waits for the end of the turn, so that what is asked for is what CPython would say.
    ///
    /// # Errors
    /// What the protocol or the exception handler lets through.
    fn settle(py: Python<'_>, this: &Instance<Self>) -> Outcome<()>;
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

    fn marks(&self, py: Python<'_>) -> (usize, usize) {
        self.outbox.lend(py, |outbox| outbox.marks())
    }

    fn size(&self, py: Python<'_>) -> usize {
        self.owed(py)
    }

    fn settle(py: Python<'_>, this: &Instance<Self>) -> Outcome<()> {
        this.settle(py)
    }
}

/// Adds to a class the methods and attributes of flow control.
pub(super) fn add<T: Pressed>(builder: Builder<T>) -> Builder<T> {
    builder
        .plain(c"get_write_buffer_size", c"get_write_buffer_size($self)\n--\n\nHow many bytes are written and not sent. As asyncio.WriteTransport.get_write_buffer_size.", |py, this| {
            T::settle(py, this)?;
            number(py, this.size(py))
        })
        .plain(c"get_write_buffer_limits", c"get_write_buffer_limits($self)\n--\n\nThe marks in bytes: low, high. As asyncio.WriteTransport.get_write_buffer_limits.", |py, this| {
            Ok(Ref::from(this.marks(py).into_pyobject(py)?))
        })
        .method(
            c"set_write_buffer_limits",
            c"set_write_buffer_limits($self, high=None, low=None)\n--\n\nSets at how many bytes the protocol pauses and goes on; None for 64 KiB and a quarter of high.\n\nRaises ValueError unless 0 <= low <= high. As asyncio.WriteTransport.set_write_buffer_limits. Not thread-safe.",
            |py, this, args| {
                set_limits(py, this, args, "set_write_buffer_limits")?;
                T::settle(py, this)?;
                none(this.maybe_pause(py))
            },
        )
        .method(
            c"_set_write_buffer_limits",
            c"_set_write_buffer_limits($self, high=None, low=None)\n--\n\nThe same, and asks no protocol to pause.",
            |py, this, args| none(set_limits(py, this, args, "_set_write_buffer_limits")),
        )
        .plain(c"_maybe_pause_protocol", c"_maybe_pause_protocol($self)\n--\n\nPauses if too much is owed.", |py, this| {
            T::settle(py, this)?;
            none(this.maybe_pause(py))
        })
        .plain(c"_maybe_resume_protocol", c"_maybe_resume_protocol($self)\n--\n\nGoes on if little is owed.", |py, this| {
            none(this.maybe_resume(py))
        })
        .getter(c"_high_water", c"The high mark.", |py, this| number(py, this.marks(py).1))
        .getter(c"_low_water", c"The low mark.", |py, this| number(py, this.marks(py).0))
        .getter(c"_protocol_paused", c"Whether the protocol pauses writing.", |_, this| {
            Ok(Ref::boolean(this.protocol_paused().get()))
        })
}

fn set_limits<T: Pressed>(
    py: Python<'_>,
    this: &Instance<T>,
    args: Args<'_>,
    function: &'static str,
) -> Outcome<()> {
    let names = [names::high(py), names::low(py)];
    let [high, low] = args.parse(&Parameters {
        function,
        names,
        positional: 2,
        required: 0,
    })?;
    this.set_limits(py, high, low)
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
        refuse_endless(py, high, low)?;
        let (high, low) = (mark(py, high)?, mark(py, low)?);
        self.set_marks(py, high, low)
            .map_err(|bad| PyValueError::new_err(bad.to_string()).into())
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

/// Refuses marks of which CPython finds that no number lies between them: a quarter of infinity is none.
///
/// # Errors
/// `ValueError` with CPython's words.
fn refuse_endless(py: Python<'_>, high: Option<&Object>, low: Option<&Object>) -> Outcome<()> {
    let number = |mark: Option<&Object>| mark?.bind(py).extract::<f64>().ok();
    let (upper, lower) = match (number(high), number(low)) {
        (Some(upper), None) => (upper, if upper.is_finite() { 0.0 } else { f64::NAN }),
        (None, Some(lower)) => (lower * 4.0, lower),
        (Some(upper), Some(lower)) => (upper, lower),
        (None, None) => return Ok(()),
    };
    if (upper.is_finite() && lower.is_finite()) || (upper >= lower && lower >= 0.0) {
        return Ok(());
    }
    let words = |given: Option<&Object>, mark: f64| match given.filter(|given| !given.is_none()) {
        Some(given) => given.bind(py).repr(),
        None => mark.into_pyobject(py).map_err(PyErr::from)?.repr(),
    };
    let (high, low) = (words(high, upper)?, words(low, lower)?);
    let words = format!("high ({high}) must be >= low ({low}) must be >= 0");
    Err(PyValueError::new_err(words).into())
}
