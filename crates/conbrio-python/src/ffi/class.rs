//! Making native classes: one generic description of slots, methods and attributes, turned into a CPython heap type.
//!
//! A method is a plain function or a closure that captures nothing; its trampoline is generated per function, so the
//! call costs nothing beyond CPython's own protocol. A Rust panic in one becomes a Python exception.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::args::Args;
use super::instance::{Class, Instance, clear, dealloc, traverse};
use super::object::{Object, Outcome, Raised, Ref};
use super::send::Step;

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
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

#[cold]
fn panicked(panic: &(dyn std::any::Any + Send)) -> Raised {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    PyRuntimeError::new_err(format!("conbrio: internal error: {text}")).into()
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

/// The description of a class, under construction.
pub(crate) struct Builder<T> {
    methods: Vec<ffi::PyMethodDef>,
    attributes: Vec<ffi::PyGetSetDef>,
    slots: Vec<ffi::PyType_Slot>,
    members: Vec<ffi::PyMemberDef>,
    flags: u64,
    kind: PhantomData<T>,
}

impl<T: Class> Builder<T> {
    /// A class with what every native class has: collection and death.
    pub(crate) fn new(doc: &'static CStr) -> Self {
        let mut builder = Self {
            methods: Vec::new(),
            attributes: Vec::new(),
            slots: Vec::new(),
            members: Vec::new(),
            flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC).into(),
            kind: PhantomData,
        };
        builder.slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast());
        builder.slot(ffi::Py_tp_dealloc, dealloc::<T> as *mut c_void);
        builder.slot(ffi::Py_tp_traverse, traverse::<T> as *mut c_void);
        builder.slot(ffi::Py_tp_clear, clear::<T> as *mut c_void);
        builder
    }

    fn slot(&mut self, slot: c_int, function: *mut c_void) {
        self.slots.push(ffi::PyType_Slot {
            slot,
            pfunc: function,
        });
    }

    /// Lets Python classes derive from this one.
    pub(crate) fn subclassable(mut self) -> Self {
        self.flags |= u64::from(ffi::Py_TPFLAGS_BASETYPE);
        self
    }

    /// Lets nobody set attributes on the class.
    pub(crate) fn immutable(mut self) -> Self {
        self.flags |= u64::from(ffi::Py_TPFLAGS_IMMUTABLETYPE);
        self
    }

    /// Refuses to be called from Python.
    pub(crate) fn made_natively(mut self) -> Self {
        self.flags |= u64::from(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION);
        self
    }

    /// Gives instances a dictionary and weak references, kept in the value's fields at these offsets.
    pub(crate) fn with_attributes(mut self, dict: usize, weak_references: usize) -> Self {
        for (name, field) in [
            (c"__dictoffset__", dict),
            (c"__weaklistoffset__", weak_references),
        ] {
            self.members.push(ffi::PyMemberDef {
                name: name.as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset: (T::OFFSET + field).cast_signed(),
                flags: ffi::Py_READONLY,
                doc: ptr::null(),
            });
        }
        self.attributes.push(ffi::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(ffi::PyObject_GenericGetDict),
            set: Some(ffi::PyObject_GenericSetDict),
            doc: ptr::null(),
            closure: ptr::null_mut(),
        });
        self
    }

    /// Makes the value of an instance that Python constructs, from positional and keyword arguments.
    pub(crate) fn new_with<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Object, Option<&Object>) -> Outcome<T> + Stateless,
    {
        unsafe extern "C" fn new<T: Class, F>(
            kind: *mut ffi::PyTypeObject,
            args: *mut ffi::PyObject,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject
        where
            F: Fn(Python<'_>, &Object, Option<&Object>) -> Outcome<T> + Stateless,
        {
            // SAFETY: CPython passes a class of ours or a derived one, a tuple, and a dictionary or null.
            pointer(guard(|| unsafe {
                let keywords = (!keywords.is_null()).then(|| Object::from_ptr(keywords));
                let value = conjure::<F>()(token(), Object::from_ptr(args), keywords)?;
                let Some(allocate) = (*kind).tp_alloc else {
                    return Err(PyRuntimeError::new_err("no allocator").into());
                };
                let object = Ref::returned(allocate(kind, 0))?;
                Instance::<T>::trust(object.as_ptr()).value().write(value);
                Ok(object)
            }))
        }
        self.slot(ffi::Py_tp_new, new::<T, F> as *mut c_void);
        self
    }

    /// `__init__`, with positional and keyword arguments.
    pub(crate) fn init<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>, &Object, Option<&Object>) -> Outcome<()> + Stateless,
    {
        unsafe extern "C" fn init<T: Class, F>(
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
        self.slot(ffi::Py_tp_init, init::<T, F> as *mut c_void);
        self
    }

    /// A method with any arguments.
    pub(crate) fn method<F>(mut self, name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'a> Fn(Python<'_>, &'a Instance<T>, Args<'a>) -> Outcome<Ref> + Stateless,
    {
        unsafe extern "C" fn method<T: Class, F>(
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
        self.methods.push(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: method::<T, F>,
            },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: doc.as_ptr(),
        });
        self
    }

    /// A method without arguments.
    pub(crate) fn plain<F>(mut self, name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
    {
        unsafe extern "C" fn plain<T: Class, F>(
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
        self.methods.push(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: plain::<T, F>,
            },
            ml_flags: ffi::METH_NOARGS,
            ml_doc: doc.as_ptr(),
        });
        self
    }

    /// A method with one positional argument.
    pub(crate) fn one<F>(mut self, name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'a> Fn(Python<'_>, &'a Instance<T>, &'a Object) -> Outcome<Ref> + Stateless,
    {
        self.methods.push(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: one::<T, F>,
            },
            ml_flags: ffi::METH_O,
            ml_doc: doc.as_ptr(),
        });
        self
    }

    /// Makes the class subscriptable, `Class[item]`, as asyncio's generic classes are.
    pub(crate) fn generic(mut self) -> Self {
        unsafe extern "C" fn class_getitem(
            class: *mut ffi::PyObject,
            item: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython passes the class and the item.
            unsafe { ffi::Py_GenericAlias(class, item) }
        }
        self.methods.push(ffi::PyMethodDef {
            ml_name: c"__class_getitem__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: class_getitem,
            },
            ml_flags: ffi::METH_O | ffi::METH_CLASS,
            ml_doc: c"See PEP 585".as_ptr(),
        });
        self
    }

    /// An attribute that is read by a function.
    pub(crate) fn getter<F>(mut self, name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
    {
        self.attributes.push(ffi::PyGetSetDef {
            name: name.as_ptr(),
            get: Some(get::<T, F>),
            set: None,
            doc: doc.as_ptr(),
            closure: ptr::null_mut(),
        });
        self
    }

    /// An attribute that is read and written (deleted when the value is nothing) by functions.
    pub(crate) fn property<F, G>(
        mut self,
        name: &'static CStr,
        doc: &'static CStr,
        _get: F,
        _set: G,
    ) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
        G: Fn(Python<'_>, &Instance<T>, Option<&Object>) -> Outcome<()> + Stateless,
    {
        self.attributes.push(ffi::PyGetSetDef {
            name: name.as_ptr(),
            get: Some(get::<T, F>),
            set: Some(set::<T, G>),
            doc: doc.as_ptr(),
            closure: ptr::null_mut(),
        });
        self
    }

    /// `__repr__`.
    pub(crate) fn repr<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
    {
        self.slot(ffi::Py_tp_repr, unary::<T, F> as *mut c_void);
        self
    }

    /// `__await__` and `__iter__`.
    pub(crate) fn awaited<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
    {
        self.slot(ffi::Py_am_await, unary::<T, F> as *mut c_void);
        self.slot(ffi::Py_tp_iter, unary::<T, F> as *mut c_void);
        self
    }

    /// Makes instances iterators that coroutines can be suspended on: `__next__` and the native send.
    pub(crate) fn advanced<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Step> + Stateless,
    {
        self.slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void);
        self.slot(ffi::Py_tp_iternext, next::<T, F> as *mut c_void);
        self.slot(ffi::Py_am_send, send::<T, F> as *mut c_void);
        self
    }

    /// Last words, said once before the object dies or when the collector finds it dead.
    pub(crate) fn finalizer<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) + Stateless,
    {
        unsafe extern "C" fn finalize<T: Class, F>(this: *mut ffi::PyObject)
        where
            F: Fn(Python<'_>, &Instance<T>) + Stateless,
        {
            // SAFETY: CPython passes a live instance; an exception set before is put aside and back.
            unsafe {
                let (mut kind, mut value, mut trace) =
                    (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
                ffi::PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut trace);
                let words = guard(|| {
                    conjure::<F>()(token(), Instance::trust(this));
                    Ok(())
                });
                if words.is_err() {
                    ffi::PyErr_WriteUnraisable(this);
                }
                ffi::PyErr_Restore(kind, value, trace);
            }
        }
        self.slot(ffi::Py_tp_finalize, finalize::<T, F> as *mut c_void);
        self
    }

    /// Hears of each attribute set on or deleted from an instance, after it has happened.
    pub(crate) fn attribute_set<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>, &Object) + Stateless,
    {
        unsafe extern "C" fn setattro<T: Class, F>(
            this: *mut ffi::PyObject,
            name: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
        ) -> c_int
        where
            F: Fn(Python<'_>, &Instance<T>, &Object) + Stateless,
        {
            // SAFETY: CPython passes a live instance and a string.
            unsafe {
                let answer = ffi::PyObject_GenericSetAttr(this, name, value);
                if answer == 0 {
                    conjure::<F>()(token(), Instance::trust(this), Object::from_ptr(name));
                }
                answer
            }
        }
        self.slot(ffi::Py_tp_setattro, setattro::<T, F> as *mut c_void);
        self
    }

    /// Makes the class, derived from `base` if given, and remembers it in the class's state.
    ///
    /// # Errors
    /// What CPython refuses; `RuntimeError` when the base keeps more than `T::OFFSET` leaves room for.
    pub(crate) fn create<'py>(
        mut self,
        py: Python<'py>,
        base: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.methods.push(ffi::PyMethodDef::zeroed());
        self.attributes.push(ffi::PyGetSetDef::default());
        let (methods, attributes) = (
            leak(self.methods.split_off(0)),
            leak(self.attributes.split_off(0)),
        );
        self.slot(ffi::Py_tp_methods, methods);
        self.slot(ffi::Py_tp_getset, attributes);
        if !self.members.is_empty() {
            self.members.push(ffi::PyMemberDef::default());
            let members = leak(self.members.split_off(0));
            self.slot(ffi::Py_tp_members, members);
        }
        self.slot(0, ptr::null_mut());
        let (room, inherited) =
            base.map_or((0, 0), |base| super::layout::base_size_and_flags(base));
        let size = room.max(T::OFFSET + size_of::<T>());
        let mut spec = ffi::PyType_Spec {
            name: T::NAME.as_ptr(),
            basicsize: c_int::try_from(size).unwrap_or(c_int::MAX),
            itemsize: 0,
            flags: c_uint::try_from(self.flags | inherited).unwrap_or_default(),
            slots: self.slots.as_mut_ptr(),
        };
        // SAFETY: the description is complete, ends with empty entries, and its tables live for ever.
        let kind = unsafe {
            let base = base.map_or(ptr::null_mut(), Bound::as_ptr);
            Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, base))?
        };
        T::state().publish(kind.as_ptr().cast());
        // The class lives as long as the process: natives refer to it by address.
        std::mem::forget(kind.clone());
        Ok(kind)
    }
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
fn leak<E>(table: Vec<E>) -> *mut c_void {
    Box::leak(table.into_boxed_slice()).as_mut_ptr().cast()
}

unsafe extern "C" fn unary<T: Class, F>(this: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
{
    // SAFETY: CPython passes a live instance.
    pointer(guard(|| unsafe {
        conjure::<F>()(token(), Instance::trust(this))
    }))
}

unsafe extern "C" fn get<T: Class, F>(
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

unsafe extern "C" fn set<T: Class, G>(
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

unsafe extern "C" fn next<T: Class, F>(this: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: Fn(Python<'_>, &Instance<T>) -> Outcome<Step> + Stateless,
{
    // SAFETY: CPython passes a live instance.
    let answer = guard(|| unsafe { conjure::<F>()(token(), Instance::trust(this)) });
    match answer {
        Ok(Step::Yield(value)) => value.into_ptr(),
        Ok(Step::Return(value)) => {
            let _ = super::send::stop_iteration(token(), &value);
            ptr::null_mut()
        }
        Err(_) => ptr::null_mut(),
    }
}

unsafe extern "C" fn send<T: Class, F>(
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
