//! 3.11 to 3.13: the current task stands in a dictionary by loop; the tasks are a list of our own, which asyncio's set
//! of tasks is taught to show.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::ffi::layout::{FutureFields, Node, TaskFields};
use crate::ffi::object::{Object, Outcome, Raised, Ref};

unsafe extern "C" {
    fn _PyDict_SetItem_KnownHash(
        dict: *mut ffi::PyObject,
        key: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
        hash: ffi::Py_hash_t,
    ) -> std::ffi::c_int;
}

/// `_asyncio._current_tasks`, which lives as long as the process.
static TASKS: AtomicPtr<ffi::PyObject> = AtomicPtr::new(ptr::null_mut());

/// Finds the dictionary.
///
/// # Errors
/// When `_asyncio` has none.
pub(crate) fn find(py: Python<'_>) -> PyResult<()> {
    let tasks = py.import("_asyncio")?.getattr("_current_tasks")?;
    tasks.cast::<pyo3::types::PyDict>()?;
    TASKS.store(tasks.into_ptr(), Ordering::Relaxed);
    Ok(())
}

/// The task that runs in this thread, where that costs no more than a look: not here.
#[inline]
pub(crate) fn running_task(_py: Python<'_>) -> Option<Ref> {
    None
}

/// The place where the running task of one loop is told.
#[derive(Clone, Copy)]
pub(crate) struct CurrentTask {
    /// The loop's hash.
    hash: ffi::Py_hash_t,
}

impl CurrentTask {
    /// The place of `event_loop`.
    pub(crate) fn of(_py: Python<'_>, event_loop: &Object) -> Outcome<Self> {
        // SAFETY: a live object.
        match unsafe { ffi::PyObject_Hash(event_loop.as_ptr()) } {
            -1 => Err(Raised::already()),
            hash => Ok(Self { hash }),
        }
    }

    /// Makes `task` the running one and returns the former.
    #[inline]
    pub(crate) fn swap(
        &self,
        py: Python<'_>,
        event_loop: &Object,
        task: Option<&Object>,
    ) -> Outcome<Option<Ref>> {
        let tasks = TASKS.load(Ordering::Relaxed);
        // SAFETY: the dictionary and the loop are alive; the value found is borrowed and shared at once.
        let former = unsafe {
            let former = ffi::PyDict_GetItemWithError(tasks, event_loop.as_ptr());
            if former.is_null() && !ffi::PyErr_Occurred().is_null() {
                return Err(Raised::already());
            }
            (!former.is_null()).then(|| Object::from_ptr(former).share())
        };
        self.store(py, event_loop, task, former.is_some())?;
        Ok(former)
    }

    /// Writes without looking first.
    #[inline]
    fn store(
        &self,
        _py: Python<'_>,
        event_loop: &Object,
        task: Option<&Object>,
        stands: bool,
    ) -> Outcome<()> {
        let tasks = TASKS.load(Ordering::Relaxed);
        // SAFETY: live objects, and the loop's own hash.
        let answer = unsafe {
            match task {
                Some(task) => {
                    _PyDict_SetItem_KnownHash(tasks, event_loop.as_ptr(), task.as_ptr(), self.hash)
                }
                None if stands => ffi::PyDict_DelItem(tasks, event_loop.as_ptr()),
                None => 0,
            }
        };
        if answer < 0 {
            Err(Raised::already())
        } else {
            Ok(())
        }
    }
}

/// The head of the list of all pending native tasks, of every thread; the interpreter's lock guards it.
struct Head(Node);

// SAFETY: only opened while the interpreter's lock is held.
unsafe impl Sync for Head {}

static HEAD: Head = Head(Node::alone());

/// The list of all tasks.
pub(crate) struct TaskList;

impl TaskList {
    /// Every task in the list.
    pub(crate) fn all(_py: Python<'_>) -> Vec<Ref> {
        let mut tasks = Vec::new();
        let mut node = HEAD.0.next.get();
        while !node.is_null() && !ptr::eq(node, &raw const HEAD.0) {
            // SAFETY: a link leaves the list before its task's memory goes. A task without references is dying, and its
            // death put off: it is nobody's to refer to any more.
            unsafe {
                let offset = size_of::<ffi::PyObject>()
                    + size_of::<FutureFields>()
                    + std::mem::offset_of!(TaskFields, node);
                let task = node.byte_sub(offset).cast_mut().cast::<ffi::PyObject>();
                if ffi::Py_REFCNT(task) != 0 {
                    tasks.push(Object::from_ptr(task).share());
                }
                node = (*node).next.get();
            }
        }
        tasks
    }

    /// Appends a task's link, unless it is in the list.
    #[inline]
    pub(crate) fn add(_py: Python<'_>, node: &Node) {
        if node.is_linked() {
            return;
        }
        let head = &HEAD.0;
        if !head.is_linked() {
            head.next.set(head);
            head.previous.set(head);
        }
        let last = head.previous.get();
        node.next.set(head);
        node.previous.set(last);
        head.previous.set(node);
        // SAFETY: the last link is alive: a link leaves the list before its task dies.
        unsafe { (*last).next.set(node) }
    }

    /// Takes a task's link out, if it is in.
    #[inline]
    pub(crate) fn remove(node: &Node) {
        if !node.is_linked() {
            return;
        }
        // SAFETY: neighbours in the list are alive.
        unsafe {
            (*node.previous.get()).next.set(node.next.get());
            (*node.next.get()).previous.set(node.previous.get());
        }
        node.next.set(ptr::null());
        node.previous.set(ptr::null());
    }
}
