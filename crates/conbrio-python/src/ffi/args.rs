//! The arguments of a native method, as CPython's fast call passes them, and their parsing with CPython's complaints.

use std::marker::PhantomData;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::object::{Object, Outcome, Raised, Ref};

const UNEXPECTED: &str = "got an unexpected keyword argument";

/// The arguments of one call.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    /// All values: positional ones first, then those that the names belong to.
    values: &'a [&'a Object],
    /// How many of them are positional.
    count: usize,
    /// The tuple of keyword names, if any keyword was given.
    names: Option<&'a Object>,
    lifetime: PhantomData<&'a ()>,
}

/// A method's parameters, for `Args::parse`.
pub(crate) struct Parameters<'a, const N: usize> {
    /// The method's name, for complaints.
    pub(crate) function: &'a str,
    /// The parameters' interned names.
    pub(crate) names: [&'a Bound<'a, PyString>; N],
    /// How many may be given by position.
    pub(crate) positional: usize,
    /// How many, from the first, must be given.
    pub(crate) required: usize,
}

/// The leading parameters' interned names, and the option's.
pub(crate) type Names<'n, const N: usize> = (
    [&'n Bound<'n, PyString>; N],
    Option<&'n Bound<'n, PyString>>,
);

/// What a Python function with leading parameters, `*args` and one option is given.
pub(crate) struct Leading<'a, const N: usize> {
    pub(crate) given: [&'a Object; N],
    pub(crate) rest: &'a [&'a Object],
    pub(crate) option: Option<&'a Object>,
}

impl<'a> Args<'a> {
    /// Reads what CPython's fast call passes.
    ///
    /// # Safety
    /// The arguments are those of a `METH_FASTCALL | METH_KEYWORDS` call and outlive `'a`.
    #[inline]
    pub(super) unsafe fn of_call(
        values: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Self {
        let count = count.unsigned_abs();
        // SAFETY: promised by the caller: `names` is null or a tuple, and the values follow each other.
        unsafe {
            let keyword_count = if names.is_null() {
                0
            } else {
                ffi::PyTuple_GET_SIZE(names).unsigned_abs()
            };
            let values = if values.is_null() {
                &[]
            } else {
                std::slice::from_raw_parts(values.cast::<&Object>(), count + keyword_count)
            };
            let names = (!names.is_null()).then(|| Object::from_ptr(names));
            Self {
                values,
                count,
                names,
                lifetime: PhantomData,
            }
        }
    }

    /// The positional arguments.
    #[inline]
    pub(crate) fn positional(&self) -> &'a [&'a Object] {
        self.values.get(..self.count).unwrap_or_default()
    }

    /// Whether keywords were given.
    #[inline]
    pub(crate) fn has_keywords(&self) -> bool {
        self.names.is_some()
    }

    /// The keyword arguments: name and value.
    pub(crate) fn keywords(&self) -> impl Iterator<Item = (&'a Object, &'a Object)> {
        let names = self.names.map_or(&[][..], tuple_items);
        names
            .iter()
            .copied()
            .zip(self.values.iter().skip(self.count).copied())
    }

    /// The value of the keyword `name`, which is interned.
    #[inline]
    pub(crate) fn keyword(&self, name: &Bound<'_, PyString>) -> Option<&'a Object> {
        self.names?;
        self.keywords()
            .find(|(key, _)| is_name(key, name))
            .map(|(_, value)| value)
    }

    /// Calls `callable` with `first` and these.
    ///
    /// # Errors
    /// What it raises.
    pub(crate) fn forward(
        &self,
        _py: Python<'_>,
        callable: &Object,
        first: &Object,
    ) -> Outcome<Ref> {
        let all: Vec<*mut ffi::PyObject> = std::iter::once(first)
            .chain(self.values.iter().copied())
            .map(Object::as_ptr)
            .collect();
        let names = self.names.map_or(std::ptr::null_mut(), Object::as_ptr);
        // SAFETY: live objects, of which the names belong to the last ones, as they came.
        unsafe {
            Ref::returned(ffi::PyObject_Vectorcall(
                callable.as_ptr(),
                all.as_ptr(),
                self.count + 1,
                names,
            ))
        }
    }

    /// The value of the one parameter that there is.
    ///
    /// # Errors
    /// As `parse`.
    #[cold]
    pub(super) fn only(
        &self,
        (function, name): (&str, &Bound<'_, PyString>),
    ) -> Outcome<&'a Object> {
        let Leading { given, .. } = self.leading(function, || ([name], None))?;
        let [only] = given;
        if self.count > 1 {
            return Err(too_many(function, 1, self.count));
        }
        Ok(only)
    }

    /// Assigns the arguments as `def function(leading, ..., *rest, option=None)` would.
    ///
    /// # Errors
    /// `TypeError` in CPython's words for missing, doubled or unknown arguments.
    #[inline]
    pub(crate) fn leading<'n, const N: usize>(
        &self,
        function: &str,
        names: impl FnOnce() -> Names<'n, N>,
    ) -> Outcome<Leading<'a, N>> {
        match self.positional().split_first_chunk::<N>() {
            Some((given, rest)) if self.names.is_none() => Ok(Leading {
                given: *given,
                rest,
                option: None,
            }),
            _ => self.leading_by_name(function, names()),
        }
    }

    fn leading_by_name<const N: usize>(
        &self,
        function: &str,
        (names, option): Names<'_, N>,
    ) -> Outcome<Leading<'a, N>> {
        let positional = self.positional();
        let (first, rest) = positional.split_at(positional.len().min(N));
        let (mut found, mut chosen) = ([None; N], None);
        for (place, value) in found.iter_mut().zip(first) {
            *place = Some(*value);
        }
        for (key, value) in self.keywords() {
            let place = names.iter().position(|name| is_name(key, name));
            match place.and_then(|index| found.get_mut(index)) {
                Some(place) => assign(function, key, place, value)?,
                None if option.is_some_and(|option| is_name(key, option)) => chosen = Some(value),
                None => return Err(complain(function, UNEXPECTED, key)),
            }
        }
        let given: Vec<&Object> = found.into_iter().flatten().collect();
        let Ok(given) = <[&Object; N]>::try_from(given) else {
            let missing = names.iter().zip(found).filter(|(_, value)| value.is_none());
            return Err(missing_leading(function, missing.map(|(name, _)| name)));
        };
        Ok(Leading {
            given,
            rest,
            option: chosen,
        })
    }

    /// Assigns the arguments to parameters.
    ///
    /// # Errors
    /// `TypeError` in CPython's words for too many, unknown, doubled or missing arguments.
    #[inline]
    pub(crate) fn parse<const N: usize>(
        &self,
        parameters: &Parameters<'_, N>,
    ) -> Outcome<[Option<&'a Object>; N]> {
        let mut found = [None; N];
        if self.count > parameters.positional {
            return Err(too_many(
                parameters.function,
                parameters.positional,
                self.count,
            ));
        }
        for (place, value) in found.iter_mut().zip(self.positional()) {
            *place = Some(*value);
        }
        if self.names.is_some() {
            self.assign_keywords(parameters, &mut found)?;
        }
        match found
            .iter()
            .take(parameters.required)
            .position(Option::is_none)
        {
            Some(missing) => Err(missing_argument(parameters, missing)),
            None => Ok(found),
        }
    }

    fn assign_keywords<const N: usize>(
        &self,
        parameters: &Parameters<'_, N>,
        found: &mut [Option<&'a Object>; N],
    ) -> Outcome<()> {
        for (key, value) in self.keywords() {
            let place = parameters.names.iter().position(|name| is_name(key, name));
            match place.and_then(|index| found.get_mut(index)) {
                Some(place) => assign(parameters.function, key, place, value)?,
                None => return Err(complain(parameters.function, UNEXPECTED, key)),
            }
        }
        Ok(())
    }
}

/// The items of a tuple.
pub(crate) fn tuple_items(tuple: &Object) -> &[&Object] {
    // SAFETY: checks that it is a tuple; its items are non-null and live as long as the tuple does.
    unsafe {
        if ffi::PyTuple_Check(tuple.as_ptr()) == 0 {
            return &[];
        }
        let size = ffi::PyTuple_GET_SIZE(tuple.as_ptr()).unsigned_abs();
        let first =
            (&raw const (*tuple.as_ptr().cast::<ffi::PyTupleObject>()).ob_item).cast::<&Object>();
        std::slice::from_raw_parts(first, size)
    }
}

/// Whether `key` is the string `name`; interned strings are compared by address first.
#[inline]
fn is_name(key: &Object, name: &Bound<'_, PyString>) -> bool {
    key.as_ptr() == name.as_ptr() || key.bind(name.py()).eq(name).unwrap_or(false)
}

/// Gives a parameter its value, unless it has one.
fn assign<'a>(
    function: &str,
    key: &Object,
    place: &mut Option<&'a Object>,
    value: &'a Object,
) -> Outcome<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(complain(function, "got multiple values for argument", key)),
    }
}

#[cold]
fn complain(function: &str, what: &str, key: &Object) -> Raised {
    // SAFETY: `key` exists, so the thread is attached.
    let py = unsafe { Python::assume_attached() };
    PyTypeError::new_err(format!("{function}() {what} '{}'", *key.bind(py))).into()
}

#[cold]
fn too_many(function: &str, most: usize, given: usize) -> Raised {
    let plural = if most == 1 { "" } else { "s" };
    PyTypeError::new_err(format!(
        "{function}() takes at most {most} positional argument{plural} ({given} given)"
    ))
    .into()
}

/// As a Python function complains.
#[cold]
fn missing_leading<'n>(
    function: &str,
    names: impl Iterator<Item = &'n &'n Bound<'n, PyString>>,
) -> Raised {
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    let (count, names) = (names.len(), names.join(" and "));
    let plural = if count == 1 { "" } else { "s" };
    PyTypeError::new_err(format!(
        "{function}() missing {count} required positional argument{plural}: {names}"
    ))
    .into()
}

#[cold]
fn missing_argument<const N: usize>(parameters: &Parameters<'_, N>, index: usize) -> Raised {
    let name = parameters
        .names
        .get(index)
        .map(ToString::to_string)
        .unwrap_or_default();
    let function = parameters.function;
    PyTypeError::new_err(format!(
        "{function}() missing required argument '{name}' (pos {})",
        index + 1
    ))
    .into()
}
