//! `call_soon` and its family, futures and tasks.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{eager, fallback, shape, sleeping};
use crate::engine::Engine;
use crate::ffi::{
    Args, Builder, Instance, Leading, Names, Object, Outcome, Own, Parameters, Ref, as_float,
    call_keyword, call_method, context, float, is_float, is_true, object,
};
use crate::handle::{self, call_at, expire};
use crate::task::{self, Making, Task};
use crate::{future, names};

/// Adds the methods.
pub(super) fn methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .method(
            c"call_soon",
            c"call_soon($self, callback, *args, context=None)\n--\n\nRuns callback(*args) in the next turn, in context or a copy of the caller's; returns its Handle.\n\nRaises RuntimeError when the loop is closed. As asyncio.loop.call_soon. Not thread-safe.",
            call_soon,
        )
        .method(
            c"call_soon_threadsafe",
            c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\nAs call_soon, from any thread and from signal handlers; wakes the loop.\n\nRaises RuntimeError when the loop is closed. As asyncio.loop.call_soon_threadsafe. Thread-safe.",
            call_soon_threadsafe,
        )
        .method(
            c"call_later",
            c"call_later($self, delay, callback, *args, context=None)\n--\n\nRuns callback(*args) after delay seconds; returns its TimerHandle.\n\nRaises TypeError when delay is None, RuntimeError when the loop is closed. As asyncio.loop.call_later. Not thread-safe.",
            call_later,
        )
        .method(
            c"call_at",
            c"call_at($self, when, callback, *args, context=None)\n--\n\nRuns callback(*args) at when, in seconds of time(); returns its TimerHandle.\n\nRaises TypeError when when is None, RuntimeError when the loop is closed. As asyncio.loop.call_at. Not thread-safe.",
            call_at_method,
        )
        .plain(c"time", c"time($self)\n--\n\nThe loop's clock, in seconds: time.monotonic(). As asyncio.loop.time. Thread-safe.", |py, _| {
            float(py, conbrio_core::clock::now())
        })
        .plain(c"create_future", c"create_future($self)\n--\n\nMakes a Future of this loop. As asyncio.loop.create_future. Not thread-safe.", |py, this| {
            if makes_natively(py, this) { Ok(future::create(py, this)?.erase()) } else { fallback::create_future(py, this) }
        })
        .method(
            c"create_task",
            c"create_task($self, coro, **kwargs)\n--\n\nSchedules a coroutine, with name=, context= and eager_start=, and returns its Task.\n\nRaises TypeError when coro is no coroutine, RuntimeError when the loop is closed. As asyncio.loop.create_task. Not thread-safe.",
            create_task,
        )
        .one(c"_add_callback", c"_add_callback($self, handle, /)\n--\n\nRuns a handle in the next turn.", add_callback)
        .one(
            c"_add_callback_signalsafe",
            c"_add_callback_signalsafe($self, handle, /)\n--\n\nAs _add_callback, and wakes the loop.",
            |py, this, handle| {
                let none = add_callback(py, this, handle)?;
                this.wake(py);
                Ok(none)
            },
        )
}

/// The parameters of what takes only a callback: names, and the option.
fn callback_alone(py: Python<'_>) -> Names<'_, 1> {
    ([names::callback(py)], Some(names::context(py)))
}

/// The same of what takes a moment before it.
fn timed_callback<'n>(py: Python<'n>, moment: &'n Bound<'n, PyString>) -> Names<'n, 2> {
    ([moment, names::callback(py)], Some(names::context(py)))
}

/// What debug mode checks: the thread and the callback.
#[cold]
fn check(
    py: Python<'_>,
    this: &Instance<Engine>,
    callback: &Object,
    function: &str,
    any_thread: bool,
) -> Outcome<()> {
    if !any_thread {
        this.check_thread()?;
    }
    let function = PyString::new(py, function);
    call_method(
        py,
        this.object(),
        names::check_callback(py),
        &[callback, object(&function)],
    )
    .map(drop)
}

fn call_soon(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let Leading {
        given: [callback],
        rest,
        option: context,
    } = args.leading("call_soon", || callback_alone(py))?;
    this.check_closed()?;
    if this.debug.get() {
        check(py, this, callback, "call_soon", false)?;
    }
    Ok(handle::call_soon(py, this, callback, rest, context)?.erase())
}

fn call_soon_threadsafe(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let Leading {
        given: [callback],
        rest,
        option: context,
    } = args.leading("call_soon_threadsafe", || callback_alone(py))?;
    this.check_closed()?;
    if this.debug.get() {
        check(py, this, callback, "call_soon_threadsafe", true)?;
    }
    let handle = handle::call_soon_threadsafe(py, this, callback, rest, context)?;
    this.wake(py);
    Ok(handle)
}

fn call_later(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let Leading {
        given: [delay, callback],
        rest,
        option: context,
    } = args.leading("call_later", || timed_callback(py, names::delay(py)))?;
    if delay.is_none() {
        return Err(PyTypeError::new_err("delay must not be None").into());
    }
    if this.thread.get() == 0 {
        shape::look(py, this);
    }
    let when = handle::later(py, this.now(py)?, delay)?;
    if this.plain_timers.get() {
        return timer(py, this, when, callback, rest, context);
    }
    // CPython: `call_later` is `call_at` from now.
    let when = float(py, when)?;
    let call_at = crate::ffi::attribute(py, this.object(), names::call_at(py))?;
    let mut all = vec![&*when, callback];
    all.extend_from_slice(rest);
    let none = Ref::none();
    let context = (names::context(py), context.unwrap_or(&none));
    call_keyword(py, &call_at, &all, context)
}

fn call_at_method(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let Leading {
        given: [when, callback],
        rest,
        option: context,
    } = args.leading("call_at", || timed_callback(py, names::when(py)))?;
    if when.is_none() {
        return Err(PyTypeError::new_err("when cannot be None").into());
    }
    let handle = timer(py, this, as_float(py, when)?, callback, rest, context)?;
    if !is_float(when)
        && let Some(handle) = Instance::<handle::TimerHandle>::of(&handle)
    {
        handle.given_as(when);
    }
    Ok(handle)
}

#[inline]
#[expect(clippy::too_many_arguments, reason = "asyncio's own parameters")]
fn timer(
    py: Python<'_>,
    this: &Instance<Engine>,
    when: f64,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<Ref> {
    this.check_closed()?;
    if this.debug.get() {
        // CPython: call_later leaves the check to call_at.
        check(py, this, callback, "call_at", false)?;
    }
    let handle = if sleeping::ends_by(this, callback, args) {
        call_at(py, this, when, callback, args, context, sleeping::wake)
    } else {
        call_at(py, this, when, callback, args, context, expire)
    };
    Ok(handle?.erase())
}

/// Whether tasks and futures are of our classes.
#[inline]
fn makes_natively(py: Python<'_>, this: &Instance<Engine>) -> bool {
    if this.thread.get() == 0 {
        shape::look_at_classes(py, this);
    }
    !fallback::is_on() && !this.other_classes.get()
}

/// Runs a handle that somebody else has made: ours natively, any other by its `_run`.
fn add_callback(py: Python<'_>, this: &Instance<Engine>, given: &Object) -> Outcome<Ref> {
    if let Some(own) = Instance::<handle::Handle>::of(given) {
        this.push(py, handle::runnable(own));
        return Ok(Ref::none());
    }
    if given.bind(py).getattr("_cancelled")?.is_truthy()? {
        return Ok(Ref::none());
    }
    let run = crate::ffi::attribute(py, given, names::run(py))?;
    let context = context::copy_current(py)?;
    handle::call_soon(py, this, &run, &[], Some(&context))?;
    Ok(Ref::none())
}

/// A task of a coroutine, if `create_task` would make one natively and nobody has put another in its place.
///
/// # Errors
/// `MemoryError`.
pub(super) fn task_of(
    py: Python<'_>,
    this: &Instance<Engine>,
    coroutine: &Object,
) -> Outcome<Option<Own<Task>>> {
    shape::look(py, this);
    if !this.task_factory.is_empty() || !this.plain_tasks.get() || !makes_natively(py, this) {
        return Ok(None);
    }
    let making = Making {
        coroutine,
        name: None,
        context: None,
        eager: false,
    };
    task::create(py, this, &making).map(Some)
}

fn create_task(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    this.check_closed()?;
    let factory = this.task_factory.share();
    let naming = match &factory {
        Some(factory) => eager::naming_by(py, factory)?,
        None => None,
    };
    if naming.is_some() != factory.is_some() || !makes_natively(py, this) {
        return fallback::create_task(py, this, args);
    }
    let [Some(coroutine), name, context, eager] = args.parse(&Parameters {
        function: "create_task",
        names: [
            names::coro(py),
            names::name(py),
            names::context(py),
            names::eager_start(py),
        ],
        positional: 1,
        required: 1,
    })?
    else {
        return Ok(Ref::none());
    };
    let making = Making {
        coroutine,
        name,
        context,
        eager: eager.map_or(Ok(naming.is_some()), |eager| is_true(py, eager))?,
    };
    let made = match naming {
        Some(naming) => naming.create(py, this, making)?,
        None => task::create(py, this, &making)?,
    };
    Ok(made.erase())
}
