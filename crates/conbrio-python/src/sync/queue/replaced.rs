//! What a subclass has replaced of a queue's methods, called by name: the container above all, which CPython offers for it.
//!
//! asyncio's methods call each other by name. Where a subclass has replaced one of those, the native methods do so too;
//! which they call, and in which order, is asyncio's. Does not know who waits.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::Queue;
use crate::ffi::{Instance, Object, Outcome, Ref, call_method, is_true, take_raised};
use crate::names;

/// What makes asyncio's methods do everything.
pub(super) const INNER: &[&str] = &["_get_loop", "_wakeup_next"];

/// What is called by name where it is replaced, in the order of `Method`.
pub(super) const OUTER: &[&str] = &[
    "_init",
    "_get",
    "_put",
    "qsize",
    "empty",
    "full",
    "put_nowait",
    "get_nowait",
];

/// A method of `OUTER`.
#[derive(Clone, Copy)]
enum Method {
    Init,
    Get,
    Put,
    Size,
    Empty,
    Full,
    PutNowait,
    GetNowait,
}

impl Instance<Queue> {
    #[inline]
    fn has_replaced(&self, method: Method) -> bool {
        self.seen_shape().has_replaced(method as usize)
    }

    /// Moves the items into the container that others know, in which all methods work.
    #[cold]
    pub(super) fn open_items(&self, py: Python<'_>) {
        if self.items.shown(py).is_err() {
            drop(take_raised(py));
        }
    }

    /// Lets the subclass make its container.
    ///
    /// # Errors
    /// What it raises.
    pub(super) fn init_items(&self, py: Python<'_>, limit: &Object) -> Outcome<()> {
        if self.has_replaced(Method::Init) {
            self.items.clear();
            call_method(py, self.object(), names::queue_init(py), &[limit])?;
        }
        Ok(())
    }

    /// Makes sure that there are items, where they are the subclass's to bring.
    ///
    /// # Errors
    /// `AttributeError` if it has brought none.
    #[inline]
    pub(super) fn must_have_items(&self, py: Python<'_>) -> Outcome<()> {
        if (self.has_replaced(Method::Init) || self.seen_shape().is_foreign())
            && !self.items.is_opened()
        {
            let class = self.object().bind(py).get_type();
            let text = format!("'{}' object has no attribute '_queue'", class.name()?);
            return Err(PyAttributeError::new_err(text).into());
        }
        Ok(())
    }

    /// What `qsize()` returns where it is not replaced.
    ///
    /// # Errors
    /// What the container raises.
    #[inline]
    pub(super) fn size(&self, py: Python<'_>) -> Outcome<usize> {
        self.must_have_items(py)?;
        self.items.len(py)
    }

    /// What `empty()` returns where it is not replaced.
    ///
    /// # Errors
    /// As `size`.
    #[inline]
    pub(super) fn holds_nothing(&self, py: Python<'_>) -> Outcome<bool> {
        self.must_have_items(py)?;
        self.items.is_empty(py)
    }

    /// What `full()` returns where it is not replaced.
    ///
    /// # Errors
    /// As `size`; what a `qsize()` of the subclass raises.
    #[inline]
    pub(super) fn has_no_room(&self, py: Python<'_>) -> Outcome<bool> {
        let most = self.most.get();
        if most <= 0 {
            return Ok(false);
        }
        if self.has_replaced(Method::Size) {
            let size = call_method(py, self.object(), names::qsize(py), &[])?;
            return Ok(size.bind(py).ge(most)?);
        }
        Ok(i64::try_from(self.size(py)?).unwrap_or(i64::MAX) >= most)
    }

    /// Whether there are no items.
    ///
    /// # Errors
    /// As `size`; what the subclass raises.
    #[inline]
    pub(super) fn is_empty(&self, py: Python<'_>) -> Outcome<bool> {
        if self.has_replaced(Method::Empty) {
            return is_true(py, &*call_method(py, self.object(), names::empty(py), &[])?);
        }
        self.holds_nothing(py)
    }

    /// Whether there is no room for another.
    ///
    /// # Errors
    /// As `is_empty`.
    #[cold]
    pub(super) fn is_full_by_name(&self, py: Python<'_>) -> Outcome<bool> {
        if self.has_replaced(Method::Full) {
            return is_true(py, &*call_method(py, self.object(), names::full(py), &[])?);
        }
        self.has_no_room(py)
    }

    /// Adds an item to the container.
    ///
    /// # Errors
    /// As `is_empty`.
    #[cold]
    pub(super) fn push_by_name(&self, py: Python<'_>, item: &Object) -> Outcome<()> {
        if self.has_replaced(Method::Put) {
            return call_method(py, self.object(), names::queue_put(py), &[item]).map(drop);
        }
        self.must_have_items(py)?;
        self.items.push(py, item)
    }

    /// Takes the next item out of the container, if there is one.
    ///
    /// # Errors
    /// As `is_empty`; `IndexError` where the subclass says there is one, and there is none.
    #[cold]
    pub(super) fn pop_by_name(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        if self.is_empty(py)? {
            return Ok(None);
        }
        if self.has_replaced(Method::Get) {
            return call_method(py, self.object(), names::queue_get(py), &[]).map(Some);
        }
        self.items.next_of(py, &*self.items.shown(py)?).map(Some)
    }

    /// Does what `put()` ends with, and returns what that returns.
    ///
    /// # Errors
    /// As `put_nowait`.
    #[cold]
    pub(super) fn put_by_name(&self, py: Python<'_>, item: &Object) -> Outcome<Ref> {
        if self.has_replaced(Method::PutNowait) {
            return call_method(py, self.object(), names::put_nowait(py), &[item]);
        }
        self.put_nowait(py, item)?;
        Ok(Ref::none())
    }

    /// Does what `get()` ends with, if there is an item.
    ///
    /// # Errors
    /// As `get_nowait`.
    #[cold]
    pub(super) fn take_by_name(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        if self.is_empty(py)? {
            return Ok(None);
        }
        if self.has_replaced(Method::GetNowait) {
            return call_method(py, self.object(), names::get_nowait(py), &[]).map(Some);
        }
        self.get_nowait(py).map(Some)
    }
}
