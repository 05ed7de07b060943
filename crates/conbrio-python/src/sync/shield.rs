//! `shield`: a future that ends as another does, and whose cancellation does not reach that other.
//!
//! What is not ours, or on a loop that is not, is shielded by asyncio's own function.

use pyo3::prelude::*;

use super::listen::{awaiting_task, forget, listen, set_awaited, unset_awaited};
use crate::engine;
use crate::ffi::{
    Args, Builder, Builtin, Class, ClassState, Instance, Object, Outcome, Own, Parameters, Ref,
    Slot, Visit, call, context,
};
use crate::future::{Future, create, park};
use crate::names;
use crate::task::as_exact_future;

static SHIELD: Builtin = Builtin::of_module(
    c"shield",
    c"shield(arg)\n--\n\nWait for a future; whoever waits can be cancelled, and the future goes on.",
    |py, args: Args<'_>| {
        let [given] = args.parse(&Parameters {
            function: "shield",
            names: [names::arg(py)],
            positional: 1,
            required: 1,
        })?;
        shield(py, &given.map_or_else(Ref::none, Object::share))
    },
);

/// What Python is shown in the place of a shield that waits.
static HEAR: Builtin = Builtin::new::<Shield, _>(
    c"_inner_done_callback",
    |py, shield: &Instance<Shield>, child: &Object| {
        shield.hear(py, child)?;
        Ok(Ref::none())
    },
);

/// What stands between a future and who waits for it.
pub(super) struct Shield {
    /// What is waited for; empty once nobody does.
    inner: Slot,
    /// What is cancelled in its place.
    outer: Slot,
    /// The task that is shown to await it (3.14).
    task: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for Shield {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio._Shield";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.inner);
        visit.slot(&self.outer);
        visit.slot(&self.task);
    }

    fn clear(&self) {
        self.inner.clear();
        self.outer.clear();
        self.task.clear();
    }
}

/// The function `shield`.
///
/// # Errors
/// `MemoryError`.
pub(super) fn function(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // While asyncio's name is asyncio's.
    names::usual_shield(py)?;
    SHIELD.in_module(py, "conbrio")
}

fn shield(py: Python<'_>, given: &Object) -> Outcome<Ref> {
    let inner = match as_exact_future(given) {
        Some(_) => given.share(),
        None => call(py, names::ensure_future(py)?, &[given])?,
    };
    let event_loop = as_exact_future(&inner).and_then(|future| future.0.event_loop.share());
    let event_loop = event_loop.unwrap_or_else(Ref::none);
    let (Some(future), Some(engine)) = (
        as_exact_future(&inner),
        engine::plain(&event_loop).filter(|engine| engine.makes_tasks() && !engine.debug.get()),
    ) else {
        return call(py, names::usual_shield(py)?, &[&inner]);
    };
    if !future.is_pending() {
        return Ok(inner);
    }
    let outer = create(py, engine)?;
    let task = awaiting_task(py, &event_loop)?;
    set_awaited(py, &inner, task.as_deref())?;
    let shield = Own::new(
        py,
        Shield {
            inner: Slot::holding(inner.share()),
            outer: Slot::holding(outer.object().share()),
            task: task.map_or_else(Slot::empty, Slot::holding),
        },
    )?;
    listen(py, &inner, &shield, &HEAR)?;
    park(py, &outer, shield.erase())?;
    Ok(outer.erase())
}

/// As a callback of asyncio's: what is called, and in which context.
///
/// # Errors
/// `MemoryError`.
pub(super) fn shown(py: Python<'_>, shield: &Instance<Shield>) -> Outcome<(Ref, Ref)> {
    Ok((HEAR.bind(py, shield)?, context::copy_current(py)?))
}

impl Instance<Shield> {
    /// Hears that the outer or the inner future has ended.
    ///
    /// # Errors
    /// What ending the outer one raises.
    pub(super) fn hear(&self, py: Python<'_>, ended: &Object) -> Outcome<()> {
        if self.outer.holds(ended) {
            return self.leave(py);
        }
        let (outer, task) = (self.outer.share_or_none(), self.task.share());
        let (Some(inner), Some(outer)) = (as_exact_future(ended), as_exact_future(&outer)) else {
            return Ok(());
        };
        unset_awaited(py, ended, task.as_deref())?;
        end_as(py, outer, inner)
    }

    /// The loop it is on, which hears what goes wrong.
    pub(super) fn event_loop(&self) -> Option<Ref> {
        as_exact_future(&self.outer.share_or_none())?
            .0
            .event_loop
            .share()
    }

    /// Nobody waits any more.
    fn leave(&self, py: Python<'_>) -> Outcome<()> {
        let Some(inner) = self.inner.take() else {
            return Ok(());
        };
        if as_exact_future(&inner).is_some_and(Instance::is_pending) {
            forget(py, &inner, self, &HEAR)?;
            unset_awaited(py, &inner, self.task.share().as_deref())?;
        }
        Ok(())
    }
}

/// Ends `outer` as `inner` has.
fn end_as(py: Python<'_>, outer: &Instance<Future>, inner: &Instance<Future>) -> Outcome<()> {
    if outer.is_cancelled() {
        // CPython: from 3.14 on what nobody has seen is told of by the inner future.
        if !cfg!(Py_3_14) && !inner.is_cancelled() {
            inner.0.set_logs(false);
        }
        return Ok(());
    }
    if inner.is_cancelled() {
        return outer.cancel(py, None).map(drop);
    }
    inner.0.set_logs(false);
    match inner.0.exception.share() {
        Some(exception) => outer.set_exception(py, &exception),
        None => outer.set_result(py, inner.0.result.share_or_none()),
    }
}

/// The class `Shield`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Shield>::new(c"What stands between a future and who waits for it.")
        .made_natively()
        .immutable()
        .create(py, None)
}
