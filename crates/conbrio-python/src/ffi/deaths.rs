//! Deaths put off: an object whose death frees the next, and so on, dies in turns instead of ever deeper calls.
//!
//! CPython does the same for its own containers. It does not know what dies.

use std::cell::UnsafeCell;

use pyo3::ffi;

use super::object::Object;

/// From 3.14 on CPython puts deaths off by itself, for every object that the collector knows.
const BY_CPYTHON: bool = cfg!(Py_3_14);

/// How many deaths may be under way, one within the other.
const DEEPEST: usize = 50;

/// Who waits to die, and how.
type Waiting = (*mut ffi::PyObject, unsafe extern "C" fn(*mut ffi::PyObject));

struct Deaths {
    /// How many are under way, of all threads.
    depth: usize,
    waiting: Vec<Waiting>,
}

struct Shared(UnsafeCell<Deaths>);

// SAFETY: only opened while the interpreter's lock is held, for moments in which no Python runs.
unsafe impl Sync for Shared {}

static DEATHS: Shared = Shared(UnsafeCell::new(Deaths {
    depth: 0,
    waiting: Vec::new(),
}));

impl Shared {
    #[inline]
    fn lend<R>(&self, user: impl FnOnce(&mut Deaths) -> R) -> R {
        // SAFETY: see above; the users below call nothing.
        user(unsafe { &mut *self.0.get() })
    }
}

/// Begins a death; false when there are too many under way, and `object` will die when they are done.
///
/// # Safety
/// `object` has no references left, and `destructor` is what called this.
#[inline]
pub(super) unsafe fn begin(
    object: *mut ffi::PyObject,
    destructor: unsafe extern "C" fn(*mut ffi::PyObject),
) -> bool {
    if BY_CPYTHON {
        return true;
    }
    let begun = DEATHS.lend(|deaths| {
        let begun = deaths.depth < DEEPEST;
        deaths.depth += usize::from(begun);
        begun
    });
    if !begun {
        // SAFETY: promised by the caller; the collector must not see it while it waits.
        unsafe { put_off(object, destructor) };
    }
    begun
}

#[cold]
unsafe fn put_off(
    object: *mut ffi::PyObject,
    destructor: unsafe extern "C" fn(*mut ffi::PyObject),
) {
    // SAFETY: promised by the caller.
    unsafe { ffi::PyObject_GC_UnTrack(object.cast()) }
    DEATHS.lend(|deaths| deaths.waiting.push((object, destructor)));
}

/// Ends a death that `begin` has begun; the last one sees to those that wait.
#[inline]
pub(super) fn end() {
    if BY_CPYTHON {
        return;
    }
    let last = DEATHS.lend(|deaths| {
        let last = deaths.depth == 1 && !deaths.waiting.is_empty();
        deaths.depth -= usize::from(!last);
        last
    });
    if last {
        finish();
    }
}

/// Lets those die that wait, and those that begin to wait meanwhile; this counts as a death under way.
#[cold]
fn finish() {
    let next = || {
        DEATHS.lend(|deaths| {
            let next = deaths.waiting.pop();
            deaths.depth -= usize::from(next.is_none());
            next
        })
    };
    while let Some((object, destructor)) = next() {
        // SAFETY: `begin` was promised that the object may die by this function; one with last words may survive them,
        // so the collector has to know it again.
        unsafe {
            Object::from_ptr(object).show();
            destructor(object);
        }
    }
}
