//! `TimerHandle`: a handle that waits for a moment.

use conbrio_core::timers::Key;
use pyo3::prelude::*;

use super::{cancel, failed, fields, made, run, show_if_kept_with, shown_of};
use crate::engine::Engine;
use crate::ffi::layout::{HandleFields, TimerFields};
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Own, Ref, Thunk, Visit, as_float, float,
    is_float, is_int, object,
};
use crate::names;

/// The moment `delay` after `now`.
///
/// # Errors
/// What Python raises when it adds the two.
#[inline]
pub(crate) fn later(py: Python<'_>, now: f64, delay: &Object) -> Outcome<f64> {
    if is_float(delay) || is_int(delay) {
        return Ok(now + as_float(py, delay)?);
    }
    let when = float(py, now)?.bind(py).add(delay.bind(py))?;
    as_float(py, object(&when))
}

/// A callback to be run at a moment, `asyncio.TimerHandle`.
#[repr(transparent)]
pub(crate) struct TimerHandle(TimerFields);

static STATE: ClassState = ClassState::new();

impl Class for TimerHandle {
    const NAME: &'static std::ffi::CStr = c"conbrio.TimerHandle";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.0.handle.traverse(visit);
        visit.slot(&self.0.when_object);
    }

    fn clear(&self) {
        self.0.handle.clear();
        self.0.when_object.clear();
    }
}

/// Makes a timer handle that runs at `when`, in seconds of the loop's clock, by `expire` or what does the same.
///
/// # Errors
/// `MemoryError`.
#[inline]
#[expect(clippy::too_many_arguments, reason = "asyncio's own parameters")]
pub(crate) fn call_at<F>(
    py: Python<'_>,
    engine: &Instance<Engine>,
    when: f64,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
    expire: F,
) -> Outcome<Own<TimerHandle>>
where
    F: Fn(Python<'_>, Own<TimerHandle>) -> Outcome<()> + Copy + 'static,
{
    let fields = fields(py, engine, callback, args, context)?;
    let handle = made(py, engine, TimerHandle(TimerFields::new(fields, when)))?;
    let key = engine.push_timer(py, when, Thunk::new(handle.own(), expire));
    handle.0.key.set(key.to_bits().wrapping_add(1));
    Ok(handle)
}

/// Runs a timer that is due.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` of the callback; others are reported.
pub(crate) fn expire(py: Python<'_>, handle: Own<TimerHandle>) -> Outcome<()> {
    handle.0.key.set(0);
    let ran = run(py, handle.object(), &handle.0.handle);
    handle.show_if_kept(&ran);
    ran
}

/// The moment, as it was given.
fn when(py: Python<'_>, this: &Instance<TimerHandle>) -> Outcome<Ref> {
    this.0
        .when_object
        .share()
        .map_or_else(|| float(py, this.0.when.get()), Ok)
}

impl Instance<TimerHandle> {
    /// What the callback needs to run.
    pub(crate) fn fields(&self) -> &HandleFields {
        &self.0.handle
    }

    /// Does the work of a timer that is due in place of calling its callback; what `work` raises is reported as the
    /// callback's.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    pub(crate) fn expire_by(
        &self,
        py: Python<'_>,
        work: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<()> {
        self.0.key.set(0);
        let ran = work().or_else(|raised| failed(py, self.object(), &self.0.handle, raised));
        self.show_if_kept(&ran);
        ran
    }

    #[inline]
    fn show_if_kept(&self, ran: &Outcome<()>) {
        let besides = Some(&self.0.when_object);
        show_if_kept_with(self.object(), &self.0.handle, ran, besides);
    }

    /// Remembers the moment as it was given: a program that gave a whole number gets it back.
    pub(crate) fn given_as(&self, when: &Object) {
        self.0.when_object.set(when.share());
    }
}

/// Takes the timer out of the loop and lets go of the callback.
fn cancel_timer(py: Python<'_>, this: &Instance<TimerHandle>) -> Outcome<Ref> {
    let key = this.0.key.replace(0);
    let event_loop = this.0.handle.event_loop.share();
    let engine = event_loop.as_deref().and_then(Instance::<Engine>::of);
    let gone = match engine {
        Some(engine) if key != 0 => engine.cancel_timer(py, Key::from_bits(key.wrapping_sub(1))),
        _ => None,
    };
    cancel(py, this.object(), &this.0.handle)?;
    drop(gone);
    // One that runs just now still reports to its loop, and is shown after its run.
    if key != 0 {
        this.show_if_kept(&Ok(()));
    }
    Ok(Ref::none())
}

/// The class `TimerHandle`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn timer_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let base = names::timer_handle_class(py)?;
    let builder = Builder::<TimerHandle>::new(
        c"A callback to be run at a moment, as asyncio.TimerHandle; made by the loop.",
    );
    let builder = shown_of(builder.made_natively(), |timer| &timer.0.handle);
    fields_shown(verbs(builder)).create(py, Some(&base.bind(py)))
}

fn verbs(builder: Builder<TimerHandle>) -> Builder<TimerHandle> {
    builder
        .plain(
            c"cancel",
            c"cancel($self)\n--\n\nKeeps the callback from running.",
            cancel_timer,
        )
        .plain(
            c"cancelled",
            c"cancelled($self)\n--\n\nTells whether it was cancelled.",
            |_, this| Ok(Ref::boolean(!this.0.handle.cancelled.is_empty())),
        )
        .plain(
            c"when",
            c"when($self)\n--\n\nThe moment, in seconds of the loop's clock.",
            when,
        )
        .plain(
            c"_run",
            c"_run($self)\n--\n\nRuns the callback now.",
            |py, this| {
                run(py, this.object(), &this.0.handle)?;
                Ok(Ref::none())
            },
        )
}

/// CPython's attributes.
fn fields_shown(builder: Builder<TimerHandle>) -> Builder<TimerHandle> {
    builder
        .getter(
            c"_when",
            c"The moment, in seconds of the loop's clock.",
            when,
        )
        .getter(
            c"_scheduled",
            c"Whether the loop still keeps it.",
            |_, this| Ok(Ref::boolean(this.0.key.get() != 0)),
        )
}
