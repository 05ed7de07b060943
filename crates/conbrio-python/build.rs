//! Tells the compiler which CPython it builds for (`Py_3_12`, `Py_3_13` ...) and whether it knows what runs often, and refuses
//! a CPython that has no interpreter lock.

use pyo3_build_config::{BuildFlag, get};

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rustc-check-cfg=cfg(profile_guided)");
    if std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("profile-use=")) {
        println!("cargo::rustc-cfg=profile_guided");
    }
    if get().build_flags().0.contains(&BuildFlag::Py_GIL_DISABLED) {
        println!(
            "cargo::error=conbrio needs a CPython with the interpreter lock; this is a free-threaded build"
        );
    }
}
