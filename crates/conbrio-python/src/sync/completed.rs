//! `as_completed`: futures in the order in which they end, handed over by a native queue.

use std::cell::Cell;

use pyo3::exceptions::{PyStopAsyncIteration, PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::listen::{awaiting_task, forget, listen, set_awaited, unset_awaited};
use super::queue::{self, Queue};
use crate::ffi::{
    Args, Builder, Builtin, Class, ClassState, Instance, Object, Outcome, Parameters, Ref, Slot,
    Step, Visit, call, call_keyword, call_method, context, is_true, object, tuple_items,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op};
use crate::task::as_exact_future;

static AS_COMPLETED: Builtin = Builtin::of_module(
    c"as_completed",
    c"as_completed(fs, *, timeout=None)\n--\n\nReturn an iterator of awaitables, in the order in which they end.",
    |py, args: Args<'_>| {
        let [given, timeout] = args.parse(&Parameters {
            function: "as_completed",
            names: [names::fs(py), names::timeout(py)],
            positional: 1,
            required: 1,
        })?;
        let held = |given: Option<&Object>| given.map_or_else(Ref::none, Object::share);
        let (given, timeout) = (held(given), held(timeout));
        if cfg!(Py_3_13) {
            check(py, &given)?;
        }
        let class = names::own_completed_class(py)?;
        call(py, class, &[&given, &timeout])
    },
);

/// What futures that are not ours call.
static HEAR: Builtin = Builtin::new::<Completed, _>(
    c"_handle_completion",
    |py, several: &Instance<Completed>, child: &Object| {
        several.hear(py, child)?;
        Ok(Ref::none())
    },
);

/// What the loop calls when the time is up.
static TIME_UP: Builtin = Builtin::new::<Completed, _>(
    c"_handle_timeout",
    |py, several: &Instance<Completed>, _: &Object| {
        several.time_up(py)?;
        Ok(Ref::none())
    },
);

/// The native half of what `as_completed` returns.
pub(super) struct Completed {
    /// What was given, until it is begun with.
    given: Slot,
    timeout: Slot,
    /// The queue of those that have ended.
    queue: Slot,
    /// The set of those that have not.
    todo: Slot,
    /// The handle of the time.
    timer: Slot,
    /// The task that is shown to await them (3.14).
    task: Slot,
    event_loop: Slot,
    /// How many have not been handed out.
    left: Cell<usize>,
}

static STATE: ClassState = ClassState::new();

impl Class for Completed {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.AsCompleted";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
    }
}

/// Awaits the next that ends, and gives what that has ended with.
static RESULT: Deed = Deed {
    name: WAIT_FOR_ONE,
    begin: take,
    resume: take,
    abandon,
};

/// Awaits the next that ends, and gives that.
static NEXT: Deed = Deed {
    name: "_AsCompletedIterator.__anext__",
    begin: |py, op| {
        let held = op.extra.share_or_none();
        let Some(several) = Instance::<Completed>::of(&held) else {
            return Ok(Doing::Done(Ref::none()));
        };
        let Some(left) = several.left.get().checked_sub(1) else {
            return Err(PyStopAsyncIteration::new_err(()).into());
        };
        several.left.set(left);
        op.owner.set(several.queue.share_or_none());
        take(py, op)
    },
    resume: take,
    abandon,
};

const WAIT_FOR_ONE: &str = if cfg!(Py_3_13) {
    "_AsCompletedIterator._wait_for_one"
} else {
    "as_completed.<locals>._wait_for_one"
};

/// The op's phase: whether it gives the result.
const RESOLVES: u8 = 1;

fn take(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let ended = match queue::get(py, op) {
        Ok(Doing::Done(ended)) => ended,
        Ok(other) => return Ok(other),
        Err(raised) => {
            put_back(op);
            return Err(raised);
        }
    };
    if ended.is_none() {
        return Err(PyTimeoutError::new_err(()).into());
    }
    if op.phase.get() != RESOLVES {
        return Ok(Doing::Done(ended));
    }
    match as_exact_future(&ended) {
        Some(future) => future.result(py).map(Doing::Done),
        None => call_method(py, &ended, names::result(py), &[]).map(Doing::Done),
    }
}

fn abandon(py: Python<'_>, op: &Instance<Op>, exception: Ref, was_woken: bool) -> Outcome<Doing> {
    put_back(op);
    queue::abandon_get(py, op, exception, was_woken)
}

/// What a wait that has failed would have handed out is handed out later (3.14).
fn put_back(op: &Instance<Op>) {
    if cfg!(Py_3_14)
        && let Some(several) = Instance::<Completed>::of(&op.extra.share_or_none())
    {
        several.left.set(several.left.get() + 1);
    }
}

fn check(py: Python<'_>, given: &Object) -> Outcome<()> {
    let is_one = if cfg!(Py_3_13) {
        is_true(py, &*call(py, names::is_awaitable(py)?, &[given])?)?
    } else {
        is_true(py, &*call(py, names::is_future(py)?, &[given])?)?
            || is_true(py, &*call(py, names::is_coroutine(py)?, &[given])?)?
    };
    if !is_one {
        return Ok(());
    }
    let expected = if cfg!(Py_3_13) {
        "expects an iterable of awaitables"
    } else {
        "expect an iterable of futures"
    };
    let kind = given.bind(py).get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("{expected}, not {kind}")).into())
}

/// The function `as_completed`.
///
/// # Errors
/// `MemoryError`.
pub(super) fn function(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    AS_COMPLETED.in_module(py, "conbrio")
}

impl Completed {
    fn slots(&self) -> [&Slot; 7] {
        [
            &self.given,
            &self.timeout,
            &self.queue,
            &self.todo,
            &self.timer,
            &self.task,
            &self.event_loop,
        ]
    }
}

/// As a callback of asyncio's: what is called, and in which context.
///
/// # Errors
/// `MemoryError`.
pub(super) fn shown(py: Python<'_>, several: &Instance<Completed>) -> Outcome<(Ref, Ref)> {
    Ok((HEAR.bind(py, several)?, context::copy_current(py)?))
}

impl Instance<Completed> {
    /// Makes tasks of coroutines and listens to all.
    fn begin(&self, py: Python<'_>) -> Outcome<()> {
        let Some(given) = self.given.take() else {
            return Ok(());
        };
        self.queue.set(call(py, names::own_queue_class(py)?, &[])?);
        let event_loop = call(py, names::get_event_loop(py)?, &[])?;
        self.event_loop.set(event_loop.share());
        drop(self.task.replace(awaiting_task(py, &event_loop)?));
        let set = py.get_type::<PySet>();
        let unique = call(py, object(&set), &[&given])?;
        let todo = PySet::empty(py)?;
        for one in unique.bind(py).try_iter()? {
            let one = one?;
            let future = if as_exact_future(object(&one))
                .is_some_and(|future| future.0.event_loop.holds(&event_loop))
            {
                object(&one).share()
            } else {
                let ensure = names::ensure_future(py)?;
                call_keyword(
                    py,
                    ensure,
                    &[object(&one)],
                    (names::event_loop(py), &event_loop),
                )?
            };
            todo.add(future.bind(py))?;
        }
        let task = self.task.share();
        for future in todo.as_any().try_iter()? {
            let future = future?;
            listen(py, object(&future), self, &HEAR)?;
            set_awaited(py, object(&future), task.as_deref())?;
        }
        let timeout = self.timeout.take().filter(|timeout| !timeout.is_none());
        if let Some(timeout) = timeout.filter(|_| !todo.is_empty()) {
            let (callback, none) = (TIME_UP.bind(py, self)?, Ref::none());
            let name = names::call_later(py);
            self.timer.set(call_method(
                py,
                &event_loop,
                name,
                &[&timeout, &callback, &none],
            )?);
        }
        self.left.set(todo.len());
        self.todo.set(todo.into_any().into());
        Ok(())
    }

    fn with_todo<R>(
        &self,
        py: Python<'_>,
        user: impl FnOnce(&Bound<'_, PySet>) -> Outcome<R>,
    ) -> Outcome<R> {
        let todo = match self.todo.share() {
            Some(todo) => todo.bind(py).to_owned().cast_into::<PySet>(),
            None => Ok(PySet::empty(py)?),
        };
        user(&todo.map_err(PyErr::from)?)
    }

    fn put(&self, py: Python<'_>, ended: &Object) -> Outcome<()> {
        match Instance::<Queue>::of(&self.queue.share_or_none()) {
            Some(queue) => queue.put_nowait(py, ended),
            None => Ok(()),
        }
    }

    /// Hears that `child` has ended.
    ///
    /// # Errors
    /// What a foreign future raises.
    pub(super) fn hear(&self, py: Python<'_>, child: &Object) -> Outcome<()> {
        self.with_todo(py, |todo| {
            if !todo.discard(child.bind(py))? {
                return Ok(());
            }
            unset_awaited(py, child, self.task.share().as_deref())?;
            self.put(py, child)?;
            match self.timer.share() {
                Some(timer) if todo.is_empty() => {
                    call_method(py, &timer, names::cancel(py), &[]).map(drop)
                }
                _ => Ok(()),
            }
        })
    }

    fn time_up(&self, py: Python<'_>) -> Outcome<()> {
        let task = self.task.share();
        self.with_todo(py, |todo| {
            for child in todo.as_any().try_iter()? {
                let child = child?;
                forget(py, object(&child), self, &HEAR)?;
                unset_awaited(py, object(&child), task.as_deref())?;
                self.put(py, &Ref::none())?;
            }
            todo.clear();
            Ok(())
        })
    }

    /// The loop it is on, which hears what goes wrong.
    pub(super) fn event_loop(&self) -> Option<Ref> {
        self.event_loop.share()
    }

    /// What awaits the next one, for a plain loop.
    fn advance(&self, py: Python<'_>) -> Outcome<Step> {
        if let Some(given) = self.given.share() {
            check(py, &given)?;
            self.begin(py)?;
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            return Ok(Step::Return(Ref::none()));
        };
        self.left.set(left);
        let made = op::new(py, &RESULT, self.queue.share(), None)?;
        made.phase.set(RESOLVES);
        made.extra.set(self.object().share());
        Ok(Step::Yield(made.erase()))
    }
}

/// The class `AsCompleted`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Completed>::new(c"The native half of what as_completed() returns.")
        .subclassable()
        .new_with(|_, args, _| {
            let [given, timeout] = tuple_items(args) else {
                return Err(PyTypeError::new_err("made by as_completed()").into());
            };
            Ok(Completed {
                given: Slot::holding(given.share()),
                timeout: Slot::holding(timeout.share()),
                queue: Slot::empty(),
                todo: Slot::empty(),
                timer: Slot::empty(),
                task: Slot::empty(),
                event_loop: Slot::empty(),
                left: Cell::new(0),
            })
        })
        .init(|py, this, _, _| {
            if cfg!(Py_3_13) {
                this.begin(py)?;
            }
            Ok(())
        })
        .advanced(|py, this| this.advance(py))
        .plain(
            c"__anext__",
            c"__anext__($self, /)\n--\n\nWait for the next that ends, and return that.",
            |py, this| {
                let made = op::new(py, &NEXT, None, None)?;
                made.extra.set(this.object().share());
                Ok(made.erase())
            },
        )
        .create(py, None)
}
