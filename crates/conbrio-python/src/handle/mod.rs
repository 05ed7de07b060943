//! `Handle` and `TimerHandle`: a callback to be run once, with its arguments and context.

mod failure;
#[cfg(Py_3_14)]
mod threadsafe;
mod timer;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::engine::{self, Engine};
use crate::ffi::layout::HandleFields;
use crate::ffi::{
    Builder, Class, ClassState, Instance, Object, Outcome, Own, Raised, Ref, Slot, Thunk, Visit,
    call, call_keyword, call_method, call_tuple, context, is_empty,
};
use crate::names;
use crate::runnable::Runnable;

use failure::failed;
#[cfg(Py_3_14)]
pub(crate) use threadsafe::{call_soon_threadsafe, threadsafe_class};
pub(crate) use timer::{TimerHandle, call_at, expire, later, timer_class};

/// A callback wrapper object, `asyncio.Handle`.
#[repr(transparent)]
pub(crate) struct Handle(HandleFields);

static STATE: ClassState = ClassState::new();

impl Class for Handle {
    const NAME: &'static std::ffi::CStr = c"conbrio.Handle";
    const REUSED: bool = true;

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.0.traverse(visit);
    }

    fn clear(&self) {
        self.0.clear();
    }
}

/// What a callback needs to run: shared by handles and timer handles.
pub(crate) fn fields(
    py: Python<'_>,
    engine: &Instance<Engine>,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<HandleFields> {
    let fields = HandleFields::empty();
    let context = match context {
        Some(given) if !given.is_none() => given.share(),
        _ => context::capture(py)?,
    };
    fields.context.set(context);
    fields.callback.set(callback.share());
    fields.event_loop.set(engine.object().share());
    if !args.is_empty() {
        fields.args.set(crate::ffi::tuple(py, args)?);
    }
    if engine.debug.get() {
        fields.source.set(source(py)?);
    }
    Ok(fields)
}

/// Where the caller's caller stands, for debug mode.
fn source(py: Python<'_>) -> Outcome<Ref> {
    call(py, names::extract_stack(py)?, &[])
}

impl Handle {
    /// What the callback needs to run.
    pub(crate) fn fields(&self) -> &HandleFields {
        &self.0
    }
}

/// Makes a handle that nobody runs yet.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn new(
    py: Python<'_>,
    engine: &Instance<Engine>,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<Own<Handle>> {
    Own::new(py, Handle(fields(py, engine, callback, args, context)?))
}

/// Makes a handle and runs it in the next turn.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn call_soon(
    py: Python<'_>,
    engine: &Instance<Engine>,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<Own<Handle>> {
    let value = Handle(fields(py, engine, callback, args, context)?);
    let handle = made(py, engine, value)?;
    engine.push(py, runnable(&handle));
    Ok(handle)
}

/// The same by the program's own `call_soon`, if it has put one in the place of ours.
///
/// # Errors
/// What that raises.
pub(crate) fn ask_soon(
    py: Python<'_>,
    engine: &Instance<Engine>,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<()> {
    if engine.plain.get() {
        return call_soon(py, engine, callback, args, context).map(drop);
    }
    let mut all = vec![callback];
    all.extend_from_slice(args);
    let Some(context) = context else {
        return call_method(py, engine.object(), names::call_soon(py), &all).map(drop);
    };
    let call_soon = crate::ffi::attribute(py, engine.object(), names::call_soon(py))?;
    let context = (names::context(py), context);
    call_keyword(py, &call_soon, &all, context).map(drop)
}

/// Makes what a loop will run. While the loop runs it reaches the handle, so the collector need not look at it: if
/// somebody keeps the handle longer than the loop does, it is shown then.
///
/// # Errors
/// `MemoryError`.
#[inline]
fn made<T: Class>(py: Python<'_>, engine: &Engine, value: T) -> Outcome<Own<T>> {
    // Bench: call_soon_burst, timers_cancel.
    if engine.thread.get() == 0 {
        Own::new(py, value)
    } else {
        Own::new_unseen(py, value)
    }
}

/// Makes a handle from any thread and runs it in the next turn; the caller wakes the loop.
///
/// # Errors
/// `MemoryError`.
#[cfg(not(Py_3_14))]
#[inline]
pub(crate) fn call_soon_threadsafe(
    py: Python<'_>,
    engine: &Instance<Engine>,
    callback: &Object,
    args: &[&Object],
    context: Option<&Object>,
) -> Outcome<Ref> {
    Ok(call_soon(py, engine, callback, args, context)?.erase())
}

/// The handle as something to run.
#[inline]
pub(crate) fn runnable(handle: &Instance<Handle>) -> Runnable {
    Thunk::new(handle.own(), |py, handle: Own<Handle>| {
        let ran = run(py, handle.object(), &handle.0);
        show_if_kept(handle.object(), &handle.0, &ran);
        ran
    })
}

/// The handle of a watched descriptor as something to run.
#[inline]
pub(crate) fn watcher(handle: &Instance<Handle>) -> Runnable {
    Thunk::new(handle.own(), |py, handle: Own<Handle>| {
        // Order: the callback does I/O of its own, and a peer in this loop hears of that in the next turn.
        if let Some(event_loop) = handle.0.event_loop.share()
            && let Some(engine) = Instance::<Engine>::of(&event_loop)
        {
            engine.touch(py);
        }
        let ran = run(py, handle.object(), &handle.0);
        show_if_kept(handle.object(), &handle.0, &ran);
        ran
    })
}

/// Shows the collector a handle that the loop lets go of, if somebody else keeps it. A cancelled one lets go of the
/// loop, and then has nothing to show but what its context holds. That is not asked while an exception is on its way.
#[inline]
fn show_if_kept(handle: &Object, fields: &HandleFields, ran: &Outcome<()>) {
    show_if_kept_with(handle, fields, ran, None);
}

/// The same of one that keeps something `besides`.
#[inline]
fn show_if_kept_with(
    handle: &Object,
    fields: &HandleFields,
    ran: &Outcome<()>,
    besides: Option<&Slot>,
) {
    if !handle.is_shared() {
        return;
    }
    if !fields.cancelled.is_empty() {
        fields.event_loop.clear();
        if ran.is_ok()
            && besides.is_none_or(Slot::is_empty)
            && fields
                .context
                .share()
                .is_none_or(|context| is_empty(&context))
        {
            return;
        }
    }
    handle.show();
}

/// Runs a callback, unless it was cancelled.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` of the callback; others are reported.
#[inline]
pub(crate) fn run(py: Python<'_>, handle: &Object, fields: &HandleFields) -> Outcome<()> {
    if !fields.cancelled.is_empty() {
        return Ok(());
    }
    let (Some(callback), Some(captured)) = (fields.callback.share(), fields.context.share()) else {
        return Ok(());
    };
    let args = fields.args.share();
    let context = context::made_of(py, &captured)?;
    if let Err(raised) = context::enter(py, &context) {
        return run_elsewhere(py, handle, fields, &context, raised);
    }
    let answer = match &args {
        Some(args) => call_tuple(py, &callback, args),
        None => call(py, &callback, &[]),
    };
    context::leave(py, &context);
    match answer {
        Ok(_) => {
            if !context.is(&captured) {
                keep_or_give_back(handle, fields, context);
            }
            Ok(())
        }
        Err(raised) => {
            // Who hears of it is called in this context, and may ask for it.
            fields.context.set(context);
            failed(py, handle, fields, raised)
        }
    }
}

/// What cannot be entered may still have a `run` of its own, which is all that asyncio asks of a context.
#[cold]
fn run_elsewhere(
    py: Python<'_>,
    handle: &Object,
    fields: &HandleFields,
    context: &Object,
    raised: Raised,
) -> Outcome<()> {
    if context::is_context(context) {
        return failed(py, handle, fields, raised);
    }
    drop(raised.take());
    let callback = fields.callback.share_or_none();
    let args = arguments(py, fields);
    let all: Vec<&Object> = std::iter::once(&*callback)
        .chain(crate::ffi::tuple_items(&args).iter().copied())
        .collect();
    match call_method(py, context, names::run_in_context(py), &all) {
        Ok(_) => Ok(()),
        Err(raised) => failed(py, handle, fields, raised),
    }
}

/// A context made for this run: the handle's own from now on if somebody can ask for it, else back in stock.
#[inline]
fn keep_or_give_back(handle: &Object, fields: &HandleFields, context: Ref) {
    if handle.is_shared() && fields.cancelled.is_empty() {
        fields.context.set(context);
    } else {
        context::give_back(context);
    }
}

/// The handle's context, made now if only its beginnings were kept.
///
/// # Errors
/// `MemoryError`.
fn context_of(py: Python<'_>, fields: &HandleFields) -> Outcome<Ref> {
    let Some(captured) = fields.context.share() else {
        return Ok(Ref::none());
    };
    let context = context::made_of(py, &captured)?;
    fields.context.set(context.share());
    Ok(context)
}

/// Adds what every class of handles shows of its fields.
fn shown_of<T: Class>(
    builder: Builder<T>,
    of: impl Fn(&T) -> &HandleFields + Copy + 'static,
) -> Builder<T> {
    let builder = builder
        .getter(
            c"_loop",
            c"The loop, until a cancelled handle has been let go of.",
            move |_, this| Ok(of(this).event_loop.share_or_none()),
        )
        .getter(
            c"_cancelled",
            c"Whether it was cancelled.",
            move |_, this| Ok(Ref::boolean(!of(this).cancelled.is_empty())),
        )
        .getter(c"_args", c"The arguments.", move |py, this| {
            Ok(arguments(py, of(this)))
        })
        .getter(
            c"_repr",
            c"The repr, kept when cancelled in debug mode.",
            move |_, this| Ok(of(this).repr.share_or_none()),
        )
        .getter(
            c"_source_traceback",
            c"Where it was made, in debug mode.",
            move |_, this| Ok(of(this).source.share_or_none()),
        )
        .getter(c"_context", c"The context to run in.", move |py, this| {
            context_of(py, of(this))
        });
    if cfg!(Py_3_12) {
        return builder.plain(
            c"get_context",
            c"get_context($self)\n--\n\nThe context to run in.",
            move |py, this| context_of(py, of(this)),
        );
    }
    builder
}

/// Cancels a callback: it will not run, and lets go of what it held.
///
/// # Errors
/// What `repr` raises, in debug mode.
pub(crate) fn cancel(py: Python<'_>, handle: &Object, fields: &HandleFields) -> Outcome<()> {
    if !fields.cancelled.is_empty() {
        return Ok(());
    }
    fields.cancelled.set(Ref::boolean(true));
    let event_loop = fields.event_loop.share();
    if event_loop
        .as_deref()
        .and_then(Instance::<Engine>::of)
        .is_some_and(|engine| engine.debug.get())
    {
        fields.repr.set(handle.bind(py).repr()?.into_any().into());
    }
    let gone = (
        fields.callback.replace(Some(Ref::none())),
        fields.args.replace(None),
    );
    drop(gone);
    Ok(())
}

/// Runs `callback(arg)` in the next turn; where the loop is not a plain one of ours, or in debug mode, by its own `call_soon`.
///
/// # Errors
/// What that raises.
pub(crate) fn schedule(
    py: Python<'_>,
    event_loop: &Object,
    callback: &Object,
    arg: &Object,
    in_context: &Object,
) -> Outcome<()> {
    // CPython: debug mode looks at the thread and at the callback.
    if let Some(engine) = engine::plain(event_loop).filter(|engine| !engine.debug.get()) {
        engine.check_closed()?;
        call_soon(py, engine, callback, &[arg], Some(in_context))?;
        return Ok(());
    }
    let in_context = &*context::made_of(py, in_context)?;
    let call_soon = crate::ffi::attribute(py, event_loop, names::call_soon(py))?;
    call_keyword(
        py,
        &call_soon,
        &[callback, arg],
        (names::context(py), in_context),
    )?;
    Ok(())
}

/// The class `Handle`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let base = names::handle_class(py)?;
    let builder =
        Builder::<Handle>::new(c"A callback to be run once, as asyncio.Handle; made by the loop.");
    shown_of(builder.made_natively(), |handle| &handle.0)
        .plain(
            c"cancel",
            c"cancel($self)\n--\n\nKeeps the callback from running.",
            |py, this| {
                cancel(py, this.object(), &this.0)?;
                Ok(Ref::none())
            },
        )
        .plain(
            c"cancelled",
            c"cancelled($self)\n--\n\nTells whether it was cancelled.",
            |_, this| Ok(Ref::boolean(!this.0.cancelled.is_empty())),
        )
        .plain(
            c"_run",
            c"_run($self)\n--\n\nRuns the callback now.",
            |py, this| {
                run(py, this.object(), &this.0)?;
                Ok(Ref::none())
            },
        )
        .create(py, Some(&base.bind(py)))
}

/// The arguments as asyncio shows them: `None` once cancelled.
fn arguments(py: Python<'_>, fields: &HandleFields) -> Ref {
    match fields.args.share() {
        Some(args) => args,
        None if fields.cancelled.is_empty() => PyTuple::empty(py).into_any().into(),
        None => Ref::none(),
    }
}
