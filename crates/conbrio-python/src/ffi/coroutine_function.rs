//! `CoroutineFunction`: a native function or method that Python takes for an `async def`.
//!
//! A built-in function cannot say that what it returns is to be awaited, and mocks, frameworks and decorators ask
//! (`inspect.iscoroutinefunction`). This one carries the marks by which CPython lets others say it, binds as a Python
//! function does, and calls the same C code without a step between.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem::offset_of;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::class::Builder;
use super::instance::{Class, ClassState, Instance, Own};
use super::object::{Outcome, Ref, Slot, object};
use super::visit::Visit;

unsafe extern "C" {
    fn PyMethod_New(
        function: *mut ffi::PyObject,
        instance: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// What stands for a coroutine function.
#[repr(C)]
pub(super) struct CoroutineFunction {
    vectorcall: ffi::vectorcallfunc,
    /// How the C code wants to be called.
    convention: Convention,
    /// Of which class the first argument has to be, if it is a method.
    class: Option<&'static ClassState>,
    /// The built-in function or method descriptor.
    inner: Slot,
    /// The code of asyncio's function in whose place it stands.
    code: Slot,
    dict: Slot,
    weak_references: Cell<usize>,
}

/// C code, by how it wants its arguments.
#[derive(Clone, Copy)]
pub(super) enum Convention {
    /// The instance alone.
    Plain(ffi::PyCFunction),
    /// The instance, values, their number, and names of the last of them.
    Any(ffi::PyCFunctionFastWithKeywords),
    /// Something else: the built-in sees to it.
    Other,
}

impl Convention {
    /// How the described function is called.
    pub(super) fn of(definition: &ffi::PyMethodDef) -> Self {
        // SAFETY: the flags say which member of the union it is.
        unsafe {
            if definition.ml_flags == ffi::METH_NOARGS {
                Self::Plain(definition.ml_meth.PyCFunction)
            } else if definition.ml_flags == ffi::METH_FASTCALL | ffi::METH_KEYWORDS {
                Self::Any(definition.ml_meth.PyCFunctionFastWithKeywords)
            } else {
                Self::Other
            }
        }
    }
}

static STATE: ClassState = ClassState::new();

impl Class for CoroutineFunction {
    const NAME: &'static CStr = c"conbrio._conbrio.CoroutineFunction";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.inner);
        visit.slot(&self.code);
        visit.slot(&self.dict);
    }

    // Nothing: it lives as long as its class does, and is called until then.
    fn clear(&self) {}
}

/// What is looked for on a coroutine function that is no `async def`; `None` where nobody does.
struct Marks {
    inspects: Py<PyAny>,
    asyncios: Py<PyAny>,
}

static MARKS: PyOnceLock<Marks> = PyOnceLock::new();

fn find_marks(py: Python<'_>) -> PyResult<()> {
    let inspects = if cfg!(Py_3_13) {
        "_is_coroutine_mark"
    } else {
        "_is_coroutine_marker"
    };
    let mark = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
        let mark = py.import(module)?.getattr_opt(name)?;
        Ok(mark.map_or_else(|| py.None(), Bound::unbind))
    };
    let marks = Marks {
        inspects: mark("inspect", inspects)?,
        asyncios: mark("asyncio.coroutines", "_is_coroutine")?,
    };
    let _ = MARKS.set(py, marks);
    Ok(())
}

/// Makes the class.
///
/// # Errors
/// What CPython refuses.
pub(crate) fn make_class(py: Python<'_>) -> PyResult<()> {
    find_marks(py)?;
    Builder::<CoroutineFunction>::new(c"A native function that returns what is to be awaited.")
        .documented_singly()
        .made_natively()
        .immutable()
        .binds_as_a_function(offset_of!(CoroutineFunction, vectorcall))
        .with_attributes(
            offset_of!(CoroutineFunction, dict),
            offset_of!(CoroutineFunction, weak_references),
        )
        .getter(c"_is_coroutine_marker", c"For `inspect`.", |py, _| {
            Ok(marked(py, |marks| &marks.inspects))
        })
        .getter(c"_is_coroutine", c"For asyncio.", |py, _| {
            Ok(marked(py, |marks| &marks.asyncios))
        })
        .getter(c"__doc__", c"Its docstring.", |py, this| {
            this.attribute(py, "__doc__")
        })
        .getter(c"__name__", c"Its name.", |py, this| {
            this.attribute(py, "__name__")
        })
        .getter(c"__qualname__", c"Its name and its class's.", |py, this| {
            this.attribute(py, "__qualname__")
        })
        .getter(c"__module__", c"Where it is found.", |py, this| {
            this.attribute(py, "__module__")
        })
        .getter(c"__objclass__", c"Whose method it is.", |py, this| {
            this.attribute(py, "__objclass__")
        })
        .getter(c"__code__", c"Of asyncio's function.", |_, this| {
            Ok(this.code.share_or_none())
        })
        .getter(
            c"__annotations__",
            c"None of its own, as asyncio's have none.",
            |py, _| Ok(object(&PyDict::new(py)).share()),
        )
        .getter(c"__text_signature__", c"For `inspect`.", |py, this| {
            this.attribute(py, "__text_signature__")
        })
        .repr(|py, this| {
            let name = this.attribute(py, "__qualname__")?.bind(py).to_string();
            let text = format!("<coroutine function {name}>");
            Ok(object(&PyString::new(py, &text)).share())
        })
        .plain(
            c"__reduce__",
            c"__reduce__($self, /)\n--\n\nFor pickling.",
            |py, this| {
                let inner = this.inner.share_or_none();
                Ok(object(&inner.bind(py).call_method0("__reduce__")?).share())
            },
        )
        .create(py, None)?;
    Ok(())
}

fn marked(py: Python<'_>, which: fn(&Marks) -> &Py<PyAny>) -> Ref {
    MARKS
        .get(py)
        .map_or_else(Ref::none, |marks| object(which(marks).bind(py)).share())
}

impl Instance<CoroutineFunction> {
    /// An attribute of the built-in.
    fn attribute(&self, py: Python<'_>, name: &str) -> Outcome<Ref> {
        let inner = self.inner.share_or_none();
        Ok(object(&inner.bind(py).getattr(name)?).share())
    }
}

/// Puts one into the place of the method of `class` that is called `name`.
///
/// # Errors
/// `MemoryError`.
pub(super) fn replace_method(
    class: &Bound<'_, PyAny>,
    state: &'static ClassState,
    name: &CStr,
    convention: Convention,
) -> PyResult<()> {
    let name = name.to_string_lossy();
    let inner = class.getattr(&*name)?;
    class.setattr(&*name, made(&inner, Some(state), convention)?)
}

/// Makes one of a module's function.
///
/// # Errors
/// `MemoryError`.
pub(super) fn of_function<'py>(
    inner: &Bound<'py, PyAny>,
    convention: Convention,
) -> PyResult<Bound<'py, PyAny>> {
    made(inner, None, convention)
}

/// The code of the function that asyncio has under the same name, or of another of its coroutine functions.
fn code_of_asyncios<'py>(inner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = inner.py();
    let name = inner.getattr("__qualname__")?.to_string();
    for module in [
        "tasks",
        "locks",
        "queues",
        "streams",
        "taskgroups",
        "timeouts",
    ] {
        let mut found = Some(py.import("asyncio")?.getattr(module)?);
        for part in name.split('.').chain(["__code__"]) {
            found = match found {
                Some(holder) => holder.getattr_opt(part)?,
                None => None,
            };
        }
        if let Some(code) = found {
            return Ok(code);
        }
    }
    py.import("asyncio.tasks")?
        .getattr("sleep")?
        .getattr("__code__")
}

fn made<'py>(
    inner: &Bound<'py, PyAny>,
    class: Option<&'static ClassState>,
    convention: Convention,
) -> PyResult<Bound<'py, PyAny>> {
    let code = code_of_asyncios(inner)?;
    let value = CoroutineFunction {
        vectorcall,
        convention,
        class,
        inner: Slot::holding(object(inner).share()),
        code: Slot::holding(object(&code).share()),
        dict: Slot::empty(),
        weak_references: Cell::new(0),
    };
    let py = inner.py();
    let made = Own::new(py, value)?;
    Ok(made.erase().bind(py).to_owned())
}

/// Calls the C code; what does not fit goes to the built-in, which has the words for it.
unsafe extern "C" fn vectorcall(
    callable: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged_count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with one of ours and as many values as it says; the C code is of the convention and, where
    // there is a class, gets an instance of it first.
    unsafe {
        let this = Instance::<CoroutineFunction>::trust(callable);
        let count = ffi::PyVectorcall_NARGS(flagged_count);
        let (fits, instance, rest, left) = match this.class {
            None => (true, ptr::null_mut(), values, count),
            Some(_) if count == 0 => (false, ptr::null_mut(), values, 0),
            Some(class) => (
                class.covers(ffi::Py_TYPE(*values)),
                *values,
                values.add(1),
                count - 1,
            ),
        };
        match this.convention {
            Convention::Plain(function) if fits && left == 0 && names.is_null() => {
                function(instance, ptr::null_mut())
            }
            Convention::Any(function) if fits => function(instance, rest, left, names),
            _ => {
                let inner = this.inner.share_or_none();
                ffi::PyObject_Vectorcall(inner.as_ptr(), values, flagged_count, names)
            }
        }
    }
}

/// Binds to an instance as a function does.
pub(super) unsafe extern "C" fn bind(
    callable: *mut ffi::PyObject,
    instance: *mut ffi::PyObject,
    _class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with one of ours, and an instance or null.
    unsafe {
        if instance.is_null() || instance == ffi::Py_None() {
            return ffi::Py_NewRef(callable);
        }
        PyMethod_New(callable, instance)
    }
}
