//! A future of ours that follows one of `concurrent.futures`: what `run_in_executor` gives.
//!
//! Its own room because two threads meet in it. Behaves as `asyncio.futures._chain_future`; the answer goes from the
//! executor's thread into the ready queue without a handle. It does not know executors.

use pyo3::prelude::*;

use crate::engine::{Engine, plain};
use crate::ffi::{
    Builder, Builtin, Class, ClassState, Instance, Object, Outcome, Own, Ref, Slot, Thunk, Visit,
    attribute, call, call_method, object, thread_ident,
};
use crate::future::{Future, add_done_callback};
use crate::names;
use crate::report::report_raised;

/// The two futures, until both have ended.
pub(crate) struct Follower {
    event_loop: Slot,
    /// The future of `concurrent.futures`.
    source: Slot,
    /// Ours.
    future: Slot,
    /// Whether ours ends at once when the source ends in the loop's own thread, and not a turn later.
    at_once: bool,
}

static STATE: ClassState = ClassState::new();

impl Class for Follower {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Follower";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
    }
}

impl Follower {
    fn slots(&self) -> [&Slot; 3] {
        [&self.event_loop, &self.source, &self.future]
    }
}

/// What the source calls when it has ended, in whichever thread that happens.
static SOURCE_ENDED: Builtin = Builtin::new::<Follower, _>(
    c"_call_set_state",
    |py, this: &Instance<Follower>, _source: &Object| {
        source_ended(py, this)?;
        Ok(Ref::none())
    },
);

/// What our future calls when it has ended: a cancelled one cancels the job.
static FUTURE_ENDED: Builtin = Builtin::new::<Follower, _>(
    c"_call_check_cancel",
    |py, this: &Instance<Follower>, future: &Object| {
        let source = this.source.share();
        if let Some(future) = Instance::<Future>::of(future)
            && let Some(source) = source
            && future.is_cancelled()
        {
            call_method(py, &source, names::cancel(py), &[])?;
        }
        Ok(Ref::none())
    },
);

/// The class `Follower`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Follower>::new(c"A future that ends as one of concurrent.futures does.")
        .made_natively()
        .create(py, None)
}

/// Has `future` end as `source` does; false where only Python code knows how these three behave.
///
/// # Errors
/// `MemoryError`, or what cannot be imported.
#[pyfunction]
pub(crate) fn follow(
    event_loop: &Bound<'_, PyAny>,
    source: &Bound<'_, PyAny>,
    future: &Bound<'_, PyAny>,
    at_once: bool,
) -> PyResult<bool> {
    let py = event_loop.py();
    let pair = [object(source), object(future)];
    Ok(begin(py, object(event_loop), pair, at_once)?)
}

fn begin(
    py: Python<'_>,
    event_loop: &Object,
    [source, future]: [&Object; 2],
    at_once: bool,
) -> Outcome<bool> {
    let ours = Instance::<Future>::of_exact(future);
    let (Some(engine), Some(ours)) = (plain(event_loop), ours) else {
        return Ok(false);
    };
    let class = names::executor_future(py)?;
    if engine.debug.get()
        || !engine.plain_threads.get()
        || !source.bind(py).get_type().is(class.bind(py))
    {
        return Ok(false);
    }
    let follower = Follower {
        event_loop: Slot::holding(event_loop.share()),
        source: Slot::holding(source.share()),
        future: Slot::holding(future.share()),
        at_once,
    };
    let follower = Own::new(py, follower)?;
    // Order: ours first, as `_chain_future` does: the source may have ended already.
    add_done_callback(py, ours, &*FUTURE_ENDED.bind(py, &follower)?, None)?;
    let ended = SOURCE_ENDED.bind(py, &follower)?;
    call_method(py, source, names::add_done_callback(py), &[&ended])?;
    Ok(true)
}

/// The job has ended: ours ends in the loop's thread.
fn source_ended(py: Python<'_>, this: &Instance<Follower>) -> Outcome<()> {
    let Some(event_loop) = this.event_loop.share() else {
        return Ok(());
    };
    let Some(engine) = Instance::<Engine>::of(&event_loop) else {
        return Ok(());
    };
    if engine.closed.get() {
        this.clear();
        return Ok(());
    }
    let is_loops = engine.thread.get() == thread_ident();
    if is_loops && this.at_once {
        return settle(py, this);
    }
    engine.push(py, Thunk::new(this.own(), settle_from_queue));
    if !is_loops {
        engine.wake(py);
    }
    Ok(())
}

/// Settles as a callback of the loop's would: what is raised is reported.
fn settle_from_queue(py: Python<'_>, this: Own<Follower>) -> Outcome<()> {
    let event_loop = this.event_loop.share_or_none();
    match settle(py, &this) {
        Ok(()) => Ok(()),
        Err(raised) => {
            let message = || String::from("Exception in callback _set_state()");
            report_raised(py, &event_loop, raised, message, &[])
        }
    }
}

/// Ends ours as the source has ended.
fn settle(py: Python<'_>, this: &Instance<Follower>) -> Outcome<()> {
    this.event_loop.clear();
    let (Some(source), Some(future)) = (this.source.take(), this.future.take()) else {
        return Ok(());
    };
    let Some(ours) = Instance::<Future>::of(&future) else {
        return Ok(());
    };
    if ours.is_pending()
        && attribute(py, &source, names::private_exception(py))?.is_none()
        && is_finished(py, &source)?
    {
        let result = attribute(py, &source, names::private_result(py))?;
        return ours.set_result(py, result);
    }
    call(py, names::copy_future_state(py)?, &[&source, &future]).map(drop)
}

/// Whether the source has a result or an exception, and was not cancelled.
fn is_finished(py: Python<'_>, source: &Object) -> Outcome<bool> {
    let state = attribute(py, source, names::private_state(py))?;
    Ok(state.bind(py).eq("FINISHED")?)
}
