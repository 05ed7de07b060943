//! The class Op: what coroutines have, and what a task asks of a future that it waits for.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{Op, Stage};
use crate::ffi::{
    Args, Builder, Instance, Object, Outcome, Parameters, Ref, Step, context, is_true, object,
    raise_in_context, stopped_with,
};
use crate::future::{instance_of, invalid_state, thrown};
use crate::names;

/// The class `Op`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Op>::new(c"A wait of conbrio's, awaited once, as a coroutine is.")
        .made_natively()
        .immutable()
        .generic()
        .advanced(|py, this| this.advance(py))
        .awaits_itself()
        .finalizer(never_awaited)
        .repr(|py, this| {
            let name = this.deed.get().name;
            let text = format!("<coroutine object {name} at {:p}>", this.object().as_ptr());
            Ok(object(&PyString::new(py, &text)).share())
        });
    let builder = failure(state(as_future(builder)));
    inspected(as_coroutine(builder)).create(py, None)
}

/// Says that a wait was forgotten, as of a coroutine.
fn never_awaited(py: Python<'_>, this: &Instance<Op>) {
    if this.stage.get() != Stage::Fresh {
        return;
    }
    this.stage.set(Stage::Over);
    let text = format!("coroutine '{}' was never awaited", this.deed.get().name);
    let warned = std::ffi::CString::new(text).map(|text| {
        let kind = py.get_type::<pyo3::exceptions::PyRuntimeWarning>();
        PyErr::warn(py, &kind, &text, 1)
    });
    if let Ok(Err(error)) = warned {
        crate::ffi::write_unraisable(error.into(), this.object());
    }
}

/// What a step is to `send()` and `throw()`.
fn told(py: Python<'_>, step: Outcome<Step>) -> Outcome<Ref> {
    match step? {
        Step::Yield(value) => Ok(value),
        Step::Return(value) => Err(stopped_with(py, &value)),
    }
}

fn as_coroutine(builder: Builder<Op>) -> Builder<Op> {
    builder
        .one(
            c"send",
            c"send($self, value, /)\n--\n\nDrives the wait.",
            |py, this, value| {
                if this.stage.get() == Stage::Fresh && !value.is_none() {
                    let text = "can't send non-None value to a just-started coroutine";
                    return Err(PyTypeError::new_err(text).into());
                }
                told(py, this.advance(py))
            },
        )
        .method(
            c"throw",
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaises in the wait.",
            |py, this, args| {
                let exception = thrown(py, args)?;
                told(py, this.throw(py, exception))
            },
        )
        .plain(
            c"close",
            c"close($self, /)\n--\n\nEnds the wait.",
            |py, this| {
                this.close(py)?;
                Ok(Ref::none())
            },
        )
        .getter(c"__qualname__", c"The name of what made it.", |py, this| {
            Ok(object(&PyString::new(py, this.deed.get().name)).share())
        })
        .getter(c"__name__", c"The last part of that name.", |py, this| {
            let name = this.deed.get().name;
            let last = name.rsplit('.').next().unwrap_or(name);
            Ok(object(&PyString::new(py, last)).share())
        })
        .getter(
            c"cr_await",
            c"The coroutine that it is left to; else nothing that has a name.",
            |_, this| match this.stage.get() {
                Stage::Handed => Ok(this.extra.share_or_none()),
                _ => Ok(Ref::none()),
            },
        )
        .getter(c"cr_running", c"Whether its code runs.", |_, this| {
            Ok(Ref::boolean(this.stage.get() == Stage::Running))
        })
}

/// What tools look at.
fn inspected(builder: Builder<Op>) -> Builder<Op> {
    builder
        .getter(c"cr_frame", c"None: it runs no Python code.", |_, _| {
            Ok(Ref::none())
        })
        .getter(
            c"cr_origin",
            c"None: where it was made is not kept.",
            |_, _| Ok(Ref::none()),
        )
        .getter(
            c"cr_suspended",
            c"Whether it waits to be resumed.",
            |_, this| {
                let fixed = matches!(
                    this.stage.get(),
                    Stage::Fresh | Stage::Running | Stage::Over
                );
                Ok(Ref::boolean(!fixed))
            },
        )
}

fn as_future(builder: Builder<Op>) -> Builder<Op> {
    builder
        .getter(
            c"__class__",
            c"asyncio.Future for what a task waits for: programs ask that whether it is done.",
            |py, this| match this.stage.get() {
                Stage::Pending | Stage::Woken | Stage::Cancelled | Stage::Failed => {
                    Ok(names::future_class(py)?.share())
                }
                _ => Ok(object(&this.object().bind(py).get_type()).share()),
            },
        )
        .property(
            c"_asyncio_future_blocking",
            c"Whether it has just been yielded; None unless it is parked.",
            |_, this| match this.stage.get() {
                Stage::Pending => Ok(Ref::boolean(this.blocks.get())),
                _ => Ok(Ref::none()),
            },
            |py, this, value| {
                let value = value.map_or(Ok(false), |value| is_true(py, value))?;
                this.blocks.set(value);
                Ok(())
            },
        )
        .plain(
            c"get_loop",
            c"get_loop($self, /)\n--\n\nReturn the loop it waits on.",
            |_, this| Ok(this.event_loop.share_or_none()),
        )
        .method(
            c"add_done_callback",
            c"add_done_callback($self, fn, /, *, context=None)\n--\n\nSay who is to be woken.",
            add_done_callback,
        )
        .method(
            c"cancel",
            c"cancel($self, /, msg=None)\n--\n\nEnd the wait by a CancelledError.",
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

/// What it answers of its state.
fn state(builder: Builder<Op>) -> Builder<Op> {
    builder
        .plain(
            c"done",
            c"done($self, /)\n--\n\nReturn True unless it waits.",
            |_, this| Ok(Ref::boolean(this.is_done())),
        )
        .plain(
            c"cancelled",
            c"cancelled($self, /)\n--\n\nReturn True if it was cancelled.",
            |_, this| Ok(Ref::boolean(this.is_cancelled())),
        )
        .one(
            c"set_result",
            c"set_result($self, result, /)\n--\n\nWake it.",
            |py, this, _: &Object| {
                if this.stage.get() != Stage::Pending {
                    return Err(invalid_state(py, "invalid state"));
                }
                this.wake(py)?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"result",
            c"result($self, /)\n--\n\nRaise what it was cancelled with.",
            |py, this| match this.stage.get() {
                Stage::Woken | Stage::Over => Ok(Ref::none()),
                Stage::Cancelled => Err(raise_in_context(&*this.cancelled_error(py)?)),
                Stage::Failed => Err(raise_in_context(&this.message.share_or_none())),
                _ => Err(invalid_state(py, "Result is not set.")),
            },
        )
}

/// How it fails, and what it says of itself under private names.
fn failure(builder: Builder<Op>) -> Builder<Op> {
    builder
        .one(
            c"set_exception",
            c"set_exception($self, exception, /)\n--\n\nFail it.",
            |py, this, exception| {
                let exception = instance_of(py, exception)?;
                if !this.fail(py, exception)? {
                    return Err(invalid_state(py, "invalid state"));
                }
                Ok(Ref::none())
            },
        )
        .plain(
            c"exception",
            c"exception($self, /)\n--\n\nReturn what it failed with.",
            |py, this| match this.stage.get() {
                Stage::Woken | Stage::Over => Ok(Ref::none()),
                Stage::Cancelled => Err(raise_in_context(&*this.cancelled_error(py)?)),
                Stage::Failed => Ok(this.message.share_or_none()),
                _ => Err(invalid_state(py, "Exception is not set.")),
            },
        )
        .getter(c"_state", c"PENDING, CANCELLED or FINISHED.", |py, this| {
            let state = match this.stage.get() {
                Stage::Cancelled => "CANCELLED",
                Stage::Woken | Stage::Failed | Stage::Over => "FINISHED",
                _ => "PENDING",
            };
            Ok(object(&PyString::new(py, state)).share())
        })
        .getter(c"_loop", c"The loop it waits on.", |_, this| {
            Ok(this.event_loop.share_or_none())
        })
}

fn add_done_callback(py: Python<'_>, this: &Instance<Op>, args: Args<'_>) -> Outcome<Ref> {
    let [callback, given] = args.parse(&Parameters {
        function: "add_done_callback",
        names: [names::fn_(py), names::context(py)],
        positional: 1,
        required: 1,
    })?;
    let callback = callback.map_or_else(Ref::none, Object::share);
    let context = match given {
        Some(given) if !given.is_none() => given.share(),
        _ => context::capture(py)?,
    };
    this.keep_in(py, callback, Some(context))?;
    Ok(Ref::none())
}
