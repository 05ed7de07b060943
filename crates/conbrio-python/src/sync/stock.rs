//! asyncio's own methods, called over the native state of an instance: what `super()` would lead to.
//!
//! Does not know why they are called.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyString, PySuper, PyTuple, PyType};

use crate::ffi::{
    Args, Class, Instance, Object, Outcome, Ref, call, class_of, lookup, object, tuple_items,
    version_tag,
};

/// Calls the method that the next class has, asyncio's, with the same arguments.
///
/// # Errors
/// What it raises.
pub(super) fn delegate<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    name: &'static str,
    args: &[&Object],
) -> Outcome<Ref> {
    if let Some(function) = next_function::<T>(py, this, name) {
        let all: Vec<&Object> = [this.object()]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        return call(py, &function, &all);
    }
    let method = next_method::<T>(py, this, name)?;
    call(py, &method, args)
}

/// As `delegate`, with keywords.
///
/// # Errors
/// What it raises.
pub(super) fn delegate_all<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    name: &'static str,
    args: &Args<'_>,
) -> Outcome<Ref> {
    if args.keywords().next().is_none() {
        return delegate(py, this, name, args.positional());
    }
    if let Some(function) = next_function::<T>(py, this, name) {
        return args.forward(py, &function, this.object());
    }
    let method = next_method::<T>(py, this, name)?;
    let keywords = pyo3::types::PyDict::new(py);
    for (key, value) in args.keywords() {
        keywords.set_item(key.bind(py), value.bind(py))?;
    }
    let positional = PyTuple::new(py, args.positional().iter().map(|value| value.bind(py)))?;
    Ok(method.bind(py).call(positional, Some(&keywords))?.into())
}

/// As `delegate`, for `__init__`.
///
/// # Errors
/// What it raises.
pub(super) fn initialise_next<T: Class>(
    py: Python<'_>,
    this: &Instance<T>,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<()> {
    if keywords.is_none_or(|keywords| keywords.bind(py).is_empty().unwrap_or(false)) {
        return delegate(py, this, "__init__", tuple_items(args)).map(drop);
    }
    let method = next_method::<T>(py, this, "__init__")?;
    let args = args.bind(py).to_owned().cast_into::<PyTuple>();
    let keywords = keywords
        .map(|keywords| {
            keywords
                .bind(py)
                .to_owned()
                .cast_into::<pyo3::types::PyDict>()
        })
        .transpose()
        .map_err(PyErr::from)?;
    method
        .bind(py)
        .call(args.map_err(PyErr::from)?, keywords.as_ref())?;
    Ok(())
}

/// A function that `next_function` has found: for the class that had the tag, under a name that lies there.
struct Found {
    tag: u32,
    name: (usize, usize),
    function: Py<PyAny>,
}

/// The last ones, each in the place that tag and name give it.
static FOUND: Mutex<[Option<Found>; 256]> = Mutex::new([const { None }; 256]);

/// The function that the next class has under `name`, where that is asyncio's and nothing stands beside: what `super()`
/// would lead to, without the way.
fn next_function<T: Class>(py: Python<'_>, this: &Instance<T>, name: &'static str) -> Option<Ref> {
    let class = this.object().bind(py).get_type();
    let tag = version_tag(object(&class));
    let key = (name.as_ptr().addr(), name.len());
    let place = (tag as usize).wrapping_mul(31).wrapping_add(key.0) % 256;
    if let Ok(found) = FOUND.lock()
        && let Some(Some(found)) = found.get(place)
        && (found.tag, found.name) == (tag, key)
    {
        return Some(object(found.function.bind(py)).share());
    }
    let function = look_up_next::<T>(py, &class, name)?;
    if tag != 0 {
        let found = Found {
            tag,
            name: key,
            function: function.bind(py).to_owned().unbind(),
        };
        drop(remember(place, found));
    }
    Some(function)
}

/// Puts a finding in its place; what stood there may die once nothing is locked.
fn remember(place: usize, finding: Found) -> Option<Found> {
    let mut found = FOUND.lock().ok()?;
    found.get_mut(place)?.replace(finding)
}

#[cold]
fn look_up_next<T: Class>(py: Python<'_>, class: &Bound<'_, PyType>, name: &str) -> Option<Ref> {
    let (order, native) = (class.mro(), class_of::<T>(py));
    let place = order.iter().position(|class| class.is(&native))?;
    let next = order.get_item(place + 1).ok()?.cast_into::<PyType>().ok()?;
    let rest = next.mro();
    let is_line = order.len() == place + 1 + rest.len()
        && order
            .iter()
            .skip(place + 1)
            .zip(rest.iter())
            .all(|(one, other)| one.is(&other));
    if !is_line {
        return None;
    }
    let found = lookup(py, object(&next), &PyString::intern(py, name))?;
    found
        .bind(py)
        .is_instance_of::<PyFunction>()
        .then_some(found)
}

fn next_method<T: Class>(py: Python<'_>, this: &Instance<T>, name: &str) -> Outcome<Ref> {
    let native = class_of::<T>(py);
    let native = native.cast::<PyType>().map_err(PyErr::from)?;
    let rest = PySuper::new(native, &this.object().bind(py).to_owned())?;
    Ok(rest.getattr(name)?.into())
}
