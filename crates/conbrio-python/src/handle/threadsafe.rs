//! ThreadSafeHandle: what `call_soon_threadsafe` gives from 3.14 on. Its methods wait while another thread runs the callback.
//!
//! CPython has a lock in each. Here the interpreter's lock orders everything but the callback's own run, so a lock is made
//! only when somebody has to wait for its end.

use std::cell::Cell;

use pyo3::prelude::*;

use super::{cancel, fields, made, run, show_if_kept, shown_of};
use crate::engine::Engine;
use crate::ffi::layout::HandleFields;
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Own, Raised, Ref, Slot, Thunk, Visit,
    call, call_method, raise, thread_ident,
};
use crate::names;

/// A callback whose handle other threads may cancel, `asyncio.events._ThreadSafeHandle`.
#[repr(C)]
pub(crate) struct ThreadSafeHandle {
    fields: HandleFields,
    /// In the place of the base's own lock: a closed lock, for those who wait for the end of the run.
    gate: Slot,
    /// The thread that runs the callback now, 0 when none does.
    runner: Cell<u64>,
}

static STATE: ClassState = ClassState::new();

impl Class for ThreadSafeHandle {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio._ThreadSafeHandle";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.fields.traverse(visit);
        visit.slot(&self.gate);
    }

    fn clear(&self) {
        self.fields.clear();
    }
}

/// Makes a handle from any thread and runs it in the next turn; the caller wakes the loop.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn call_soon_threadsafe(
    py: Python<'_>,
    engine: &Instance<Engine>,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<Ref> {
    let fields = fields(py, engine, callback, args, context)?;
    let value = ThreadSafeHandle {
        fields,
        gate: Slot::empty(),
        runner: Cell::new(0),
    };
    let handle = made(py, engine, value)?;
    engine.push(
        py,
        Thunk::new(handle.own(), |py, handle: Own<ThreadSafeHandle>| {
            let ran = handle.run(py);
            show_if_kept(handle.object(), &handle.fields, &ran);
            ran
        }),
    );
    Ok(handle.erase())
}

impl Instance<ThreadSafeHandle> {
    /// Runs the callback, unless it was cancelled; who asks from another thread waits meanwhile.
    fn run(&self, py: Python<'_>) -> Outcome<()> {
        self.wait_for_end(py)?;
        let former = self.runner.replace(thread_ident());
        let ran = run(py, self.object(), &self.fields);
        self.runner.set(former);
        if former != 0 || self.gate.is_empty() {
            return ran;
        }
        let ran = ran.map_err(Raised::take);
        if let Some(gate) = self.gate.take() {
            call_method(py, &gate, names::release(py), &[])?;
        }
        ran.map_err(raise)
    }

    /// Waits until no other thread runs the callback.
    #[inline]
    fn wait_for_end(&self, py: Python<'_>) -> Outcome<()> {
        if self.runs_elsewhere() {
            self.wait_at_gate(py)
        } else {
            Ok(())
        }
    }

    fn runs_elsewhere(&self) -> bool {
        let runner = self.runner.get();
        runner != 0 && runner != thread_ident()
    }

    #[cold]
    fn wait_at_gate(&self, py: Python<'_>) -> Outcome<()> {
        let made = call(py, names::allocate_lock(py)?, &[])?;
        call_method(py, &made, names::acquire(py), &[])?;
        while self.runs_elsewhere() {
            let gate = self.gate.share().unwrap_or_else(|| made.share());
            if self.gate.is_empty() {
                self.gate.set(gate.share());
            }
            call_method(py, &gate, names::acquire(py), &[])?;
            call_method(py, &gate, names::release(py), &[])?;
        }
        Ok(())
    }
}

/// The class `_ThreadSafeHandle`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn threadsafe_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let base = names::threadsafe_handle_class(py)?;
    let builder = Builder::<ThreadSafeHandle>::new(
        c"A callback to be run once, whose handle any thread may cancel.",
    );
    shown_of(builder.made_natively(), |handle| &handle.fields)
        .plain(
            c"cancel",
            c"cancel($self)\n--\n\nKeeps the callback from running, or waits until it has run.",
            |py, this| {
                this.wait_for_end(py)?;
                cancel(py, this.object(), &this.fields)?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"cancelled",
            c"cancelled($self)\n--\n\nTells whether it was cancelled.",
            |py, this| {
                this.wait_for_end(py)?;
                Ok(Ref::boolean(!this.fields.cancelled.is_empty()))
            },
        )
        .plain(
            c"_run",
            c"_run($self)\n--\n\nRuns the callback now.",
            |py, this| {
                this.run(py)?;
                Ok(Ref::none())
            },
        )
        .create(py, Some(&base.bind(py)))
}
