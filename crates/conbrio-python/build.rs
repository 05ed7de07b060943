//! Tells the compiler which CPython it builds for (`Py_3_12`, `Py_3_13` ...).

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
