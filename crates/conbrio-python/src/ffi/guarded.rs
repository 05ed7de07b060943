//! State that only the holder of the interpreter's lock may open, lent for the length of a closure.
//!
//! The one room that knows that there is a lock: on a build without it, this cell would hold a mutex.

use std::cell::UnsafeCell;

use pyo3::prelude::*;

/// A value opened with the interpreter's token.
pub(crate) struct Guarded<T>(UnsafeCell<T>);

impl<T> Guarded<T> {
    /// Guards `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Lends the value for the length of `user`, which never calls Python nor drops a `Ref` of what could:
    /// either might come back here. An exact `bytes` could not.
    #[inline]
    pub(crate) fn lend<R>(&self, _py: Python<'_>, user: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the token proves that this thread holds the lock, and `user` runs no Python code, so nobody else
        // can open the cell meanwhile.
        user(unsafe { &mut *self.0.get() })
    }

    /// Looks at the value for the collector, which runs while no `lend` is open.
    pub(crate) fn inspect<R>(&self, user: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the collector runs on the thread that holds the lock, never inside `lend`.
        user(unsafe { &*self.0.get() })
    }

    /// Puts `value` in and hands the old one back.
    pub(crate) fn replace(&self, value: T) -> T {
        // SAFETY: as `inspect`; nothing runs between.
        std::mem::replace(unsafe { &mut *self.0.get() }, value)
    }

    /// Takes the value away, leaving the default.
    pub(crate) fn take(&self) -> T
    where
        T: Default,
    {
        // SAFETY: as `inspect`; the old value is moved out and dropped by the caller, after the cell is closed.
        std::mem::take(unsafe { &mut *self.0.get() })
    }
}
