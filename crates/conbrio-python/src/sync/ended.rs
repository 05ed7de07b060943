//! Those who wait for several futures at once: natively woken, once for each that ends, with the one that has.

use pyo3::prelude::*;

use super::completed::{self, Completed};
use super::group::TaskGroup;
use super::shield::{self, Shield};
use super::{gather, wait};
use crate::ffi::{Class, ClassState, Instance, Object, Outcome, Own, Ref, Slot, Thunk, Visit};
use crate::future::Gathering;
use crate::op::Op;
use crate::report::{report_raised, text_of};
use crate::runnable::Runnable;
use crate::task::{self, Task};

/// A waiter in the ready queue, and which of its futures has ended.
pub(super) struct Ended {
    waiter: Slot,
    child: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for Ended {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Ended";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.waiter);
        visit.slot(&self.child);
    }

    fn clear(&self) {
        self.waiter.clear();
        self.child.clear();
    }
}

/// Makes the native waiter of `ended` runnable, whatever it is.
#[inline]
pub(crate) fn waken(py: Python<'_>, ended: &Object, waiter: Ref) -> Runnable {
    if Instance::<Task>::of_exact(&waiter).is_some() || !waits_for_several(&waiter) {
        return task::waken(py, ended, waiter);
    }
    let made = Own::new_unseen(
        py,
        Ended {
            waiter: Slot::holding(waiter),
            child: Slot::holding(ended.share()),
        },
    );
    match made {
        Ok(made) => Thunk::new(made, run),
        Err(raised) => Thunk::of_nothing(raised.take()),
    }
}

/// A native waiter as Python is shown it.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn shown(py: Python<'_>, waiter: &Object) -> Outcome<(Ref, Ref)> {
    if let Some(gathering) = Instance::<Gathering>::of_exact(waiter) {
        return gather::shown(py, gathering);
    }
    if let Some(op) = Instance::<Op>::of_exact(waiter) {
        return wait::shown(py, op);
    }
    if let Some(shield) = Instance::<Shield>::of_exact(waiter) {
        return shield::shown(py, shield);
    }
    if let Some(several) = Instance::<Completed>::of(waiter) {
        return completed::shown(py, several);
    }
    if let Some(group) = Instance::<TaskGroup>::of(waiter) {
        return group.shown(py);
    }
    task::shown(py, waiter)
}

fn waits_for_several(waiter: &Object) -> bool {
    Instance::<Gathering>::of_exact(waiter).is_some()
        || Instance::<Op>::of_exact(waiter).is_some()
        || Instance::<Shield>::of_exact(waiter).is_some()
        || Instance::<TaskGroup>::of(waiter).is_some()
        || Instance::<Completed>::of(waiter).is_some()
}

fn run(py: Python<'_>, ended: Own<Ended>) -> Outcome<()> {
    let (Some(waiter), Some(child)) = (ended.waiter.take(), ended.child.take()) else {
        return Ok(());
    };
    drop(ended);
    let Err(raised) = tell(py, &waiter, &child) else {
        return Ok(());
    };
    let message = || format!("Exception in callback of {}", text_of(py, &waiter));
    let event_loop = loop_of(&waiter).unwrap_or_else(Ref::none);
    report_raised(py, &event_loop, raised, message, &[])
}

fn tell(py: Python<'_>, waiter: &Object, child: &Object) -> Outcome<()> {
    if let Some(gathering) = Instance::<Gathering>::of_exact(waiter) {
        gather::hear(py, gathering, child)
    } else if let Some(op) = Instance::<Op>::of_exact(waiter) {
        wait::hear(py, op, child)
    } else if let Some(shield) = Instance::<Shield>::of_exact(waiter) {
        shield.hear(py, child)
    } else if let Some(group) = Instance::<TaskGroup>::of(waiter) {
        group.hear(py, child)
    } else if let Some(several) = Instance::<Completed>::of(waiter) {
        several.hear(py, child)
    } else {
        Ok(())
    }
}

/// The loop that hears what goes wrong.
fn loop_of(waiter: &Object) -> Option<Ref> {
    if let Some(gathering) = Instance::<Gathering>::of_exact(waiter) {
        gathering.future.0.event_loop.share()
    } else if let Some(op) = Instance::<Op>::of_exact(waiter) {
        op.parked_on()
    } else if let Some(shield) = Instance::<Shield>::of_exact(waiter) {
        shield.event_loop()
    } else if let Some(group) = Instance::<TaskGroup>::of(waiter) {
        group.event_loop.share()
    } else {
        Instance::<Completed>::of(waiter)?.event_loop()
    }
}

/// The class `Ended`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    crate::ffi::Builder::<Ended>::new(c"A future that has ended, and who hears of it.")
        .made_natively()
        .immutable()
        .create(py, None)
}
