//! Which task runs now, told to asyncio in the running version's own place.

#[cfg_attr(Py_3_14, path = "current/current_314.rs")]
#[cfg_attr(not(Py_3_14), path = "current/current_311.rs")]
mod place;

pub(crate) use place::{CurrentTask, TaskList, find, running_task};
