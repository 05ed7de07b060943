//! What people's subclasses have replaced, and asyncio's own code for those that have.
//!
//! asyncio's methods call each other by name. A subclass that replaces one of those gets asyncio's methods, over the
//! native state; every other gets the native ones. Which loop a primitive is bound to is decided here as well.

use std::cell::Cell;
use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PySuper, PyTuple, PyType};

use crate::engine::Engine;
use crate::ffi::{
    Args, Class, Instance, Object, Outcome, Ref, Slot, Unchanged, attribute, call, class_of,
    object, thread_ident,
};
use crate::names;
use crate::report::text_of;

/// The classes that the package makes of the native ones, by address, as they were made; they live as long as the process.
static ADOPTED: Mutex<Vec<(usize, &'static Unchanged)>> = Mutex::new(Vec::new());

/// Every method that asyncio's primitives call by name.
const CALLED: &[&str] = &[
    "_abort",
    "_block",
    "_exit",
    "_get",
    "_get_loop",
    "_init",
    "_insert_timeout_error",
    "_is_base_error",
    "_notify",
    "_on_task_done",
    "_on_timeout",
    "_put",
    "_release",
    "_wait",
    "_wake_up_first",
    "_wake_up_next",
    "_wakeup_next",
    "acquire",
    "broken",
    "empty",
    "full",
    "get_nowait",
    "locked",
    "notify",
    "parties",
    "put_nowait",
    "qsize",
    "release",
    "reschedule",
    "wait",
];

/// Remembers a class of the package.
///
/// # Errors
/// What looking at its attributes raises.
pub(super) fn adopt(class: &Bound<'_, PyAny>) -> Outcome<()> {
    let py = class.py();
    let mut names = Vec::new();
    for name in CALLED {
        if class.hasattr(*name)? {
            names.push(PyString::intern(py, name));
        }
    }
    let names: Vec<&Bound<'_, PyString>> = names.iter().collect();
    let made = Box::leak(Box::new(Unchanged::of(py, object(class), &names)?));
    if let Ok(mut adopted) = ADOPTED.lock() {
        adopted.push((class.as_ptr().addr(), made));
    }
    Ok(())
}

/// A class of the package as it was made.
fn adopted(class: &Bound<'_, PyAny>) -> Option<&'static Unchanged> {
    let adopted = ADOPTED.lock().ok()?;
    let address = class.as_ptr().addr();
    let found = adopted.iter().find(|(known, _)| *known == address);
    found.map(|(_, made)| *made)
}

/// What an instance's class, or the instance, has replaced.
pub(super) struct Shape {
    /// Methods that others call by name: asyncio's methods do everything.
    foreign: Cell<bool>,
    /// Methods that `async with` calls by name.
    by_methods: Cell<bool>,
}

impl Shape {
    /// Nothing replaced.
    pub(super) const fn plain() -> Self {
        Self {
            foreign: Cell::new(false),
            by_methods: Cell::new(false),
        }
    }

    /// Looks at the class of `this`: whether it has replaced one of `inner`, or of `outer`.
    ///
    /// # Errors
    /// What looking at its attributes raises.
    pub(super) fn look(
        &self,
        py: Python<'_>,
        this: &Object,
        inner: &[&str],
        outer: &[&str],
    ) -> Outcome<()> {
        let class = this.bind(py).get_type();
        let home = match adopted(class.as_any()) {
            Some(home) if home.holds(py, this) => return Ok(()),
            Some(home) => home,
            None => match class.mro().iter().find_map(|base| adopted(&base)) {
                Some(home) => home,
                None => return Ok(()),
            },
        };
        self.foreign.set(has_replaced(&class, home, inner)?);
        self.by_methods.set(has_replaced(&class, home, outer)?);
        Ok(())
    }

    /// Whether asyncio's methods do everything.
    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.get()
    }

    /// Says so.
    pub(super) fn set_foreign(&self) {
        self.foreign.set(true);
    }

    /// Whether `async with` may enter and leave without calling methods.
    #[inline]
    pub(super) fn enters_natively(&self) -> bool {
        !self.foreign.get() && !self.by_methods.get()
    }

    /// Takes note of an attribute set on the instance; tells whether it is one of `inner`.
    pub(super) fn note(&self, py: Python<'_>, name: &Object, inner: &[&str]) -> bool {
        let name = name.bind(py).to_string();
        let is_inner = inner.contains(&name.as_str());
        if is_inner {
            self.foreign.set(true);
        } else if !name.starts_with('_') {
            self.by_methods.set(true);
        }
        is_inner
    }
}

fn has_replaced(class: &Bound<'_, PyType>, home: &Unchanged, names: &[&str]) -> PyResult<bool> {
    for name in names {
        let there = class.getattr_opt(*name)?;
        if !home.was(class.py(), name, there.as_ref().map(|there| object(there))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Calls the method that the next class has, asyncio's, with the same arguments.
///
/// # Errors
/// What it raises.
pub(super) fn delegate<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    name: &str,
    args: &[&Object],
) -> Outcome<Ref> {
    let method = next_method::<T>(py, this, name)?;
    call(py, &method, args)
}

/// As `delegate`, with keywords.
///
/// # Errors
/// What it raises.
pub(super) fn delegate_all<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    name: &str,
    args: &Args<'_>,
) -> Outcome<Ref> {
    let method = next_method::<T>(py, this, name)?;
    let keywords = pyo3::types::PyDict::new(py);
    for (key, value) in args.keywords() {
        keywords.set_item(key.bind(py), value.bind(py))?;
    }
    let positional = PyTuple::new(py, args.positional().iter().map(|value| value.bind(py)))?;
    Ok(method.bind(py).call(positional, Some(&keywords))?.into())
}

/// As `delegate`, for `__init__`.
///
/// # Errors
/// What it raises.
pub(super) fn initialise_next<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let method = next_method::<T>(py, this, "__init__")?;
    let args = args.bind(py).to_owned().cast_into::<PyTuple>();
    let keywords = keywords
        .map(|keywords| {
            keywords
                .bind(py)
                .to_owned()
                .cast_into::<pyo3::types::PyDict>()
        })
        .transpose()
        .map_err(PyErr::from)?;
    method
        .bind(py)
        .call(args.map_err(PyErr::from)?, keywords.as_ref())?;
    Ok(())
}

fn next_method<T: Class>(py: Python<'_>, this: &Instance<T>, name: &str) -> Outcome<Ref> {
    let native = class_of::<T>(py);
    let native = native.cast::<PyType>().map_err(PyErr::from)?;
    let rest = PySuper::new(native, &this.object().bind(py).to_owned())?;
    Ok(rest.getattr(name)?.into())
}

/// The running loop, which `this` is bound to from its first wait on.
///
/// # Errors
/// `RuntimeError` when it is bound to another; `AttributeError` when none runs, as asyncio has it.
#[inline]
pub(super) fn bound_loop(py: Python<'_>, this: &Object, bound: &Slot) -> Outcome<Ref> {
    // Bench: queue_pingpong, lock_contended; a loop that runs in this thread is the running one.
    if let Some(held) = bound.share()
        && Instance::<Engine>::of(&held).is_some_and(|engine| engine.thread.get() == thread_ident())
    {
        return Ok(held);
    }
    bind_loop(py, this, bound)
}

#[cold]
fn bind_loop(py: Python<'_>, this: &Object, bound: &Slot) -> Outcome<Ref> {
    let running = call(py, names::get_running_loop(py)?, &[])?;
    if bound.share().is_none_or(|held| held.is_none()) {
        bound.set(running.share());
    }
    if !bound.holds(&running) {
        let text = format!("{} is bound to a different event loop", text_of(py, this));
        return Err(PyRuntimeError::new_err(text).into());
    }
    if running.is_none() {
        attribute(py, &running, names::create_future(py))?;
    }
    Ok(running)
}
