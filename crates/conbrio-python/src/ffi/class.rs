//! Making native classes: one generic description of slots, methods and attributes, turned into a CPython heap type.
//!
//! A method is a plain function or a closure that captures nothing; its trampoline is generated per function, so the
//! call costs nothing beyond CPython's own protocol. A Rust panic in one becomes a Python exception.

use std::ffi::{CStr, c_int, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::args::Args;
use super::coroutine_function::{self, Convention};
use super::instance::{Class, Instance, clear, dealloc, traverse};
use super::object::{Object, Outcome, Ref};
use super::send::Step;
use super::trampoline::{self, Stateless};

/// The description of a class, under construction.
pub(crate) struct Builder<T> {
    methods: Vec<ffi::PyMethodDef>,
    attributes: Vec<ffi::PyGetSetDef>,
    slots: Vec<ffi::PyType_Slot>,
    members: Vec<ffi::PyMemberDef>,
    /// Which methods Python takes for coroutine functions.
    coroutines: Vec<(&'static CStr, Convention)>,
    flags: c_ulong,
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
            coroutines: Vec::new(),
            flags: ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC,
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

    /// Says where in the value a field lies of which CPython wants to know.
    fn member(&mut self, name: &'static CStr, field: usize) {
        self.members.push(ffi::PyMemberDef {
            name: name.as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: (T::OFFSET + field).cast_signed(),
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        });
    }

    /// Lets Python classes derive from this one.
    pub(crate) fn subclassable(mut self) -> Self {
        self.flags |= ffi::Py_TPFLAGS_BASETYPE;
        self
    }

    /// Lets nobody set attributes on the class.
    pub(crate) fn immutable(mut self) -> Self {
        self.flags |= ffi::Py_TPFLAGS_IMMUTABLETYPE;
        self
    }

    /// Refuses to be called from Python.
    pub(crate) fn made_natively(mut self) -> Self {
        self.flags |= ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
        self
    }

    /// Leaves `__doc__` to a getter: what the class says would stand before it.
    pub(crate) fn documented_singly(mut self) -> Self {
        self.slots.retain(|each| each.slot != ffi::Py_tp_doc);
        self
    }

    /// Gives instances a dictionary and weak references, kept in the value's fields at these offsets.
    pub(crate) fn with_attributes(mut self, dict: usize, weak_references: usize) -> Self {
        self.member(c"__dictoffset__", dict);
        self.member(c"__weaklistoffset__", weak_references);
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
        self.slot(ffi::Py_tp_new, trampoline::new::<T, F> as *mut c_void);
        self
    }

    /// The same, and hears of the instance before anybody else does.
    pub(crate) fn new_heard<F, G>(mut self, _function: F, _heard: G) -> Self
    where
        F: Fn(Python<'_>, &Object, Option<&Object>) -> Outcome<T> + Stateless,
        G: Fn(Python<'_>, &Instance<T>) + Stateless,
    {
        let new = trampoline::new_heard::<T, F, G> as *mut c_void;
        self.slot(ffi::Py_tp_new, new);
        self
    }

    /// `__init__`, with positional and keyword arguments.
    pub(crate) fn init<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>, &Object, Option<&Object>) -> Outcome<()> + Stateless,
    {
        self.slot(ffi::Py_tp_init, trampoline::init::<T, F> as *mut c_void);
        self
    }

    /// A method with any arguments.
    pub(crate) fn method<F>(mut self, name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'a> Fn(Python<'_>, &'a Instance<T>, Args<'a>) -> Outcome<Ref> + Stateless,
    {
        self.methods.push(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: trampoline::method::<T, F>,
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
        self.methods.push(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: trampoline::plain::<T, F>,
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
                PyCFunction: trampoline::one::<T, F>,
            },
            ml_flags: ffi::METH_O,
            ml_doc: doc.as_ptr(),
        });
        self
    }

    /// A method with one argument that may be given by its name. `names` tells the method's and the argument's.
    pub(crate) fn named<N, F>(
        mut self,
        name: &'static CStr,
        doc: &'static CStr,
        _names: N,
        _function: F,
    ) -> Self
    where
        N: Fn(Python<'_>) -> (&'static str, &Bound<'_, PyString>) + Stateless,
        F: for<'a> Fn(Python<'_>, &'a Instance<T>, &'a Object) -> Outcome<Ref> + Stateless,
    {
        self.methods.push(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: trampoline::named::<T, N, F>,
            },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: doc.as_ptr(),
        });
        self
    }

    /// Has Python take the method described last for a coroutine function.
    pub(crate) fn coroutine(mut self) -> Self {
        let last = self.methods.last().map(|method| {
            // SAFETY: every description was made with a static name.
            let name = unsafe { CStr::from_ptr(method.ml_name) };
            (name, Convention::of(method))
        });
        self.coroutines.extend(last);
        self
    }

    /// Makes instances callable and has them bind to others as functions do; the field at this offset says what is called.
    pub(super) fn binds_as_a_function(mut self, vectorcall: usize) -> Self {
        self.flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
        self.member(c"__vectorcalloffset__", vectorcall);
        self.slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void);
        self.slot(
            ffi::Py_tp_descr_get,
            coroutine_function::bind as *mut c_void,
        );
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
            get: Some(trampoline::get::<T, F>),
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
            get: Some(trampoline::get::<T, F>),
            set: Some(trampoline::set::<T, G>),
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
        self.slot(ffi::Py_tp_repr, trampoline::unary::<T, F> as *mut c_void);
        self
    }

    /// `__await__` and `__iter__`.
    pub(crate) fn awaited<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Ref> + Stateless,
    {
        self.slot(ffi::Py_am_await, trampoline::unary::<T, F> as *mut c_void);
        self.slot(ffi::Py_tp_iter, trampoline::unary::<T, F> as *mut c_void);
        self
    }

    /// Makes instances iterators that coroutines can be suspended on: `__next__` and the native send.
    pub(crate) fn advanced<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) -> Outcome<Step> + Stateless,
    {
        self.slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void);
        self.slot(ffi::Py_tp_iternext, trampoline::next::<T, F> as *mut c_void);
        self.slot(ffi::Py_am_send, trampoline::send::<T, F> as *mut c_void);
        self
    }

    /// Makes instances their own iterators when they are awaited.
    pub(crate) fn awaits_itself(mut self) -> Self {
        self.slot(ffi::Py_am_await, ffi::PyObject_SelfIter as *mut c_void);
        self
    }

    /// Last words, said once before the object dies or when the collector finds it dead.
    pub(crate) fn finalizer<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>) + Stateless,
    {
        self.slot(
            ffi::Py_tp_finalize,
            trampoline::finalize::<T, F> as *mut c_void,
        );
        self
    }

    /// Hears of each attribute set on or deleted from an instance, after it has happened.
    pub(crate) fn attribute_set<F>(mut self, _function: F) -> Self
    where
        F: Fn(Python<'_>, &Instance<T>, &Object) + Stateless,
    {
        self.slot(
            ffi::Py_tp_setattro,
            trampoline::setattro::<T, F> as *mut c_void,
        );
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
        // SAFETY: just made: it has no instances yet.
        unsafe { super::layout::keep_attributes_outside(kind.as_ptr().cast()) };
        T::state().publish(kind.as_ptr().cast());
        for (name, convention) in self.coroutines {
            coroutine_function::replace_method(&kind, T::state(), name, convention)?;
        }
        // The class lives as long as the process: natives refer to it by address.
        std::mem::forget(kind.clone());
        Ok(kind)
    }
}

fn leak<E>(table: Vec<E>) -> *mut c_void {
    Box::leak(table.into_boxed_slice()).as_mut_ptr().cast()
}
