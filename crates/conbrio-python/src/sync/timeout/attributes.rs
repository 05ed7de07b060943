//! What asyncio's own code, and whoever looks, finds on a `Timeout`: its state under CPython's private names.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::{Armed, Stage, Timeout};
use crate::ffi::{Builder, Ref, object};
use crate::names;
use crate::sync::attribute_without_value;
use crate::sync::stages::Stages;

const STAGES: Stages<Stage> = Stages(&[
    (Stage::Created, "CREATED"),
    (Stage::Entered, "ENTERED"),
    (Stage::Expiring, "EXPIRING"),
    (Stage::Expired, "EXPIRED"),
    (Stage::Exited, "EXITED"),
]);

/// What asyncio's own code keeps on the instance.
pub(super) fn kept(builder: Builder<Timeout>) -> Builder<Timeout> {
    builder
        .property(
            c"_when",
            c"The deadline.",
            |py, this| this.deadline(py),
            |_, this, value| {
                this.set_deadline(value.ok_or_else(attribute_without_value)?);
                Ok(())
            },
        )
        .property(
            c"_task",
            c"Who has entered.",
            |_, this| Ok(this.task.share_or_none()),
            |_, this, value| {
                this.task
                    .set(value.ok_or_else(attribute_without_value)?.share());
                Ok(())
            },
        )
        .property(
            c"_timeout_handler",
            c"The handle, where a loop that is not ours keeps the time.",
            |_, this| match this.armed.get() {
                Armed::Handle => Ok(this.holder.share_or_none()),
                _ => Ok(Ref::none()),
            },
            |_, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.armed.set(Armed::No);
                this.holder.clear();
                if !value.is_none() {
                    this.holder.set(value.share());
                    this.armed.set(Armed::Handle);
                }
                Ok(())
            },
        )
}

pub(super) fn privates(builder: Builder<Timeout>) -> Builder<Timeout> {
    builder
        .property(
            c"_cancelling",
            c"How often the task's end had been asked for on entry.",
            |py, this| {
                let Some(count) = this.cancelling.get() else {
                    return Err(PyAttributeError::new_err(
                        "'Timeout' object has no attribute '_cancelling'",
                    )
                    .into());
                };
                let Ok(count) = count.into_pyobject(py);
                Ok(object(&count).share())
            },
            |py, this, value| {
                let value = value.ok_or_else(attribute_without_value)?;
                this.cancelling.set(Some(value.bind(py).extract()?));
                Ok(())
            },
        )
        .property(
            c"_state",
            c"How far it is.",
            |py, this| {
                let states = names::timeout_states(py)?;
                STAGES.member(py, this.stage.get(), states)
            },
            |py, this, value| {
                if let Some(stage) = STAGES.of_member(py, value)? {
                    this.stage.set(stage);
                }
                Ok(())
            },
        )
}
