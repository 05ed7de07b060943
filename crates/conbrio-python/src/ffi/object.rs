//! References to Python objects, owned and borrowed, and the mark of a raised exception.
//!
//! `Ref` and `&Object` exist only on a thread that is attached to the interpreter: neither can be sent to another
//! thread, and `Python::detach` takes only what can. So counting needs no token and no check, unlike `pyo3::Py`.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

/// How many bytes the processor fetches at once.
const CACHE_LINE: usize = 64;
/// How many lines of an object are fetched ahead: those of a transport.
const PREFETCHED: usize = 7;

/// A Python exception is set in this thread; whoever receives this either lets it through or takes it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Raised(PhantomData<*const ()>);

/// What native code answers to Python: a value, or an exception already raised.
pub(crate) type Outcome<T> = Result<T, Raised>;

impl Raised {
    /// Says that an exception has been set by the call just made.
    pub(super) const fn already() -> Self {
        Self(PhantomData)
    }

    /// Takes the exception out of the interpreter.
    #[expect(clippy::unused_self, reason = "who takes it has it no longer")]
    pub(crate) fn take(self) -> Ref {
        // SAFETY: a `Raised` exists, so an exception is set in this attached thread; the call hands over its reference.
        unsafe { raised_exception() }
    }
}

/// Takes the exception out of the interpreter, if one is set.
pub(crate) fn take_raised(_py: Python<'_>) -> Option<Ref> {
    // SAFETY: attached.
    let is_set = unsafe { !ffi::PyErr_Occurred().is_null() };
    is_set.then(|| Raised::already().take())
}

/// `None` for what has nothing to return.
#[inline]
pub(crate) fn none(done: Outcome<()>) -> Outcome<Ref> {
    done.map(|()| Ref::none())
}

impl From<PyErr> for Raised {
    fn from(error: PyErr) -> Self {
        // SAFETY: a `PyErr` is made and handled by attached threads only.
        let py = unsafe { Python::assume_attached() };
        error.restore(py);
        Self::already()
    }
}

impl From<Raised> for PyErr {
    fn from(raised: Raised) -> Self {
        // SAFETY: as above.
        let py = unsafe { Python::assume_attached() };
        Self::from_value(raised.take().bind(py).to_owned())
    }
}

#[cfg(Py_3_12)]
unsafe fn raised_exception() -> Ref {
    // SAFETY: the caller knows that an exception is set, so the pointer is not null.
    unsafe { Ref::steal(ffi::PyErr_GetRaisedException()) }
}

// Not by PyO3's `PyErr`: outside of its own attachments that keeps what it drops, and with it frames, for later.
#[cfg(not(Py_3_12))]
unsafe fn raised_exception() -> Ref {
    let (mut kind, mut value, mut traceback) = (
        std::ptr::null_mut(),
        std::ptr::null_mut(),
        std::ptr::null_mut(),
    );
    // SAFETY: the caller is attached and knows that an exception is set: the three are owned references, the class and,
    // once normalised, the instance are not null.
    unsafe {
        ffi::PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut traceback);
        ffi::PyErr_NormalizeException(&raw mut kind, &raw mut value, &raw mut traceback);
        if !traceback.is_null() {
            ffi::PyException_SetTraceback(value, traceback);
        }
        ffi::Py_XDECREF(traceback);
        ffi::Py_DECREF(kind);
        Ref::steal(value)
    }
}

/// Runs `act` as an `except` clause that has caught `exception` would be run: `sys.exc_info()` tells of it.
pub(crate) fn handling<R>(_py: Python<'_>, exception: &Object, act: impl FnOnce() -> R) -> R {
    // SAFETY: attached; the former one is owned, or null, and is counted anew when it is put back.
    unsafe {
        let former = PyErr_GetHandledException();
        PyErr_SetHandledException(exception.as_ptr());
        let answer = act();
        PyErr_SetHandledException(former);
        ffi::Py_XDECREF(former);
        answer
    }
}

/// The exception that is being handled in this thread: what `sys.exc_info()` tells of.
pub(crate) fn handled(_py: Python<'_>) -> Option<Ref> {
    // SAFETY: attached; what comes back is owned, or null.
    unsafe {
        let handled = PyErr_GetHandledException();
        (!handled.is_null()).then(|| Ref::steal(handled))
    }
}

unsafe extern "C" {
    fn PyErr_GetHandledException() -> *mut ffi::PyObject;
    fn PyErr_SetHandledException(exception: *mut ffi::PyObject);
}

/// Raises `exception`, an instance.
pub(crate) fn raise(exception: Ref) -> Raised {
    #[cfg(Py_3_12)]
    // SAFETY: `exception` is a live exception instance; the call takes over the reference.
    unsafe {
        ffi::PyErr_SetRaisedException(exception.into_ptr());
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: `exception` is a live exception instance; type and value get a reference of their own from the call,
    // which reads the traceback from the instance.
    unsafe {
        let kind = ffi::Py_TYPE(exception.as_ptr()).cast();
        let traceback = ffi::PyException_GetTraceback(exception.as_ptr());
        ffi::Py_INCREF(kind);
        ffi::PyErr_Restore(kind, exception.into_ptr(), traceback);
    }
    Raised::already()
}

/// Raises `exception` as a `raise` statement would: in the context of what is being handled, an instance of it if it is a
/// class, and `TypeError` in its place if it is no exception.
pub(crate) fn raise_in_context(exception: &Object) -> Raised {
    let pointer = exception.as_ptr();
    // SAFETY: a live object, which is an exception instance where it is set with its class; a class is made an instance of.
    unsafe {
        if ffi::PyExceptionInstance_Check(pointer) != 0 {
            ffi::PyErr_SetObject(exception.class().cast(), pointer);
        } else if ffi::PyExceptionClass_Check(pointer) != 0 {
            ffi::PyErr_SetNone(pointer);
        } else {
            let words = c"exceptions must derive from BaseException";
            ffi::PyErr_SetString(ffi::PyExc_TypeError, words.as_ptr());
        }
    }
    Raised::already()
}

/// Whether this thread is attached to the process's main interpreter.
pub(crate) fn is_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: attached.
    unsafe { ffi::PyInterpreterState_Get() == ffi::PyInterpreterState_Main() }
}

/// A Python object that somebody else keeps alive.
///
/// Invariant: the cell tells the compiler that what lies behind a reference changes while it is borrowed (counts, and
/// the values of our own classes); without it, optimised code would drop such writes.
#[repr(transparent)]
pub(crate) struct Object(UnsafeCell<ffi::PyObject>, PhantomData<*const ()>);

impl Object {
    /// Borrows the object behind `pointer`.
    ///
    /// # Safety
    /// `pointer` is a live object for the whole of `'a`, and the thread is attached.
    pub(super) unsafe fn from_ptr<'a>(pointer: *mut ffi::PyObject) -> &'a Self {
        // SAFETY: promised by the caller; the layout is that of `PyObject`.
        unsafe { &*pointer.cast::<Self>() }
    }

    /// Has the processor fetch the object while it does something else.
    /// Bench: `tcp_proto_1k_c1000`.
    #[inline]
    pub(crate) fn prefetch(&self) {
        for line in 0..PREFETCHED {
            let place = self.as_ptr().cast::<u8>().wrapping_add(line * CACHE_LINE);
            // SAFETY: a prefetch reads nothing, wherever it points.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(place.cast());
            }
            // SAFETY: a prefetch reads nothing, wherever it points.
            #[cfg(target_arch = "aarch64")]
            unsafe {
                std::arch::asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, readonly, preserves_flags));
            }
        }
    }

    /// The object's address.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.get()
    }

    /// One more reference.
    #[inline]
    pub(crate) fn share(&self) -> Ref {
        // SAFETY: the object is alive and this thread attached, or `self` would not exist.
        unsafe {
            ffi::Py_INCREF(self.as_ptr());
        }
        // SAFETY: the reference just counted is handed over.
        unsafe { Ref::steal(self.as_ptr()) }
    }

    /// The object in PyO3's terms.
    #[inline]
    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: the object lives as long as `self` is borrowed.
        unsafe { Borrowed::from_ptr(py, self.as_ptr()) }
    }

    /// Lets the collector see an object that was made unseen.
    #[inline]
    pub(crate) fn show(&self) {
        // SAFETY: a live object; only those with the collector's head are tracked, and once.
        unsafe {
            if ffi::PyObject_IS_GC(self.as_ptr()) != 0
                && ffi::PyObject_GC_IsTracked(self.as_ptr()) == 0
            {
                ffi::PyObject_GC_Track(self.as_ptr().cast());
            }
        }
    }

    /// Whether more than one reference to it is counted.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: a live object.
        unsafe { ffi::Py_REFCNT(self.as_ptr()) > 1 }
    }

    /// How many references to it are counted.
    #[inline]
    pub(crate) fn holders(&self) -> isize {
        // SAFETY: a live object.
        unsafe { ffi::Py_REFCNT(self.as_ptr()) }
    }

    /// Whether both are one object.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }

    /// Whether this is Python's `None`.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        // SAFETY: reads the address of a static object.
        self.as_ptr() == unsafe { ffi::Py_None() }
    }

    /// The address of the object's class.
    #[inline]
    pub(crate) fn class(&self) -> *mut ffi::PyTypeObject {
        // SAFETY: the object is alive.
        unsafe { ffi::Py_TYPE(self.as_ptr()) }
    }
}

impl AsRef<Object> for Bound<'_, PyAny> {
    fn as_ref(&self) -> &Object {
        // SAFETY: a `Bound` keeps its object alive and proves attachment.
        unsafe { Object::from_ptr(self.as_ptr()) }
    }
}

/// Borrows a PyO3 object as an `Object`.
pub(crate) fn object<'a, T>(bound: &'a Bound<'_, T>) -> &'a Object {
    // SAFETY: a `Bound` keeps its object alive and proves attachment.
    unsafe { Object::from_ptr(bound.as_ptr()) }
}

/// An owned reference to a Python object.
pub(crate) struct Ref(NonNull<ffi::PyObject>);

impl Ref {
    /// Takes over one reference.
    ///
    /// # Safety
    /// `pointer` is a live object and the caller gives up one reference to it.
    #[inline]
    pub(super) unsafe fn steal(pointer: *mut ffi::PyObject) -> Self {
        // SAFETY: promised by the caller.
        Self(unsafe { NonNull::new_unchecked(pointer) })
    }

    /// Takes over what a call into the interpreter returned: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// `pointer` is just that.
    #[inline]
    pub(super) unsafe fn returned(pointer: *mut ffi::PyObject) -> Outcome<Self> {
        NonNull::new(pointer).map(Self).ok_or(Raised::already())
    }

    /// Gives the reference up to a caller that will count it.
    #[inline]
    pub(super) fn into_ptr(self) -> *mut ffi::PyObject {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    /// Python's `None`.
    #[inline]
    pub(crate) fn none() -> Self {
        // SAFETY: a static object, always alive.
        unsafe { Object::from_ptr(ffi::Py_None()) }.share()
    }

    /// Python's `True` or `False`.
    #[inline]
    pub(crate) fn boolean(value: bool) -> Self {
        // SAFETY: static objects, always alive.
        unsafe {
            Object::from_ptr(if value {
                ffi::Py_True()
            } else {
                ffi::Py_False()
            })
        }
        .share()
    }
}

impl Deref for Ref {
    type Target = Object;

    #[inline]
    fn deref(&self) -> &Object {
        // SAFETY: an owned reference keeps its object alive.
        unsafe { Object::from_ptr(self.0.as_ptr()) }
    }
}

impl Drop for Ref {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: gives up the reference this value owns, on an attached thread (a `Ref` cannot leave it).
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) }
    }
}

impl<T> From<Bound<'_, T>> for Ref {
    fn from(bound: Bound<'_, T>) -> Self {
        // SAFETY: `into_ptr` gives up one reference.
        unsafe { Self::steal(bound.into_ptr()) }
    }
}

impl<T> From<Borrowed<'_, '_, T>> for Ref {
    fn from(borrowed: Borrowed<'_, '_, T>) -> Self {
        // SAFETY: the borrowed object is alive.
        unsafe { Object::from_ptr(borrowed.as_ptr()) }.share()
    }
}

/// A place in an object that holds a reference or nothing; one word, null when empty, as CPython's own fields are.
#[repr(transparent)]
pub(crate) struct Slot(Cell<Option<Ref>>);

impl Slot {
    /// An empty place.
    pub(crate) const fn empty() -> Self {
        Self(Cell::new(None))
    }

    /// A place that holds `value`.
    pub(crate) const fn holding(value: Ref) -> Self {
        Self(Cell::new(Some(value)))
    }

    /// Takes what is there.
    #[inline]
    pub(crate) fn take(&self) -> Option<Ref> {
        self.0.take()
    }

    /// Puts `value` in and hands back what was there: dropping that may run any code.
    #[inline]
    pub(crate) fn replace(&self, value: Option<Ref>) -> Option<Ref> {
        self.0.replace(value)
    }

    /// Puts `value` in, then drops what was there.
    #[inline]
    pub(crate) fn set(&self, value: Ref) {
        drop(self.0.replace(Some(value)));
    }

    /// Puts `value` in, `None` of Python counting as nothing, then drops what was there.
    #[inline]
    pub(crate) fn keep(&self, value: Option<&Object>) {
        let value = value.filter(|value| !value.is_none());
        drop(self.0.replace(value.map(Object::share)));
    }

    /// Empties the place, then drops what was there.
    #[inline]
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }

    /// One more reference to what is there.
    #[inline]
    pub(crate) fn share(&self) -> Option<Ref> {
        self.peek().map(Object::share)
    }

    /// Whether there is nothing.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.peek().is_none()
    }

    /// Whether exactly `object` is there.
    #[inline]
    pub(crate) fn holds(&self, object: &Object) -> bool {
        self.peek().is_some_and(|held| held.is(object))
    }

    /// Whether both hold the same, or nothing.
    #[inline]
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.pointer() == other.pointer()
    }

    /// What is there, or `None` of Python.
    #[inline]
    pub(crate) fn share_or_none(&self) -> Ref {
        self.share().unwrap_or_else(Ref::none)
    }

    /// Looks at what is there; the caller does not run Python code while it looks.
    #[inline]
    pub(super) fn peek(&self) -> Option<&Object> {
        // SAFETY: reads the word in place; the users above finish with the borrow before anything can replace it.
        unsafe { (*self.0.as_ptr()).as_deref() }
    }

    /// The word itself, for `Visit`.
    pub(super) fn pointer(&self) -> *mut ffi::PyObject {
        self.peek().map_or(std::ptr::null_mut(), Object::as_ptr)
    }
}
