//! What transports of every kind do alike when an exception ends them, and when nobody has closed them.
//!
//! How each one ends is in its own `life`; it says in one trait where it keeps what.

use std::ffi::CStr;

use pyo3::exceptions::{PyOSError, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::engine::Engine;
use crate::ffi::{
    Builder, Class, Instance, Object, Outcome, Own, Parameters, Raised, Ref, attribute_if_any,
    call_keyword, context, object, raise, write_unraisable,
};
use crate::handle::{self, Handle};
use crate::names;
use crate::report::{ends_loop, report_caught, report_raised};

/// A transport, in what its end asks of it.
pub(crate) trait Ending: Class {
    /// What `_fatal_error()` says when it is given no words.
    const FATAL: &'static str;
    /// Its docstring, which names them.
    const FATAL_ERROR: &'static CStr;

    /// The loop, until the connection is lost.
    fn engine(&self) -> Option<Own<Engine>>;

    /// The same as a Python object.
    fn event_loop(&self) -> Option<Ref>;

    /// The context that its callbacks run in, until the connection is lost.
    fn context(&self) -> Option<Ref>;

    /// The protocol, until the connection is lost.
    fn protocol(&self) -> Option<Ref>;

    /// `repr(transport)`, with CPython's fields.
    fn text(py: Python<'_>, this: &Instance<Self>) -> String;

    /// Whether an exception that ends the connection is nobody's fault, and goes unreported.
    fn is_quiet(py: Python<'_>, exception: &Object) -> bool {
        exception.bind(py).is_instance_of::<PyOSError>()
    }

    /// Ends the connection because of `exception`. CPython: `_force_close`.
    ///
    /// # Errors
    /// `RuntimeError` when the loop is closed.
    fn force_close(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()>;

    /// Tells the protocol, closes the descriptor and forgets both. CPython: `_call_connection_lost`.
    ///
    /// # Errors
    /// What the protocol raises.
    fn connection_lost(py: Python<'_>, this: &Instance<Self>, exception: &Object) -> Outcome<()>;

    /// Closes the descriptor of a transport that is being collected.
    ///
    /// # Errors
    /// What closing raises.
    fn close_unclosed(py: Python<'_>, this: &Instance<Self>) -> Outcome<()>;
}

/// Adds to a class what all of them have of this: `repr`, the last words and what asyncio's own modules call.
pub(super) fn add<T: Ending>(builder: Builder<T>) -> Builder<T> {
    builder
        .finalizer(finalize)
        .repr(|py, this| Ok(object(&PyString::new(py, &T::text(py, this))).share()))
        .method(c"_fatal_error", T::FATAL_ERROR, |py, this, args| {
            let names = [names::exc(py), names::message(py)];
            let parameters = Parameters {
                function: "_fatal_error",
                names,
                positional: 2,
                required: 1,
            };
            let [Some(exception), message] = args.parse(&parameters)? else {
                return Ok(Ref::none());
            };
            let message = message.map(|message| message.bind(py).to_string());
            fatal_exception(py, this, exception, message.as_deref().unwrap_or(T::FATAL))?;
            Ok(Ref::none())
        })
        .named(
            c"_force_close",
            c"_force_close($self, exc)\n--\n\nEnds the connection because of exc.",
            |py| ("_force_close", names::exc(py)),
            |py, this, exception| T::force_close(py, this, exception).map(|()| Ref::none()),
        )
        .named(
            c"_call_connection_lost",
            c"_call_connection_lost($self, exc)\n--\n\nTells the protocol and closes.",
            |py| ("_call_connection_lost", names::exc(py)),
            |py, this, exception| T::connection_lost(py, this, exception).map(|()| Ref::none()),
        )
}

/// Reports an exception and ends the connection, unless the exception must leave the loop. CPython: `_fatal_error`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn fatal<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    raised: Raised,
    message: &str,
) -> Outcome<()> {
    let exception = raised.take();
    if ends_loop(py, &exception) {
        return Err(raise(exception));
    }
    fatal_exception(py, this, &exception, message)
}

/// The same for an exception that was caught.
pub(super) fn fatal_exception<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    exception: &Object,
    message: &str,
) -> Outcome<()> {
    if !T::is_quiet(py, exception) {
        let protocol = this.protocol().unwrap_or_else(Ref::none);
        if let Some(event_loop) = this.event_loop() {
            let details = [
                ("exception", exception),
                ("transport", this.object()),
                ("protocol", &*protocol),
            ];
            report_caught(py, &event_loop, message, exception, &details)?;
        }
    } else if is_debugged(this) {
        let exc_info = PyDict::new(py);
        exc_info.set_item("exc_info", exception.bind(py))?;
        let words = ("%r: %s", this.object().bind(py), message);
        names::asyncio_logger(py)?
            .bind(py)
            .call_method("debug", words, Some(&exc_info))?;
    }
    T::force_close(py, this, exception)
}

/// A callback of a transport's, as a handle of asyncio's names it.
struct Ran<'a> {
    event_loop: Option<Ref>,
    context: Option<&'a Object>,
    method: &'a str,
}

/// Runs a callback of the transport's in `context`, and reports what it raises. The transport can let go of its loop meanwhile.
///
/// # Errors
/// As `guarded`.
pub(super) fn run_in<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    context: &Object,
    method: &str,
    user: impl FnOnce() -> Outcome<()>,
) -> Outcome<()> {
    let ran = Ran {
        event_loop: this.event_loop(),
        context: Some(context),
        method,
    };
    match context::within(py, context, user) {
        Ok(()) => Ok(()),
        Err(raised) => report_ran(py, this, &ran, raised),
    }
}

/// Reports what no rule of transports has caught, as a callback's exception.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn guarded<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    method: &str,
    answer: Outcome<()>,
) -> Outcome<()> {
    match answer {
        Ok(()) => Ok(()),
        Err(raised) => {
            let (event_loop, context) = (this.event_loop(), this.context());
            let ran = Ran {
                event_loop,
                context: context.as_deref(),
                method,
            };
            report_ran(py, this, &ran, raised)
        }
    }
}

#[cold]
fn report_ran<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    ran: &Ran<'_>,
    raised: Raised,
) -> Outcome<()> {
    let Some(event_loop) = &ran.event_loop else {
        return Err(raised);
    };
    let (exception, method) = (raised.take(), ran.method);
    let message = || format!("Exception in callback {}.{method}()", short_name::<T>());
    // CPython: a handle ran it. Where ours has none, the transport says whose callback it was.
    let handle = handle_of(py, this, event_loop, ran).unwrap_or_else(|raised| {
        drop(raised.take());
        None
    });
    let details = [match &handle {
        Some(handle) => ("handle", handle.object()),
        None => ("transport", this.object()),
    }];
    report_raised(py, event_loop, raise(exception), message, &details)
}

/// A handle of the transport's `method`, if Python sees one.
fn handle_of<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    event_loop: &Object,
    ran: &Ran<'_>,
) -> Outcome<Option<Own<Handle>>> {
    let Some(engine) = Instance::<Engine>::of(event_loop) else {
        return Ok(None);
    };
    let callback = attribute_if_any(py, this.object(), &PyString::new(py, ran.method))?;
    let handle = callback.map(|callback| handle::new(py, engine, &callback, &[], ran.context));
    handle.transpose()
}

/// The class in messages.
pub(super) fn short_name<T: Class>() -> String {
    let name = T::NAME.to_string_lossy();
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Says `words` about the transport in debug mode, at this level.
///
/// # Errors
/// What the logger raises.
#[inline]
pub(super) fn log<T: Ending>(
    py: Python<'_>,
    this: &Instance<T>,
    level: &str,
    words: &str,
) -> Outcome<()> {
    if is_debugged(this) {
        names::asyncio_logger(py)?
            .bind(py)
            .call_method1(level, (words, this.object().bind(py)))?;
    }
    Ok(())
}

#[inline]
fn is_debugged<T: Ending>(this: &Instance<T>) -> bool {
    this.engine().is_some_and(|engine| engine.debug.get())
}

/// The last words of a transport that nobody closed.
fn finalize<T: Ending>(py: Python<'_>, this: &Instance<T>) {
    if !this.has_last_words() {
        return;
    }
    let warned = warn_unclosed(py, this).map_err(Raised::take);
    let closed = T::close_unclosed(py, this).map_err(Raised::take);
    for exception in [warned, closed].into_iter().filter_map(Result::err) {
        write_unraisable(raise(exception), this.object());
    }
}

fn warn_unclosed<T: Ending>(py: Python<'_>, this: &Instance<T>) -> Outcome<()> {
    let text = format!("unclosed transport {}", T::text(py, this));
    let text = PyString::new(py, &text);
    let category = py.get_type::<PyResourceWarning>();
    let arguments = [object(&text), object(&category)];
    let source = (names::source(py), this.object());
    call_keyword(py, names::warn(py)?, &arguments, source).map(drop)
}

impl<T: Ending> Instance<T> {
    /// Asks for a poll in the next turn, as something is done to the descriptor.
    #[inline]
    pub(super) fn touch(&self, py: Python<'_>) {
        if let Some(engine) = self.engine() {
            // Order: who has the other end in this loop hears of it in the next turn.
            engine.touch(py);
        }
    }

    /// Reports what the protocol raised.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; without a loop, the exception itself.
    pub(super) fn report(
        &self,
        py: Python<'_>,
        raised: Raised,
        message: &str,
        protocol: &Object,
    ) -> Outcome<()> {
        let Some(event_loop) = self.event_loop() else {
            return Err(raised);
        };
        let details = [("transport", self.object()), ("protocol", protocol)];
        report_raised(py, &event_loop, raised, || message.to_owned(), &details)
    }
}
