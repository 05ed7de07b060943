//! The class Future: every method, attribute and repr that asyncio's has.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Future, add_done_callback, initialise, iter, remove_done_callback, waiters_shown};
use crate::ffi::layout::{CANCELLED, FutureFields, PENDING};
use crate::ffi::{
    Args, Builder, Class, Instance, Object, Outcome, Parameters, Ref, call, is_true, object,
};
use crate::names;

/// The class `Future`, derived from asyncio's.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class<'py>(py: Python<'py>, base: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let builder = Builder::<Future>::new(
        c"Future(*, loop=None)\n--\n\nA result to come; asyncio.Future made natively.",
    )
    .subclassable()
    .immutable()
    .new_with(|_, _, _| Ok(Future(FutureFields::empty())))
    .init(init)
    .finalizer(|py, this| this.report_unretrieved(py))
    .repr(|py, this| call(py, names::future_repr(py)?, &[this.object()]));
    let builder = endings(methods(builder, |this| this));
    builder.create(py, Some(base))
}

fn init(
    py: Python<'_>,
    this: &Instance<Future>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let args = args.bind(py).len()?;
    if args > 0 {
        let text = format!("Future() takes at most 0 positional arguments ({args} given)");
        return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
    }
    let event_loop = keyword_loop(py, "Future", keywords)?;
    initialise(py, &this.0, event_loop.as_deref(), false)
}

/// The `loop` keyword, the only one a future takes.
fn keyword_loop(py: Python<'_>, class: &str, keywords: Option<&Object>) -> Outcome<Option<Ref>> {
    let Some(keywords) = keywords else {
        return Ok(None);
    };
    let mut event_loop = None;
    for (name, value) in keywords
        .bind(py)
        .cast::<PyDict>()
        .map_err(PyErr::from)?
        .iter()
    {
        if !name.eq(names::event_loop(py))? {
            let text = format!("{class}() got an unexpected keyword argument '{name}'");
            return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
        }
        event_loop = Some(Ref::from(value));
    }
    Ok(event_loop)
}

/// `set_result`, `set_exception` and `cancel`, which tasks have of their own.
fn endings(builder: Builder<Future>) -> Builder<Future> {
    builder
        .one(
            c"set_result",
            c"set_result($self, result, /)\n--\n\nMark the future done and set its result.",
            |py, this, result| {
                this.set_result(py, result.share())?;
                Ok(Ref::none())
            },
        )
        .one(
            c"set_exception",
            c"set_exception($self, exception, /)\n--\n\nMark the future done and set an exception.",
            |py, this, exception| {
                this.set_exception(py, exception)?;
                Ok(Ref::none())
            },
        )
        .method(
            c"cancel",
            c"cancel($self, /, msg=None)\n--\n\nCancel the future and schedule callbacks.",
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
}

/// Adds what futures and tasks have in common; `of` finds the future in the object.
pub(crate) fn methods<T: Class>(
    builder: Builder<T>,
    of: impl Fn(&Instance<T>) -> &Instance<Future> + Copy + 'static,
) -> Builder<T> {
    let builder = builder
        .generic()
        .awaited(move |py, this| iter::begin(py, of(this)))
        .plain(c"result", c"result($self, /)\n--\n\nReturn the result this future represents.", move |py, this| {
            of(this).result(py)
        })
        .plain(c"exception", c"exception($self, /)\n--\n\nReturn the exception that was set on this future.", move |py, this| {
            of(this).exception(py)
        })
        .plain(c"done", c"done($self, /)\n--\n\nReturn True if the future is done.", move |_, this| {
            Ok(Ref::boolean(of(this).0.state.get() != PENDING && !of(this).0.event_loop.is_empty()))
        })
        .plain(c"cancelled", c"cancelled($self, /)\n--\n\nReturn True if the future was cancelled.", move |_, this| {
            Ok(Ref::boolean(of(this).0.state.get() == CANCELLED && !of(this).0.event_loop.is_empty()))
        })
        .plain(c"get_loop", c"get_loop($self, /)\n--\n\nReturn the event loop the Future is bound to.", move |_, this| {
            of(this).check_alive()?;
            Ok(of(this).0.event_loop.share_or_none())
        })
        .method(
            c"add_done_callback",
            c"add_done_callback($self, fn, /, *, context=None)\n--\n\nAdd a callback to be run when the future becomes done.",
            move |py, this, args| add(py, of(this), args),
        )
        .one(
            c"remove_done_callback",
            c"remove_done_callback($self, fn, /)\n--\n\nRemove all instances of a callback from the \"call when done\" list.",
            move |py, this, callback| {
                let Ok(removed) = remove_done_callback(py, of(this), callback)?.into_pyobject(py);
                Ok(object(&removed).share())
            },
        )
        .plain(c"_make_cancelled_error", c"_make_cancelled_error($self, /)\n--\n\nCreate the CancelledError to raise.", move |py, this| {
            of(this).cancelled_error(py)
        });
    attributes(builder, of)
}

fn add(py: Python<'_>, this: &Instance<Future>, args: Args<'_>) -> Outcome<Ref> {
    if let ([callback], false) = (args.positional(), args.has_keywords()) {
        add_done_callback(py, this, callback, None)?;
        return Ok(Ref::none());
    }
    let [callback, context] = args.parse(&Parameters {
        function: "add_done_callback",
        names: [names::fn_(py), names::context(py)],
        positional: 1,
        required: 1,
    })?;
    add_done_callback(py, this, callback.unwrap_or(&Ref::none()), context)?;
    Ok(Ref::none())
}

fn attributes<T: Class>(
    builder: Builder<T>,
    of: impl Fn(&Instance<T>) -> &Instance<Future> + Copy + 'static,
) -> Builder<T> {
    let builder = builder
        .getter(
            c"_state",
            c"PENDING, CANCELLED or FINISHED.",
            move |py, this| {
                of(this).check_alive()?;
                let state = match of(this).0.state.get() {
                    PENDING => pyo3::intern!(py, "PENDING"),
                    CANCELLED => pyo3::intern!(py, "CANCELLED"),
                    _ => pyo3::intern!(py, "FINISHED"),
                };
                Ok(object(state).share())
            },
        )
        .getter(c"_loop", c"The loop.", move |_, this| {
            Ok(of(this).0.event_loop.share_or_none())
        })
        .getter(c"_callbacks", c"Who waits.", move |py, this| {
            of(this).check_alive()?;
            waiters_shown(py, of(this))
        })
        .getter(c"_result", c"The result.", move |_, this| {
            of(this).check_alive()?;
            Ok(of(this).0.result.share_or_none())
        })
        .getter(c"_exception", c"The exception.", move |_, this| {
            of(this).check_alive()?;
            Ok(of(this).0.exception.share_or_none())
        })
        .getter(
            c"_source_traceback",
            c"Where it was made, in debug mode.",
            move |_, this| Ok(of(this).0.source.share_or_none()),
        )
        .property(
            c"_asyncio_future_blocking",
            c"Whether a coroutine has just yielded it.",
            move |_, this| {
                Ok(Ref::boolean(
                    of(this).0.blocks() && !of(this).0.event_loop.is_empty(),
                ))
            },
            move |py, this, value| {
                of(this).check_alive()?;
                let value = value.ok_or_else(cannot_delete)?;
                of(this).0.set_blocks(is_true(py, value)?);
                Ok(())
            },
        );
    written_attributes(builder, of)
}

fn written_attributes<T: Class>(
    builder: Builder<T>,
    of: impl Fn(&Instance<T>) -> &Instance<Future> + Copy + 'static,
) -> Builder<T> {
    let builder = builder
        .property(
            c"_log_traceback",
            c"Whether the exception has still to be reported.",
            move |_, this| {
                of(this).check_alive()?;
                Ok(Ref::boolean(of(this).0.logs()))
            },
            move |py, this, value| {
                let value = value.ok_or_else(cannot_delete)?;
                if is_true(py, value)? {
                    return Err(
                        PyValueError::new_err("_log_traceback can only be set to False").into(),
                    );
                }
                of(this).0.set_logs(false);
                Ok(())
            },
        )
        .property(
            c"_cancel_message",
            c"The message it was cancelled with.",
            move |_, this| Ok(of(this).0.cancel_message.share_or_none()),
            move |_, this, value| {
                let value = value.ok_or_else(cannot_delete)?;
                of(this).0.cancel_message.set(value.share());
                Ok(())
            },
        );
    #[cfg(Py_3_14)]
    let builder = builder.getter(
        c"_asyncio_awaited_by",
        c"Who awaits it: a frozenset, or None.",
        move |py, this| of(this).0.awaited_by_shown(py),
    );
    builder
}

fn cannot_delete() -> crate::ffi::Raised {
    pyo3::exceptions::PyAttributeError::new_err("cannot delete attribute").into()
}
