//! The proof, at import, that `_asyncio`'s objects are laid out as `fields` says.
//!
//! A live Future and Task of CPython's own are given known values, and each is looked for where our fields expect it.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::fields::{FUTURE_SIZE, TASK_SIZE};
use super::{FutureFields, TaskFields};
use crate::ffi::object::{Slot, object};

/// What stands in for a loop while the objects are made.
pub(crate) const PROBE: &std::ffi::CStr = c"
import _asyncio

class Loop:
    def get_debug(self): return False
    def call_soon(self, *args, **kwargs): return None
    def is_running(self): return False

async def coroutine(): pass

def future(loop):
    return _asyncio.Future(loop=loop)

def task(loop, coro):
    task = _asyncio.Task(coro, loop=loop, name='conbrio probe')
    task._log_destroy_pending = False
    return task
";

/// Compares the layouts; the error says which field is elsewhere.
///
/// # Errors
/// `RuntimeError` when a field is not where it should be, or what making the probes raises.
pub(crate) fn prove(py: Python<'_>) -> PyResult<()> {
    let module = py.import("_asyncio")?;
    expect(
        basic_size(&module, "Future")? == FUTURE_SIZE,
        "the size of Future",
    )?;
    expect(
        basic_size(&module, "Task")? == TASK_SIZE,
        "the size of Task",
    )?;
    let probe = py.import("conbrio._probe")?;
    let event_loop = probe.getattr("Loop")?.call0()?;
    prove_future(&probe, &event_loop)?;
    prove_task(&probe, &event_loop)
}

/// Compares the layout of handles.
///
/// # Errors
/// `RuntimeError` when it differs.
pub(crate) fn prove_handles(py: Python<'_>) -> PyResult<()> {
    super::handles::prove(py, &py.import("conbrio._probe")?.getattr("Loop")?.call0()?)
}

fn basic_size(module: &Bound<'_, PyModule>, class: &str) -> PyResult<usize> {
    module.getattr(class)?.getattr("__basicsize__")?.extract()
}

fn expect(holds: bool, what: &str) -> PyResult<()> {
    if holds {
        Ok(())
    } else {
        Err(PyRuntimeError::new_err(format!("{what} differs")))
    }
}

fn prove_future(probe: &Bound<'_, PyModule>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = probe.py();
    let result = PyDict::new(py).into_any();
    let done = probe.getattr("future")?.call1((event_loop,))?;
    expect(
        fields(&done).state.get() == super::PENDING,
        "Future's state",
    )?;
    done.call_method1("set_result", (&result,))?;
    expect(
        fields(&done).state.get() == super::FINISHED,
        "Future's state",
    )?;
    expect_in(&fields(&done).result, &result, "Future's result")?;
    expect_in(&fields(&done).event_loop, event_loop, "Future's loop")?;
    let failed = probe.getattr("future")?.call1((event_loop,))?;
    let error = PyRuntimeError::new_err("probe")
        .into_value(py)
        .into_bound(py)
        .into_any();
    failed.call_method1("set_exception", (&error,))?;
    expect_in(&fields(&failed).exception, &error, "Future's exception")?;
    expect(fields(&failed).logs(), "Future's log flag")?;
    failed.setattr("_log_traceback", false)?;
    expect(!fields(&failed).logs(), "Future's log flag")?;
    let cancelled = probe.getattr("future")?.call1((event_loop,))?;
    let message = PyString::new(py, "conbrio probe message").into_any();
    cancelled.call_method1("cancel", (&message,))?;
    expect_in(
        &fields(&cancelled).cancel_message,
        &message,
        "Future's cancel message",
    )?;
    expect(
        fields(&cancelled).state.get() == super::CANCELLED,
        "Future's state",
    )?;
    cancelled.setattr("_asyncio_future_blocking", true)?;
    expect(fields(&cancelled).blocks(), "Future's blocking flag")?;
    prove_waiters(probe, event_loop)
}

fn prove_waiters(probe: &Bound<'_, PyModule>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = probe.py();
    let future = probe.getattr("future")?.call1((event_loop,))?;
    let context = py.import("contextvars")?.getattr("Context")?.call0()?;
    let (first, second) = (py.None().into_bound(py).get_type(), event_loop.get_type());
    let keywords = PyDict::new(py);
    keywords.set_item("context", &context)?;
    future.call_method("add_done_callback", (&first,), Some(&keywords))?;
    future.call_method("add_done_callback", (&second,), Some(&keywords))?;
    expect_in(&fields(&future).waiter, &first, "Future's first callback")?;
    expect_in(
        &fields(&future).waiter_context,
        &context,
        "Future's first context",
    )?;
    expect(!fields(&future).waiters.is_empty(), "Future's callbacks")
}

fn prove_task(probe: &Bound<'_, PyModule>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let coroutine = probe.getattr("coroutine")?.call0()?;
    let task = probe.getattr("task")?.call1((event_loop, &coroutine))?;
    let checked = prove_task_fields(&task, &coroutine);
    coroutine.call_method0("close")?;
    probe
        .py()
        .import("_asyncio")?
        .getattr("_unregister_task")?
        .call1((&task,))?;
    checked
}

fn prove_task_fields(task: &Bound<'_, PyAny>, coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
    expect_in(&task_fields(task).coroutine, coroutine, "Task's coroutine")?;
    expect_in(
        &task_fields(task).name,
        &task.call_method0("get_name")?,
        "Task's name",
    )?;
    expect(
        !super::logs_destroy(fields(task), task_fields(task)),
        "Task's log flag",
    )?;
    task.setattr("_log_destroy_pending", true)?;
    expect(
        super::logs_destroy(fields(task), task_fields(task)),
        "Task's log flag",
    )?;
    task.setattr("_log_destroy_pending", false)?;
    task.call_method0("cancel")?;
    expect(
        super::must_cancel(fields(task), task_fields(task)),
        "Task's cancel flag",
    )?;
    expect(task_fields(task).cancels.get() == 1, "Task's cancel count")
}

fn expect_in(slot: &Slot, value: &Bound<'_, PyAny>, what: &str) -> PyResult<()> {
    expect(slot.holds(object(value)), what)
}

/// A base object's words, read as our fields.
fn fields<'a>(future: &'a Bound<'_, PyAny>) -> &'a FutureFields {
    // SAFETY: the size has been compared, so the fields lie inside the object; they are words and numbers.
    unsafe {
        &*future
            .as_ptr()
            .cast::<u8>()
            .add(size_of::<pyo3::ffi::PyObject>())
            .cast()
    }
}

fn task_fields<'a>(task: &'a Bound<'_, PyAny>) -> &'a TaskFields {
    // SAFETY: as above; on versions whose base ends before our link, the link is not looked at.
    unsafe { &*task.as_ptr().cast::<u8>().add(FUTURE_SIZE).cast() }
}
