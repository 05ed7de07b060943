//! Calls from native code into Python, by the fast call.

use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::args::tuple_items;
use super::object::{Object, Outcome, Raised, Ref};
use super::stay;

/// Calls `callable` with positional arguments.
///
/// # Errors
/// What the callable raises.
#[inline]
pub(crate) fn call(_py: Python<'_>, callable: &Object, arguments: &[&Object]) -> Outcome<Ref> {
    // SAFETY: live objects; `&Object` has the layout of a pointer to one.
    unsafe {
        Ref::returned(stay::vectorcall(
            callable.as_ptr(),
            arguments.as_ptr().cast(),
            arguments.len(),
            ptr::null_mut(),
        ))
    }
}

/// Calls `callable` with the items of a tuple.
///
/// # Errors
/// What the callable raises.
#[inline]
pub(crate) fn call_tuple(py: Python<'_>, callable: &Object, arguments: &Object) -> Outcome<Ref> {
    call(py, callable, tuple_items(arguments))
}

/// Calls the method `name` of `object` with positional arguments, at most seven.
///
/// # Errors
/// What the method raises, `AttributeError` when there is none.
#[inline]
pub(crate) fn call_method(
    _py: Python<'_>,
    object: &Object,
    name: &Bound<'_, PyString>,
    arguments: &[&Object],
) -> Outcome<Ref> {
    let mut values = [ptr::null_mut::<ffi::PyObject>(); 8];
    if let Some(first) = values.first_mut() {
        *first = object.as_ptr();
    }
    for (place, value) in values.iter_mut().skip(1).zip(arguments) {
        *place = value.as_ptr();
    }
    // SAFETY: live objects; the object itself is the first value.
    unsafe {
        Ref::returned(stay::vectorcall_method(
            name.as_ptr(),
            values.as_ptr(),
            arguments.len() + 1,
            ptr::null_mut(),
        ))
    }
}

/// Calls `callable(*arguments, **{name: value})`.
///
/// # Errors
/// What the callable raises.
pub(crate) fn call_keyword(
    py: Python<'_>,
    callable: &Object,
    arguments: &[&Object],
    keyword: (&Bound<'_, PyString>, &Object),
) -> Outcome<Ref> {
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item(keyword.0, keyword.1.bind(py))?;
    let tuple = tuple(py, arguments)?;
    // SAFETY: live objects of the classes the call asks for.
    unsafe {
        Ref::returned(stay::call(
            callable.as_ptr(),
            tuple.as_ptr(),
            keywords.as_ptr(),
        ))
    }
}

/// A tuple of references shared with it.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn tuple(_py: Python<'_>, items: &[&Object]) -> Outcome<Ref> {
    // SAFETY: the fresh tuple is filled before anyone sees it.
    unsafe {
        let tuple = Ref::returned(ffi::PyTuple_New(items.len().cast_signed()))?;
        for (index, item) in items.iter().enumerate() {
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index.cast_signed(), item.share().into_ptr());
        }
        Ok(tuple)
    }
}

/// The attribute `name`.
///
/// # Errors
/// `AttributeError`, or what the getter raises.
#[inline]
pub(crate) fn attribute(
    _py: Python<'_>,
    object: &Object,
    name: &Bound<'_, PyString>,
) -> Outcome<Ref> {
    // SAFETY: live objects.
    unsafe { Ref::returned(ffi::PyObject_GetAttr(object.as_ptr(), name.as_ptr())) }
}

/// The attribute `name`, or nothing if there is none.
///
/// # Errors
/// What the getter raises, `AttributeError` apart.
#[inline]
pub(crate) fn attribute_if_any(
    py: Python<'_>,
    object: &Object,
    name: &Bound<'_, PyString>,
) -> Outcome<Option<Ref>> {
    match attribute(py, object, name) {
        Ok(value) => Ok(Some(value)),
        // SAFETY: an exception is set, as `attribute` failed; the class is a static object.
        Err(raised) if unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) } != 0 => {
            drop(raised.take());
            Ok(None)
        }
        Err(raised) => Err(raised),
    }
}

/// Sets the attribute `name`.
///
/// # Errors
/// What the setter raises.
#[inline]
pub(crate) fn set_attribute(
    _py: Python<'_>,
    object: &Object,
    name: &Bound<'_, PyString>,
    value: &Object,
) -> Outcome<()> {
    // SAFETY: live objects.
    match unsafe { ffi::PyObject_SetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised::already()),
    }
}

/// Whether `object` counts as true.
///
/// # Errors
/// What `__bool__` raises.
#[inline]
pub(crate) fn is_true(_py: Python<'_>, object: &Object) -> Outcome<bool> {
    // SAFETY: a live object.
    match unsafe { ffi::PyObject_IsTrue(object.as_ptr()) } {
        -1 => Err(Raised::already()),
        answer => Ok(answer == 1),
    }
}

/// Whether a collection is empty; one that cannot say is not. No exception may be on its way.
pub(crate) fn is_empty(object: &Object) -> bool {
    // SAFETY: a live object; an exception is cleared at once.
    unsafe {
        let size = ffi::PyObject_Size(object.as_ptr());
        if size < 0 {
            ffi::PyErr_Clear();
        }
        size == 0
    }
}

/// Whether `object` is exactly a coroutine, made by an `async def`.
#[inline]
pub(crate) fn is_coroutine(object: &Object) -> bool {
    object.class() == &raw mut ffi::PyCoro_Type
}

/// The weak reference to `object`: the same one as long as one lives.
///
/// # Errors
/// `TypeError` when the object's class has none.
#[inline]
pub(crate) fn weak_reference(_py: Python<'_>, object: &Object) -> Outcome<Ref> {
    // SAFETY: a live object; no callback.
    unsafe { Ref::returned(ffi::PyWeakref_NewRef(object.as_ptr(), ptr::null_mut())) }
}

/// The descriptor that `object` is or has, as the system's own calls take it.
///
/// # Errors
/// `TypeError`, `ValueError` or `OverflowError`.
#[cold]
pub(crate) fn file_descriptor(_py: Python<'_>, object: &Object) -> Outcome<c_int> {
    // SAFETY: a live object.
    match unsafe { ffi::PyObject_AsFileDescriptor(object.as_ptr()) } {
        -1 => Err(Raised::already()),
        fd => Ok(fd),
    }
}

/// Whether `object` can be called.
#[inline]
pub(crate) fn is_callable(object: &Object) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::PyCallable_Check(object.as_ptr()) == 1 }
}

/// Whether `object` is an instance of an exception class derived from `BaseException`.
#[inline]
pub(crate) fn is_exception(object: &Object) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::PyExceptionInstance_Check(object.as_ptr()) != 0 }
}

/// Whether `object` is an instance of `class`, without asking Python code.
#[inline]
pub(crate) fn is_instance(object: &Object, class: &Object) -> bool {
    // SAFETY: live objects; `class` is a type.
    unsafe { ffi::PyType_IsSubtype(object.class(), class.as_ptr().cast()) != 0 }
}

/// Whether the two are the same object, or `one == other`.
///
/// # Errors
/// What comparing raises.
pub(crate) fn is_equal(_py: Python<'_>, one: &Object, other: &Object) -> Outcome<bool> {
    // SAFETY: live objects.
    match unsafe { ffi::PyObject_RichCompareBool(one.as_ptr(), other.as_ptr(), ffi::Py_EQ) } {
        -1 => Err(Raised::already()),
        answer => Ok(answer != 0),
    }
}

/// A Python float.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn float(_py: Python<'_>, value: f64) -> Outcome<Ref> {
    // SAFETY: attached.
    unsafe { Ref::returned(ffi::PyFloat_FromDouble(value)) }
}

/// Whether `object` is exactly a float.
#[inline]
pub(crate) fn is_float(object: &Object) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::PyFloat_CheckExact(object.as_ptr()) != 0 }
}

/// Of an object that is exactly an int, whether it is less than zero, zero or more.
#[inline]
pub(crate) fn sign_of_int(object: &Object) -> Option<i32> {
    if !is_int(object) {
        return None;
    }
    let mut overflow = 0;
    // SAFETY: a live int, from which this reads without asking Python code.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    Some(if overflow == 0 {
        i32::from(value > 0) - i32::from(value < 0)
    } else {
        overflow
    })
}

/// Whether `object` is exactly an int.
#[inline]
pub(crate) fn is_int(object: &Object) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::PyLong_CheckExact(object.as_ptr()) != 0 }
}

/// The number that `object` is, as `float()` would take it.
///
/// # Errors
/// `TypeError` when it is none.
#[inline]
#[expect(clippy::float_cmp, reason = "CPython's own sign of an error")]
pub(crate) fn as_float(_py: Python<'_>, object: &Object) -> Outcome<f64> {
    let value = if is_int(object) {
        // Bench: timers_timeout_pattern; `float()` would make an object between. SAFETY: a live int.
        unsafe { ffi::PyLong_AsDouble(object.as_ptr()) }
    } else {
        // SAFETY: a live object.
        unsafe { ffi::PyFloat_AsDouble(object.as_ptr()) }
    };
    // SAFETY: attached.
    if value == -1.0 && !unsafe { ffi::PyErr_Occurred() }.is_null() {
        return Err(Raised::already());
    }
    Ok(value)
}

/// Runs the Python handlers of signals that have arrived.
///
/// # Errors
/// What a handler raises: `KeyboardInterrupt`, for one.
#[inline]
pub(crate) fn check_signals(_py: Python<'_>) -> Outcome<()> {
    // SAFETY: attached.
    match unsafe { ffi::PyErr_CheckSignals() } {
        0 => Ok(()),
        _ => Err(Raised::already()),
    }
}

/// Runs `user` as one call deeper, as far as Python lets calls go.
///
/// # Errors
/// `RecursionError`, or what `user` raises.
pub(crate) fn one_deeper<R>(_py: Python<'_>, user: impl FnOnce() -> Outcome<R>) -> Outcome<R> {
    // SAFETY: attached; static text.
    if unsafe { ffi::Py_EnterRecursiveCall(c" while calling a Python object".as_ptr()) } != 0 {
        return Err(Raised::already());
    }
    let answer = user();
    // SAFETY: entered above.
    unsafe { ffi::Py_LeaveRecursiveCall() }
    answer
}

/// An address that tells this thread from every other, as `threading.get_ident` does.
#[inline]
pub(crate) fn thread_ident() -> u64 {
    // SAFETY: no precondition.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}

/// What an exception that nobody can catch is reported with.
pub(crate) fn write_unraisable(raised: Raised, context: &Object) {
    let _ = raised;
    // SAFETY: an exception is set, as `raised` says.
    unsafe { ffi::PyErr_WriteUnraisable(context.as_ptr()) }
}

const _: () = assert!(size_of::<&Object>() == size_of::<*mut c_void>());
