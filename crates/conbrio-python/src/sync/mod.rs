//! asyncio's primitives, made natively: waits are ops, and who waits stands in a line.
//!
//! The native classes come before asyncio's own in the classes that people see, so what is cold (reprs, subclasses that
//! replace inner methods) is CPython's code over the native state.

mod barrier;
mod completed;
mod condition;
mod ended;
mod event;
mod gather;
mod group;
mod line;
mod listen;
mod lock;
mod queue;
mod semaphore;
mod shape;
mod shield;
mod sleep;
mod stages;
mod stock;
mod timeout;
mod wait;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::ffi::{Class, Object, Outcome, Raised, Ref, is_empty, object, tuple_items};

pub(crate) use ended::{shown, waken};

use barrier::Barrier;
use condition::Condition;
use event::Event;
use group::TaskGroup;
use lock::Lock;
use queue::Queue;
use semaphore::Semaphore;
use timeout::Timeout;

/// Adds the names to the module.
///
/// # Errors
/// When a class cannot be made.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("sleep", sleep::function(py)?)?;
    module.add("Lock", lock::class(py)?)?;
    module.add("Event", event::class(py)?)?;
    module.add("Condition", condition::class(py)?)?;
    module.add("Semaphore", semaphore::class(py)?)?;
    module.add("Queue", queue::class(py)?)?;
    module.add("Barrier", barrier::class(py)?)?;
    timeout::add_to(module)?;
    Ok(())
}

/// Adds the names that have native tasks; `future` is the native Future.
///
/// # Errors
/// When a class cannot be made.
pub(crate) fn add_with_tasks(
    module: &Bound<'_, PyModule>,
    future: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = module.py();
    module.add("_GatheringFuture", gather::class(py, future)?)?;
    module.add("gather", gather::function(py)?)?;
    module.add("TaskGroup", group::class(py)?)?;
    module.add("wait", wait::function(py)?)?;
    module.add("shield", shield::function(py)?)?;
    module.add("as_completed", completed::function(py)?)?;
    module.add("AsCompleted", completed::class(py)?)?;
    shield::class(py)?;
    ended::class(py)?;
    Ok(())
}

/// Says which class of the package is made of a native one.
#[pyfunction]
#[pyo3(name = "_adopt")]
pub(crate) fn adopt(class: &Bound<'_, PyAny>) -> PyResult<()> {
    shape::adopt(class)?;
    expect::<Lock>(class);
    expect::<Event>(class);
    expect::<Condition>(class);
    expect::<Semaphore>(class);
    expect::<Barrier>(class);
    expect::<Queue>(class);
    expect::<Timeout>(class);
    expect::<TaskGroup>(class);
    Ok(())
}

/// Lets instances of `class` be known for what they are at a glance, if it is the first made of `T`.
fn expect<T: Class>(class: &Bound<'_, PyAny>) {
    if T::state().kind().is_null() {
        return;
    }
    let native = crate::ffi::class_of::<T>(class.py());
    let made_of = class.getattr("__base__").is_ok_and(|base| base.is(&native));
    if made_of {
        T::state().expect_reused::<T>(object(class));
    }
}

/// Whether a constructor was given nothing.
fn no_arguments(_py: Python<'_>, args: &Object, keywords: Option<&Object>) -> bool {
    is_empty(args) && keywords.is_none_or(is_empty)
}

/// What a constructor that takes one argument was given.
enum Only {
    /// Nothing.
    Nothing,
    /// That argument.
    This(Ref),
    /// Something that it does not take.
    Others,
}

/// The one argument that a constructor takes, by position or by `name`.
fn only_argument(
    py: Python<'_>,
    args: &Object,
    keywords: Option<&Object>,
    name: &Bound<'_, PyString>,
) -> Outcome<Only> {
    let by_name = match keywords.filter(|keywords| !is_empty(keywords)) {
        None => None,
        Some(keywords) => {
            let keywords = keywords.bind(py);
            if keywords.len()? != 1 || !keywords.contains(name)? {
                return Ok(Only::Others);
            }
            Some(Ref::from(keywords.get_item(name)?))
        }
    };
    match (tuple_items(args), by_name) {
        ([], None) => Ok(Only::Nothing),
        ([], Some(given)) => Ok(Only::This(given)),
        ([given], None) => Ok(Only::This(given.share())),
        _ => Ok(Only::Others),
    }
}

/// What deleting an attribute raises that cannot be.
fn attribute_without_value() -> Raised {
    PyAttributeError::new_err("cannot delete attribute").into()
}
