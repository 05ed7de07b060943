//! Calls into Python from which a thread may not come back: up to 3.13 an interpreter that ends unwinds other threads.
//!
//! Nothing of ours may run in such a thread any more, as it has lost the interpreter's lock: it stays where it is for
//! ever, as threads do from 3.14 on. Only calls that can run Python code are made through here.

use pyo3::ffi;

type Object = *mut ffi::PyObject;

/// The call of a callable with arguments.
#[inline]
pub(super) unsafe fn vectorcall(
    callable: Object,
    arguments: *const Object,
    count: usize,
    keywords: Object,
) -> Object {
    #[cfg(Py_3_14)]
    // SAFETY: promised by the caller.
    return unsafe { ffi::PyObject_Vectorcall(callable, arguments, count, keywords) };
    #[cfg(not(Py_3_14))]
    // SAFETY: promised by the caller.
    returning(|| unsafe { entry(&raw const VECTORCALL)(callable, arguments, count, keywords) })
}

/// The call of a method, whose object is the first argument.
#[inline]
pub(super) unsafe fn vectorcall_method(
    name: Object,
    arguments: *const Object,
    count: usize,
    keywords: Object,
) -> Object {
    #[cfg(Py_3_14)]
    // SAFETY: promised by the caller.
    return unsafe { ffi::PyObject_VectorcallMethod(name, arguments, count, keywords) };
    #[cfg(not(Py_3_14))]
    // SAFETY: promised by the caller.
    returning(|| unsafe { entry(&raw const VECTORCALL_METHOD)(name, arguments, count, keywords) })
}

/// The call of a callable with a tuple and a dictionary.
#[inline]
pub(super) unsafe fn call(callable: Object, arguments: Object, keywords: Object) -> Object {
    #[cfg(Py_3_14)]
    // SAFETY: promised by the caller.
    return unsafe { ffi::PyObject_Call(callable, arguments, keywords) };
    #[cfg(not(Py_3_14))]
    // SAFETY: promised by the caller.
    returning(|| unsafe { entry(&raw const CALL)(callable, arguments, keywords) })
}

/// The resumption of a coroutine.
#[inline]
pub(super) unsafe fn send(
    coroutine: Object,
    value: Object,
    result: *mut Object,
) -> ffi::PySendResult {
    #[cfg(Py_3_14)]
    // SAFETY: promised by the caller.
    return unsafe { ffi::PyIter_Send(coroutine, value, result) };
    #[cfg(not(Py_3_14))]
    // SAFETY: promised by the caller.
    returning(|| unsafe { entry(&raw const SEND)(coroutine, value, result) })
}

/// Runs what Python called: a thread that is unwound by the interpreter goes no further than here.
#[inline]
pub(super) fn returning<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(not(Py_3_14))]
    let stay = unwound::Stay;
    let answer = body();
    #[cfg(not(Py_3_14))]
    std::mem::forget(stay);
    answer
}

#[cfg(not(Py_3_14))]
use unwound::{CALL, SEND, VECTORCALL, VECTORCALL_METHOD, entry};

#[cfg(not(Py_3_14))]
mod unwound {
    use std::mem::transmute;

    use super::{Object, ffi};

    /// Dropped when a call is unwound: by a panic, which goes on, or by an ending interpreter, and the thread stays.
    pub(super) struct Stay;

    impl Drop for Stay {
        fn drop(&mut self) {
            while !std::thread::panicking() {
                std::thread::park();
            }
        }
    }

    type Vectorcall = unsafe extern "C-unwind" fn(Object, *const Object, usize, Object) -> Object;
    type Call = unsafe extern "C-unwind" fn(Object, Object, Object) -> Object;
    type Send = unsafe extern "C-unwind" fn(Object, Object, *mut Object) -> ffi::PySendResult;

    // SAFETY: the same calling convention, and now it is said that they may unwind.
    pub(super) static VECTORCALL: Vectorcall = unsafe {
        transmute::<unsafe extern "C" fn(Object, *const Object, usize, Object) -> Object, Vectorcall>(
            ffi::PyObject_Vectorcall,
        )
    };

    // SAFETY: as above.
    pub(super) static VECTORCALL_METHOD: Vectorcall = unsafe {
        transmute::<unsafe extern "C" fn(Object, *const Object, usize, Object) -> Object, Vectorcall>(
            ffi::PyObject_VectorcallMethod,
        )
    };

    // SAFETY: as above.
    pub(super) static CALL: Call = unsafe {
        transmute::<unsafe extern "C" fn(Object, Object, Object) -> Object, Call>(
            ffi::PyObject_Call,
        )
    };

    // SAFETY: as above.
    pub(super) static SEND: Send = unsafe {
        transmute::<unsafe extern "C" fn(Object, Object, *mut Object) -> ffi::PySendResult, Send>(
            ffi::PyIter_Send,
        )
    };

    /// The function at `place`, read so that the compiler cannot see which it is: PyO3 has told it that these never
    /// unwind.
    ///
    /// # Safety
    /// `place` is one of the above.
    #[inline]
    pub(super) unsafe fn entry<F: Copy>(place: *const F) -> F {
        // SAFETY: promised by the caller.
        unsafe { place.read_volatile() }
    }
}
