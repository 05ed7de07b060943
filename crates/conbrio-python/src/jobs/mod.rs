//! Work that is done elsewhere: what needs no look-up is answered at once, the rest is a job for an executor.

mod follower;
mod literal;

pub(crate) use follower::{class, follow};
pub(crate) use literal::{port_number, resolve_literal};
