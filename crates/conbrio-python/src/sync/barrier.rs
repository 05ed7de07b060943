//! `Barrier`: so many tasks go on together.
//!
//! asyncio's stands on a condition whose lock is never held while anybody waits, so nobody can see it: here it is a line
//! of waiters and a state. A condition over the same line is made when somebody reaches for it.

use std::cell::Cell;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::line::Line;
use super::shape::{Shape, bound_loop, shaped};
use super::stages::Stages;
use super::stock::{delegate, initialise_next};
use super::{Only, attribute_without_value, only_argument};
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Raised, Ref, Slot, Visit, call, object,
    raise_in_context,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op, ready};

/// Methods and properties that others call by name.
const INNER: &[&str] = &["_block", "_release", "_wait", "_exit", "parties", "broken"];
/// What `async with` calls by name.
const OUTER: &[&str] = &["wait"];
shaped!(Barrier, INNER, OUTER);

/// How far a barrier is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Filling,
    Draining,
    Resetting,
    Broken,
}

const STAGES: Stages<Stage> = Stages(&[
    (Stage::Filling, "FILLING"),
    (Stage::Draining, "DRAINING"),
    (Stage::Resetting, "RESETTING"),
    (Stage::Broken, "BROKEN"),
]);

/// The native half of `asyncio.Barrier`.
pub(super) struct Barrier {
    line: Line,
    /// The loop it is bound to.
    bound: Slot,
    /// The number of tasks as it was given, and as a number.
    parties: Slot,
    most: Cell<i64>,
    /// How many are inside.
    count: Cell<i64>,
    stage: Cell<Stage>,
    /// A condition over the same line, once somebody has asked for it.
    condition: Slot,
    shape: Shape,
}

static STATE: ClassState = ClassState::new();

impl Class for Barrier {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Barrier";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.line.traverse(visit);
        visit.slot(&self.bound);
        visit.slot(&self.parties);
        visit.slot(&self.condition);
    }

    fn clear(&self) {
        self.line.clear();
        self.bound.clear();
        self.parties.clear();
        self.condition.clear();
    }
}

/// It waits until it may come in.
const OUTSIDE: u8 = 0;
/// It waits inside, with its index as the op's number.
const INSIDE: u8 = 1;

static WAIT: Deed = Deed {
    name: "Barrier.wait",
    begin: |py, op| with(op, |barrier| barrier.come(py, op)),
    resume: |py, op| {
        with(op, |barrier| {
            barrier.line.remove(py, op.object())?;
            match op.phase.get() {
                OUTSIDE => barrier.come(py, op),
                _ => barrier.stay(py, op),
            }
        })
    },
    abandon: |py, op, exception, _| {
        with(op, |barrier| {
            barrier.line.remove(py, op.object())?;
            // CPython: from 3.13 on a condition notifies another in the place of who cannot go on.
            if cfg!(Py_3_13) {
                barrier.line.wake_many(py, 1)?;
            }
            if op.phase.get() == INSIDE {
                barrier.go(py)?;
            }
            Err(raise_in_context(&exception))
        })
    },
};

static RESET: Deed = Deed {
    name: "Barrier.reset",
    begin: |py, op| {
        with(op, |barrier| {
            let stage = if barrier.count.get() > 0 {
                Stage::Resetting
            } else {
                Stage::Filling
            };
            barrier.turn(py, stage)
        })
    },
    resume: |_, _: &Instance<Op>| Ok(Doing::Done(Ref::none())),
    abandon: |_, _, exception, _| Err(raise_in_context(&exception)),
};

static ABORT: Deed = Deed {
    name: "Barrier.abort",
    begin: |py, op| with(op, |barrier| barrier.turn(py, Stage::Broken)),
    resume: |_, _: &Instance<Op>| Ok(Doing::Done(Ref::none())),
    abandon: |_, _, exception, _| Err(raise_in_context(&exception)),
};

fn with(
    op: &Instance<Op>,
    user: impl FnOnce(&Instance<Barrier>) -> Outcome<Doing>,
) -> Outcome<Doing> {
    match Instance::<Barrier>::of(&op.owner.share_or_none()) {
        Some(barrier) => user(barrier),
        None => Ok(Doing::Done(Ref::none())),
    }
}

#[cold]
fn broken(py: Python<'_>, text: &str) -> Raised {
    let text = Ref::from(pyo3::types::PyString::new(py, text));
    match names::broken_barrier_error(py).and_then(|class| call(py, class, &[&text])) {
        Ok(exception) => raise_in_context(&exception),
        Err(raised) => raised,
    }
}

impl Instance<Barrier> {
    fn park(&self, py: Python<'_>, op: &Instance<Op>, phase: u8) -> Outcome<Doing> {
        let event_loop = bound_loop(py, self.object(), &self.bound)?;
        self.line.push(py, op.object())?;
        op.phase.set(phase);
        op.park(event_loop);
        Ok(Doing::Parked)
    }

    /// Comes in, unless those of the last time are still leaving.
    fn come(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        match self.stage.get() {
            Stage::Draining | Stage::Resetting => return self.park(py, op, OUTSIDE),
            Stage::Broken => return Err(broken(py, "Barrier aborted")),
            Stage::Filling => {}
        }
        if self.count.get() + 1 == self.most.get() {
            // Who died waiting is not among them.
            self.line.sweep(py)?;
        }
        let index = self.count.get();
        self.count.set(index + 1);
        op.number.set(index.unsigned_abs());
        if index + 1 == self.most.get() {
            self.turn(py, Stage::Draining)?;
        }
        self.stay(py, op)
    }

    /// Stays inside until all have come.
    fn stay(&self, py: Python<'_>, op: &Instance<Op>) -> Outcome<Doing> {
        let outcome = match self.stage.get() {
            Stage::Filling => match self.park(py, op, INSIDE) {
                Ok(parked) => return Ok(parked),
                Err(raised) => Err(raised),
            },
            Stage::Draining => {
                let Ok(index) = op.number.get().into_pyobject(py);
                Ok(Doing::Done(object(&index).share()))
            }
            Stage::Broken | Stage::Resetting => Err(broken(py, "Abort or reset of barrier")),
        };
        match outcome {
            Ok(done) => {
                self.go(py)?;
                Ok(done)
            }
            Err(raised) => {
                let exception = raised.take();
                self.go(py)?;
                Err(crate::ffi::raise(exception))
            }
        }
    }

    /// Leaves; the last one opens it again.
    fn go(&self, py: Python<'_>) -> Outcome<()> {
        self.count.set(self.count.get() - 1);
        if self.count.get() != 0 {
            return Ok(());
        }
        if matches!(self.stage.get(), Stage::Resetting | Stage::Draining) {
            self.stage.set(Stage::Filling);
        }
        self.line.wake_many(py, usize::MAX)
    }

    /// Enters a stage and tells everybody.
    fn turn(&self, py: Python<'_>, stage: Stage) -> Outcome<Doing> {
        self.stage.set(stage);
        self.line.wake_many(py, usize::MAX)?;
        Ok(Doing::Done(Ref::none()))
    }

    /// What asyncio's own code stands on: a condition with the same line.
    fn condition(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(condition) = self.condition.share() {
            return Ok(condition);
        }
        let condition = call(py, names::own_condition_class(py)?, &[])?;
        let line = self.line.shown(py)?;
        condition.bind(py).setattr("_waiters", line.bind(py))?;
        if let Some(bound) = self.bound.share() {
            condition.bind(py).setattr("_loop", bound.bind(py))?;
        }
        self.condition.set(condition.share());
        Ok(condition)
    }
}

fn init(
    py: Python<'_>,
    this: &Instance<Barrier>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    let parties = match only_argument(py, args, keywords, pyo3::intern!(py, "parties"))? {
        Only::This(parties) => parties,
        Only::Nothing | Only::Others => return initialise_next(py, this, args, keywords),
    };
    if parties.bind(py).lt(1)? {
        let text = if cfg!(Py_3_14) {
            "parties must be >= 1"
        } else {
            "parties must be > 0"
        };
        return Err(PyValueError::new_err(text).into());
    }
    set_parties(py, this, &parties);
    this.stage.set(Stage::Filling);
    this.count.set(0);
    Ok(())
}

/// Keeps the number of tasks; one that no number of tasks equals, such as 2.5, is never reached.
fn set_parties(py: Python<'_>, this: &Instance<Barrier>, parties: &Object) {
    this.parties.set(parties.share());
    let most = parties.bind(py).extract::<i64>();
    let whole = most.or_else(|_| {
        let number = parties.bind(py).call_method0("__trunc__")?;
        if number.eq(parties.bind(py))? {
            number.extract()
        } else {
            Ok(i64::MAX)
        }
    });
    this.most.set(whole.unwrap_or(i64::MAX));
}

/// The class `Barrier`.
///
/// # Errors
/// When it cannot be made.
pub(super) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Barrier>::new(c"Barrier(parties)\n--\n\nThe native half of Barrier.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(Barrier {
                line: Line::new(),
                bound: Slot::empty(),
                parties: Slot::empty(),
                most: Cell::new(0),
                count: Cell::new(0),
                stage: Cell::new(Stage::Filling),
                condition: Slot::empty(),
                shape: Shape::unseen(),
            })
        })
        .init(init)
        .attribute_set(|py, this, name| {
            this.shape.note::<Barrier>(py, name);
        });
    privates(state(waits(builder))).create(py, None)
}

/// An op that does `deed`, or what asyncio's method returns.
fn made(
    py: Python<'_>,
    this: &Instance<Barrier>,
    deed: &'static Deed,
    name: &'static str,
) -> Outcome<Ref> {
    if this.shape(py).is_foreign() {
        return delegate(py, this, name, &[]);
    }
    Ok(op::new(py, deed, Some(this.object().share()), None)?.erase())
}

fn waits(builder: Builder<Barrier>) -> Builder<Barrier> {
    builder
        .plain(
            c"wait",
            c"wait($self, /)\n--\n\nWait until so many tasks wait; awaited, it returns the place of this one among them.",
            |py, this| made(py, this, &WAIT, "wait"),
        )
        .coroutine()
        .plain(
            c"reset",
            c"reset($self, /)\n--\n\nMake it as new; those that wait hear of it by a BrokenBarrierError.",
            |py, this| made(py, this, &RESET, "reset"),
        )
        .coroutine()
        .plain(
            c"abort",
            c"abort($self, /)\n--\n\nBreak it; those that wait, and will, hear of it by a BrokenBarrierError.",
            |py, this| made(py, this, &ABORT, "abort"),
        )
        .coroutine()
        .plain(
            c"__aenter__",
            c"__aenter__($self, /)\n--\n\n",
            |py, this| {
                if !this.shape(py).is_native() {
                    return delegate(py, this, "__aenter__", &[]);
                }
                made(py, this, &WAIT, "wait")
            },
        )
        .coroutine()
        .method(
            c"__aexit__",
            c"__aexit__($self, *args)\n--\n\n",
            |py, _: &Instance<Barrier>, _| ready(py),
        )
        .coroutine()
}

fn state(builder: Builder<Barrier>) -> Builder<Barrier> {
    builder
        .getter(c"parties", c"How many go on together.", |_, this| {
            Ok(this.parties.share_or_none())
        })
        .getter(
            c"n_waiting",
            c"How many wait for the others.",
            |py, this| {
                let count = if this.stage.get() == Stage::Filling {
                    this.count.get()
                } else {
                    0
                };
                let Ok(count) = count.into_pyobject(py);
                Ok(object(&count).share())
            },
        )
        .getter(c"broken", c"Whether it was aborted.", |_, this| {
            Ok(Ref::boolean(this.stage.get() == Stage::Broken))
        })
}

fn privates(builder: Builder<Barrier>) -> Builder<Barrier> {
    builder
        .property(
            c"_parties",
            c"How many go on together.",
            |_, this| Ok(this.parties.share_or_none()),
            |py, this, value| {
                set_parties(py, this, value.ok_or_else(attribute_without_value)?);
                Ok(())
            },
        )
        .property(
            c"_count",
            c"How many are inside.",
            |py, this| {
                let Ok(count) = this.count.get().into_pyobject(py);
                Ok(object(&count).share())
            },
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.count.set(value.bind(py).extract()?);
                Ok(())
            },
        )
        .property(
            c"_state",
            c"How far it is.",
            |py, this| {
                let states = names::barrier_states(py)?;
                STAGES.member(py, this.stage.get(), states)
            },
            |py, this, value| {
                if let Some(stage) = STAGES.of_member(py, value)? {
                    this.stage.set(stage);
                }
                Ok(())
            },
        )
        .property(
            c"_cond",
            c"The condition that asyncio's own code waits with.",
            |py, this| this.condition(py),
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                let line = value.bind(py).getattr("_waiters")?;
                this.line.open_as(py, object(&line));
                this.condition.set(value.share());
                Ok(())
            },
        )
}
