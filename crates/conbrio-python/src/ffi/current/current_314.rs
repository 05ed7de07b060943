//! 3.14 and 3.15: the current task and the list of tasks are words of the thread state.
//!
//! Their offsets are found at import: a probe task is entered, and its address looked for in the thread state.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::ffi::layout::Node;
use crate::ffi::object::{Object, Outcome, Ref};

/// How many words of a thread state are searched: not more than there are in these versions.
const WORDS: usize = if cfg!(Py_3_15) { 1096 / 8 } else { 896 / 8 };

/// Byte offset of the running task in the thread state.
static TASK: AtomicUsize = AtomicUsize::new(0);
/// Byte offset of the head of the list of tasks.
static LIST: AtomicUsize = AtomicUsize::new(0);

fn word(offset: usize) -> *mut *mut ffi::PyObject {
    // SAFETY: the offset was found inside the thread state of this process's version.
    unsafe { ffi::PyThreadState_Get().cast::<u8>().add(offset).cast() }
}

/// Finds the two places.
///
/// # Errors
/// `RuntimeError` when one of them cannot be found for certain.
pub(crate) fn find(py: Python<'_>) -> PyResult<()> {
    let module = py.import("_asyncio")?;
    let probe = py.import("conbrio._probe")?;
    let event_loop = probe.getattr("Loop")?.call0()?;
    let coroutine = probe.getattr("coroutine")?.call0()?;
    let task = probe.getattr("task")?.call1((&event_loop, &coroutine))?;
    let running = module.getattr("_get_running_loop")?.call0()?;
    module.getattr("_set_running_loop")?.call1((&event_loop,))?;
    let found = find_task(&module, &event_loop, &task);
    module.getattr("_set_running_loop")?.call1((running,))?;
    let listed = find_list(&task);
    module.getattr("_unregister_task")?.call1((&task,))?;
    coroutine.call_method0("close")?;
    TASK.store(found?, Ordering::Relaxed);
    LIST.store(listed?, Ordering::Relaxed);
    Ok(())
}

fn find_task(
    module: &Bound<'_, PyModule>,
    event_loop: &Bound<'_, PyAny>,
    task: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    let swap = module.getattr("_swap_current_task")?;
    let former = swap.call1((event_loop, task))?;
    // SAFETY: reads words inside this thread's state.
    let words = unsafe { std::slice::from_raw_parts(word(0).cast_const(), WORDS) };
    let places: Vec<usize> = (0..WORDS)
        .filter(|index| words.get(*index) == Some(&task.as_ptr()))
        .collect();
    swap.call1((event_loop, former))?;
    match places.as_slice() {
        [index] if words.get(*index) == Some(&ptr::null_mut()) => Ok(index * size_of::<usize>()),
        _ => Err(PyRuntimeError::new_err(
            "the place of the running task differs",
        )),
    }
}

fn find_list(task: &Bound<'_, PyAny>) -> PyResult<usize> {
    use crate::ffi::layout::TaskFields;
    let future_size = size_of::<crate::ffi::layout::FutureFields>() + size_of::<ffi::PyObject>();
    // SAFETY: `layout::prove` has compared the layout; the link lies inside the task.
    let fields = unsafe {
        &*task
            .as_ptr()
            .cast::<u8>()
            .add(future_size)
            .cast::<TaskFields>()
    };
    let (next, thread) = (fields.node.next.get().addr(), word(0).addr());
    let offset = next.wrapping_sub(thread);
    // SAFETY: `next` is checked to lie in the thread state before it is read.
    let is_head = offset < WORDS * size_of::<usize>()
        && unsafe { (*fields.node.next.get()).previous.get() } == ptr::from_ref(&fields.node);
    if is_head {
        Ok(offset)
    } else {
        Err(PyRuntimeError::new_err(
            "the place of the list of tasks differs",
        ))
    }
}

/// The task that runs in this thread, where that costs no more than a look.
#[inline]
pub(crate) fn running_task(_py: Python<'_>) -> Option<Ref> {
    let offset = TASK.load(Ordering::Relaxed);
    if offset == 0 {
        return None;
    }
    // SAFETY: the place holds an owned reference or null.
    unsafe {
        let task = *word(offset);
        (!task.is_null()).then(|| Object::from_ptr(task).share())
    }
}

/// The place where the running task is told.
#[derive(Clone, Copy)]
pub(crate) struct CurrentTask;

impl CurrentTask {
    /// The place, on behalf of `_event_loop`, which is the running one.
    pub(crate) fn of(_py: Python<'_>, _event_loop: &Object) -> Outcome<Self> {
        Ok(Self)
    }

    /// Makes `task` the running one and returns the former.
    #[inline]
    pub(crate) fn swap(
        &self,
        _py: Python<'_>,
        _event_loop: &Object,
        task: Option<&Object>,
    ) -> Outcome<Option<Ref>> {
        let place = word(TASK.load(Ordering::Relaxed));
        let new = task.map_or(ptr::null_mut(), |task| task.share().into_ptr());
        // SAFETY: the place holds an owned reference or null; both are moved.
        unsafe {
            let former = ptr::replace(place, new);
            Ok((!former.is_null()).then(|| Ref::steal(former)))
        }
    }
}

/// The list of all tasks of this thread.
pub(crate) struct TaskList;

impl TaskList {
    /// Every task in a list of ours: none, as there is no such list here.
    pub(crate) fn all(_py: Python<'_>) -> Vec<Ref> {
        Vec::new()
    }

    /// Appends a task's link, unless it is in a list.
    #[inline]
    pub(crate) fn add(_py: Python<'_>, node: &Node) {
        if node.is_linked() {
            return;
        }
        let head = word(LIST.load(Ordering::Relaxed))
            .cast::<Node>()
            .cast_const();
        // SAFETY: head and last link are alive: a link leaves the list before its task dies.
        unsafe {
            let last = (*head).previous.get();
            node.next.set(head);
            node.previous.set(last);
            (*last).next.set(node);
            (*head).previous.set(node);
        }
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
