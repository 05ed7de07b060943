//! The native module `conbrio._conbrio`: a list of names.

mod about;
mod dial;
mod engine;
mod event_loop;
mod ffi;
mod future;
mod handle;
mod jobs;
mod names;
mod op;
mod process;
mod protocol;
mod report;
mod runnable;
mod server;
mod sock;
mod streams;
mod sync;
mod task;
mod tls;
mod transport;
mod watch;

use pyo3::prelude::*;

use crate::ffi::Class as _;

/// The native half of conbrio.
#[pymodule(gil_used = true)]
mod _conbrio {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::about::{build_info, set_loop_class};
    #[pymodule_export]
    use crate::jobs::{follow, resolve_literal};
    #[pymodule_export]
    use crate::server::serve;
    #[pymodule_export]
    use crate::streams::{know_stock_streams, set_stream_classes};
    #[pymodule_export]
    use crate::sync::adopt;
    #[pymodule_export]
    use crate::task::all_tasks;
    #[pymodule_export]
    use crate::tls::expect_tls;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::install(module)
    }
}

/// Proves the layouts and makes the classes.
fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    if !ffi::is_main_interpreter(py) {
        let words = "conbrio runs in a process's main interpreter only";
        return Err(pyo3::exceptions::PyImportError::new_err(words));
    }
    // CPython: whoever imports `_asyncio` before `asyncio` leaves asyncio with the slow twins of what `_asyncio` has.
    py.import("asyncio")?;
    module.add("__version__", about::VERSION)?;
    about::hear_forks(module)?;
    about::with_probe(py, || install_classes(module))
}

fn install_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    ffi::layout::prove_handles(py)?;
    module.add(
        "_lazy_contexts_refused",
        ffi::context::prove(py).err().map(|error| error.to_string()),
    )?;
    // Where it is refused, waits end with CPython's own exception.
    let _ = ffi::make_stop_class(py);
    ffi::make_coroutine_function_class(py)?;
    names::begin(py)?;
    module.add("Handle", handle::class(py)?)?;
    module.add("TimerHandle", handle::timer_class(py)?)?;
    #[cfg(Py_3_14)]
    module.add("_ThreadSafeHandle", handle::threadsafe_class(py)?)?;
    module.add("EventLoop", event_loop::class(py)?)?;
    module.add("StreamTransport", transport::class(py)?)?;
    module.add("ReadPipeTransport", transport::read_pipe_class(py)?)?;
    module.add("WritePipeTransport", transport::write_pipe_class(py)?)?;
    module.add("TlsFlow", tls::class(py)?)?;
    module.add("TlsWriter", tls::writer_class(py)?)?;
    tls::begin();
    module.add("DatagramTransport", transport::datagram_class(py)?)?;
    module.add("Listener", server::class(py)?)?;
    module.add("Dial", dial::class(py)?)?;
    module.add("Child", process::class(py)?)?;
    module.add("SocketWait", sock::class(py)?)?;
    module.add("Follower", jobs::class(py)?)?;
    module.add("Op", op::class(py)?)?;
    module.add("Ready", op::ready_class(py)?)?;
    op::given_class(py)?;
    sync::add_to(module)?;
    module.add("_swapped", pyo3::types::PyList::empty(py))?;
    streams::install(module)?;
    module.add(
        "_native_tasks_refused",
        install_tasks(module).err().map(|error| error.to_string()),
    )?;
    Ok(())
}

/// Makes the native Future and Task, if CPython's are laid out as we know them; else CPython's own are used.
fn install_tasks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let proved = prove_tasks(module);
    let asyncio = module.py().import("_asyncio")?;
    let (future_base, task_base) = (asyncio.getattr("Future")?, asyncio.getattr("Task")?);
    module.add("NATIVE_TASKS", proved.is_ok())?;
    if let Err(refusal) = proved {
        event_loop::fallback::turn_on();
        module.add("Future", future_base)?;
        module.add("Task", task_base)?;
        return Err(refusal);
    }
    let future = future::class(module.py(), &future_base)?;
    module.add("Future", &future)?;
    module.add("FutureIter", future::iter_class(module.py())?)?;
    // asyncio's class first, which has the larger objects; a Task is a Future of ours as well.
    let bases = pyo3::types::PyTuple::new(module.py(), [&task_base, &future])?.into_any();
    let task = task::class(module.py(), &bases)?;
    future::Future::state().expect(ffi::object(&task));
    module.add("Task", task)?;
    sync::add_with_tasks(module, &future)?;
    runnable::waken_by(sync::waken, sync::shown);
    Ok(())
}

fn prove_tasks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    if std::env::var_os("CONBRIO_NATIVE_TASKS").is_some_and(|value| value == "0") {
        return Err(pyo3::exceptions::PyRuntimeError::new_err(
            "CONBRIO_NATIVE_TASKS=0",
        ));
    }
    ffi::layout::prove(py)?;
    ffi::find_current(py)
}
