//! What the native half says of itself, and what it is told of its surroundings.

use std::ffi::CStr;

use conbrio_core::turn::Host;
use conbrio_driver::any::AnyDriver;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::dial;
use crate::engine::{Engine, Running, forked};
use crate::event_loop::fallback;
use crate::ffi::{Class, Instance, call, layout, object};
use crate::names;

/// The version of the package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns what was built and what was found at import, as a dictionary.
///
/// `profile_guided` says whether the compiler was told what runs often.
/// `version`, `python`, `profile` and `drivers` say what was built, for what, how, and what `Loop(driver=)` takes.
/// `swapped` lists the names of asyncio that native ones stand in the place of now.
/// `native_tasks` says whether Future and Task are native; if not, `native_tasks_refused` says why. The same
/// of `lazy_contexts_refused`, which is None where contexts are entered without a call, and
/// of `native_tls`: where the OpenSSL of Python's `ssl` module cannot be reached, its objects do the work.
#[pyfunction]
pub(crate) fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", VERSION)?;
    info.set_item("python", Python::version_str())?;
    info.set_item(
        "profile",
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
    )?;
    info.set_item("profile_guided", cfg!(profile_guided))?;
    info.set_item("native_tasks", !fallback::is_on())?;
    info.set_item(
        "native_tasks_refused",
        py.import("conbrio._conbrio")?
            .getattr("_native_tasks_refused")?,
    )?;
    info.set_item(
        "lazy_contexts_refused",
        py.import("conbrio._conbrio")?
            .getattr("_lazy_contexts_refused")?,
    )?;
    let swapped = py.import("conbrio._conbrio")?.getattr("_swapped")?;
    info.set_item("swapped", swapped.call_method0("copy")?)?;
    let refused = crate::tls::refusal(py);
    info.set_item("native_tls", refused.is_none())?;
    info.set_item("native_tls_refused", refused)?;
    info.set_item("drivers", AnyDriver::NAMES)?;
    Ok(info)
}

/// Says which Python class derived from `EventLoop` most loops have.
///
/// # Errors
/// When it lacks a method that native code does the work of.
#[pyfunction]
pub(crate) fn set_loop_class(class: &Bound<'_, PyAny>) -> PyResult<()> {
    Engine::state().expect(object(class));
    Ok(dial::learn(class.py(), object(class))?)
}

#[pyfunction]
#[pyo3(name = "_forked")]
fn note_fork() {
    forked();
}

/// Sends what is owed in this turn: a child would send it once more.
#[pyfunction]
#[pyo3(name = "_forking")]
fn settle_before_fork(py: Python<'_>) -> PyResult<()> {
    let running = call(py, names::get_running_loop(py)?, &[])?;
    if let Some(engine) = Instance::<Engine>::of(&running) {
        Running { py, engine }.flush()?;
    }
    Ok(())
}

/// Lets the package hear of forks.
///
/// # Errors
/// What `os.register_at_fork` raises.
pub(crate) fn hear_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let keywords = PyDict::new(module.py());
    keywords.set_item("before", wrap_pyfunction!(settle_before_fork, module)?)?;
    keywords.set_item("after_in_child", wrap_pyfunction!(note_fork, module)?)?;
    module
        .py()
        .import("os")?
        .getattr("register_at_fork")?
        .call((), Some(&keywords))?;
    Ok(())
}

/// Runs `proofs` while the module that they make their probes with exists.
///
/// # Errors
/// What making that module raises.
pub(crate) fn with_probe<R>(py: Python<'_>, proofs: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    const NAME: &CStr = c"conbrio._probe";
    let probe = PyModule::from_code(py, layout::PROBE, c"<conbrio probe>", NAME)?;
    let modules = py.import("sys")?.getattr("modules")?;
    modules.set_item("conbrio._probe", &probe)?;
    let answer = proofs();
    modules.del_item("conbrio._probe")?;
    answer
}
