//! `timeout`, `timeout_at` and `Timeout`: a timer that cancels a task.
//!
//! Entering and leaving in time are native; what happens when the time has come is CPython's own code over the native
//! state.

use std::cell::Cell;

use conbrio_core::timers::Key;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError};
use pyo3::prelude::*;

use super::attribute_without_value;
use super::shape::{Shape, delegate, initialise_next};
use crate::engine::{self, Engine};
use crate::ffi::{
    Args, Builder, Builtin, Class, ClassState, Instance, Object, Outcome, Own, Parameters, Ref,
    Slot, Thunk, Visit, as_float, attribute, call, call_method, float, is_float, object,
    raise_in_context, thread_ident, tuple_items,
};
use crate::names;
use crate::op::{self, Deed, Doing, Op, ready};
use crate::report::{report_raised, text_of};
use crate::task::Task;

/// Methods that others call by name.
const INNER: &[&str] = &["reschedule", "_on_timeout", "_insert_timeout_error"];

/// How far a timeout is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

/// The stages by the names that asyncio gives them.
const STAGES: [(Stage, &str); 5] = [
    (Stage::Created, "CREATED"),
    (Stage::Entered, "ENTERED"),
    (Stage::Expiring, "EXPIRING"),
    (Stage::Expired, "EXPIRED"),
    (Stage::Exited, "EXITED"),
];

/// What will end the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    /// Nothing.
    No,
    /// A timer of ours, with this key.
    Timer(Key),
    /// An entry of the ready queue.
    Soon,
    /// A handle of the loop's.
    Handle,
}

/// The native half of `asyncio.Timeout`.
pub(super) struct Timeout {
    /// The deadline as it was given, or `None`.
    when: Slot,
    /// Who has entered.
    task: Slot,
    /// The handle, or the engine whose timer it is.
    holder: Slot,
    armed: Cell<Armed>,
    /// How many entries of the ready queue have been taken back.
    revoked: Cell<usize>,
    /// How often the task's end had been asked for when it entered.
    cancelling: Cell<Option<u64>>,
    stage: Cell<Stage>,
    shape: Shape,
}

static STATE: ClassState = ClassState::new();

impl Class for Timeout {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Timeout";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.when);
        visit.slot(&self.task);
        visit.slot(&self.holder);
    }

    fn clear(&self) {
        self.when.clear();
        self.task.clear();
        self.holder.clear();
    }
}

static ENTER: Deed = Deed {
    name: "Timeout.__aenter__",
    begin: |py, op| match Instance::<Timeout>::of(&op.owner.share_or_none()) {
        Some(timeout) => {
            timeout.enter(py)?;
            Ok(Doing::Done(timeout.object().share()))
        }
        None => Ok(Doing::Done(Ref::none())),
    },
    resume: |_, _: &Instance<Op>| Ok(Doing::Done(Ref::none())),
    abandon: |_, _, exception, _| Err(raise_in_context(&exception)),
};

static TIMEOUT: Builtin = Builtin::of_module(
    c"timeout",
    c"timeout(delay)\n--\n\nReturn what cancels the block of an `async with` after a time in seconds; None is never.",
    |py, args: Args<'_>| {
        let [delay] = args.parse(&Parameters {
            function: "timeout",
            names: [names::delay(py)],
            positional: 1,
            required: 1,
        })?;
        let event_loop = call(py, names::running_loop(py)?, &[])?;
        let delay = delay.map_or_else(Ref::none, Object::share);
        if delay.is_none() {
            return call(py, names::own_timeout_class(py)?, &[&delay]);
        }
        let now = match Instance::<Engine>::of(&event_loop) {
            Some(engine) if engine.plain_clock.get() => float(py, engine.now(py)?)?,
            _ => call_method(py, &event_loop, names::time(py), &[])?,
        };
        let when = Ref::from(now.bind(py).add(delay.bind(py))?);
        call(py, names::own_timeout_class(py)?, &[&when])
    },
);

static TIMEOUT_AT: Builtin = Builtin::of_module(
    c"timeout_at",
    c"timeout_at(when)\n--\n\nReturn what cancels the block of an `async with` at a time of the loop's clock; None is never.",
    |py, args: Args<'_>| {
        let [when] = args.parse(&Parameters {
            function: "timeout_at",
            names: [names::when(py)],
            positional: 1,
            required: 1,
        })?;
        let when = when.map_or_else(Ref::none, Object::share);
        call(py, names::own_timeout_class(py)?, &[&when])
    },
);

/// Adds the class `Timeout` and the functions that make one.
///
/// # Errors
/// When the class cannot be made.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("Timeout", class(py)?)?;
    module.add("timeout", TIMEOUT.in_module(py, "conbrio")?)?;
    module.add("timeout_at", TIMEOUT_AT.in_module(py, "conbrio")?)
}

impl Instance<Timeout> {
    fn enter(&self, py: Python<'_>) -> Outcome<()> {
        if self.stage.get() != Stage::Created {
            return Err(PyRuntimeError::new_err("Timeout has already been entered").into());
        }
        let task = call(py, names::current_task(py)?, &[])?;
        if task.is_none() {
            return Err(PyRuntimeError::new_err("Timeout should be used inside a task").into());
        }
        self.stage.set(Stage::Entered);
        let count = match Instance::<Task>::of_exact(&task) {
            Some(task) => task.cancels(),
            None => call_method(py, &task, names::cancelling(py), &[])?
                .bind(py)
                .extract()?,
        };
        self.task.set(task);
        self.cancelling.set(Some(count));
        self.arm(py)
    }

    /// Sets the timer for the deadline there is.
    fn arm(&self, py: Python<'_>) -> Outcome<()> {
        let when = self.when.share_or_none();
        if when.is_none() {
            return Ok(());
        }
        // Bench: timeout_ctx; the loop of the task that runs is the running one.
        let known = Instance::<Task>::of_exact(&self.task.share_or_none())
            .and_then(|task| task.future().0.event_loop.share())
            .filter(|held| {
                Instance::<Engine>::of(held)
                    .is_some_and(|engine| engine.thread.get() == thread_ident())
            });
        let event_loop = match known {
            Some(event_loop) => event_loop,
            None => call(py, names::running_loop(py)?, &[])?,
        };
        if let Some(engine) = engine::plain(&event_loop)
            .filter(|engine| is_float(&when) && engine.plain_clock.get() && !engine.debug.get())
        {
            let deadline = as_float(py, &when)?;
            if !deadline.is_nan() {
                return self.arm_natively(py, engine, deadline);
            }
        }
        let callback = attribute(py, self.object(), names::on_timeout(py))?;
        let now = call_method(py, &event_loop, names::time(py), &[])?;
        let handle = if when.bind(py).le(now.bind(py))? {
            call_method(py, &event_loop, names::call_soon(py), &[&callback])?
        } else {
            call_method(py, &event_loop, names::call_at(py), &[&when, &callback])?
        };
        self.holder.set(handle);
        self.armed.set(Armed::Handle);
        Ok(())
    }

    fn arm_natively(
        &self,
        py: Python<'_>,
        engine: &Instance<Engine>,
        deadline: f64,
    ) -> Outcome<()> {
        engine.check_closed()?;
        let expiry = Thunk::new(self.own(), expire);
        if deadline <= engine.now(py)? {
            engine.push(py, expiry);
            self.armed.set(Armed::Soon);
        } else {
            let key = engine.push_timer(py, deadline, expiry);
            self.armed.set(Armed::Timer(key));
        }
        self.holder.set(engine.object().share());
        Ok(())
    }

    /// Takes back what `arm` has set.
    #[inline]
    fn disarm(&self, py: Python<'_>) -> Outcome<()> {
        let armed = self.armed.replace(Armed::No);
        let Some(holder) = self.holder.take() else {
            return Ok(());
        };
        match armed {
            Armed::No => {}
            Armed::Soon => self.revoked.set(self.revoked.get() + 1),
            Armed::Timer(key) => {
                let timer =
                    Instance::<Engine>::of(&holder).and_then(|engine| engine.cancel_timer(py, key));
                if timer.is_none() {
                    // It is due, and stands in the ready queue.
                    self.revoked.set(self.revoked.get() + 1);
                }
            }
            Armed::Handle => drop(call_method(py, &holder, names::cancel(py), &[])?),
        }
        Ok(())
    }

    fn reschedule(&self, py: Python<'_>, when: &Object) -> Outcome<Ref> {
        if self.shape.is_foreign() || self.stage.get() != Stage::Entered {
            return delegate(py, self, "reschedule", &[when]);
        }
        self.when.set(when.share());
        self.disarm(py)?;
        self.arm(py)?;
        Ok(Ref::none())
    }

    fn leave(&self, py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
        if !self.shape.is_foreign() {
            self.disarm(py)?;
            if self.stage.get() == Stage::Entered {
                self.stage.set(Stage::Exited);
                return ready(py);
            }
        }
        delegate(py, self, "__aexit__", args.positional())
    }
}

/// The time has come: the task is asked to end.
fn expire(py: Python<'_>, timeout: Own<Timeout>) -> Outcome<()> {
    if timeout.revoked.get() > 0 {
        timeout.revoked.set(timeout.revoked.get() - 1);
        return Ok(());
    }
    timeout.armed.set(Armed::No);
    let event_loop = timeout.holder.take().unwrap_or_else(Ref::none);
    if timeout.stage.get() != Stage::Entered {
        return Ok(());
    }
    let task = timeout.task.share_or_none();
    let asked = match Instance::<Task>::of_exact(&task) {
        Some(task) => task.cancel(py, None).map(drop),
        None => call_method(py, &task, names::cancel(py), &[]).map(drop),
    };
    match asked {
        Ok(()) => {
            timeout.stage.set(Stage::Expiring);
            Ok(())
        }
        Err(raised) => {
            let message = || format!("Exception in callback of {}", text_of(py, timeout.object()));
            report_raised(py, &event_loop, raised, message, &[])
        }
    }
}

/// The class `Timeout`.
///
/// # Errors
/// When it cannot be made.
fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<Timeout>::new(c"The native half of Timeout.")
        .subclassable()
        .new_with(|_, _, _| {
            Ok(Timeout {
                when: Slot::empty(),
                task: Slot::empty(),
                holder: Slot::empty(),
                armed: Cell::new(Armed::No),
                revoked: Cell::new(0),
                cancelling: Cell::new(None),
                stage: Cell::new(Stage::Created),
                shape: Shape::plain(),
            })
        })
        .init(|py, this, args, keywords| {
            this.shape.look(py, this.object(), INNER, &[])?;
            match (tuple_items(args), keywords) {
                ([when], None) if this.stage.get() == Stage::Created => {
                    this.when.set(when.share());
                    Ok(())
                }
                _ => initialise_next(py, this, args, keywords),
            }
        });
    privates(kept(methods(builder))).create(py, None)
}

fn methods(builder: Builder<Timeout>) -> Builder<Timeout> {
    builder
        .plain(
            c"when",
            c"when($self, /)\n--\n\nReturn the deadline there is, or None.",
            |_, this| Ok(this.when.share_or_none()),
        )
        .plain(
            c"expired",
            c"expired($self, /)\n--\n\nReturn True if the time came before the end of the block.",
            |_, this| {
                let stage = this.stage.get();
                Ok(Ref::boolean(matches!(
                    stage,
                    Stage::Expiring | Stage::Expired
                )))
            },
        )
        .method(
            c"reschedule",
            c"reschedule($self, /, when)\n--\n\nSet another deadline.",
            |py, this, args| {
                let [when] = args.parse(&Parameters {
                    function: "reschedule",
                    names: [names::when(py)],
                    positional: 1,
                    required: 1,
                })?;
                this.reschedule(py, when.unwrap_or(&Ref::none()))
            },
        )
        .plain(
            c"__aenter__",
            c"__aenter__($self, /)\n--\n\n",
            |py, this| {
                if this.shape.is_foreign() {
                    return delegate(py, this, "__aenter__", &[]);
                }
                Ok(op::new(py, &ENTER, Some(this.object().share()), None)?.erase())
            },
        )
        .method(
            c"__aexit__",
            c"__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\n",
            |py, this, args| this.leave(py, args),
        )
}

/// What asyncio's own code keeps on the instance.
fn kept(builder: Builder<Timeout>) -> Builder<Timeout> {
    builder
        .property(
            c"_when",
            c"The deadline.",
            |_, this| Ok(this.when.share_or_none()),
            |_, this, value| {
                this.when
                    .set(value.ok_or_else(attribute_without_value)?.share());
                Ok(())
            },
        )
        .property(
            c"_task",
            c"Who has entered.",
            |_, this| Ok(this.task.share_or_none()),
            |_, this, value| {
                this.task
                    .set(value.ok_or_else(attribute_without_value)?.share());
                Ok(())
            },
        )
        .property(
            c"_timeout_handler",
            c"The handle, where a loop that is not ours keeps the time.",
            |_, this| match this.armed.get() {
                Armed::Handle => Ok(this.holder.share_or_none()),
                _ => Ok(Ref::none()),
            },
            |_, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.armed.set(Armed::No);
                this.holder.clear();
                if !value.is_none() {
                    this.holder.set(value.share());
                    this.armed.set(Armed::Handle);
                }
                Ok(())
            },
        )
}

fn privates(builder: Builder<Timeout>) -> Builder<Timeout> {
    builder
        .property(
            c"_cancelling",
            c"How often the task's end had been asked for on entry.",
            |py, this| {
                let Some(count) = this.cancelling.get() else {
                    return Err(PyAttributeError::new_err(
                        "'Timeout' object has no attribute '_cancelling'",
                    )
                    .into());
                };
                let Ok(count) = count.into_pyobject(py);
                Ok(object(&count).share())
            },
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.cancelling.set(Some(value.bind(py).extract()?));
                Ok(())
            },
        )
        .property(
            c"_state",
            c"How far it is.",
            |py, this| {
                let name = STAGES
                    .iter()
                    .find(|(stage, _)| *stage == this.stage.get())
                    .map_or("CREATED", |(_, name)| name);
                Ok(names::timeout_states(py)?.bind(py).getattr(name)?.into())
            },
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                let name: String = value.bind(py).getattr("name")?.extract()?;
                if let Some((stage, _)) = STAGES.iter().find(|(_, known)| *known == name) {
                    this.stage.set(*stage);
                }
                Ok(())
            },
        )
}
