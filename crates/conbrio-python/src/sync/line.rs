//! A line of waiters: native as long as nobody looks at it, a Python deque once somebody has.
//!
//! CPython keeps waiters in deques that programs can reach (`lock._waiters`), change and put their own futures in. Few
//! do, so a line becomes such a deque when it is first asked for, and stays one.

use std::cell::OnceCell;

use conbrio_core::waiters::Waiters;
use pyo3::prelude::*;

use crate::ffi::{
    Guarded, Instance, Object, Outcome, Ref, Slot, Visit, call, call_method, is_true,
};
use crate::names;
use crate::op::Op;

/// How often one in the line is held who was taken in hand, and whom nobody else holds.
const HELD_TWICE: isize = 2;

/// What is asked of one after another.
type Asked<'a> = dyn FnMut(&Object) -> Outcome<bool> + 'a;

/// Who waits, in order; one word until somebody does.
pub(super) struct Line(OnceCell<Box<Kept>>);

/// What is kept of a line that somebody has stood in.
struct Kept {
    waiters: Guarded<Waiters<Ref>>,
    /// The deque, once there is one; the native line is empty then.
    opened: Slot,
}

impl Line {
    /// An empty line.
    pub(super) const fn new() -> Self {
        Self(OnceCell::new())
    }

    fn kept(&self) -> &Kept {
        self.0.get_or_init(|| {
            Box::new(Kept {
                waiters: Guarded::new(Waiters::new()),
                opened: Slot::empty(),
            })
        })
    }

    /// Shows the collector who waits.
    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        if let Some(kept) = self.0.get() {
            visit.slot(&kept.opened);
            kept.waiters
                .inspect(|waiters| waiters.iter().for_each(|waiter| visit.reference(waiter)));
        }
    }

    /// Lets go of everybody.
    pub(super) fn clear(&self) {
        if let Some(kept) = self.0.get() {
            kept.opened.clear();
            drop(kept.waiters.take());
        }
    }

    /// How many there are.
    ///
    /// # Errors
    /// What somebody's own deque raises.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> Outcome<usize> {
        let Some(kept) = self.0.get() else {
            return Ok(0);
        };
        match kept.opened.share() {
            None => Ok(kept.waiters.lend(py, |waiters| waiters.len())),
            Some(deque) if deque.is_none() => Ok(0),
            Some(deque) => Ok(deque.bind(py).len()?),
        }
    }

    /// Appends one.
    ///
    /// # Errors
    /// As `len`.
    #[inline]
    pub(super) fn push(&self, py: Python<'_>, waiter: &Object) -> Outcome<()> {
        let kept = self.kept();
        let Some(deque) = kept.opened.share() else {
            kept.waiters
                .lend(py, |waiters| waiters.push(waiter.share()));
            return Ok(());
        };
        let deque = if deque.is_none() {
            let fresh = call(py, names::deque(py)?, &[])?;
            kept.opened.set(fresh.share());
            fresh
        } else {
            deque
        };
        call_method(py, &deque, names::append(py), &[waiter]).map(drop)
    }

    /// Takes the first.
    ///
    /// # Errors
    /// As `len`.
    #[inline]
    pub(super) fn pop(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        let Some(kept) = self.0.get() else {
            return Ok(None);
        };
        match kept.opened.share() {
            None => Ok(kept.waiters.lend(py, Waiters::pop)),
            Some(_) if self.len(py)? == 0 => Ok(None),
            Some(deque) => call_method(py, &deque, names::popleft(py), &[]).map(Some),
        }
    }

    /// The one at `index`.
    ///
    /// # Errors
    /// As `len`.
    #[inline]
    pub(super) fn get(&self, py: Python<'_>, index: usize) -> Outcome<Option<Ref>> {
        let Some(kept) = self.0.get() else {
            return Ok(None);
        };
        match kept.opened.share() {
            None => Ok(kept.waiters.lend(py, |waiters| {
                waiters.get(index).map(|waiter| waiter.share())
            })),
            Some(_) if self.len(py)? <= index => Ok(None),
            Some(deque) => Ok(Some(deque.bind(py).get_item(index)?.into())),
        }
    }

    /// Removes `waiter`, wherever it stands; false when it does not.
    ///
    /// # Errors
    /// As `len`.
    #[inline]
    pub(super) fn remove(&self, py: Python<'_>, waiter: &Object) -> Outcome<bool> {
        let Some(kept) = self.0.get() else {
            return Ok(false);
        };
        let Some(deque) = kept.opened.share() else {
            let gone = kept
                .waiters
                .lend(py, |waiters| waiters.take(|one| one.is(waiter)));
            return Ok(gone.is_some());
        };
        if deque.is_none() || !deque.bind(py).contains(waiter.bind(py))? {
            return Ok(false);
        }
        call_method(py, &deque, names::remove(py), &[waiter]).map(|_| true)
    }

    /// The first, and nobody whom no one drives any more.
    ///
    /// # Errors
    /// As `len`.
    #[inline]
    pub(super) fn first(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        loop {
            match self.get(py, 0)? {
                Some(first) if is_forsaken(&first, HELD_TWICE) => self.bury(py, &first)?,
                first => return Ok(first),
            }
        }
    }

    /// Shows `user` one after another until it answers true; false when it never does.
    ///
    /// Those whom no one drives any more leave the line instead.
    #[inline]
    fn walk(
        &self,
        py: Python<'_>,
        mut user: impl FnMut(&Object) -> Outcome<bool>,
    ) -> Outcome<bool> {
        let Some(kept) = self.0.get() else {
            return Ok(false);
        };
        if !kept.opened.is_empty() {
            return self.walk_opened(py, &mut user);
        }
        let mut index = 0;
        while let Some(waiter) = self.get(py, index)? {
            if is_forsaken(&waiter, HELD_TWICE) {
                self.bury(py, &waiter)?;
                continue;
            }
            if user(&waiter)? {
                return Ok(true);
            }
            index += 1;
        }
        Ok(false)
    }

    /// As `walk`, where the line is a deque: who stands in the middle of one is not found by a number at once.
    #[cold]
    fn walk_opened(&self, py: Python<'_>, user: &mut Asked<'_>) -> Outcome<bool> {
        while self.len(py)? > 0 {
            if let Some(found) = self.walk_once(py, user)? {
                return Ok(found);
            }
        }
        Ok(false)
    }

    /// One walk; nothing when somebody has left, as a deque that has changed cannot be walked on.
    fn walk_once(&self, py: Python<'_>, user: &mut Asked<'_>) -> Outcome<Option<bool>> {
        for waiter in self.shown(py)?.bind(py).try_iter()? {
            let waiter = Ref::from(waiter?);
            if is_forsaken(&waiter, HELD_TWICE) {
                self.bury(py, &waiter)?;
                return Ok(None);
            }
            if user(&waiter)? {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// Ends the wait of one whom no one drives any more, who leaves the line by that: CPython does so when the coroutine
    /// dies, which the line has kept here.
    #[cold]
    fn bury(&self, py: Python<'_>, waiter: &Object) -> Outcome<()> {
        forsake(py, waiter);
        self.remove(py, waiter).map(drop)
    }

    /// Lets those go whom no one drives any more.
    ///
    /// # Errors
    /// As `len`.
    pub(super) fn sweep(&self, py: Python<'_>) -> Outcome<()> {
        self.walk(py, |_| Ok(false)).map(drop)
    }

    /// Whether everybody who waits was cancelled.
    ///
    /// # Errors
    /// As `len`, and what a foreign waiter's `cancelled()` raises.
    #[inline]
    pub(super) fn is_all_cancelled(&self, py: Python<'_>) -> Outcome<bool> {
        self.walk(py, |waiter| Ok(!is_cancelled(py, waiter)?))
            .map(|found| !found)
    }

    /// Wakes the first who is not done; false when there is none. Nobody leaves the line.
    ///
    /// # Errors
    /// What waking raises.
    #[inline]
    pub(super) fn wake_next(&self, py: Python<'_>) -> Outcome<bool> {
        self.walk(py, |waiter| {
            let waits = !is_done(py, waiter)?;
            if waits {
                wake(py, waiter)?;
            }
            Ok(waits)
        })
    }

    /// Wakes at most `most` who are not done. Nobody leaves the line.
    ///
    /// # Errors
    /// What waking raises.
    pub(super) fn wake_many(&self, py: Python<'_>, most: usize) -> Outcome<()> {
        let mut woken = 0;
        if most == 0 {
            return Ok(());
        }
        self.walk(py, |waiter| {
            if !is_done(py, waiter)? {
                woken += 1;
                wake(py, waiter)?;
            }
            Ok(woken == most)
        })
        .map(drop)
    }

    /// The line as Python sees it: a deque, which is the line from now on.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn shown(&self, py: Python<'_>) -> Outcome<Ref> {
        let kept = self.kept();
        if let Some(deque) = kept.opened.share() {
            return Ok(deque);
        }
        self.sweep(py)?;
        let deque = call(py, names::deque(py)?, &[])?;
        while let Some(waiter) = kept.waiters.lend(py, Waiters::pop) {
            call_method(py, &deque, names::append(py), &[&waiter])?;
        }
        kept.opened.set(deque.share());
        Ok(deque)
    }

    /// As `shown`, where asyncio has `None` until somebody waits.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn shown_if_any(&self, py: Python<'_>) -> Outcome<Ref> {
        let is_opened = self.0.get().is_some_and(|kept| !kept.opened.is_empty());
        if !is_opened && self.len(py)? == 0 {
            return Ok(Ref::none());
        }
        self.shown(py)
    }

    /// Puts somebody's deque (or `None`) in the line's place.
    pub(super) fn open_as(&self, _py: Python<'_>, deque: &Object) {
        let kept = self.kept();
        drop(kept.waiters.take());
        kept.opened.set(deque.share());
    }
}

/// Adds the attribute that shows a line as asyncio's deque, by one of the methods above, and takes another one in its place.
macro_rules! waiters {
    ($builder:expr, $name:literal, $doc:literal, $field:ident.$shown:ident) => {
        $builder.property(
            $name,
            $doc,
            |py, this| this.$field.$shown(py),
            |py, this, value| {
                let value = value.ok_or_else($crate::sync::attribute_without_value)?;
                this.$field.open_as(py, value);
                Ok(())
            },
        )
    };
}
pub(super) use waiters;

/// Whether a waiter waits no longer.
#[inline]
pub(super) fn is_done(py: Python<'_>, waiter: &Object) -> Outcome<bool> {
    match Instance::<Op>::of_exact(waiter) {
        Some(op) => Ok(op.is_done()),
        None => is_true(py, &*call_method(py, waiter, names::done(py), &[])?),
    }
}

/// Whether a waiter is a native wait that nobody but us holds, so many times, and so nobody will ever drive.
#[inline]
pub(super) fn is_forsaken(waiter: &Object, held: isize) -> bool {
    waiter.holders() == held
        && Instance::<Op>::of_exact(waiter).is_some_and(Instance::is_without_driver)
}

/// Ends the wait of one who is forsaken.
#[cold]
pub(super) fn forsake(py: Python<'_>, waiter: &Object) {
    if let Some(op) = Instance::<Op>::of_exact(waiter) {
        op.forsake(py);
    }
}

/// Whether a waiter was cancelled.
#[inline]
fn is_cancelled(py: Python<'_>, waiter: &Object) -> Outcome<bool> {
    match Instance::<Op>::of_exact(waiter) {
        Some(op) => Ok(op.is_cancelled()),
        None => is_true(py, &*call_method(py, waiter, names::cancelled(py), &[])?),
    }
}

/// Wakes a waiter that is not done.
#[inline]
pub(super) fn wake(py: Python<'_>, waiter: &Object) -> Outcome<()> {
    if let Some(op) = Instance::<Op>::of_exact(waiter) {
        return op.wake(py);
    }
    let none = Ref::none();
    call_method(py, waiter, names::set_result(py), &[&none]).map(drop)
}
