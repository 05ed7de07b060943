//! What a queue holds: native as long as nobody looks at it, a Python container once somebody has.
//!
//! CPython keeps items in `queue._queue`, and programs reach for it: to look, to clear, to reorder. So it becomes such a
//! deque or list when it is first asked for, and stays one. A priority queue's is a list, with CPython's own heap on it.

use std::cell::Cell;
use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::ffi::{Guarded, Object, Outcome, Ref, Slot, Visit, call, call_method, is_true};
use crate::names;

/// Which item is next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The oldest.
    Fifo,
    /// The youngest.
    Lifo,
    /// The smallest.
    Smallest,
}

/// Items, in some order.
pub(super) struct Items {
    order: Cell<Order>,
    native: Guarded<VecDeque<Ref>>,
    /// The Python container, once there is one; there are no native items then.
    opened: Slot,
}

impl Items {
    /// No items.
    pub(super) const fn new() -> Self {
        Self {
            order: Cell::new(Order::Fifo),
            native: Guarded::new(VecDeque::new()),
            opened: Slot::empty(),
        }
    }

    /// Begins, empty, in this order.
    pub(super) fn begin(&self, py: Python<'_>, order: Order) {
        self.order.set(order);
        drop(self.native.take());
        self.opened.clear();
        if order == Order::Smallest {
            self.opened.set(PyList::empty(py).into_any().into());
        }
    }

    /// Shows the collector the items.
    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.opened);
        self.native
            .inspect(|items| items.iter().for_each(|item| visit.reference(item)));
    }

    /// Lets go of all.
    pub(super) fn clear(&self) {
        self.opened.clear();
        drop(self.native.take());
    }

    /// How many there are.
    ///
    /// # Errors
    /// What somebody's own container raises.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> Outcome<usize> {
        match self.opened.share() {
            None => Ok(self.native.lend(py, |items| items.len())),
            Some(container) => Ok(container.bind(py).len()?),
        }
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As `len`.
    #[inline]
    pub(super) fn is_empty(&self, py: Python<'_>) -> Outcome<bool> {
        match self.opened.share() {
            None => Ok(self.native.lend(py, |items| items.is_empty())),
            Some(container) => Ok(!is_true(py, &container)?),
        }
    }

    /// Adds one.
    ///
    /// # Errors
    /// As `len`; what comparing items raises.
    #[inline]
    pub(super) fn push(&self, py: Python<'_>, item: &Object) -> Outcome<()> {
        let Some(container) = self.opened.share() else {
            self.native.lend(py, |items| items.push_back(item.share()));
            return Ok(());
        };
        if self.order.get() == Order::Smallest {
            return call(py, names::heappush(py)?, &[&container, item]).map(drop);
        }
        call_method(py, &container, names::append(py), &[item]).map(drop)
    }

    /// Takes the next, if there is one.
    ///
    /// # Errors
    /// As `push`.
    #[inline]
    pub(super) fn pop(&self, py: Python<'_>) -> Outcome<Option<Ref>> {
        let Some(container) = self.opened.share() else {
            return Ok(self.native.lend(py, |items| match self.order.get() {
                Order::Lifo => items.pop_back(),
                Order::Fifo | Order::Smallest => items.pop_front(),
            }));
        };
        if !is_true(py, &container)? {
            return Ok(None);
        }
        self.next_of(py, &container).map(Some)
    }

    /// Takes the next of a container in which one should be.
    ///
    /// # Errors
    /// As `push`; `IndexError` if none is.
    pub(super) fn next_of(&self, py: Python<'_>, container: &Object) -> Outcome<Ref> {
        match self.order.get() {
            Order::Fifo => call_method(py, container, names::popleft(py), &[]),
            Order::Lifo => call_method(py, container, names::pop(py), &[]),
            Order::Smallest => call(py, names::heappop(py)?, &[container]),
        }
    }

    /// The items, as a list of their own.
    ///
    /// # Errors
    /// As `len`.
    pub(super) fn listed(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(container) = self.opened.share() {
            let list = py.get_type::<PyList>();
            return call(py, crate::ffi::object(&list), &[&container]);
        }
        let shared: Vec<Ref> = self
            .native
            .lend(py, |items| items.iter().map(|item| item.share()).collect());
        let list = PyList::empty(py);
        for item in &shared {
            list.append(item.bind(py))?;
        }
        Ok(list.into_any().into())
    }

    /// The container as Python sees it, which holds the items from now on.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn shown(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(container) = self.opened.share() {
            return Ok(container);
        }
        let list = self.listed(py)?;
        let container = match self.order.get() {
            Order::Fifo => call(py, names::deque(py)?, &[&list])?,
            Order::Lifo | Order::Smallest => list,
        };
        self.opened.set(container.share());
        drop(self.native.take());
        Ok(container)
    }

    /// Whether there is a Python container.
    pub(super) fn is_opened(&self) -> bool {
        !self.opened.is_empty()
    }

    /// Puts somebody's container in their place, which is in this order.
    pub(super) fn open_as(&self, order: Order, container: Option<&Object>) {
        self.order.set(order);
        drop(self.opened.replace(container.map(Object::share)));
        drop(self.native.take());
    }
}
