//! The native module `conbrio._conbrio`: a list of names.

mod engine;
mod ffi;
mod handle;
mod names;
mod report;
mod runnable;

use pyo3::prelude::*;

/// The native half of conbrio.
#[pymodule(gil_used = true)]
mod _conbrio {}
