//! `contextvars` contexts: copied, entered and left.
//!
//! A callback's context is a copy of the one it was scheduled in. Most are entered once and never seen, so what is kept
//! is only the mapping that the copy would begin with (contexts share immutable mappings); a context object from a
//! small stock is given that mapping for the time of the call. Where CPython's layout cannot be proved, contexts are
//! copied as usual.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Object, Outcome, Raised, Ref, Slot};

/// What `contextvars.Context` keeps behind its head.
#[repr(C)]
struct Fields {
    previous: Cell<*mut ffi::PyObject>,
    variables: Slot,
    weak_references: Cell<usize>,
    entered: Cell<std::ffi::c_int>,
}

/// Byte offset of the current context in the thread state; 0 until it is proved.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// The class of the mappings that contexts begin with; null until it is proved.
static MAPPING: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());

/// The mapping of an empty context; null until it is proved. Never given up.
static EMPTY: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());

/// How many words of a thread state are searched for it: fewer than the smallest has.
const WORDS: usize = 40;

/// How many context objects are kept in stock.
const STOCK: usize = 8;

/// Context objects with an empty mapping. The collector knows them, so whoever asks it may refer to one.
struct Stock(UnsafeCell<(usize, Places)>);

/// Where they lie; the first so many are taken.
type Places = [Option<Ref>; STOCK];

// SAFETY: only opened while the interpreter's lock is held, by code that runs no Python meanwhile.
unsafe impl Sync for Stock {}

static IN_STOCK: Stock = Stock(UnsafeCell::new((0, [const { None }; STOCK])));

impl Stock {
    #[inline]
    fn take(&self) -> Option<Ref> {
        // SAFETY: see above.
        let (count, places) = unsafe { &mut *self.0.get() };
        let index = count.checked_sub(1)?;
        *count = index;
        let context = places.get_mut(index)?.take()?;
        (!context.is_shared()).then_some(context)
    }

    #[inline]
    fn put(&self, context: Ref) -> Option<Ref> {
        // SAFETY: see above.
        let (count, places) = unsafe { &mut *self.0.get() };
        let Some(place) = places.get_mut(*count) else {
            return Some(context);
        };
        *count += 1;
        place.replace(context)
    }
}

/// # Safety
/// `context` is a context object, and the layout is proved.
#[inline]
unsafe fn fields(context: &Object) -> &Fields {
    // SAFETY: promised by the caller.
    unsafe {
        &*context
            .as_ptr()
            .cast::<u8>()
            .add(size_of::<ffi::PyObject>())
            .cast()
    }
}

/// Whether `object` is a context.
#[inline]
pub(crate) fn is_context(object: &Object) -> bool {
    object.class() == &raw mut ffi::PyContext_Type
}

/// Finds the current context in the thread state and compares the layout of a live context.
///
/// # Errors
/// `RuntimeError` when they differ; contexts are then copied as usual.
pub(crate) fn prove(py: Python<'_>) -> PyResult<()> {
    let (outer, inner) = (
        fresh().map_err(|_| refused("contexts"))?,
        fresh().map_err(|_| refused("contexts"))?,
    );
    enter(py, &outer).map_err(|_| refused("entering"))?;
    let entered = enter(py, &inner).is_ok();
    // SAFETY: both are contexts; the words are read, and compared with addresses, before anything is made of them.
    let (laid_out, place) = unsafe {
        let fields = fields(&inner);
        let laid_out = fields.previous.get() == outer.as_ptr()
            && fields.entered.get() == 1
            && !fields.variables.is_empty();
        let mapping = fields.variables.share().filter(|_| laid_out);
        if let Some(mapping) = mapping {
            MAPPING.store(mapping.class(), Ordering::Relaxed);
            EMPTY.store(mapping.into_ptr(), Ordering::Relaxed);
        }
        let words = std::slice::from_raw_parts(
            ffi::PyThreadState_Get()
                .cast::<*mut ffi::PyObject>()
                .cast_const(),
            WORDS,
        );
        (
            laid_out,
            words.iter().position(|word| *word == inner.as_ptr()),
        )
    };
    if entered {
        leave(py, &inner);
    }
    leave(py, &outer);
    match place {
        Some(place) if laid_out && entered => {
            CURRENT.store(place * size_of::<usize>(), Ordering::Relaxed);
            Ok(())
        }
        _ => Err(refused("the layout of contexts")),
    }
}

fn refused(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{what} differs"))
}

fn fresh() -> Outcome<Ref> {
    // SAFETY: attached.
    unsafe { Ref::returned(ffi::PyContext_New()) }
}

/// What a copy of the current context would begin with: a mapping, or such a copy itself.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn capture(py: Python<'_>) -> Outcome<Ref> {
    let offset = CURRENT.load(Ordering::Relaxed);
    if offset == 0 {
        return copy_current(py);
    }
    // SAFETY: the offset was found in this version's thread state; the word is the current context or null.
    let variables = unsafe {
        let current = *ffi::PyThreadState_Get()
            .byte_add(offset)
            .cast::<*mut ffi::PyObject>();
        if current.is_null() {
            None
        } else {
            fields(Object::from_ptr(current)).variables.share()
        }
    };
    variables.map_or_else(|| copy_current(py), Ok)
}

/// A context object of what `capture` returned; anything else is returned as it is, and cannot be entered.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn made_of(_py: Python<'_>, captured: &Object) -> Outcome<Ref> {
    if captured.class() != MAPPING.load(Ordering::Relaxed) {
        return Ok(captured.share());
    }
    let context = match IN_STOCK.take() {
        Some(context) => context,
        None => fresh()?,
    };
    // SAFETY: a context, whose mapping is replaced by another one; mappings are immutable.
    unsafe { fields(&context) }.variables.set(captured.share());
    Ok(context)
}

/// Gives a context object back that the run of a callback has left.
#[inline]
pub(crate) fn give_back(context: Ref) {
    if context.is_shared() {
        return;
    }
    // SAFETY: only `made_of` and `capture` make what is given back: a context that nobody else refers to.
    let fields = unsafe { fields(&context) };
    if fields.weak_references.get() == 0 && fields.entered.get() == 0 {
        let empty = EMPTY.load(Ordering::Relaxed);
        // SAFETY: null or an object that is never given up.
        let empty = (!empty.is_null()).then(|| unsafe { Object::from_ptr(empty) }.share());
        let variables = fields.variables.replace(empty);
        let surplus = IN_STOCK.put(context);
        drop((variables, surplus));
    }
}

/// A copy of the current context.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn copy_current(_py: Python<'_>) -> Outcome<Ref> {
    // SAFETY: attached.
    unsafe { Ref::returned(ffi::PyContext_CopyCurrent()) }
}

/// A copy of `context`.
///
/// # Errors
/// `MemoryError`, `TypeError` if it is no context.
#[inline]
pub(crate) fn copy(_py: Python<'_>, context: &Object) -> Outcome<Ref> {
    // SAFETY: a live object; the call checks that it is a context.
    unsafe { Ref::returned(ffi::PyContext_Copy(context.as_ptr())) }
}

/// Makes `context` the current one; answer it with `leave`.
///
/// # Errors
/// `RuntimeError` if it is entered already, `TypeError` if it is no context.
#[inline]
pub(crate) fn enter(_py: Python<'_>, context: &Object) -> Outcome<()> {
    // SAFETY: a live object; the call checks that it is a context.
    match unsafe { ffi::PyContext_Enter(context.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised::already()),
    }
}

/// Runs `user` in `context`. What it raises stays set meanwhile.
///
/// # Errors
/// As `enter`, and what `user` raises.
#[inline]
pub(crate) fn within<R>(
    py: Python<'_>,
    context: &Object,
    user: impl FnOnce() -> Outcome<R>,
) -> Outcome<R> {
    enter(py, context)?;
    let answer = user();
    leave(py, context);
    answer
}

/// Leaves the context that `enter` entered. An exception set meanwhile stays set.
#[inline]
pub(crate) fn leave(_py: Python<'_>, context: &Object) {
    // SAFETY: a live context that this thread entered last.
    unsafe {
        ffi::PyContext_Exit(context.as_ptr());
    }
}
