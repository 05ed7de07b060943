//! What people's subclasses have replaced, and asyncio's own code for those that have.
//!
//! asyncio's methods call each other by name. A subclass that replaces one of those gets asyncio's methods, over the
//! native state; every other gets the native ones. Which loop a primitive is bound to is decided here as well.

use std::cell::Cell;
use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyString, PySuper, PyTuple, PyType};

use crate::engine::Engine;
use crate::ffi::{
    Args, Class, Instance, Object, Outcome, Ref, Slot, Unchanged, attribute, call, call_method,
    class_of, lookup, object, thread_ident, tuple_items, version_tag,
};
use crate::names;
use crate::op::ready;
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
        let name = PyString::intern(py, name);
        if lookup(py, object(class), &name).is_some() {
            names.push(name);
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

/// What `async with` calls by name, as the first two of a primitive's `outer` methods.
pub(super) const ENTRY: [&str; 2] = ["acquire", "release"];

/// What an instance's class, or the instance, has replaced: a bit for each method that is called by name then.
pub(super) struct Shape(Cell<u16>);

/// The bit that says that asyncio's methods do everything.
const FOREIGN: u16 = 1 << 15;

impl Shape {
    /// Nothing replaced.
    pub(super) const fn plain() -> Self {
        Self(Cell::new(0))
    }

    /// Looks at the class of `this`: whether it has replaced one of `inner`, or of `outer`.
    pub(super) fn look(&self, py: Python<'_>, this: &Object, inner: &[&str], outer: &[&str]) {
        let class = this.bind(py).get_type();
        let home = match adopted(class.as_any()) {
            Some(home) if home.holds(py, this) => return,
            Some(home) => home,
            None => match class.mro().iter().find_map(|base| adopted(&base)) {
                Some(home) => home,
                None => return,
            },
        };
        self.0.set(judge(&class, home, inner, outer).replaced);
    }

    /// Whether asyncio's methods do everything.
    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        self.0.get() & FOREIGN != 0
    }

    /// Says so.
    pub(super) fn set_foreign(&self) {
        self.0.set(self.0.get() | FOREIGN);
    }

    /// Whether nothing is called by name.
    #[inline]
    pub(super) fn is_native(&self) -> bool {
        self.0.get() == 0
    }

    /// Whether `async with` may enter without calling the first of `ENTRY`.
    #[inline]
    pub(super) fn enters_natively(&self) -> bool {
        self.0.get() & (FOREIGN | 1) == 0
    }

    /// Whether `async with` may leave without calling the second of `ENTRY`.
    #[inline]
    fn leaves_natively(&self) -> bool {
        self.0.get() & (FOREIGN | 2) == 0
    }

    /// Whether the method that stands at `place` in `outer` is to be called by name.
    #[inline]
    pub(super) fn has_replaced(&self, place: usize) -> bool {
        self.0.get() & (1 << place) != 0
    }

    /// Takes note of an attribute set on the instance; tells whether it is one of `inner` or of `outer`.
    pub(super) fn note(
        &self,
        py: Python<'_>,
        name: &Object,
        inner: &[&str],
        outer: &[&str],
    ) -> bool {
        let name = name.bind(py).to_string();
        if inner.contains(&name.as_str()) {
            self.set_foreign();
            return true;
        }
        let place = outer.iter().position(|known| *known == name);
        if let Some(place) = place {
            self.0.set(self.0.get() | (1 << place));
        }
        place.is_some()
    }
}

/// What a look at a derived class has found.
#[derive(Clone, Copy)]
struct Verdict {
    /// The class's tag then: the finding holds for no other class, and for this one until it is changed.
    tag: u32,
    /// As `Shape` has it.
    replaced: u16,
}

/// The last findings, each in the place that its tag names.
static VERDICTS: Mutex<[Option<Verdict>; 64]> = Mutex::new([None; 64]);

/// Finds out what a class has replaced of its `home`'s `inner` and `outer` methods.
fn judge(class: &Bound<'_, PyType>, home: &Unchanged, inner: &[&str], outer: &[&str]) -> Verdict {
    let place = |tag: u32| (tag % 64) as usize;
    let tag = version_tag(object(class));
    if let Ok(known) = VERDICTS.lock()
        && let Some(Some(verdict)) = known.get(place(tag))
        && verdict.tag == tag
        && tag != 0
    {
        return *verdict;
    }
    let has_replaced = |name: &&str| {
        let name = PyString::intern(class.py(), name);
        !home.is_kept_by(class.py(), object(class), &name)
    };
    let bit = |(place, name): (usize, &&str)| u16::from(has_replaced(name)) << place;
    let foreign = u16::from(inner.iter().any(has_replaced)) * FOREIGN;
    let verdict = Verdict {
        replaced: foreign | outer.iter().enumerate().map(bit).sum::<u16>(),
        // The look has given it a tag if it can have one.
        tag: version_tag(object(class)),
    };
    if let Ok(mut known) = VERDICTS.lock()
        && let Some(place) = known.get_mut(place(verdict.tag))
    {
        *place = Some(verdict);
    }
    verdict
}

/// What `async with` awaits last, of a primitive that `release` gives back where nobody has replaced that.
///
/// # Errors
/// What giving back raises.
#[inline]
pub(super) fn leave<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    shape: &Shape,
    args: Args<'_>,
    release: impl FnOnce() -> Outcome<()>,
) -> Outcome<Ref> {
    if shape.is_foreign() {
        return delegate(py, this, "__aexit__", args.positional());
    }
    if shape.leaves_natively() {
        release()?;
    } else {
        call_method(py, this.object(), names::release(py), &[])?;
    }
    ready(py)
}

/// Calls the method that the next class has, asyncio's, with the same arguments.
///
/// # Errors
/// What it raises.
pub(super) fn delegate<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    name: &'static str,
    args: &[&Object],
) -> Outcome<Ref> {
    if let Some(function) = next_function::<T>(py, this, name) {
        let all: Vec<&Object> = [this.object()]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        return call(py, &function, &all);
    }
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
    name: &'static str,
    args: &Args<'_>,
) -> Outcome<Ref> {
    if args.keywords().next().is_none() {
        return delegate(py, this, name, args.positional());
    }
    if let Some(function) = next_function::<T>(py, this, name) {
        return args.forward(py, &function, this.object());
    }
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
    if keywords.is_none_or(|keywords| keywords.bind(py).is_empty().unwrap_or(false)) {
        return delegate(py, this, "__init__", tuple_items(args)).map(drop);
    }
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

/// A function that `next_function` has found: for the class that had the tag, under a name that lies there.
struct Found {
    tag: u32,
    name: (usize, usize),
    function: Py<PyAny>,
}

/// The last ones, each in the place that tag and name give it.
static FOUND: Mutex<[Option<Found>; 256]> = Mutex::new([const { None }; 256]);

/// The function that the next class has under `name`, where that is asyncio's and nothing stands beside: what `super()`
/// would lead to, without the way.
fn next_function<T: Class>(py: Python<'_>, this: &Instance<T>, name: &'static str) -> Option<Ref> {
    let class = this.object().bind(py).get_type();
    let tag = version_tag(object(&class));
    let key = (name.as_ptr().addr(), name.len());
    let place = (tag as usize).wrapping_mul(31).wrapping_add(key.0) % 256;
    if let Ok(found) = FOUND.lock()
        && let Some(Some(found)) = found.get(place)
        && (found.tag, found.name) == (tag, key)
    {
        return Some(object(found.function.bind(py)).share());
    }
    let function = look_up_next::<T>(py, &class, name)?;
    if tag != 0 {
        let found = Found {
            tag,
            name: key,
            function: function.bind(py).to_owned().unbind(),
        };
        drop(remember(place, found));
    }
    Some(function)
}

/// Puts a finding in its place; what stood there may die once nothing is locked.
fn remember(place: usize, finding: Found) -> Option<Found> {
    let mut found = FOUND.lock().ok()?;
    found.get_mut(place)?.replace(finding)
}

#[cold]
fn look_up_next<T: Class>(py: Python<'_>, class: &Bound<'_, PyType>, name: &str) -> Option<Ref> {
    let (order, native) = (class.mro(), class_of::<T>(py));
    let place = order.iter().position(|class| class.is(&native))?;
    let next = order.get_item(place + 1).ok()?.cast_into::<PyType>().ok()?;
    let rest = next.mro();
    let is_line = order.len() == place + 1 + rest.len()
        && order
            .iter()
            .skip(place + 1)
            .zip(rest.iter())
            .all(|(one, other)| one.is(&other));
    if !is_line {
        return None;
    }
    let found = lookup(py, object(&next), &PyString::intern(py, name))?;
    found
        .bind(py)
        .is_instance_of::<PyFunction>()
        .then_some(found)
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
