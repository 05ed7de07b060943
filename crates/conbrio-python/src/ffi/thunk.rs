//! An object and the function that knows what it is, as one value that is run once.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use pyo3::prelude::*;

use super::call::weak_reference;
use super::instance::{Class, Instance, Own};
use super::object::{Object, Outcome, Ref};
use super::unchanged::referent;

/// An owned object together with how to run it.
pub(crate) struct Thunk {
    object: Ref,
    run: unsafe fn(Python<'_>, Ref) -> Outcome<()>,
}

/// Carries the function's type, so that its address needs no place.
struct Runs<T, F>(PhantomData<(T, F)>);

impl<T: Class, F: Fn(Python<'_>, Own<T>) -> Outcome<()> + Copy + 'static> Runs<T, F> {
    const STATELESS: () = assert!(size_of::<F>() == 0, "a thunk's function captures nothing");

    /// # Safety
    /// `object` is an instance of `T`, and an `F` has existed.
    unsafe fn run(py: Python<'_>, object: Ref) -> Outcome<()> {
        let () = Self::STATELESS;
        // SAFETY: `F` has no bytes, and a value of it was given to `Thunk::new`.
        let function: F = unsafe { std::mem::zeroed() };
        // SAFETY: promised by the caller.
        function(py, unsafe { Own::trust(object) })
    }

    /// # Safety
    /// `reference` is a weak reference to an instance of `T`, and an `F` has existed.
    unsafe fn run_if_alive(py: Python<'_>, reference: Ref) -> Outcome<()> {
        match referent(py, &reference)? {
            // SAFETY: promised by the caller.
            Some(object) => unsafe { Self::run(py, object) },
            None => Ok(()),
        }
    }
}

impl Thunk {
    /// Binds `object` to `function`, a plain function or a closure that captures nothing.
    #[inline]
    pub(crate) fn new<T: Class, F>(object: Own<T>, _function: F) -> Self
    where
        F: Fn(Python<'_>, Own<T>) -> Outcome<()> + Copy + 'static,
    {
        Self {
            object: object.erase(),
            run: Runs::<T, F>::run,
        }
    }

    /// The same with a weak reference: runs nothing once the object is gone.
    ///
    /// # Errors
    /// `MemoryError`; `TypeError` when nothing can refer to the object weakly.
    pub(crate) fn weakly<T: Class, F>(
        py: Python<'_>,
        object: &Instance<T>,
        _function: F,
    ) -> Outcome<Self>
    where
        F: Fn(Python<'_>, Own<T>) -> Outcome<()> + Copy + 'static,
    {
        Ok(Self {
            object: weak_reference(py, object.object())?,
            run: Runs::<T, F>::run_if_alive,
        })
    }

    /// Keeps `object` and does nothing with it.
    pub(crate) fn of_nothing(object: Ref) -> Self {
        Self {
            object,
            run: |_, _| Ok(()),
        }
    }

    /// Runs the object.
    #[inline]
    pub(crate) fn run(self, py: Python<'_>) -> Outcome<()> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the reference is moved out once.
        let object = unsafe { std::ptr::read(&raw const this.object) };
        // SAFETY: `new` paired the function with an object of its class.
        unsafe { (this.run)(py, object) }
    }

    /// The same once more.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        Self {
            object: self.object.share(),
            run: self.run,
        }
    }

    /// The object.
    #[inline]
    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// The object as an owned reference, for the collector.
    pub(crate) fn reference(&self) -> &Ref {
        &self.object
    }
}
