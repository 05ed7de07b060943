//! `EventLoop`: the index of what a loop can do natively; every method a line or two.

mod eager;
pub(crate) mod fallback;
mod run;
mod schedule;
mod shape;
mod sleeping;

use conbrio_core::sources::Side;
use conbrio_driver::any::AnyDriver;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::{Engine, Running};
use crate::ffi::{Builder, Instance, Object, Outcome, Ref, as_float, float, is_true, object};
use crate::names;

/// The class `EventLoop`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Engine>::new(
        c"EventLoop(*, driver=None)\n--\n\nThe native half of conbrio.Loop.",
    );
    let builder = run::methods(schedule::methods(
        builder.subclassable().new_heard(new, shape::begin),
    ));
    let builder = crate::dial::methods(crate::process::methods(crate::sock::methods(
        crate::watch::methods(state_methods(builder)),
    )))
    .attribute_set(shape::attribute_set);
    let class = properties(builder).create(py, None)?;
    sleeping::learn(py);
    shape::learn(py, object(&class))?;
    Ok(class)
}

/// `EventLoop(*, driver=None)`; what else there is belongs to the initialiser of a derived class.
fn new(py: Python<'_>, _args: &Object, keywords: Option<&Object>) -> Outcome<Engine> {
    let driver = match keywords {
        Some(keywords) => keywords
            .bind(py)
            .to_owned()
            .cast_into::<PyDict>()
            .map_err(PyErr::from)?
            .get_item("driver")?,
        None => None,
    };
    let driver = driver
        .filter(|driver| !driver.is_none())
        .map(|driver| driver.extract::<String>())
        .transpose()?;
    if let Some(name) = driver
        .as_deref()
        .filter(|name| !AnyDriver::NAMES.contains(name))
    {
        return Err(PyValueError::new_err(AnyDriver::refusal(name)).into());
    }
    Ok(Engine::new(driver))
}

fn state_methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .plain(c"is_running", c"is_running($self)\n--\n\nTells whether the loop runs. As asyncio.loop.is_running. Thread-safe.", |_, this| {
            Ok(Ref::boolean(this.thread.get() != 0))
        })
        .plain(c"is_closed", c"is_closed($self)\n--\n\nTells whether close() was called. As asyncio.loop.is_closed. Thread-safe.", |_, this| {
            Ok(Ref::boolean(this.closed.get()))
        })
        .plain(c"get_debug", c"get_debug($self)\n--\n\nTells whether debug mode is on. As asyncio.loop.get_debug.", |_, this| {
            Ok(Ref::boolean(this.debug.get()))
        })
        .named(c"set_debug", c"set_debug($self, enabled)\n--\n\nTurns debug mode on or off. As asyncio.loop.set_debug.", |py| ("set_debug", names::enabled(py)), |py, this, enabled| {
            this.debug.set(is_true(py, enabled)?);
            if this.thread.get() != 0 {
                let tracking = this.object().bind(py).getattr("_set_coroutine_origin_tracking")?;
                this.object().bind(py).call_method1("call_soon_threadsafe", (tracking, enabled.bind(py)))?;
            }
            Ok(Ref::none())
        })
        .plain(c"_check_closed", c"_check_closed($self)\n--\n\nRefuses when the loop is closed.", |_, this| {
            this.check_closed()?;
            Ok(Ref::none())
        })
        .plain(c"_native_close", c"_native_close($self)\n--\n\nDrops what is scheduled and closes the descriptors.", |py, this| {
            this.close(py);
            Ok(Ref::none())
        })
        .plain(c"_write_to_self", c"_write_to_self($self)\n--\n\nWakes the loop.", |py, this| {
            this.wake(py);
            Ok(Ref::none())
        })
        .one(c"_native_watched", c"_native_watched($self, fd, /)\n--\n\nThe events heard of a descriptor, as selectors counts them.", watched)
        .named(
            c"set_task_factory",
            c"set_task_factory($self, factory)\n--\n\nSets what makes tasks, factory(loop, coro, **options); None for Task.\n\nRaises TypeError when it cannot be called. As asyncio.loop.set_task_factory.",
            |py| ("set_task_factory", names::factory(py)),
            set_task_factory,
        )
        .plain(c"get_task_factory", c"get_task_factory($self)\n--\n\nWhat makes tasks, or None. As asyncio.loop.get_task_factory.", |_, this| {
            Ok(this.task_factory.share_or_none())
        })
}

/// `EVENT_READ` (1) and `EVENT_WRITE` (2) of `selectors`, for who looks at what is watched.
fn watched(py: Python<'_>, this: &Instance<Engine>, fd: &Object) -> Outcome<Ref> {
    let fd = fd.bind(py).extract::<i32>()?;
    let hears = |side, event: u8| {
        if this.watcher(py, fd, side).is_some() {
            event
        } else {
            0
        }
    };
    let Ok(events) = (hears(Side::Reader, 1) | hears(Side::Writer, 2)).into_pyobject(py);
    Ok(object(&events).share())
}

fn set_task_factory(_: Python<'_>, this: &Instance<Engine>, factory: &Object) -> Outcome<Ref> {
    if factory.is_none() {
        this.task_factory.clear();
    } else if crate::ffi::is_callable(factory) {
        this.task_factory.set(factory.share());
    } else {
        return Err(pyo3::exceptions::PyTypeError::new_err(
            "task factory must be a callable or None",
        )
        .into());
    }
    Ok(Ref::none())
}

fn properties(builder: Builder<Engine>) -> Builder<Engine> {
    readings(settings(builder))
}

/// What can be set.
fn settings(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .property(
            c"_debug",
            c"Whether debug mode is on.",
            |_, this| Ok(Ref::boolean(this.debug.get())),
            |py, this, value| {
                this.debug
                    .set(value.map_or(Ok(false), |value| is_true(py, value))?);
                Ok(())
            },
        )
        .property(
            c"_closed",
            c"Whether the loop is closed.",
            |_, this| Ok(Ref::boolean(this.closed.get())),
            |py, this, value| {
                this.closed
                    .set(value.map_or(Ok(false), |value| is_true(py, value))?);
                Ok(())
            },
        )
        .property(
            c"_stopping",
            c"Whether the loop ends after this turn.",
            |py, this| Ok(Ref::boolean(Running { py, engine: this }.is_stopping())),
            |py, this, value| {
                this.stop(py, value.map_or(Ok(false), |value| is_true(py, value))?);
                Ok(())
            },
        )
        .property(
            c"_task_factory",
            c"What makes tasks, or None.",
            |_, this| Ok(this.task_factory.share_or_none()),
            |py, this, value| set_task_factory(py, this, value.unwrap_or(&Ref::none())).map(drop),
        )
        .property(
            c"slow_callback_duration",
            c"How long a callback may take in debug mode before it is logged, in seconds.",
            |py, this| {
                let given = this.slow_object.share();
                given.map_or_else(|| float(py, this.slow_callback.get()), Ok)
            },
            |py, this, value| {
                let value = value.unwrap_or(&Ref::none()).share();
                this.slow_callback.set(as_float(py, &value)?);
                this.slow_object.set(value);
                Ok(())
            },
        )
}

/// What can only be read.
fn readings(builder: Builder<Engine>) -> Builder<Engine> {
    builder
        .getter(
            c"_thread_id",
            c"The thread that runs the loop, or None.",
            |py, this| match this.thread.get() {
                0 => Ok(Ref::none()),
                thread => {
                    let Ok(ident) = thread.into_pyobject(py);
                    Ok(object(&ident).share())
                }
            },
        )
        .getter(
            c"_current_handle",
            c"What runs now, in debug mode.",
            |_, this| {
                let current = this.current_handle.share();
                Ok(current
                    .filter(|current| Instance::<crate::handle::Handle>::of(current).is_some())
                    .unwrap_or_else(Ref::none))
            },
        )
        .getter(
            c"_clock_resolution",
            c"How fine the clock is, in seconds.",
            |py, _| float(py, conbrio_core::turn::CLOCK_RESOLUTION),
        )
        .getter(
            c"_native_wake_fd",
            c"The descriptor that signal numbers are written to.",
            |py, this| {
                this.hears_by_handlers.set(true);
                let devices = this.devices(py)?;
                this.note_watching(py);
                let Ok(fd) = devices.wake.write_fd().into_pyobject(py);
                Ok(object(&fd).share())
            },
        )
        .getter(c"_native_driver", c"The driver's name.", |py, this| {
            let name = this.devices(py)?.name();
            Ok(object(&pyo3::types::PyString::new(py, name)).share())
        })
        .getter(
            c"_native_stats",
            c"What the loop did since it was made.",
            stats,
        )
}

fn stats(py: Python<'_>, this: &Instance<Engine>) -> Outcome<Ref> {
    let numbers = Running { py, engine: this }.stats();
    let stats = PyDict::new(py);
    for (name, number) in numbers {
        stats.set_item(name, number)?;
    }
    Ok(stats.into_any().into())
}
