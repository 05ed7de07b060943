//! Child processes: the loop hears by a descriptor of the kernel's that one has ended, and takes how.
//!
//! No thread and no signal is needed for it, and no other child is touched. It does not know what a subprocess transport
//! is: it calls whom it was told to call.

use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};

use conbrio_core::sources::Side;
use conbrio_driver::sys::process;
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::ffi::{
    Args, Builder, Class, ClassState, Guarded, Instance, Outcome, Own, Parameters, Ref, Slot,
    Thunk, Visit, attribute_if_any, call, context, object, tuple_items,
};
use crate::names;
use crate::report::{os_error, report_raised};

/// What is reported of a child whose end somebody else has taken.
const UNKNOWN: i32 = 255;

/// A child whose end is waited for.
pub(crate) struct Child {
    pid: Cell<i32>,
    /// Readable once the child has ended.
    end: Guarded<Option<OwnedFd>>,
    event_loop: Slot,
    /// Called with the number of the process, how it ended, and what else was given.
    callback: Slot,
    /// What else was given, a tuple.
    arguments: Slot,
    /// The context in which it was asked.
    context: Slot,
}

static STATE: ClassState = ClassState::new();

impl Class for Child {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.Child";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        for slot in self.slots() {
            visit.slot(slot);
        }
    }

    fn clear(&self) {
        for slot in self.slots() {
            slot.clear();
        }
    }
}

impl Child {
    fn slots(&self) -> [&Slot; 4] {
        [
            &self.event_loop,
            &self.callback,
            &self.arguments,
            &self.context,
        ]
    }
}

/// The class `Child`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Builder::<Child>::new(c"A child process whose end the loop waits for.")
        .made_natively()
        .create(py, None)
}

/// Adds the method that waits for children to the loop's class.
pub(crate) fn methods(builder: Builder<Engine>) -> Builder<Engine> {
    builder.method(
        c"_native_watch_child",
        c"_native_watch_child($self, pid, callback, args, /)\n--\n\nCalls callback(pid, returncode, *args) once the child has ended.",
        watch,
    )
}

/// `_native_watch_child(pid, callback, args)`.
fn watch(py: Python<'_>, this: &Instance<Engine>, args: Args<'_>) -> Outcome<Ref> {
    let parameters = Parameters {
        function: "_native_watch_child",
        names: [names::pid(py), names::callback(py), names::args(py)],
        positional: 3,
        required: 3,
    };
    let [Some(pid), Some(callback), Some(arguments)] = args.parse(&parameters)? else {
        return Ok(Ref::none());
    };
    let pid = pid.bind(py).extract::<i32>()?;
    let end = process::open(pid).map_err(|error| os_error(py, &error))?;
    let fd = end.as_raw_fd();
    let child = Child {
        pid: Cell::new(pid),
        end: Guarded::new(Some(end)),
        event_loop: Slot::holding(this.object().share()),
        callback: Slot::holding(callback.share()),
        arguments: Slot::holding(arguments.share()),
        context: Slot::holding(context::copy_current(py)?),
    };
    let child = Own::new(py, child)?;
    drop(this.watch(py, fd, Side::Reader, Thunk::new(child, ended))?);
    Ok(Ref::none())
}

/// The child has ended.
fn ended(py: Python<'_>, child: Own<Child>) -> Outcome<()> {
    let Some(end) = child.end.replace(None) else {
        return Ok(());
    };
    let (Some(event_loop), Some(context)) = (child.event_loop.take(), child.context.take()) else {
        return Ok(());
    };
    if let Some(engine) = Instance::<Engine>::of(&event_loop) {
        drop(engine.unwatch(py, end.as_raw_fd(), Side::Reader));
    }
    let answer = context::within(py, &context, || {
        let code = returncode(py, &child)?;
        drop(end);
        tell(py, &child, code)
    });
    match answer {
        Ok(()) => Ok(()),
        Err(raised) => {
            let message = || format!("Exception in callback of child {}", child.pid.get());
            report_raised(py, &event_loop, raised, message, &[])
        }
    }
}

/// Takes how the child ended. Its `Popen` has taken it if that was asked, or had to kill it, just before.
fn returncode(py: Python<'_>, child: &Instance<Child>) -> Outcome<i32> {
    let pid = child.pid.get();
    if let Ok(code) = process::reap(pid) {
        return Ok(code);
    }
    if let Some(code) = known(py, child)? {
        return Ok(code);
    }
    // CPython: PidfdChildWatcher.
    let words = "child process pid %d exit status already read:  will report returncode 255";
    names::asyncio_logger(py)?
        .bind(py)
        .call_method1("warning", (words, pid))?;
    Ok(UNKNOWN)
}

/// What the `Popen` of the transport that waits for the child knows of its end.
fn known(py: Python<'_>, child: &Instance<Child>) -> Outcome<Option<i32>> {
    let rest = child.arguments.share_or_none();
    let Some(transport) = tuple_items(&rest).first() else {
        return Ok(None);
    };
    let Some(popen) = attribute_if_any(py, transport, names::popen(py))? else {
        return Ok(None);
    };
    let code = attribute_if_any(py, &popen, names::returncode(py))?;
    Ok(code.and_then(|code| code.bind(py).extract().ok()))
}

fn tell(py: Python<'_>, child: &Instance<Child>, returncode: i32) -> Outcome<()> {
    let (Some(callback), Some(rest)) = (child.callback.take(), child.arguments.take()) else {
        return Ok(());
    };
    let Ok(pid) = child.pid.get().into_pyobject(py);
    let Ok(code) = returncode.into_pyobject(py);
    let mut arguments = vec![object(&pid), object(&code)];
    arguments.extend(tuple_items(&rest));
    call(py, &callback, &arguments).map(drop)
}
