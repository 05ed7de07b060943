//! All tasks: each is in asyncio's list from its making to its end.

use pyo3::prelude::*;

use super::Task;
use crate::ffi::{Instance, TaskList};

/// Appends a task to the list.
#[inline]
pub(super) fn remember(py: Python<'_>, task: &Instance<Task>) {
    TaskList::add(py, &task.own.node);
}

/// Takes a task that ended, or dies, out of the list.
#[inline]
pub(super) fn forget(task: &Task) {
    TaskList::remove(&task.own.node);
}

/// Every task that has not ended, for versions whose asyncio asks us.
#[pyfunction]
#[pyo3(name = "_native_tasks")]
pub(crate) fn all_tasks(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    TaskList::all(py)
        .into_iter()
        .map(|task| task.bind(py).to_owned())
        .collect()
}
