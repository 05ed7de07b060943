//! When the protocol is told to pause sending and to go on.

use std::cell::Cell;

use conbrio_core::outbox::BadLimits;
use pyo3::prelude::*;

use super::DatagramTransport;
use crate::ffi::{Instance, Outcome};
use crate::transport::flow::Pressed;

impl Pressed for DatagramTransport {
    fn is_over_high(&self, py: Python<'_>) -> bool {
        self.outbox.lend(py, |outbox| outbox.over_high())
    }

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

    fn protocol_paused(&self) -> &Cell<bool> {
        &self.life.protocol_paused
    }

    fn marks(&self, py: Python<'_>) -> (usize, usize) {
        self.outbox.lend(py, |outbox| outbox.marks())
    }

    fn size(&self, py: Python<'_>) -> usize {
        self.outbox.lend(py, |outbox| outbox.size())
    }

    fn settle(py: Python<'_>, this: &Instance<Self>) -> Outcome<()> {
        this.settle(py)
    }
}
