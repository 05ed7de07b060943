//! asyncio's own eager task factory, recognised: its tasks are made natively, and told their names as this version does.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::engine::Engine;
use crate::ffi::{Instance, Object, Outcome, Own, Ref, call};
use crate::names;
use crate::task::{self, Making, Task};

/// When `BaseEventLoop.create_task` tells a name to what a factory makes.
#[derive(Clone, Copy)]
pub(super) struct Naming {
    /// The factory is given it.
    at_birth: bool,
    /// The task is told it, when the factory has returned.
    afterwards: bool,
    /// The task is told even that it has none.
    if_none: bool,
}

impl Naming {
    /// Makes a task as asyncio does by that factory.
    ///
    /// # Errors
    /// Those of [`task::create`]; what naming it raises, when it has begun.
    pub(super) fn create(
        self,
        py: Python<'_>,
        this: &Instance<Engine>,
        making: Making<'_>,
    ) -> Outcome<Own<Task>> {
        let given = making.name.filter(|name| !name.is_none());
        let name = given.filter(|_| self.at_birth);
        let made = task::create(py, this, &Making { name, ..making })?;
        match given {
            Some(name) if self.afterwards => made.rename(py, name)?,
            None if self.if_none => made.rename(py, &Ref::none())?,
            _ => {}
        }
        Ok(made)
    }
}

/// `None` where `create_task` does something else, as one that a program has put in its place.
static NAMING: PyOnceLock<Option<Naming>> = PyOnceLock::new();

/// How a task of the eager factory is named, if `factory` is that one and this is known.
///
/// # Errors
/// When there is no such factory.
#[cold]
pub(super) fn naming_by(py: Python<'_>, factory: &Object) -> Outcome<Option<Naming>> {
    if !cfg!(Py_3_12) || !factory.is(names::eager_task_factory(py)?) {
        return Ok(None);
    }
    let find_out = || {
        find_out(py).map_or_else(
            |raised| {
                drop(raised.take());
                None
            },
            Some,
        )
    };
    Ok(*NAMING.get_or_init(py, find_out))
}

fn find_out(py: Python<'_>) -> Outcome<Naming> {
    let found = call(py, names::when_named(py)?, &[])?;
    let (at_birth, afterwards, if_none) = found.bind(py).extract()?;
    Ok(Naming {
        at_birth,
        afterwards,
        if_none,
    })
}
