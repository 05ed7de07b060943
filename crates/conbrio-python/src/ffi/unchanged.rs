//! Whether methods that native code does the work of are still those it knows, on a class and on an instance.

use std::cell::Cell;
use std::ptr;

use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::object::{Object, Outcome, Ref};

/// The attributes of a class as they were when somebody looked first.
///
/// Classes are told apart by the tag that CPython gives a class for its method cache: a change to the class, or to one
/// it derives from, takes the tag away for ever.
pub(crate) struct Unchanged {
    class: Ref,
    known: Vec<(Ref, Ref)>,
    /// The class last found unchanged, and its tag then.
    last: Cell<(*mut ffi::PyTypeObject, u32)>,
}

impl Unchanged {
    /// Remembers what `names` are on `class`.
    ///
    /// # Errors
    /// `AttributeError` when the class lacks one.
    pub(crate) fn of(
        py: Python<'_>,
        class: &Object,
        names: &[&Bound<'_, PyString>],
    ) -> Outcome<Self> {
        let known = names.iter().map(|name| {
            let value = lookup(py, class, name);
            let missing = || PyAttributeError::new_err((*name).clone().unbind());
            let name = Object::share(name.as_any().as_ref());
            Ok((name, value.ok_or_else(missing)?))
        });
        Ok(Self {
            class: class.share(),
            known: known.collect::<Outcome<Vec<_>>>()?,
            last: Cell::new((ptr::null_mut(), 0)),
        })
    }

    /// The class that was looked at.
    pub(crate) fn class(&self) -> &Object {
        &self.class
    }

    /// Whether `dict` has any of their names.
    #[cold]
    pub(crate) fn is_any_in(&self, py: Python<'_>, dict: &Object) -> bool {
        self.known
            .iter()
            .any(|(name, _)| dict.bind(py).contains(name.bind(py)).unwrap_or(true))
    }

    /// Whether `class` has under `name`, an interned one, what was there, or nothing if nothing was.
    pub(crate) fn is_kept_by(
        &self,
        py: Python<'_>,
        class: &Object,
        name: &Bound<'_, PyString>,
    ) -> bool {
        let known = |(known, _): &&(Ref, Ref)| known.as_ptr() == name.as_ptr();
        match (self.known.iter().find(known), lookup(py, class, name)) {
            (Some((_, before)), Some(value)) => before.is(&value),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether `object` is of exactly the class that was looked at.
    #[inline]
    pub(crate) fn is_class_of(&self, object: &Object) -> bool {
        object.class() == self.class.as_ptr().cast()
    }

    /// Whether the class of `object` has all of them as they were.
    #[inline]
    pub(crate) fn holds(&self, _py: Python<'_>, object: &Object) -> bool {
        let class = object.class();
        // SAFETY: a live object's class.
        let tag = unsafe { (*class).tp_version_tag };
        (tag != 0 && self.last.get() == (class, tag)) || self.look(class)
    }

    /// Whether `object` finds the function `number` of the known ones as its own method: not replaced on the instance.
    ///
    /// # Errors
    /// What a getter raises.
    #[inline]
    pub(crate) fn is_method_of(
        &self,
        _py: Python<'_>,
        object: &Object,
        number: usize,
    ) -> Outcome<bool> {
        let Some((name, function)) = self.known.get(number) else {
            return Ok(false);
        };
        // SAFETY: live objects; a method's function lives as long as it does.
        unsafe {
            let method = Ref::returned(ffi::PyObject_GetAttr(object.as_ptr(), name.as_ptr()))?;
            Ok(method.class() == &raw mut PyMethod_Type
                && PyMethod_Function(method.as_ptr()) == function.as_ptr())
        }
    }

    #[cold]
    fn look(&self, class: *mut ffi::PyTypeObject) -> bool {
        // SAFETY: the caller's object keeps its class alive.
        let object = unsafe { Object::from_ptr(class.cast()) };
        let same = self.known.iter().all(|(name, value)| {
            // SAFETY: a live class and a live name; the answer is borrowed, and only compared.
            let found = unsafe { _PyType_Lookup(class, name.as_ptr()) };
            found == value.as_ptr()
        });
        if same {
            // SAFETY: as above; the looks have given it a tag if it can have one.
            let tag = unsafe { (*object.as_ptr().cast::<ffi::PyTypeObject>()).tp_version_tag };
            self.last.set((class, tag));
        }
        same
    }
}

// SAFETY: every method that opens the cell or counts a reference runs on a thread that holds the interpreter's lock.
unsafe impl Send for Unchanged {}
// SAFETY: likewise.
unsafe impl Sync for Unchanged {}

/// What lies under `name` in a class, or in one it derives from: neither a metaclass nor a descriptor has a say.
#[inline]
pub(crate) fn lookup(_py: Python<'_>, class: &Object, name: &Bound<'_, PyString>) -> Option<Ref> {
    // SAFETY: a live class and a live name; the answer is borrowed, or null without an exception.
    unsafe {
        let found = _PyType_Lookup(class.as_ptr().cast(), name.as_ptr());
        (!found.is_null()).then(|| Object::from_ptr(found).share())
    }
}

/// The tag of a class as it is now, which no other class and no changed one has; zero for one that has none.
#[inline]
pub(crate) fn version_tag(class: &Object) -> u32 {
    // SAFETY: a live class.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_version_tag }
}

/// The tag of an object's class.
#[inline]
pub(crate) fn tag_of_class(object: &Object) -> u32 {
    // SAFETY: a live object's class.
    unsafe { (*object.class()).tp_version_tag }
}

unsafe extern "C" {
    fn _PyType_Lookup(
        class: *mut ffi::PyTypeObject,
        name: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The object that a weak reference refers to, while it lives.
///
/// # Errors
/// `TypeError` when it is no weak reference.
#[inline]
pub(crate) fn referent(_py: Python<'_>, reference: &Object) -> Outcome<Option<Ref>> {
    #[cfg(Py_3_13)]
    // SAFETY: a live object; the call gives a new reference or null.
    unsafe {
        let mut found = ptr::null_mut();
        match ffi::PyWeakref_GetRef(reference.as_ptr(), &raw mut found) {
            0 => Ok(None),
            1 => Ok(Some(Ref::steal(found))),
            _ => Err(super::object::Raised::already()),
        }
    }
    #[cfg(not(Py_3_13))]
    // SAFETY: a live object; the call lends a reference, to `None` for a dead one.
    unsafe {
        let found = ffi::PyWeakref_GetObject(reference.as_ptr());
        if found.is_null() {
            return Err(super::object::Raised::already());
        }
        let found = Object::from_ptr(found);
        Ok((!found.is_none()).then(|| found.share()))
    }
}
