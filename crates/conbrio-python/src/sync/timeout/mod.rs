//! `timeout`, `timeout_at` and `Timeout`: a timer that cancels a task.
//!
//! Entering and leaving in time are native; what happens when the time has come is CPython's own code over the native
//! state.

mod attributes;
mod function;

use std::cell::Cell;

use conbrio_core::timers::Key;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::shape::{Shape, shaped};
use super::stock::{delegate, initialise_next};
use crate::engine::{self, Engine};
use crate::ffi::{
    Args, Builder, Class, ClassState, Instance, Object, Outcome, Own, Parameters, Ref, Slot, Thunk,
    Visit, as_float, attribute, call, call_method, float, is_float, running_task, thread_ident,
    tuple_items,
};
use crate::names;
use crate::op::{given, ready};
use crate::report::{report_raised, text_of};
use crate::task::Task;

/// Methods that others call by name.
const INNER: &[&str] = &["reschedule", "_on_timeout", "_insert_timeout_error"];
shaped!(Timeout, INNER, &[]);

/// How far a timeout is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

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
    /// The deadline as it was given, or `None`; empty where `moment` is all there is of it.
    when: Slot,
    /// The deadline in seconds of the loop's clock, where `when` is empty.
    moment: Cell<f64>,
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
    const USUAL_REUSED: bool = true;

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

/// Adds the class `Timeout` and the functions that make one.
///
/// # Errors
/// When the class cannot be made.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("Timeout", class(py)?)?;
    function::add_to(module)
}

impl Timeout {
    /// One with a deadline: an object in the slot, or a moment.
    fn new(when: Slot, moment: f64) -> Self {
        Self {
            when,
            moment: Cell::new(moment),
            task: Slot::empty(),
            holder: Slot::empty(),
            armed: Cell::new(Armed::No),
            revoked: Cell::new(0),
            cancelling: Cell::new(None),
            stage: Cell::new(Stage::Created),
            shape: Shape::as_last_seen::<Self>(),
        }
    }

    /// The deadline as people see it.
    fn deadline(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(when) = self.when.share() {
            return Ok(when);
        }
        let made = float(py, self.moment.get())?;
        self.when.set(made.share());
        Ok(made)
    }

    fn set_deadline(&self, when: &Object) {
        self.when.set(when.share());
    }
}

/// The native task that runs in this thread, and its loop; nothing where that has to be asked for.
#[inline]
fn running(py: Python<'_>) -> (Option<Own<Task>>, Option<Ref>) {
    let task = running_task(py).and_then(|task| Own::<Task>::of(task).ok());
    let event_loop = task
        .as_ref()
        .and_then(|task| task.future().0.event_loop.share())
        .filter(|held| {
            Instance::<Engine>::of(held).is_some_and(|engine| engine.thread.get() == thread_ident())
        });
    match event_loop {
        Some(event_loop) => (task, Some(event_loop)),
        None => (None, None),
    }
}

impl Instance<Timeout> {
    fn enter(&self, py: Python<'_>) -> Outcome<()> {
        if self.stage.get() != Stage::Created {
            return Err(PyRuntimeError::new_err("Timeout has already been entered").into());
        }
        let (task, event_loop) = running(py);
        let task = match task {
            Some(task) => task.erase(),
            None => call(py, names::current_task(py)?, &[])?,
        };
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
        self.arm(py, event_loop)
    }

    /// Sets the timer for the deadline there is.
    fn arm(&self, py: Python<'_>, event_loop: Option<Ref>) -> Outcome<()> {
        let when = self.when.share();
        if when.as_ref().is_some_and(|when| when.is_none()) {
            return Ok(());
        }
        let deadline = match &when {
            None => self.moment.get(),
            Some(when) if is_float(when) => as_float(py, when)?,
            Some(_) => f64::NAN,
        };
        let event_loop = match event_loop.or_else(|| self.known_loop()) {
            Some(event_loop) => event_loop,
            None => call(py, names::running_loop(py)?, &[])?,
        };
        if let Some(engine) = engine::plain(&event_loop)
            .filter(|engine| !deadline.is_nan() && engine.plain_clock.get() && !engine.debug.get())
        {
            return self.arm_natively(py, engine, deadline);
        }
        self.arm_by_methods(py, &event_loop)
    }

    /// The loop of the task that runs, which is the running one.
    fn known_loop(&self) -> Option<Ref> {
        let task = self.task.share()?;
        let event_loop = Instance::<Task>::of_exact(&task)?
            .future()
            .0
            .event_loop
            .share()?;
        let runs_here = Instance::<Engine>::of(&event_loop)?.thread.get() == thread_ident();
        runs_here.then_some(event_loop)
    }

    fn arm_by_methods(&self, py: Python<'_>, event_loop: &Object) -> Outcome<()> {
        let when = self.deadline(py)?;
        let callback = attribute(py, self.object(), names::on_timeout(py))?;
        let now = call_method(py, event_loop, names::time(py), &[])?;
        let handle = if when.bind(py).le(now.bind(py))? {
            call_method(py, event_loop, names::call_soon(py), &[&callback])?
        } else {
            call_method(py, event_loop, names::call_at(py), &[&when, &callback])?
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
        if engine.can_have_come(deadline) && deadline <= engine.now(py)? {
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

    /// Takes back what asyncio's own code would not find.
    #[cold]
    fn disarm_natively(&self, py: Python<'_>) -> Outcome<()> {
        match self.armed.get() {
            Armed::Timer(_) | Armed::Soon => self.disarm(py),
            Armed::No | Armed::Handle => Ok(()),
        }
    }

    fn reschedule(&self, py: Python<'_>, when: &Object) -> Outcome<Ref> {
        if self.shape(py).is_foreign() || self.stage.get() != Stage::Entered {
            self.disarm_natively(py)?;
            return delegate(py, self, "reschedule", &[when]);
        }
        self.set_deadline(when);
        self.disarm(py)?;
        self.arm(py, None)?;
        Ok(Ref::none())
    }

    fn leave(&self, py: Python<'_>, args: Args<'_>) -> Outcome<Ref> {
        if self.shape(py).is_foreign() {
            self.disarm_natively(py)?;
        } else {
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
    let builder = Builder::<Timeout>::new(c"Timeout(when)\n--\n\nThe native half of Timeout.")
        .subclassable()
        .new_with(|_, _, _| Ok(Timeout::new(Slot::holding(Ref::none()), f64::NAN)))
        .init(
            |py, this, args, keywords| match (tuple_items(args), keywords) {
                ([when], None) if this.stage.get() == Stage::Created => {
                    this.set_deadline(when);
                    Ok(())
                }
                _ => initialise_next(py, this, args, keywords),
            },
        );
    attributes::privates(attributes::kept(methods(builder))).create(py, None)
}

/// The block of the `async with` begins.
fn enter(py: Python<'_>, timeout: &Object) -> Outcome<()> {
    Instance::<Timeout>::of(timeout).map_or(Ok(()), |timeout| timeout.enter(py))
}

fn methods(builder: Builder<Timeout>) -> Builder<Timeout> {
    builder
        .plain(
            c"when",
            c"when($self, /)\n--\n\nReturn the deadline there is, or None.",
            |py, this| this.deadline(py),
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
                if this.shape(py).is_foreign() {
                    return delegate(py, this, "__aenter__", &[]);
                }
                given(py, this.object().share(), enter)
            },
        )
        .coroutine()
        .method(
            c"__aexit__",
            c"__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\n",
            |py, this, args| this.leave(py, args),
        )
        .coroutine()
}
