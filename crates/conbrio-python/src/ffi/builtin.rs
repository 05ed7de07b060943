//! Built-in functions: of a module, and bound to a native object, such as a task's wake-up callback.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;

use super::args::Args;
use super::coroutine_function::{self, Convention};
use super::instance::{Class, Instance};
use super::object::{Object, Outcome, Ref};
use super::trampoline::{Stateless, function, one};

/// The description of a function that takes one argument and is bound to an instance.
pub(crate) struct Builtin(ffi::PyMethodDef);

// SAFETY: the description is only read, and points to static text and code.
unsafe impl Sync for Builtin {}

impl Builtin {
    /// Describes `function`, to be seen as `name`.
    pub(crate) const fn new<T: Class, F>(name: &'static CStr, _function: F) -> Self
    where
        F: for<'a> Fn(Python<'_>, &'a Instance<T>, &'a Object) -> Outcome<Ref> + Stateless,
    {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: one::<T, F>,
            },
            ml_flags: ffi::METH_O,
            ml_doc: std::ptr::null(),
        })
    }

    /// The function bound to `this`, which is an instance of the class it was described for.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn bind<T: Class>(
        &'static self,
        _py: Python<'_>,
        this: &Instance<T>,
    ) -> Outcome<Ref> {
        let description = (&raw const self.0).cast_mut();
        // SAFETY: the description is static; CPython does not write to it.
        unsafe {
            Ref::returned(ffi::PyCFunction_NewEx(
                description,
                this.object().as_ptr(),
                std::ptr::null_mut(),
            ))
        }
    }

    /// Describes a module's function with any arguments.
    pub(crate) const fn of_module<F>(name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'a> Fn(Python<'_>, Args<'a>) -> Outcome<Ref> + Stateless,
    {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: function::<F>,
            },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: doc.as_ptr(),
        })
    }

    /// The function, as one of the module named `module`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn in_module<'py>(
        &'static self,
        py: Python<'py>,
        module: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let description = (&raw const self.0).cast_mut();
        let module = pyo3::types::PyString::new(py, module);
        // SAFETY: the description is static; CPython does not write to it.
        unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyCFunction_NewEx(description, std::ptr::null_mut(), module.as_ptr()),
            )
        }
    }

    /// The same, taken by Python for a coroutine function.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn coroutine_in_module<'py>(
        &'static self,
        py: Python<'py>,
        module: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine_function::of_function(&self.in_module(py, module)?, Convention::of(&self.0))
    }
}
