//! Trampolines: the C functions by which CPython calls native code, one made for each function of ours.
//!
//! A native function captures nothing, so its value is made of nothing where it is called. What a trampoline may rely on is
//! the slot it is in, which `class` decides; a Rust panic becomes a Python exception here.

use std::ffi::{CString, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::args::{Args, tuple_items};
use super::instance::{Class, Instance};
use super::object::{Object, Outcome, Raised, Ref, raise};
use super::send::Step;
use super::stay::returning;

/// A function without captures, whose value can be made of nothing.
pub(crate) trait Stateless: Copy + 'static {
    /// Checked when a trampoline is generated.
    const CHECK: () = assert!(size_of::<Self>() == 0, "a native method captures nothing");
}

impl<F: Copy + 'static> Stateless for F {}

/// # Safety
/// A value of `F` has existed, so `F` is inhabited.
#[inline]
unsafe fn conjure<F: Stateless>() -> F {
    let () = F::CHECK;
    // SAFETY: `F` has no bytes and is inhabited.
    unsafe { std::mem::zeroed() }
}

/// Runs native code called by Python: a panic becomes `RuntimeError`.
#[inline]
fn guard<R>(body: impl FnOnce() -> Outcome<R>) -> Outcome<R> {
    catching(|| returning(body))
}

/// Runs native code after which there is something to put back: a panic becomes `RuntimeError`.
///
/// # Errors
/// What `body` raises, too.
#[inline]
pub(crate) fn catching<R>(body: impl FnOnce() -> Outcome<R>) -> Outcome<R> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// What PyO3 panics with where an object cannot be made: by then it has told `sys.unraisablehook` why, and forgotten it.
const NO_OBJECT: &str = "PyObject pointer is null";

/// Nothing here asks PyO3 to make an object: there may be no memory for one, and that may be what the panic was about.
#[cold]
fn panicked(panic: &(dyn std::any::Any + Send)) -> Raised {
    // SAFETY: attached.
    if unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) } != 0 {
        return Raised::already();
    }
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    if text == Some(NO_OBJECT) {
        // SAFETY: attached; the exception that is set was made beforehand.
        unsafe { ffi::PyErr_NoMemory() };
        return Raised::already();
    }
    let text = format!("conbrio: internal error: {}", text.unwrap_or_default());
    let text = CString::new(text.replace('\0', "")).unwrap_or_default();
    // SAFETY: attached; a live text.
    unsafe { ffi::PyErr_SetString(ffi::PyExc_RuntimeError, text.as_ptr()) };
    Raised::already()
}

/// The token: trampolines are only called by the interpreter.
#[inline]
fn token<'py>() -> Python<'py> {
    // SAFETY: used by trampolines alone, which the interpreter calls on an attached thread.
    unsafe { Python::assume_attached() }
}

#[inline]
fn pointer(answer: Outcome<Ref>) -> *mut ffi::PyObject {
    answer.map_or(ptr::null_mut(), Ref::into_ptr)
}

#[inline]
fn status(answer: Outcome<()>) -> c_int {
    if answer.is_ok() { 0 } else { -1 }
}

/// Makes an instance.
pub(super) unsafe extern "C" fn new<T: Class, F>(
    kind: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Object, Option<&Object>) -> Outcome<T> + Stateless,
{
    // SAFETY: CPython passes a class of ours or a derived one, a tuple, and a dictionary or null.
    pointer(guard(|| unsafe { made::<T, F>(kind, args, keywords) }))
}

/// Makes an instance, and tells of it.
pub(super) unsafe extern "C" fn new_heard<T: Class, F, G>(
    kind: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Object, Option<&Object>) -> Outcome<T> + Stateless,
    G: Fn(Python<'_>, &Instance<T>) + Stateless,
{
    // SAFETY: CPython passes a class of ours or a derived one, a tuple, and a dictionary or null.
    pointer(guard(|| unsafe {
        let object = made::<T, F>(kind, args, keywords)?;
        conjure::<G>()(token(), Instance::trust(object.as_ptr()));
        Ok(object)
    }))
}

/// An instance of `kind`.
///
/// # Safety
/// The arguments are those that CPython makes instances with.
unsafe fn made<T: Class, F>(
    kind: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> Outcome<Ref>
where
    F: Fn(Python<'_>, &Object, Option<&Object>) -> Outcome<T> + Stateless,
{
    // SAFETY: promised by the caller: a class of ours or a derived one, a tuple, and a dictionary or null.
    unsafe {
        let keywords = (!keywords.is_null()).then(|| Object::from_ptr(keywords));
        if (*kind).tp_flags & ffi::Py_TPFLAGS_IS_ABSTRACT != 0 && is_meant_abstract(kind) {
            return refuse_abstract(kind);
        }
        let value = conjure::<F>()(token(), Object::from_ptr(args), keywords)?;
        let Some(allocate) = (*kind).tp_alloc else {
            return Err(PyRuntimeError::new_err("no allocator").into());
        };
        let object = Ref::returned(allocate(kind, 0))?;
        Instance::<T>::trust(object.as_ptr()).value().write(value);
        Ok(object)
    }
}

/// Whether a class is abstract by its own will: the metaclass of ours knows abstract methods, and CPython's class, which has
/// none, does not.
#[cold]
unsafe fn is_meant_abstract(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: a live class; its order of resolution is a tuple of classes.
    unsafe {
        let order = Object::from_ptr((*kind).tp_mro);
        let usual = [ffi::Py_TYPE(kind.cast()), &raw mut ffi::PyType_Type];
        tuple_items(order)
            .iter()
            .any(|base| !usual.contains(&base.class()))
    }
}

/// Has `object` say which methods an abstract class lacks.
#[cold]
unsafe fn refuse_abstract(kind: *mut ffi::PyTypeObject) -> Outcome<Ref> {
    // SAFETY: `object` makes instances of nothing whose class is abstract: it raises.
    unsafe {
        let nothing = Ref::returned(ffi::PyTuple_New(0))?;
        match ffi::PyBaseObject_Type.tp_new {
            Some(new) => Ref::returned(new(kind, nothing.as_ptr(), ptr::null_mut())),
            None => Err(PyRuntimeError::new_err("no constructor").into()),
        }
    }
}

/// Initialises an instance.
pub(super) unsafe extern "C" fn init<T: Class, F>(
    this: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int
where
    F: Fn(Python<'_>, &Instance<T>, &Object, Option<&Object>) -> Outcome<()> + Stateless,
{
    // SAFETY: CPython passes an instance, a tuple, and a dictionary or null.
    status(guard(|| unsafe {
        let keywords = (!keywords.is_null()).then(|| Object::from_ptr(keywords));
        conjure::<F>()(
            token(),
            Instance::trust(this),
            Object::from_ptr(args),
            keywords,
        )
    }))
}

/// A method with any arguments.
pub(super) unsafe extern "C" fn method<T: Class, F>(
    this: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a> Fn(Python<'_>, &'a Instance<T>, Args<'a>) -> Outcome<Ref> + Stateless,
{
    // SAFETY: the method descriptor has checked the instance; the rest is the fast call's.
    pointer(guard(|| unsafe {
        conjure::<F>()(
            token(),
            Instance::trust(this),
            Args::of_call(values, count, names),
        )
    }))
}

/// A method with one argument that may be given by its name.
pub(super) unsafe extern "C" fn named<T: Class, N, F>(
    this: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    N: Fn(Python<'_>) -> (&'static str, &Bound<'_, PyString>) + Stateless,
    F: for<'a> Fn(Python<'_>, &'a Instance<T>, &'a Object) -> Outcome<Ref> + Stateless,
{
    // SAFETY: the method descriptor has checked the instance; the rest is the fast call's.
    pointer(guard(|| unsafe {
        let args = Args::of_call(values, count, names);
        let only = match (args.positional(), args.has_keywords()) {
            ([only], false) => *only,
            _ => args.only(conjure::<N>()(token()))?,
        };
        conjure::<F>()(token(), Instance::trust(this), only)
    }))
}

/// A function with any arguments.
pub(super) unsafe extern "C" fn function<F>(
    _: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a> Fn(Python<'_>, Args<'a>) -> Outcome<Ref> + Stateless,
{
    // SAFETY: the arguments are the fast call's.
    pointer(guard(|| unsafe {
        conjure::<F>()(token(), Args::of_call(values, count, names))
    }))
}

/// A method without arguments.
pub(super) unsafe extern "C" fn plain<T: Class, F>(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
{
    // SAFETY: the method descriptor has checked the instance.
    pointer(guard(|| unsafe {
        conjure::<F>()(token(), Instance::trust(this))
    }))
}

/// Last words.
pub(super) unsafe extern "C" fn finalize<T: Class, F>(this: *mut ffi::PyObject)
where
    F: Fn(Python<'_>, &Instance<T>) + Stateless,
{
    // SAFETY: CPython passes a live instance; an exception set before is put aside and back.
    unsafe {
        let before = (!ffi::PyErr_Occurred().is_null()).then(|| Raised::already().take());
        let words = guard(|| {
            conjure::<F>()(token(), Instance::trust(this));
            Ok(())
        });
        if words.is_err() {
            ffi::PyErr_WriteUnraisable(this);
        }
        let _ = before.map(raise);
    }
}

/// Sets an attribute, and tells of it.
pub(super) unsafe extern "C" fn setattro<T: Class, F>(
    this: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int
where
    F: Fn(Python<'_>, &Instance<T>, &Object) + Stateless,
{
    // SAFETY: CPython passes a live instance and a string.
    status(guard(|| unsafe {
        if ffi::PyObject_GenericSetAttr(this, name, value) != 0 {
            return Err(Raised::already());
        }
        conjure::<F>()(token(), Instance::trust(this), Object::from_ptr(name));
        Ok(())
    }))
}

/// The trampoline of a method with one argument.
pub(super) unsafe extern "C" fn one<T: Class, F>(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a> Fn(Python<'_>, &'a Instance<T>, &'a Object) -> Outcome<Ref> + Stateless,
{
    // SAFETY: the method descriptor has checked the instance; the value is alive during the call.
    pointer(guard(|| unsafe {
        conjure::<F>()(token(), Instance::trust(this), Object::from_ptr(value))
    }))
}

pub(super) unsafe extern "C" fn unary<T: Class, F>(this: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
{
    // SAFETY: CPython passes a live instance.
    pointer(guard(|| unsafe {
        conjure::<F>()(token(), Instance::trust(this))
    }))
}

pub(super) unsafe extern "C" fn get<T: Class, F>(
    this: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
{
    // SAFETY: the attribute's descriptor has checked the instance.
    pointer(guard(|| unsafe {
        conjure::<F>()(token(), Instance::trust(this))
    }))
}

pub(super) unsafe extern "C" fn set<T: Class, G>(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int
where
    G: Fn(Python<'_>, &Instance<T>, Option<&Object>) -> Outcome<()> + Stateless,
{
    // SAFETY: the attribute's descriptor has checked the instance; the value is null for a deletion.
    status(guard(|| unsafe {
        let value = (!value.is_null()).then(|| Object::from_ptr(value));
        conjure::<G>()(token(), Instance::trust(this), value)
    }))
}

pub(super) unsafe extern "C" fn next<T: Class, F>(this: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Step> + Stateless,
{
    // SAFETY: CPython passes a live instance.
    let answer = guard(|| unsafe { conjure::<F>()(token(), Instance::trust(this)) });
    match answer {
        Ok(Step::Yield(value)) => value.into_ptr(),
        Ok(Step::Return(value)) => {
            let _ = super::send::end_iterator(token(), &value);
            ptr::null_mut()
        }
        Err(_) => ptr::null_mut(),
    }
}

pub(super) unsafe extern "C" fn send<T: Class, F>(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Step> + Stateless,
{
    // SAFETY: CPython passes a live instance and a place for the answer.
    unsafe {
        match guard(|| conjure::<F>()(token(), Instance::trust(this))) {
            Ok(Step::Yield(value)) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_NEXT
            }
            Ok(Step::Return(value)) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_RETURN
            }
            Err(_) => {
                *result = ptr::null_mut();
                ffi::PySendResult::PYGEN_ERROR
            }
        }
    }
}
