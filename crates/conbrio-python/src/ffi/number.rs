//! The descriptor that a Python socket has at this moment, read where `_socket` keeps it.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::call::is_instance;
use super::object::Object;

/// How `_socket`'s objects begin.
#[repr(C)]
struct Head {
    object: ffi::PyObject,
    number: c_int,
    family: c_int,
}

/// The descriptor of a socket, -1 once it is closed; nothing for what is no instance of `class`, which is `_socket`'s, and
/// where such objects begin otherwise.
#[inline]
pub(crate) fn socket_number(py: Python<'_>, sock: &Object, class: &Object) -> Option<c_int> {
    static PROVEN: PyOnceLock<bool> = PyOnceLock::new();
    if !is_derived(sock, class) || !*PROVEN.get_or_init(py, || is_proven(py, sock, class)) {
        return None;
    }
    Some(head(sock).number)
}

/// Whether it is an instance; Python's own class is derived at once, and is seen so without a call.
#[inline]
fn is_derived(sock: &Object, class: &Object) -> bool {
    // SAFETY: a live object's class.
    let base = unsafe { (*sock.class()).tp_base };
    std::ptr::eq(base.cast(), class.as_ptr()) || is_instance(sock, class)
}

#[inline]
fn head(sock: &Object) -> &Head {
    // SAFETY: the callers have seen that it is an instance of `_socket`'s class and that those are large enough.
    unsafe { &*sock.as_ptr().cast::<Head>() }
}

/// Whether what is read of a socket is what it says of itself.
#[cold]
fn is_proven(py: Python<'_>, sock: &Object, class: &Object) -> bool {
    let agrees = || {
        let (class, object) = (class.bind(py), sock.bind(py));
        if class.getattr("__basicsize__")?.extract::<usize>()? < size_of::<Head>() {
            return Ok(false);
        }
        let number: c_int = class.call_method1("fileno", (object,))?.extract()?;
        let family = class
            .getattr("family")?
            .call_method1("__get__", (object,))?;
        let head = head(sock);
        Ok::<_, PyErr>((number, family.extract()?) == (head.number, head.family))
    };
    agrees().unwrap_or(false)
}
