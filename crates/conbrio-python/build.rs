//! Tells the compiler which CPython it builds for (`Py_3_12`, `Py_3_13` ...), and refuses one that has no interpreter lock.

use pyo3_build_config::{BuildFlag, get};

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    if get().build_flags().0.contains(&BuildFlag::Py_GIL_DISABLED) {
        println!(
            "cargo::error=conbrio needs a CPython with the interpreter lock; this is a free-threaded build"
        );
    }
}
