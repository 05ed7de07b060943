//! `Condition`: tasks that wait to be notified, and hold a lock before and after.

use pyo3::exceptions::{PyOverflowError, PyRuntimeError};
use pyo3::prelude::*;

use super::line::{Line, waiters};
use super::lock::Lock;
use super::shape::{Shape, bound_loop, shaped};
use super::stock::{delegate, delegate_all, initialise_next};
use super::{Only, only_argument};
use crate::ffi::{
    Args, Builder, Class, ClassState, Instance, Object, Outcome, Parameters, Raised, Ref, Slot,
    Visit, as_float, call, exception, is_instance, is_true, kept, raise, raise_in_context,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op, ready};

/// The native half of `asyncio.Condition`.
pub(super) struct Condition {
    line: Line,
    /// The loop it is bound to.
    bound: Slot,
    lock: Slot,
    shape: Shape,
}

static STATE: ClassState = ClassState::new();

impl Class for Condition {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Condition";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.line.traverse(visit);
        visit.slot(&self.bound);
        visit.slot(&self.lock);
    }

    fn clear(&self) {
        self.line.clear();
        self.bound.clear();
        self.lock.clear();
    }
}

/// What other methods call by name.
const INNER: &[&str] = &[
    "_get_loop",
    "_notify",
    "notify",
    "wait",
    "locked",
    "acquire",
    "release",
];
shaped!(Condition, INNER, &[]);

/// It waits to be notified.
const WAITING: u8 = 0;
/// It waits for the lock.
const LOCKING: u8 = 1;

/// The op's item is what it will raise, its extra the predicate if there is one.
static WAIT: Deed = Deed {
    name: "Condition.wait",
    begin,
    resume,
    abandon,
};

static WAIT_FOR: Deed = Deed {
    name: "Condition.wait_for",
    begin,
    resume,
    abandon,
};

fn begin(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    match Instance::<Condition>::of(&held) {
        Some(condition) if op.extra.is_empty() => condition.wait(py, op),
        Some(condition) => condition.look(py, op),
        None => Ok(Doing::Done(Ref::none())),
    }
}

fn resume(py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(condition) = Instance::<Condition>::of(&held) else {
        return Ok(Doing::Done(Ref::none()));
    };
    if op.phase.get() == WAITING {
        condition.line.remove(py, op.object())?;
        return condition.lock_again(py, op);
    }
    condition.with_lock(|lock| lock.take(py, op))?;
    condition.notified(py, op)
}

fn abandon(py: Python<'_>, op: &Instance<Op>, exception: Ref, _was_woken: bool) -> Outcome<Doing> {
    let held = op.owner.share_or_none();
    let Some(condition) = Instance::<Condition>::of(&held) else {
        return Err(raise_in_context(&exception));
    };
    if op.phase.get() == WAITING {
        condition.line.remove(py, op.object())?;
        op.item.set(exception);
        return condition.lock_again(py, op);
    }
    condition.with_lock(|lock| lock.give_up(py, op, &exception))?;
    let cancelled = names::cancelled_error(py)?;
    if !is_instance(&exception, cancelled) {
        return Err(condition.failed(py, &exception));
    }
    // CPython: up to 3.12 it raises one of its own.
    let exception = if cfg!(Py_3_13) {
        exception
    } else {
        call(py, cancelled, &[])?
    };
    // As an exception is that comes while the one is handled that has ended the wait.
    if let Some(earlier) = op.item.take()
        && !earlier.is(&exception)
    {
        exception::set_context(py, &exception, earlier);
    }
    op.item.set(exception);
    condition.lock_again(py, op)
}

impl Instance<Condition> {
    fn with_lock<R>(&self, user: impl FnOnce(&Instance<Lock>) -> Outcome<R>) -> Outcome<R> {
        let held = self.lock.share_or_none();
        match Instance::<Lock>::of(&held) {
            Some(lock) => user(lock),
            None => Err(not_acquired("use")),
        }
    }

    fn is_locked(&self) -> bool {
        let held = self.lock.share_or_none();
        Instance::<Lock>::of(&held).is_some_and(Instance::<Lock>::is_held)
    }

    /// Asks the predicate; waits unless it is true.
    fn look(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        let answer = call(py, &op.extra.share_or_none(), &[])?;
        if is_true(py, &answer)? {
            return Ok(Doing::Done(answer));
        }
        self.wait(py, op)
    }

    /// Lets the lock go and waits to be notified.
    fn wait(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        if !self.is_locked() {
            return Err(not_acquired("wait"));
        }
        let event_loop = bound_loop(py, self.object(), &self.bound)?;
        self.with_lock(|lock| lock.release(py))?;
        self.line.push(py, op.object())?;
        op.phase.set(WAITING);
        op.park(event_loop);
        Ok(Doing::Parked)
    }

    /// Takes the lock, or waits for it.
    fn lock_again(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        let taken = self.with_lock(|lock| {
            let taken = lock.try_take(py)?;
            if !taken {
                lock.wait(py, op)?;
            }
            Ok(taken)
        });
        match taken {
            Ok(true) => self.notified(py, op),
            Ok(false) => {
                op.phase.set(LOCKING);
                Ok(Doing::Parked)
            }
            Err(raised) => Err(self.failed(py, &raised.take())),
        }
    }

    /// The lock is held again: the wait is over, or the predicate has not come true.
    fn notified(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        if let Some(exception) = op.item.take() {
            return Err(self.failed(py, &exception));
        }
        if op.extra.is_empty() {
            return Ok(Doing::Done(Ref::boolean(true)));
        }
        self.look(py, op)
    }

    /// Raises; from 3.13 on somebody else is notified in the place of who cannot go on.
    fn failed(&self, py: Python<'_>, exception: &Object) -> Raised {
        if cfg!(Py_3_13)
            && let Err(raised) = self.line.wake_many(py, 1)
        {
            return raised;
        }
        raise_in_context(exception)
    }

    fn notify(&self, py: Python<'_>, most: usize) -> Outcome<Ref> {
        if !self.is_locked() {
            return Err(not_acquired("notify"));
        }
        self.line.wake_many(py, most)?;
        Ok(Ref::none())
    }
}

#[cold]
fn not_acquired(what: &str) -> Raised {
    PyRuntimeError::new_err(format!("cannot {what} on un-acquired lock")).into()
}

fn init(
    py: Python<'_>,
    this: &Instance<Condition>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let given = only_argument(py, args, keywords, pyo3::intern!(py, "lock"))?;
    let lock = match given {
        Only::This(lock) if !lock.is_none() => Some(lock),
        Only::This(_) | Only::Nothing => Some(call(py, names::own_lock_class(py)?, &[])?),
        Only::Others => None,
    };
    let native =
        lock.filter(|lock| Instance::<Lock>::of(lock).is_some_and(|lock| lock.enters_natively(py)));
    match native {
        Some(lock) if !this.shape(py).is_foreign() => {
            this.lock.set(lock);
            Ok(())
        }
        _ => {
            this.shape.set_foreign();
            initialise_next(py, this, args, keywords)
        }
    }
}

/// The class `Condition`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder =
        Builder::<Condition>::new(c"Condition(lock=None)\n--\n\nThe native half of Condition.")
            .subclassable()
            .new_with(|_, _, _| {
                Ok(Condition {
                    line: Line::new(),
                    bound: Slot::empty(),
                    lock: Slot::empty(),
                    shape: Shape::unseen(),
                })
            })
            .init(init)
            .attribute_set(|py, this, name| {
                this.shape.note::<Condition>(py, name);
            });
    privates(entries(waits(builder))).create(py, None)
}

fn waits(builder: Builder<Condition>) -> Builder<Condition> {
    builder
        .plain(
            c"wait",
            c"wait($self, /)\n--\n\nLet the lock go, wait to be notified, take the lock again; returns True.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "wait", &[]);
                }
                Ok(op::new(py, &WAIT, Some(this.object().share()), None)?.erase())
            },
        )
        .coroutine()
        .method(
            c"wait_for",
            c"wait_for($self, /, predicate)\n--\n\nWait until the predicate answers something true, and return that.",
            |py, this, args| {
                if this.shape(py).is_foreign() {
                    return delegate_all(py, this, "wait_for", &args);
                }
                let [predicate] = args.parse(&Parameters {
                    function: "wait_for",
                    names: [names::predicate(py)],
                    positional: 1,
                    required: 1,
                })?;
                let made = op::new(py, &WAIT_FOR, Some(this.object().share()), None)?;
                drop(made.extra.replace(predicate.map(Object::share)));
                Ok(made.erase())
            },
        )
        .coroutine()
        .method(
            c"notify",
            c"notify($self, /, n=1)\n--\n\nWake at most n of those that wait.",
            notify,
        )
        .plain(
            c"notify_all",
            c"notify_all($self, /)\n--\n\nWake all that wait.",
            |py, this| {
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "notify_all", &[]);
                }
                this.notify(py, usize::MAX)
            },
        )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "more than there can be is as good as all, less than one is none"
)]
fn notify(py: Python<'_>, this: &Instance<Condition>, args: Args<'_>) -> Outcome<Ref> {
    if this.shape(py).is_foreign() {
        return delegate_all(py, this, "notify", &args);
    }
    let [most] = args.parse(&Parameters {
        function: "notify",
        names: [names::number(py)],
        positional: 1,
        required: 0,
    })?;
    if !this.is_locked() {
        return Err(not_acquired("notify"));
    }
    // CPython: looks at the number with somebody waiting only.
    if this.line.len(py)? == 0 {
        return Ok(Ref::none());
    }
    let most = match most {
        Some(most) => as_float(py, most).or_else(|raised| not_a_number(py, most, raised))?,
        None => 1.0,
    };
    this.notify(py, most.ceil() as usize)
}

/// CPython: counts up to whatever can be compared with a number.
#[cold]
fn not_a_number(py: Python<'_>, most: &Object, raised: Raised) -> Outcome<f64> {
    let exception = raised.take();
    let Ok(none) = 0_u8.into_pyobject(py);
    let is_none = none.ge(most.bind(py))?;
    if exception.bind(py).is_instance_of::<PyOverflowError>() {
        return Ok(if is_none { 0.0 } else { f64::MAX });
    }
    Err(raise(exception))
}

fn entries(builder: Builder<Condition>) -> Builder<Condition> {
    builder
        .plain(
            c"locked",
            c"locked($self, /)\n--\n\nReturn True if somebody holds the lock.",
            |_, this| Ok(Ref::boolean(this.is_locked())),
        )
        .plain(
            c"acquire",
            c"acquire($self, /)\n--\n\nWait for the lock and take it; awaited, it returns True.",
            |py, this| this.with_lock(|lock| lock.acquire(py)),
        )
        .coroutine()
        .plain(
            c"release",
            c"release($self, /)\n--\n\nGive the lock back.",
            |py, this| {
                this.with_lock(|lock| lock.release(py))?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"__aenter__",
            c"__aenter__($self, /)\n--\n\n",
            |py, this| {
                if !this.shape(py).is_native() {
                    return delegate(py, this, "__aenter__", &[]);
                }
                this.with_lock(|lock| lock.enter(py))
            },
        )
        .coroutine()
        .method(
            c"__aexit__",
            c"__aexit__($self, exc_type, exc, tb, /)\n--\n\n",
            |py, this, args| {
                if !this.shape(py).is_native() {
                    return delegate(py, this, "__aexit__", args.positional());
                }
                this.with_lock(|lock| lock.release(py))?;
                ready(py)
            },
        )
        .coroutine()
}

fn privates(builder: Builder<Condition>) -> Builder<Condition> {
    let builder = kept!(builder, c"_loop", c"The loop it is bound to.", bound);
    let builder = waiters!(builder, c"_waiters", c"Who waits.", line.shown);
    kept!(builder, c"_lock", c"The lock.", lock)
}
