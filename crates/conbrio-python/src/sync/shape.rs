//! What people's subclasses have replaced, and what was patched on the classes.
//!
//! asyncio's methods call each other by name. A subclass that replaces one of those is called by the native ones around
//! it, or, where they cannot, gets asyncio's methods over the native state; every other gets the native ones. Which loop a primitive is bound to is decided here as well.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::stock::delegate;
use crate::engine::Engine;
use crate::ffi::{
    Args, Class, Instance, Object, Outcome, Ref, Slot, Unchanged, attribute, call, call_method,
    lookup, object, tag_of_class, thread_ident, version_tag,
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

/// What `async with` calls by name, as the first two of a primitive's `OUTER` methods.
pub(super) const ENTRY: [&str; 2] = ["acquire", "release"];

/// A primitive that looks at what its class has replaced.
pub(crate) trait Shaped: Class {
    /// What makes asyncio's methods do everything where one of them is replaced.
    const INNER: &'static [&'static str];
    /// What is called by name where it is replaced: each has a place.
    const OUTER: &'static [&'static str];
    /// Hears that the class, or one it derives from, has replaced more than when it was looked at first.
    const CHANGED: fn(Python<'_>, &Instance<Self>) = |_, _| {};

    /// What was found.
    fn findings(&self) -> &Shape;

    /// The mark of the class that was last seen to have replaced nothing.
    fn plain() -> &'static AtomicU32;
}

/// Says what a primitive's class may replace; its findings are in the field `shape`.
macro_rules! shaped {
    ($class:ty, $inner:expr, $outer:expr $(, $changed:expr)?) => {
        const _: () = assert!(<$class as $crate::sync::shape::Shaped>::OUTER.len() <= u8::BITS as usize);
        impl $crate::sync::shape::Shaped for $class {
            const INNER: &'static [&'static str] = $inner;
            const OUTER: &'static [&'static str] = $outer;
            $(const CHANGED: fn(Python<'_>, &Instance<Self>) = $changed;)?

            #[inline]
            fn findings(&self) -> &Shape {
                &self.shape
            }

            #[inline]
            fn plain() -> &'static std::sync::atomic::AtomicU32 {
                static MARK: std::sync::atomic::AtomicU32 = $crate::sync::shape::NO_MARK;
                &MARK
            }
        }
    };
}
pub(super) use shaped;

/// Nobody has looked; no class is marked so.
const UNSEEN: u32 = 0x00ff_ffff;
/// Somebody has looked, at a class that had no tag; likewise.
const UNTAGGED: u32 = 0x00ff_fffe;

/// What is kept of a class's tag: as many bits as there is room for, less one that no class has. None of a class without a
/// tag, which is looked at each time.
#[inline]
const fn mark(tag: u32) -> u32 {
    tag & 0x007f_ffff
}

/// Nobody has looked at any class yet.
#[expect(
    clippy::declare_interior_mutable_const,
    reason = "what each static begins as"
)]
pub(super) const NO_MARK: AtomicU32 = AtomicU32::new(UNSEEN);

/// What an instance's class, or the instance, has replaced, as it was found at the last look; and the mark of the class then.
///
/// In one word, as a semaphore has room for no more: bits below, a bit for each method that is called by name, and the mark.
pub(crate) struct Shape(Cell<u32>);

/// A bit for each method that is called by name.
#[derive(Clone, Copy)]
pub(super) struct Replaced(u8);

/// Asyncio's methods do everything; where every method is replaced, that is as good.
const FOREIGN: u8 = u8::MAX;

impl Shape {
    /// Nothing is known yet.
    pub(super) const fn unseen() -> Self {
        Self(Cell::new(UNSEEN << u8::BITS))
    }

    /// Nothing replaced, if the class is still the one that was last seen so.
    #[inline]
    pub(super) fn as_last_seen<T: Shaped>() -> Self {
        Self(Cell::new(T::plain().load(Ordering::Relaxed) << u8::BITS))
    }

    #[inline]
    fn mark(&self) -> u32 {
        self.0.get() >> u8::BITS
    }

    /// Writes down another mark; what was found stays.
    fn set_mark(&self, mark: u32) {
        self.0.set(mark << u8::BITS | u32::from(self.replaced()));
    }

    #[inline]
    fn replaced(&self) -> u8 {
        let [bits, ..] = self.0.get().to_le_bytes();
        bits
    }

    fn add(&self, replaced: u8) {
        self.0.set(self.0.get() | u32::from(replaced));
    }

    /// Says that asyncio's methods do everything.
    pub(super) fn set_foreign(&self) {
        self.add(FOREIGN);
    }

    /// Takes note of an attribute set on an instance of a `T`; tells whether it is one of those that are called by name.
    pub(super) fn note<T: Shaped>(&self, py: Python<'_>, name: &Object) -> bool {
        let name = name.bind(py).to_string();
        if T::INNER.contains(&name.as_str()) {
            self.set_foreign();
            return true;
        }
        let place = T::OUTER.iter().position(|known| *known == name);
        if let Some(place) = place {
            self.add(1 << place);
        }
        place.is_some()
    }
}

impl<T: Shaped> Instance<T> {
    /// What its class, or the instance, has replaced by now.
    #[inline]
    pub(super) fn shape(&self, py: Python<'_>) -> Replaced {
        let findings = self.findings();
        if findings.mark() != mark(tag_of_class(self.object())) {
            look(py, self);
        }
        Replaced(findings.replaced())
    }

    /// As `shape`, for what a method calls that has asked for it.
    #[inline]
    pub(super) fn seen_shape(&self) -> Replaced {
        Replaced(self.findings().replaced())
    }
}

/// Looks at the class of `this`, which is another one than was seen, or has been changed since.
#[cold]
fn look<T: Shaped>(py: Python<'_>, this: &Instance<T>) {
    let findings = this.findings();
    let before = mark(tag_of_class(this.object()));
    if before == T::plain().load(Ordering::Relaxed) {
        findings.set_mark(before);
        return;
    }
    let found = replaced_by_class(py, this.object(), T::INNER, T::OUTER);
    // The look has given the class a tag if it can have one.
    let now = match mark(tag_of_class(this.object())) {
        0 => UNTAGGED,
        mark => mark,
    };
    if found == 0 {
        T::plain().store(now, Ordering::Relaxed);
    }
    let (seen, known) = (findings.mark(), findings.replaced());
    findings.set_mark(now);
    findings.add(found);
    if seen != UNSEEN && findings.replaced() != known {
        T::CHANGED(py, this);
    }
}

/// The bits of what the class of `this` has replaced.
fn replaced_by_class(py: Python<'_>, this: &Object, inner: &[&str], outer: &[&str]) -> u8 {
    let class = this.bind(py).get_type();
    let home = match adopted(class.as_any()) {
        Some(home) if home.holds(py, this) => return 0,
        Some(home) => home,
        None => match class.mro().iter().find_map(|base| adopted(&base)) {
            Some(home) => home,
            None => return 0,
        },
    };
    judge(&class, home, inner, outer).replaced
}

impl Replaced {
    /// Whether asyncio's methods do everything.
    #[inline]
    pub(super) fn is_foreign(self) -> bool {
        self.0 == FOREIGN
    }

    /// Whether nothing is called by name.
    #[inline]
    pub(super) fn is_native(self) -> bool {
        self.0 == 0
    }

    /// Whether `async with` may enter without calling the first of `ENTRY`.
    #[inline]
    pub(super) fn enters_natively(self) -> bool {
        self.0 & 1 == 0
    }

    /// Whether `async with` may leave without calling the second of `ENTRY`.
    #[inline]
    fn leaves_natively(self) -> bool {
        self.0 & 2 == 0
    }

    /// Whether the method that stands at `place` in `OUTER` is to be called by name.
    #[inline]
    pub(super) fn has_replaced(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }
}

/// What a look at a derived class has found.
#[derive(Clone, Copy)]
struct Verdict {
    /// The class's tag then: the finding holds for no other class, and for this one until it is changed.
    tag: u32,
    /// As `Shape` has it.
    replaced: u8,
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
    let bit = |(place, name): (usize, &&str)| u8::from(has_replaced(name)) << place;
    let foreign = u8::from(inner.iter().any(has_replaced)) * FOREIGN;
    let verdict = Verdict {
        replaced: foreign | outer.iter().enumerate().map(bit).sum::<u8>(),
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
pub(super) fn leave<T: Shaped>(
    py: Python<'_>,
    this: &Instance<T>,
    args: Args<'_>,
    release: impl FnOnce() -> Outcome<()>,
) -> Outcome<Ref> {
    let shape = this.shape(py);
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
