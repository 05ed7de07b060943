//! Dictionaries and weak references of instances, wherever the running CPython keeps them.

use pyo3::ffi;
use pyo3::prelude::*;

use crate::ffi::visit::Visit;
use crate::ffi::{Object, Outcome, Ref};

/// `Py_TPFLAGS_MANAGED_WEAKREF` and `Py_TPFLAGS_MANAGED_DICT`: the base keeps these before the object's head.
#[cfg(Py_3_12)]
const MANAGED: u64 = 1 << 3 | 1 << 4;
#[cfg(not(Py_3_12))]
const MANAGED: u64 = 0;

/// `Py_TPFLAGS_INLINE_VALUES`: the first attributes lie in the object itself. Below 3.13 the bit has no meaning.
const INLINE: u64 = 1 << 2;

#[cfg(Py_3_13)]
unsafe extern "C" {
    fn PyObject_VisitManagedDict(
        object: *mut ffi::PyObject,
        visit: ffi::visitproc,
        arg: *mut std::ffi::c_void,
    ) -> std::ffi::c_int;
    fn PyObject_ClearManagedDict(object: *mut ffi::PyObject);
}

/// How many bytes instances of `base` (a class, or a tuple whose first item is the one with a layout) take, and which
/// of its flags a derived class repeats.
pub(in crate::ffi) fn base_size_and_flags(base: &Bound<'_, PyAny>) -> (usize, u64) {
    let first = base
        .get_item(0)
        .ok()
        .filter(|_| base.is_instance_of::<pyo3::types::PyTuple>());
    let kind = first
        .as_ref()
        .unwrap_or(base)
        .as_ptr()
        .cast::<ffi::PyTypeObject>();
    // SAFETY: `kind` is a live class.
    unsafe {
        (
            (*kind).tp_basicsize.unsigned_abs(),
            (*kind).tp_flags & MANAGED,
        )
    }
}

/// Whether the native class (not one derived from it) has its dictionary before the object's head.
#[cfg(Py_3_13)]
unsafe fn is_managed(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller passes a live class.
    unsafe { (*kind).tp_flags & (1 << 4) != 0 && (*kind).tp_basicsize >= 0 }
}

/// Whether all that a class made by Python adds to its native base stands before the object's head, made when it is
/// first asked for.
pub(in crate::ffi) fn keeps_attributes_before_head(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller passes a live class.
    cfg!(Py_3_13)
        && unsafe {
            let base = (*kind).tp_base;
            (*kind).tp_flags & MANAGED == MANAGED
                && (*kind).tp_flags & INLINE == 0
                && (*kind).tp_basicsize == (*base).tp_basicsize
        }
}

/// Clears weak references and the dictionary of a dying object.
///
/// # Safety
/// `object` is an untracked instance of `kind`, about to be freed.
#[inline]
pub(in crate::ffi) unsafe fn forget_attributes(
    object: *mut ffi::PyObject,
    kind: *mut ffi::PyTypeObject,
    native: *mut ffi::PyTypeObject,
) {
    // SAFETY: promised by the caller; the offset is that of a word of this object, before its head or in it.
    unsafe {
        let offset = (*kind).tp_weaklistoffset;
        // Bench: task_spawn; hardly any object has weak references or attributes, and the calls cost more than a look.
        if offset != 0 && !word(object, offset).is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        // Attributes that lie in the object itself, as in a derived class, leave the word empty.
        #[cfg(Py_3_13)]
        if is_managed(native)
            && ((*kind).tp_flags & INLINE != 0 || !word(object, MANAGED_DICTIONARY).is_null())
        {
            PyObject_ClearManagedDict(object);
        }
    }
    #[cfg(not(Py_3_13))]
    let _ = native;
}

/// Where the dictionary stands that the base keeps before the head. CPython: `MANAGED_DICT_OFFSET`.
#[cfg(Py_3_12)]
const MANAGED_DICTIONARY: isize = -3 * size_of::<usize>().cast_signed();

/// Has instances of a class keep their attributes in a dictionary: room for thirty in each object, as CPython makes it
/// from 3.14 on, is more than a task or a future takes otherwise, and hardly one has any.
///
/// # Safety
/// `kind` is a class of ours that has no instances yet.
pub(in crate::ffi) unsafe fn keep_attributes_outside(kind: *mut ffi::PyTypeObject) {
    // SAFETY: promised by the caller; a flag that is looked at whenever an object is made or asked.
    unsafe { (*kind).tp_flags &= !INLINE }
}

/// The dictionary of `object`'s own attributes; none where the interpreter keeps one before the head and has not made it
/// yet, which it does when it is first asked for.
///
/// # Errors
/// `AttributeError` where there cannot be one.
pub(crate) fn own_dictionary(_py: Python<'_>, object: &Object) -> Outcome<Option<Ref>> {
    // SAFETY: a live object, whose class says where the word is if it has one of its own.
    let kept = unsafe {
        let place = (*object.class()).tp_dictoffset;
        (place > 0).then(|| word(object.as_ptr(), place))
    };
    if let Some(kept) = kept {
        // SAFETY: the object owns its dictionary.
        return Ok((!kept.is_null()).then(|| unsafe { Object::from_ptr(kept) }.share()));
    }
    #[cfg(Py_3_12)]
    {
        // SAFETY: a live object; where the flag says so, the word is in its allocation.
        let kept = unsafe {
            ((*object.class()).tp_flags & (1 << 4) != 0)
                .then(|| word(object.as_ptr(), MANAGED_DICTIONARY))
        };
        // CPython: `_PyDictOrValues_IsValues`; attributes that have no dictionary yet are told by the lowest bit.
        if kept.is_some_and(|kept| kept.is_null() || kept.addr() & 1 != 0) {
            return Ok(None);
        }
    }
    // SAFETY: attached; a new reference, or an exception is set.
    unsafe {
        Ref::returned(ffi::PyObject_GenericGetDict(
            object.as_ptr(),
            std::ptr::null_mut(),
        ))
        .map(Some)
    }
}

/// # Safety
/// `offset` is that of a word in the allocation of `object`.
#[inline]
unsafe fn word(object: *mut ffi::PyObject, offset: isize) -> *mut ffi::PyObject {
    // SAFETY: promised by the caller.
    unsafe { *object.byte_offset(offset).cast::<*mut ffi::PyObject>() }
}

/// Whether the collector has had the object's last words said, so that it would not ask for them again.
///
/// # Safety
/// `object` has the collector's head.
#[inline]
pub(in crate::ffi) unsafe fn is_finalized(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the collector's head is the two words before the object. CPython: `_PyGC_PREV_MASK_FINALIZED`.
    unsafe { word(object, -size_of::<usize>().cast_signed()).addr() & 1 != 0 }
}

/// Shows the collector a dictionary that the native class keeps before the object's head.
///
/// # Safety
/// `object` is a live instance of `native` or of a derived class.
pub(in crate::ffi) unsafe fn visit_attributes(
    object: *mut ffi::PyObject,
    native: *mut ffi::PyTypeObject,
    visit: &mut Visit<'_>,
) {
    #[cfg(Py_3_13)]
    // SAFETY: promised by the caller; the collector's own callback.
    unsafe {
        if is_managed(native) {
            visit.relay(|function, arg| PyObject_VisitManagedDict(object, function, arg));
        }
    }
    #[cfg(not(Py_3_13))]
    let _ = (object, native, visit);
}

/// Clears such a dictionary.
///
/// # Safety
/// As `visit_attributes`.
pub(in crate::ffi) unsafe fn clear_attributes(
    object: *mut ffi::PyObject,
    native: *mut ffi::PyTypeObject,
) {
    #[cfg(Py_3_13)]
    // SAFETY: promised by the caller.
    unsafe {
        if is_managed(native) {
            PyObject_ClearManagedDict(object);
        }
    }
    #[cfg(not(Py_3_13))]
    let _ = (object, native);
}

/// Adds a second and further awaiting task, in a set, as CPython's own futures keep them.
#[cfg(Py_3_14)]
#[cold]
pub(super) fn add_awaited_by(fields: &super::FutureFields, task: &Object) {
    use crate::ffi::object::Ref;
    let Some(held) = fields.awaited_by.share() else {
        return;
    };
    // SAFETY: live objects; a failure only leaves the call graph incomplete.
    unsafe {
        if fields.awaited_by_is_set().get() == 0 {
            let set = ffi::PySet_New(std::ptr::null_mut());
            if set.is_null() {
                return ffi::PyErr_Clear();
            }
            let set = Ref::steal(set);
            for one in [held.as_ptr(), task.as_ptr()] {
                if ffi::PySet_Add(set.as_ptr(), one) < 0 {
                    return ffi::PyErr_Clear();
                }
            }
            fields.awaited_by_is_set().set(1);
            fields.awaited_by.set(set);
        } else if ffi::PySet_Add(held.as_ptr(), task.as_ptr()) < 0 {
            ffi::PyErr_Clear();
        }
    }
}

/// Removes a task from such a set.
#[cfg(Py_3_14)]
#[cold]
pub(super) fn remove_awaited_by(fields: &super::FutureFields, task: &Object) {
    let Some(set) = fields.awaited_by.share() else {
        return;
    };
    // SAFETY: live objects; a failure only leaves the call graph incomplete.
    unsafe {
        if ffi::PySet_Discard(set.as_ptr(), task.as_ptr()) < 0 {
            ffi::PyErr_Clear();
        }
    }
}
