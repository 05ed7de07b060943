//! Op: one native wait, which is its own awaitable, its own iterator and, while it is parked, its own future.
//!
//! `await lock.acquire()` makes one object, and it comes from the spare ones. Nothing happens before the first send, as
//! with a coroutine, so that tasks can be made of it. What it does is a `Deed`, given by the room that makes it; this
//! room knows how to be driven, parked, woken, cancelled and closed.

mod class;
mod ready;

use std::cell::Cell;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;

use crate::ffi::{
    Class, ClassState, Instance, Object, Outcome, Own, Raised, Ref, Resumed, Slot, Step, Visit,
    call, call_method, exception, object, raise, raise_in_context, resume, returned_value,
    write_unraisable,
};
use crate::future::wake;
use crate::{names, report};

pub(crate) use class::class;
pub(crate) use ready::{class as ready_class, drained, given, given_class, ready};

/// What an op does when it is driven.
pub(crate) struct Deed {
    /// The qualified name of the method that makes it, as a coroutine would have it.
    pub(crate) name: &'static str,
    /// The first send.
    pub(crate) begin: Act,
    /// A send after it was woken.
    pub(crate) resume: Act,
    /// An exception thrown in, or a close, while it is parked: tidies up and raises it, or goes on waiting.
    pub(crate) abandon: Abandon,
}

/// A part of a deed.
pub(crate) type Act = fn(Python<'_>, &Instance<Op>) -> Outcome<Doing>;

/// How a deed is given up; the last argument tells whether the op had been woken already.
pub(crate) type Abandon = fn(Python<'_>, &Instance<Op>, Ref, bool) -> Outcome<Doing>;

/// Where a part of a deed leaves its op.
pub(crate) enum Doing {
    /// It has ended with this.
    Done(Ref),
    /// It is parked and waits to be woken.
    Parked,
    /// It goes on in the next turn.
    NextTurn,
    /// It has handed over to the coroutine in `extra`, which waits for this.
    Handed(Ref),
}

/// How far an op is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has been sent yet.
    Fresh,
    /// Its deed runs.
    Running,
    /// It is parked.
    Pending,
    /// It was woken, and goes on when it is sent to.
    Woken,
    /// It was cancelled while it was parked; whoever drives it throws that in.
    Cancelled,
    /// It was given an exception while it was parked; whoever drives it throws that in.
    Failed,
    /// It has handed over to a coroutine, which waits.
    Handed,
    /// It has ended.
    Over,
}

/// One native wait.
pub(crate) struct Op {
    deed: Cell<&'static Deed>,
    stage: Cell<Stage>,
    /// It has just been yielded, and nobody has taken note yet.
    blocks: Cell<bool>,
    /// For the deed: where in it the op is.
    pub(crate) phase: Cell<u8>,
    /// For the deed: a small number.
    pub(crate) count: Cell<u32>,
    /// For the deed: a number.
    pub(crate) number: Cell<u64>,
    /// For the deed: what is waited for.
    pub(crate) owner: Slot,
    /// For the deed: what is put, or returned.
    pub(crate) item: Slot,
    /// For the deed: something else.
    pub(crate) extra: Slot,
    /// The loop it is or was parked on.
    event_loop: Slot,
    /// Who is woken: a native task, or a callable.
    waiter: Slot,
    /// The context of a callable; empty for a native task.
    waiter_context: Slot,
    /// What it was cancelled with.
    message: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for Op {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Op";
    const REUSED: bool = true;

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

    #[inline]
    fn has_last_words(&self) -> bool {
        self.stage.get() == Stage::Fresh
    }
}

impl Op {
    fn slots(&self) -> [&Slot; 7] {
        [
            &self.owner,
            &self.item,
            &self.extra,
            &self.event_loop,
            &self.waiter,
            &self.waiter_context,
            &self.message,
        ]
    }
}

/// Makes an op that will do `deed` with `owner` when it is awaited.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn new(
    py: Python<'_>,
    deed: &'static Deed,
    owner: Option<Ref>,
    item: Option<Ref>,
) -> Outcome<Own<Op>> {
    let held = |value: Option<Ref>| value.map_or_else(Slot::empty, Slot::holding);
    Own::new(
        py,
        Op {
            deed: Cell::new(deed),
            stage: Cell::new(Stage::Fresh),
            blocks: Cell::new(false),
            phase: Cell::new(0),
            count: Cell::new(0),
            number: Cell::new(0),
            owner: held(owner),
            item: held(item),
            extra: Slot::empty(),
            event_loop: Slot::empty(),
            waiter: Slot::empty(),
            waiter_context: Slot::empty(),
            message: Slot::empty(),
        },
    )
}

impl Instance<Op> {
    // ---- what deeds call

    /// Parks it on `event_loop`: the deed answers `Doing::Parked` next.
    #[inline]
    pub(crate) fn park(&self, event_loop: Ref) {
        drop(self.event_loop.replace(Some(event_loop)));
        self.stage.set(Stage::Pending);
        self.blocks.set(true);
    }

    /// Leaves the rest to `coroutine`, and does its next step.
    ///
    /// # Errors
    /// What it raises.
    pub(crate) fn hand_over(&self, py: Python<'_>, coroutine: &Object) -> Outcome<Doing> {
        drop(self.extra.replace(Some(coroutine.share())));
        match resume(py, coroutine, &Ref::none()) {
            Resumed::Yielded(awaited) => Ok(Doing::Handed(awaited)),
            Resumed::Returned(value) => Ok(Doing::Done(value)),
            Resumed::Raised(raised) => Err(raised),
        }
    }

    /// Throws an exception into the coroutine to which the rest is left.
    ///
    /// # Errors
    /// What it raises.
    pub(crate) fn throw_over(&self, py: Python<'_>, exception: &Object) -> Outcome<Doing> {
        let coroutine = self.extra.share_or_none();
        match call_method(py, &coroutine, names::throw(py), &[exception]) {
            Ok(awaited) => Ok(Doing::Handed(awaited)),
            Err(raised) => returned_value(py, raised).map(Doing::Done),
        }
    }

    /// Wakes it, unless it is not parked or was woken or cancelled before.
    ///
    /// # Errors
    /// What a foreign loop's `call_soon` raises.
    #[inline]
    pub(crate) fn wake(&self, py: Python<'_>) -> Outcome<()> {
        if self.stage.get() != Stage::Pending {
            return Ok(());
        }
        self.stage.set(Stage::Woken);
        self.tell(py)
    }

    /// Whether it waits no longer, as a future's `done()`.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        matches!(
            self.stage.get(),
            Stage::Woken | Stage::Cancelled | Stage::Failed | Stage::Over
        )
    }

    /// Whether it was cancelled while it was parked.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.stage.get() == Stage::Cancelled
    }

    /// Whether it has begun, and nobody is told when it is woken.
    #[cold]
    pub(crate) fn is_without_driver(&self) -> bool {
        self.waiter.is_empty() && !matches!(self.stage.get(), Stage::Fresh | Stage::Running)
    }

    /// Ends it as the death of a coroutine ends its wait; what that raises goes where nobody can catch it.
    #[cold]
    pub(crate) fn forsake(&self, py: Python<'_>) {
        if let Err(raised) = self.close(py) {
            write_unraisable(raised, self.object());
        }
    }

    /// The loop it is or was parked on.
    pub(crate) fn parked_on(&self) -> Option<Ref> {
        self.event_loop.share()
    }

    // ---- what tasks call

    /// Whether it is parked on `event_loop`, held by a task of that loop.
    #[inline]
    pub(crate) fn is_of(&self, event_loop: &Slot) -> bool {
        self.event_loop.same(event_loop)
    }

    /// Takes note that it was yielded; false when it was not by itself.
    #[inline]
    pub(crate) fn unblock(&self) -> bool {
        self.blocks.replace(false)
    }

    /// Keeps the native task that awaits it, to be made runnable when it is woken.
    ///
    /// # Errors
    /// `RuntimeError` when somebody else awaits it.
    #[inline]
    pub(crate) fn keep(&self, py: Python<'_>, waiter: Ref) -> Outcome<()> {
        self.keep_in(py, waiter, None)
    }

    fn keep_in(&self, py: Python<'_>, waiter: Ref, context: Option<Ref>) -> Outcome<()> {
        if self.stage.get() != Stage::Pending {
            let event_loop = self.event_loop.share_or_none();
            return wake(py, &event_loop, self.object(), waiter, context);
        }
        if !self.waiter.is_empty() {
            return Err(PyRuntimeError::new_err("coroutine is being awaited already").into());
        }
        drop(self.waiter_context.replace(context));
        drop(self.waiter.replace(Some(waiter)));
        Ok(())
    }

    /// Cancels the wait, as a future's `cancel()`: whoever drives it throws a `CancelledError` in. False when it does not
    /// wait.
    ///
    /// # Errors
    /// What a foreign loop's `call_soon` raises.
    pub(crate) fn cancel(&self, py: Python<'_>, message: Option<&Object>) -> Outcome<bool> {
        if self.stage.get() != Stage::Pending {
            return Ok(false);
        }
        self.stage.set(Stage::Cancelled);
        let message = message.filter(|message| !message.is_none());
        drop(self.message.replace(message.map(Object::share)));
        self.tell(py)?;
        Ok(true)
    }

    /// Fails the wait, as a future's `set_exception()`: whoever drives it throws that in. False when it does not wait.
    ///
    /// # Errors
    /// What a foreign loop's `call_soon` raises.
    fn fail(&self, py: Python<'_>, exception: Ref) -> Outcome<bool> {
        if self.stage.get() != Stage::Pending {
            return Ok(false);
        }
        self.stage.set(Stage::Failed);
        drop(self.message.replace(Some(exception)));
        self.tell(py)?;
        Ok(true)
    }

    /// The exception of a cancelled op.
    ///
    /// # Errors
    /// When making it fails.
    pub(crate) fn cancelled_error(&self, py: Python<'_>) -> Outcome<Ref> {
        let class = names::cancelled_error(py)?;
        match self.message.share() {
            Some(message) => call(py, class, &[&message]),
            None => call(py, class, &[]),
        }
    }

    // ---- what drives it

    /// One send.
    #[inline]
    fn advance(&self, py: Python<'_>) -> Outcome<Step> {
        let deed = self.deed.get();
        let act = match self.stage.get() {
            Stage::Fresh => deed.begin,
            Stage::Woken => deed.resume,
            Stage::Cancelled => {
                let exception = self.cancelled_error(py)?;
                return self.throw(py, exception);
            }
            Stage::Failed => {
                let exception = self.message.share_or_none();
                return self.throw(py, exception);
            }
            Stage::Handed => {
                |py: Python<'_>, op: &Self| op.hand_over(py, &op.extra.share_or_none())
            }
            other => return Err(undrivable(other)),
        };
        self.stage.set(Stage::Running);
        let doing = act(py, self);
        self.settle(py, doing)
    }

    /// One exception thrown in.
    fn throw(&self, py: Python<'_>, exception: Ref) -> Outcome<Step> {
        let was_woken = match self.stage.get() {
            Stage::Fresh => {
                self.end();
                return Err(refuse_stop(py, raise_in_context(&exception).take()));
            }
            other @ (Stage::Running | Stage::Over) => return Err(undrivable(other)),
            Stage::Handed => {
                self.stage.set(Stage::Running);
                let doing = self.throw_over(py, &exception);
                return self.settle(py, doing);
            }
            Stage::Woken => true,
            Stage::Pending | Stage::Cancelled | Stage::Failed => false,
        };
        let deed = self.deed.get();
        drop((self.waiter.take(), self.waiter_context.take()));
        if self.stage.get() == Stage::Pending {
            self.stage.set(Stage::Cancelled);
        }
        let doing = (deed.abandon)(py, self, exception, was_woken);
        self.settle(py, doing)
    }

    /// An end from outside, as a coroutine's `close()`.
    fn close(&self, py: Python<'_>) -> Outcome<()> {
        match self.stage.get() {
            Stage::Over => return Ok(()),
            Stage::Fresh => {
                self.end();
                return Ok(());
            }
            Stage::Running => return Err(undrivable(Stage::Running)),
            Stage::Pending | Stage::Woken | Stage::Cancelled | Stage::Failed | Stage::Handed => {}
        }
        let class = py.get_type::<pyo3::exceptions::PyGeneratorExit>();
        let exit = call(py, object(&class), &[])?;
        match self.throw(py, exit.share()) {
            Ok(Step::Yield(_)) => {
                Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit").into())
            }
            Ok(Step::Return(_)) => Ok(()),
            Err(raised) => {
                let exception = raised.take();
                if exception.is(&exit) {
                    Ok(())
                } else {
                    Err(raise(exception))
                }
            }
        }
    }

    /// Acts on where a part of the deed has left it.
    #[inline]
    fn settle(&self, py: Python<'_>, doing: Outcome<Doing>) -> Outcome<Step> {
        match doing {
            Ok(Doing::Done(value)) => {
                self.end();
                Ok(Step::Return(value))
            }
            Ok(Doing::Parked) => Ok(Step::Yield(self.object().share())),
            Ok(Doing::Handed(awaited)) => {
                self.stage.set(Stage::Handed);
                Ok(Step::Yield(awaited))
            }
            Ok(Doing::NextTurn) => {
                self.stage.set(Stage::Woken);
                Ok(Step::Yield(Ref::none()))
            }
            Err(raised) => {
                let exception = raised.take();
                self.end();
                Err(refuse_stop(py, exception))
            }
        }
    }

    /// Lets go of everything.
    #[inline]
    fn end(&self) {
        self.stage.set(Stage::Over);
        drop((self.owner.take(), self.item.take(), self.extra.take()));
    }

    /// Makes who awaits it runnable.
    #[inline]
    fn tell(&self, py: Python<'_>) -> Outcome<()> {
        let (Some(waiter), Some(event_loop)) = (self.waiter.take(), self.event_loop.share()) else {
            return Ok(());
        };
        let context = self.waiter_context.take();
        wake(py, &event_loop, self.object(), waiter, context)
    }
}

/// Raises what a deed has raised; a `StopIteration` would be taken for a return.
#[cold]
fn refuse_stop(py: Python<'_>, exception: Ref) -> Raised {
    if !exception.bind(py).is_instance_of::<PyStopIteration>() {
        return raise(exception);
    }
    let class = py.get_type::<PyRuntimeError>();
    match report::exception(py, object(&class), "coroutine raised StopIteration") {
        Ok(error) => {
            exception::set_cause(py, &error, exception.share());
            exception::set_context(py, &error, exception);
            raise(error)
        }
        Err(raised) => raised,
    }
}

#[cold]
fn undrivable(stage: Stage) -> Raised {
    match stage {
        Stage::Running => PyValueError::new_err("coroutine already executing").into(),
        Stage::Pending => PyRuntimeError::new_err("await wasn't used with future").into(),
        _ => PyRuntimeError::new_err("cannot reuse already awaited coroutine").into(),
    }
}
