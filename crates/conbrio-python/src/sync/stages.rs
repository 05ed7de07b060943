//! How far something is, as asyncio's private enumerations tell it: by name.

use pyo3::prelude::*;

use super::attribute_without_value;
use crate::ffi::{Object, Outcome, Ref};

/// Stages by the names that asyncio gives them, the first of all first.
pub(super) struct Stages<S: 'static>(pub(super) &'static [(S, &'static str)]);

impl<S: Copy + PartialEq> Stages<S> {
    /// The member of asyncio's enumeration `states` that stands for `stage`.
    ///
    /// # Errors
    /// `AttributeError` when there is none.
    pub(super) fn member(&self, py: Python<'_>, stage: S, states: &Object) -> Outcome<Ref> {
        let found = self.0.iter().find(|(known, _)| *known == stage);
        let name = found.or(self.0.first()).map_or("", |(_, name)| name);
        Ok(states.bind(py).getattr(name)?.into())
    }

    /// The stage that a member stands for; nothing if it is of no known name.
    ///
    /// # Errors
    /// `AttributeError` for a deletion, and for what is no member.
    pub(super) fn of_member(&self, py: Python<'_>, member: Option<&Object>) -> Outcome<Option<S>> {
        let member = member.ok_or_else(attribute_without_value)?;
        let name: String = member.bind(py).getattr("name")?.extract()?;
        let found = self.0.iter().find(|(_, known)| *known == name);
        Ok(found.map(|(stage, _)| *stage))
    }
}
