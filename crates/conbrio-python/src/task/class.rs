//! The class Task: every method, attribute and repr that asyncio's has.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

#[cfg(not(Py_3_14))]
use super::registry;
use super::{Making, Task, initialise};
use crate::ffi::layout::{FutureFields, TaskFields};
use crate::ffi::{
    Args, Builder, Instance, Object, Outcome, Parameters, Ref, call, is_true, object,
};
use crate::future::{self, Future};
use crate::names;

/// The class `Task`, derived from asyncio's.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class<'py>(py: Python<'py>, base: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let doc = if cfg!(Py_3_12) {
        c"Task(coro, *, loop=None, name=None, context=None, eager_start=False)\n--\n\nA coroutine that runs; asyncio.Task made natively."
    } else {
        c"Task(coro, *, loop=None, name=None, context=None)\n--\n\nA coroutine that runs; asyncio.Task made natively."
    };
    let builder = Builder::<Task>::new(doc)
        .subclassable()
        .immutable()
        .new_with(|_, _, _| {
            Ok(Task {
                future: Future(FutureFields::empty()),
                own: TaskFields::empty(),
            })
        })
        .init(init)
        .finalizer(|py, this| {
            // CPython: up to 3.13 weak references list the tasks, and those are gone before the last words.
            #[cfg(not(Py_3_14))]
            registry::forget(this);
            this.report_end(py);
        })
        .repr(|py, this| call(py, names::task_repr(py)?, &[this.object()]));
    let builder = future::methods(builder, |this| this.future());
    attributes(names_and_context(cancelling(stacks(refused(builder))))).create(py, Some(base))
}

/// `__init__(coro, *, loop=None, name=None, context=None, eager_start=False)`.
fn init(
    py: Python<'_>,
    this: &Instance<Task>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let args = args
        .bind(py)
        .to_owned()
        .cast_into::<PyTuple>()
        .map_err(PyErr::from)?;
    if args.len() > 1 {
        let text = format!(
            "Task() takes exactly 1 positional argument ({} given)",
            args.len()
        );
        return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
    }
    let mut given: [Option<Ref>; 5] = [const { None }; 5];
    let [place, ..] = &mut given;
    *place = args.get_item(0).ok().map(Ref::from);
    if let Some(keywords) = keywords {
        assign(py, keywords, &mut given)?;
    }
    let [Some(coroutine), event_loop, name, context, eager] = &given else {
        return Err(pyo3::exceptions::PyTypeError::new_err(
            "Task() missing required argument 'coro' (pos 1)",
        )
        .into());
    };
    let eager = eager
        .as_ref()
        .map_or(Ok(false), |eager| is_true(py, eager))?;
    let making = Making {
        coroutine,
        name: name.as_deref(),
        context: context.as_deref(),
        eager,
    };
    initialise(py, this, event_loop.as_deref(), &making)
}

/// Assigns keywords to `coro`, `loop`, `name`, `context` and `eager_start`.
fn assign(py: Python<'_>, keywords: &Object, given: &mut [Option<Ref>; 5]) -> Outcome<()> {
    let known = ["coro", "loop", "name", "context", "eager_start"];
    let known = if cfg!(Py_3_12) {
        &known[..]
    } else {
        known.get(..4).unwrap_or_default()
    };
    for (name, value) in keywords
        .bind(py)
        .cast::<PyDict>()
        .map_err(PyErr::from)?
        .iter()
    {
        let text = name.extract::<String>()?;
        let place = known
            .iter()
            .position(|known| *known == text)
            .and_then(|index| given.get_mut(index));
        let Some(place) = place else {
            let text = format!("Task() got an unexpected keyword argument '{text}'");
            return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
        };
        if place.replace(value.into()).is_some() {
            let text = format!("argument for Task() given by name ('{text}') and position (1)");
            return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
        }
    }
    Ok(())
}

/// What a future can do and a task cannot.
fn refused(builder: Builder<Task>) -> Builder<Task> {
    builder
        .one(
            c"set_result",
            c"set_result($self, result, /)\n--\n\n",
            |_, _, _| {
                Err(PyRuntimeError::new_err("Task does not support set_result operation").into())
            },
        )
        .one(
            c"set_exception",
            c"set_exception($self, exception, /)\n--\n\n",
            |_, _, _| {
                Err(PyRuntimeError::new_err("Task does not support set_exception operation").into())
            },
        )
}

fn stacks(builder: Builder<Task>) -> Builder<Task> {
    builder
        .method(
            c"get_stack",
            c"get_stack($self, /, *, limit=None)\n--\n\nReturn the list of stack frames for this task's coroutine.",
            |py, this, args| {
                let [limit] = keyword_only(py, args, "get_stack", [names::limit(py)])?;
                let none = Ref::none();
                call(py, names::task_get_stack(py)?, &[this.object(), limit.unwrap_or(&none)])
            },
        )
        .method(
            c"print_stack",
            c"print_stack($self, /, *, limit=None, file=None)\n--\n\nPrint the stack or traceback for this task's coroutine.",
            |py, this, args| {
                let [limit, file] = keyword_only(py, args, "print_stack", [names::limit(py), names::file(py)])?;
                let none = Ref::none();
                let (limit, file) = (limit.unwrap_or(&none), file.unwrap_or(&none));
                call(py, names::task_print_stack(py)?, &[this.object(), limit, file])
            },
        )
}

fn keyword_only<'a, const N: usize>(
    _py: Python<'_>,
    args: Args<'a>,
    function: &str,
    names: [&Bound<'_, pyo3::types::PyString>; N],
) -> Outcome<[Option<&'a Object>; N]> {
    args.parse(&Parameters {
        function,
        names,
        positional: 0,
        required: 0,
    })
}

fn cancelling(builder: Builder<Task>) -> Builder<Task> {
    builder
        .method(
            c"cancel",
            c"cancel($self, /, msg=None)\n--\n\nRequest that this task cancel itself.",
            |py, this, args| {
                let [message] = args.parse(&Parameters {
                    function: "cancel",
                    names: [names::msg(py)],
                    positional: 1,
                    required: 0,
                })?;
                this.cancel(py, message).map(Ref::boolean)
            },
        )
        .plain(
            c"cancelling",
            c"cancelling($self, /)\n--\n\nReturn the count of the task's cancellation requests.",
            |py, this| {
                let Ok(count) = this.own.cancels.get().into_pyobject(py);
                Ok(object(&count).share())
            },
        )
        .plain(
            c"uncancel",
            c"uncancel($self, /)\n--\n\nDecrement the task's count of cancellation requests.",
            |py, this| {
                let count = this.own.cancels.get();
                if count > 0 {
                    this.own.cancels.set(count - 1);
                    if cfg!(Py_3_13) && count == 1 {
                        this.set_must_cancel(false);
                    }
                }
                let Ok(count) = this.own.cancels.get().into_pyobject(py);
                Ok(object(&count).share())
            },
        )
}

fn names_and_context(builder: Builder<Task>) -> Builder<Task> {
    let builder = builder
        .plain(c"get_name", c"get_name($self, /)\n--\n\n", |py, this| {
            Ok(this.name(py))
        })
        .one(
            c"set_name",
            c"set_name($self, value, /)\n--\n\n",
            |py, this, value| {
                this.rename(py, value)?;
                Ok(Ref::none())
            },
        )
        .plain(c"get_coro", c"get_coro($self, /)\n--\n\n", |_, this| {
            Ok(this.own.coroutine.share_or_none())
        });
    if cfg!(Py_3_12) {
        return builder.plain(
            c"get_context",
            c"get_context($self, /)\n--\n\n",
            |_, this| Ok(this.own.context.share_or_none()),
        );
    }
    builder
}

fn attributes(builder: Builder<Task>) -> Builder<Task> {
    builder
        .getter(c"_coro", c"The coroutine.", |_, this| {
            Ok(this.own.coroutine.share_or_none())
        })
        .getter(c"_fut_waiter", c"What it waits for.", |_, this| {
            Ok(this.own.awaited.share_or_none())
        })
        .getter(
            c"_must_cancel",
            c"Whether its next step throws CancelledError.",
            |_, this| Ok(Ref::boolean(this.must_cancel())),
        )
        .property(
            c"_log_destroy_pending",
            c"Whether its death while pending is reported.",
            |_, this| Ok(Ref::boolean(this.logs_destroy())),
            |py, this, value| {
                let Some(value) = value else {
                    return Err(pyo3::exceptions::PyAttributeError::new_err(
                        "cannot delete attribute",
                    )
                    .into());
                };
                this.set_logs_destroy(is_true(py, value)?);
                Ok(())
            },
        )
}
