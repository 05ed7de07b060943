//! Instances of native classes: where the Rust value lies in the Python object, making, counting and freeing them.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::deaths;
use super::object::{Object, Outcome, Raised, Ref};
use super::visit::Visit;

/// How many dead objects of a class wait to be used again.
/// Bench: `call_soon_burst`, `task_spawn_batch` (fewer, and every batch of 10,000 asks the allocator and wakes the collector).
const SPARE: usize = 4096;

unsafe extern "C" {
    fn _Py_NewReference(object: *mut ffi::PyObject);
}

/// The Rust value behind a native Python class.
pub(crate) trait Class: Sized + 'static {
    /// The class's full name, module first.
    const NAME: &'static CStr;
    /// Where the value begins in the object: after what its base class keeps, or upon the base's own fields where
    /// `layout` has proved them to be the same.
    const OFFSET: usize = size_of::<ffi::PyObject>();
    /// Whether dead objects of exactly this class are kept for the next one.
    const REUSED: bool = false;
    /// Whether the usual derived class's are, instead of this one's: those that `new_usual` makes and no other.
    const USUAL_REUSED: bool = false;

    /// The class's own state: its type object and its spare objects.
    fn state() -> &'static ClassState;

    /// Shows the collector every reference the value holds.
    fn traverse(&self, visit: &mut Visit<'_>);

    /// Drops what can be part of a cycle; the object stays usable.
    fn clear(&self);

    /// Called when the object is about to die, before its fields are dropped.
    fn dies(&self) {}

    /// Whether the object has last words (`finalize`) to say; asked before each one dies.
    fn has_last_words(&self) -> bool {
        false
    }
}

/// Says that a `Self` begins with a `T`, at the same offset of the object.
///
/// # Safety
/// That is so. `begins_with!` proves it where the class is.
pub(crate) unsafe trait BeginsWith<T> {}

/// Says that a class's value begins with another class's, which is its first field; does not compile otherwise.
macro_rules! begins_with {
    ($class:ty, $field:ident: $first:ty) => {
        const _: () = {
            assert!(std::mem::offset_of!($class, $field) == 0);
            assert!(
                <$class as $crate::ffi::Class>::OFFSET == <$first as $crate::ffi::Class>::OFFSET
            );
            let _: fn(&$class) -> &$first = |class| &class.$field;
        };

        // SAFETY: checked above.
        unsafe impl $crate::ffi::BeginsWith<$first> for $class {}
    };
}
pub(crate) use begins_with;

/// What a class knows of itself at run time; touched only by the thread that holds the interpreter's lock.
pub(crate) struct ClassState {
    /// The type object, null before `class::create`.
    kind: AtomicPtr<ffi::PyTypeObject>,
    /// A class derived from it that most instances have, or another class whose value begins with this one's; null
    /// for none.
    usual: AtomicPtr<ffi::PyTypeObject>,
    /// Dead objects, untracked, which keep their reference to the class.
    spare: UnsafeCell<Spare>,
}

/// A stack of dead objects.
struct Spare {
    count: usize,
    objects: [*mut ffi::PyObject; SPARE],
}

// SAFETY: every method that opens the cell runs on a thread that holds the interpreter's lock.
unsafe impl Sync for ClassState {}

impl ClassState {
    /// The state of a class that does not exist yet.
    #[expect(clippy::large_stack_arrays, reason = "a static's value")]
    pub(crate) const fn new() -> Self {
        let spare = Spare {
            count: 0,
            objects: [ptr::null_mut(); SPARE],
        };
        let kind = AtomicPtr::new(ptr::null_mut());
        Self {
            kind,
            usual: AtomicPtr::new(ptr::null_mut()),
            spare: UnsafeCell::new(spare),
        }
    }

    /// The type object.
    #[inline]
    pub(crate) fn kind(&self) -> *mut ffi::PyTypeObject {
        self.kind.load(Ordering::Relaxed)
    }

    /// Remembers the type object that `class::create` has made.
    pub(super) fn publish(&self, kind: *mut ffi::PyTypeObject) {
        self.kind.store(kind, Ordering::Relaxed);
    }

    /// Says which derived class most instances have, or that `class`, whose value begins with this one's, counts too.
    pub(crate) fn expect(&self, class: &Object) {
        self.usual.store(class.as_ptr().cast(), Ordering::Relaxed);
    }

    /// As `expect`, where `T::USUAL_REUSED`: instances of `class` die as those of the native one do.
    pub(crate) fn expect_reused<T: Class>(&self, class: &Object) {
        self.expect(class);
        if T::USUAL_REUSED && super::layout::keeps_attributes_before_head(self.usual()) {
            // SAFETY: a live class made by Python, derived from `T`'s with nothing but managed attributes added: `dealloc`
            // clears those. Classes derived from it find `dealloc` as their base's.
            unsafe { (*self.usual()).tp_dealloc = Some(dealloc::<T>) }
        }
    }

    /// The usual class.
    #[inline]
    fn usual(&self) -> *mut ffi::PyTypeObject {
        self.usual.load(Ordering::Relaxed)
    }

    /// The class whose dead objects are kept.
    #[inline]
    fn reused<T: Class>(&self) -> *mut ffi::PyTypeObject {
        if T::USUAL_REUSED {
            self.usual()
        } else {
            self.kind()
        }
    }

    /// Whether `kind` is the class or derived from it.
    #[inline]
    pub(super) fn covers(&self, kind: *mut ffi::PyTypeObject) -> bool {
        let usual = self.usual.load(Ordering::Relaxed);
        kind == self.kind() || kind == usual || self.is_ancestor_of(kind, usual)
    }

    fn is_ancestor_of(&self, kind: *mut ffi::PyTypeObject, usual: *mut ffi::PyTypeObject) -> bool {
        // SAFETY: live type objects.
        unsafe {
            ffi::PyType_IsSubtype(kind, self.kind()) != 0
                || (!usual.is_null() && ffi::PyType_IsSubtype(kind, usual) != 0)
        }
    }

    #[inline]
    fn pop(&self) -> Option<*mut ffi::PyObject> {
        // SAFETY: the interpreter's lock is held, and nothing here runs Python.
        let spare = unsafe { &mut *self.spare.get() };
        spare.count = spare.count.checked_sub(1)?;
        spare.objects.get(spare.count).copied()
    }

    #[inline]
    fn push(&self, object: *mut ffi::PyObject) -> bool {
        // SAFETY: the interpreter's lock is held, and nothing here runs Python.
        let spare = unsafe { &mut *self.spare.get() };
        let Some(place) = spare.objects.get_mut(spare.count) else {
            return false;
        };
        *place = object;
        spare.count += 1;
        true
    }
}

/// A Python object whose class is, or derives from, the native class `T`; reads as a `T`.
#[repr(transparent)]
pub(crate) struct Instance<T>(Object, PhantomData<T>);

impl<T: Class> Instance<T> {
    /// The object as `T`'s instance, if it is one.
    #[inline]
    pub(crate) fn of(object: &Object) -> Option<&Self> {
        // SAFETY: an object of the class or of a derived one has `T` at the offset.
        T::state()
            .covers(object.class())
            .then(|| unsafe { Self::trust(object.as_ptr()) })
    }

    /// The object as an instance of exactly the native class.
    #[inline]
    pub(crate) fn of_exact(object: &Object) -> Option<&Self> {
        // SAFETY: an object of the class has `T` at the offset.
        (object.class() == T::state().kind()).then(|| unsafe { Self::trust(object.as_ptr()) })
    }

    /// Reads an instance of a class whose value begins with a `T` as an instance of that.
    #[inline]
    pub(crate) fn first_of<U: Class + BeginsWith<T>>(other: &Instance<U>) -> &Self {
        // SAFETY: `BeginsWith` says that a `T` lies where the `U` begins.
        unsafe { Self::trust(other.object().as_ptr()) }
    }

    /// Borrows an object known to be an instance.
    ///
    /// # Safety
    /// `pointer` is a live object of `T`'s class or a derived one for all of `'a`.
    #[inline]
    pub(super) unsafe fn trust<'a>(pointer: *mut ffi::PyObject) -> &'a Self {
        // SAFETY: promised by the caller; the layout is that of `PyObject`.
        unsafe { &*pointer.cast::<Self>() }
    }

    /// The Python object.
    #[inline]
    pub(crate) fn object(&self) -> &Object {
        &self.0
    }

    /// One more reference.
    #[inline]
    pub(crate) fn own(&self) -> Own<T> {
        Own(self.0.share(), PhantomData)
    }

    /// The value's address.
    #[inline]
    pub(super) fn value(&self) -> *mut T {
        // SAFETY: the value lies in the same allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(T::OFFSET).cast() }
    }
}

impl<T: Class> Deref for Instance<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: an instance carries an initialised `T` for as long as it lives.
        unsafe { &*self.value() }
    }
}

/// An owned reference to an instance.
pub(crate) struct Own<T>(Ref, PhantomData<T>);

impl<T: Class> Own<T> {
    /// Makes an object of exactly the native class.
    #[inline]
    pub(crate) fn new(py: Python<'_>, value: T) -> Outcome<Self> {
        let made = Self::new_unseen(py, value)?;
        // SAFETY: a live object with the collector's head, not tracked yet.
        unsafe { ffi::PyObject_GC_Track(made.0.as_ptr().cast()) }
        Ok(made)
    }

    /// Makes an object of the usual derived class without calling that, if it is made as the native class would be.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn new_usual(_py: Python<'_>, value: T) -> Outcome<Option<Self>> {
        let (kind, native) = (T::state().usual(), T::state().kind());
        if kind.is_null() {
            return Ok(None);
        }
        // SAFETY: live classes; memory by the class's own allocator, zeroed and tracked, or a spare object.
        unsafe {
            let address = |slot: Option<ffi::newfunc>| slot.map(|slot| slot as usize);
            let first = |slot: Option<ffi::initproc>| slot.map(|slot| slot as usize);
            if address((*kind).tp_new) != address((*native).tp_new)
                || first((*kind).tp_init) != first((*native).tp_init)
            {
                return Ok(None);
            }
            if T::USUAL_REUSED
                && let Some(pointer) = T::state().pop()
            {
                _Py_NewReference(pointer);
                let made = Self::fill(pointer, value);
                ffi::PyObject_GC_Track(pointer.cast());
                return Ok(Some(made));
            }
            let Some(allocate) = (*kind).tp_alloc else {
                return Ok(None);
            };
            let object = Ref::returned(allocate(kind, 0))?;
            Ok(Some(Self::fill(object.into_ptr(), value)))
        }
    }

    /// As `new`, unseen by the collector until `Object::show`: for what something reachable owns until then.
    #[inline]
    pub(crate) fn new_unseen(_py: Python<'_>, value: T) -> Outcome<Self> {
        let kind = T::state().kind();
        if T::REUSED
            && let Some(pointer) = T::state().pop()
        {
            // SAFETY: a spare object has the class's size, its class, and no live value; it begins a new life.
            unsafe {
                _Py_NewReference(pointer);
                return Ok(Self::fill(pointer, value));
            }
        }
        // SAFETY: `kind` is a live, ready type with the collector's flag.
        let pointer = unsafe { ffi::PyObject_GC_New::<ffi::PyObject>(kind) };
        if pointer.is_null() {
            return Err(Raised::already());
        }
        // SAFETY: fresh memory of the type's size, whose bytes outside the value are zeroed here once.
        unsafe {
            blank::<T>(pointer);
            Ok(Self::fill(pointer, value))
        }
    }

    /// Writes the value.
    ///
    /// # Safety
    /// `pointer` is an initialised, untracked object of the class without a live value.
    #[inline]
    unsafe fn fill(pointer: *mut ffi::PyObject, value: T) -> Self {
        // SAFETY: promised by the caller.
        unsafe {
            pointer.cast::<u8>().add(T::OFFSET).cast::<T>().write(value);
            Self(Ref::steal(pointer), PhantomData)
        }
    }

    /// The reference as `T`'s instance, or back if it is none.
    #[inline]
    pub(crate) fn of(reference: Ref) -> Result<Self, Ref> {
        if Instance::<T>::of(&reference).is_some() {
            Ok(Self(reference, PhantomData))
        } else {
            Err(reference)
        }
    }

    /// Takes over a reference known to be an instance.
    ///
    /// # Safety
    /// `reference` is an object of `T`'s class or a derived one.
    #[inline]
    pub(super) unsafe fn trust(reference: Ref) -> Self {
        Self(reference, PhantomData)
    }

    /// The reference without its class.
    #[inline]
    pub(crate) fn erase(self) -> Ref {
        self.0
    }
}

impl<T: Class> Deref for Own<T> {
    type Target = Instance<T>;

    #[inline]
    fn deref(&self) -> &Instance<T> {
        // SAFETY: `Own` is only made of instances.
        unsafe { Instance::trust(self.0.as_ptr()) }
    }
}

/// Zeroes what lies around the value: fields of the base, dictionary and weak references.
///
/// # Safety
/// `pointer` is memory of the class's `tp_basicsize`.
#[inline]
unsafe fn blank<T: Class>(pointer: *mut ffi::PyObject) {
    let head = size_of::<ffi::PyObject>();
    let body = pointer.cast::<u8>();
    let end = T::OFFSET + size_of::<T>();
    // SAFETY: promised by the caller; the ranges lie inside the object and outside the value.
    unsafe {
        let size = usize::try_from((*T::state().kind()).tp_basicsize).unwrap_or(end);
        if T::OFFSET > head {
            ptr::write_bytes(body.add(head), 0, T::OFFSET - head);
        }
        if size > end {
            ptr::write_bytes(body.add(end), 0, size - end);
        }
    }
}

/// `tp_dealloc` of every native class.
pub(super) unsafe extern "C" fn dealloc<T: Class>(pointer: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with the last reference to an instance gone.
    unsafe {
        if !deaths::begin(pointer, dealloc::<T>) {
            return;
        }
        let kind = ffi::Py_TYPE(pointer);
        let reused = kind == T::state().reused::<T>();
        let instance = Instance::<T>::trust(pointer);
        let silent = reused && !(T::USUAL_REUSED && (*kind).tp_finalize.is_some());
        if (!silent || instance.has_last_words())
            && ffi::PyObject_CallFinalizerFromDealloc(pointer) < 0
        {
            return deaths::end();
        }
        ffi::PyObject_GC_UnTrack(pointer.cast());
        let native = if T::USUAL_REUSED && reused {
            kind
        } else {
            T::state().kind()
        };
        super::layout::forget_attributes(pointer, kind, native);
        instance.dies();
        ptr::drop_in_place(instance.value());
        let reusable =
            (T::REUSED || T::USUAL_REUSED) && reused && !super::layout::is_finalized(pointer);
        // A spare object keeps its reference to the class.
        if !(reusable && T::state().push(pointer)) {
            match (*kind).tp_free {
                Some(free) => free(pointer.cast()),
                None => ffi::PyObject_GC_Del(pointer.cast()),
            }
            ffi::Py_DECREF(kind.cast());
        }
    }
    deaths::end();
}

/// `tp_traverse` of every native class.
pub(super) unsafe extern "C" fn traverse<T: Class>(
    pointer: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut std::ffi::c_void,
) -> std::ffi::c_int {
    // SAFETY: the collector passes a live instance and its own callback.
    unsafe {
        let mut visit = Visit::new(visit, arg);
        visit.pointer(ffi::Py_TYPE(pointer).cast());
        super::layout::visit_attributes(pointer, T::state().kind(), &mut visit);
        Instance::<T>::trust(pointer).traverse(&mut visit);
        visit.answer()
    }
}

/// `tp_clear` of every native class.
pub(super) unsafe extern "C" fn clear<T: Class>(pointer: *mut ffi::PyObject) -> std::ffi::c_int {
    // SAFETY: the collector passes a live instance.
    unsafe {
        Instance::<T>::trust(pointer).clear();
        super::layout::clear_attributes(pointer, T::state().kind());
    }
    0
}

/// The class object of `T`.
pub(crate) fn class_of<T: Class>(py: Python<'_>) -> Bound<'_, PyAny> {
    // SAFETY: `class::create` has published a class that lives as long as the process.
    unsafe { Bound::from_borrowed_ptr(py, T::state().kind().cast()) }
}
