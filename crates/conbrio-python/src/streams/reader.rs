//! `StreamReader`: the received bytes, who waits for them, and the transport that is paused when they are too many.

use std::cell::Cell;
use std::mem::offset_of;

use conbrio_core::lines::Lines;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyByteArrayMethods};

use super::{ours, waiter};
use crate::ffi::{
    Class, ClassState, Guarded, Instance, Object, Outcome, Ref, Slot, Visit, bytearray,
    bytearray_len, call_method, extend_bytearray, take_raised,
};
use crate::names;
use crate::op::Op;

/// The native half of a `StreamReader`.
#[repr(C)]
pub(super) struct Reader {
    dict: Slot,
    weak_references: Cell<usize>,
    lines: Guarded<Lines>,
    /// The `bytearray` that Python was shown as `_buffer`. While there is one, the bytes are in it.
    shown: Slot,
    pub(super) event_loop: Slot,
    pub(super) transport: Slot,
    /// The future of who waits.
    pub(super) waiter: Slot,
    pub(super) exception: Slot,
    /// The limit as it was given, if it was not a plain number.
    limit: Slot,
    limit_bytes: Cell<usize>,
    /// Who waits can do nothing with fewer bytes.
    needed: Cell<usize>,
    pub(super) eof: Cell<bool>,
    pub(super) paused: Cell<bool>,
}

static STATE: ClassState = ClassState::new();

impl Class for Reader {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.StreamReader";

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

impl Reader {
    /// Where the dictionary and the list of weak references lie.
    pub(super) const ATTRIBUTES: (usize, usize) =
        (offset_of!(Self, dict), offset_of!(Self, weak_references));

    /// A reader that `__init__` has not seen.
    pub(super) fn unmade() -> Self {
        Self {
            dict: Slot::empty(),
            weak_references: Cell::new(0),
            lines: Guarded::new(Lines::new()),
            shown: Slot::empty(),
            event_loop: Slot::empty(),
            transport: Slot::empty(),
            waiter: Slot::empty(),
            exception: Slot::empty(),
            limit: Slot::empty(),
            limit_bytes: Cell::new(64 * 1024),
            needed: Cell::new(0),
            eof: Cell::new(false),
            paused: Cell::new(false),
        }
    }

    fn slots(&self) -> [&Slot; 7] {
        [
            &self.dict,
            &self.shown,
            &self.event_loop,
            &self.transport,
            &self.waiter,
            &self.exception,
            &self.limit,
        ]
    }

    /// How many bytes a line may have, and half of how many may wait here.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        self.limit_bytes.get()
    }

    /// The limit as Python sees it.
    pub(super) fn shown_limit(&self, py: Python<'_>) -> Ref {
        self.limit.share().unwrap_or_else(|| {
            let Ok(limit) = self.limit_bytes.get().into_pyobject(py);
            limit.into_any().into()
        })
    }

    /// Sets the limit to any number; what is compared with it counts bytes.
    pub(super) fn set_limit(&self, py: Python<'_>, limit: &Object) -> Outcome<()> {
        let bound = limit.bind(py);
        if let Ok(bytes) = bound.extract::<usize>()
            && bound.is_exact_instance_of::<pyo3::types::PyInt>()
        {
            self.limit.clear();
            self.limit_bytes.set(bytes);
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, as a limit may"
        )]
        let bytes = match bound.extract::<f64>() {
            Ok(number) if number.is_nan() => usize::MAX,
            Ok(number) => number.floor() as usize,
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(py) => {
                usize::MAX
            }
            Err(error) => return Err(error.into()),
        };
        self.limit_bytes.set(bytes);
        self.limit.set(limit.share());
        Ok(())
    }
}

impl Instance<Reader> {
    /// Whether none of asyncio's methods is replaced, on the class or on the instance, and the bytes are here.
    #[inline]
    pub(super) fn is_plain(&self, py: Python<'_>) -> bool {
        ours().is_some_and(|ours| {
            ours.reader.holds(py, self.object())
                && self
                    .dict
                    .share()
                    .is_none_or(|dict| !ours.reader.is_any_in(py, &dict))
                && (self.shown.is_empty() || self.takes_over(py))
        })
    }

    /// Takes the bytes over from the `bytearray` that Python was shown, unless Python has it still: asyncio's methods work
    /// in it then, without copying all of it to and fro.
    #[cold]
    fn takes_over(&self, py: Python<'_>) -> bool {
        let is_kept = self.shown.share_or_none().holders() > 2;
        if !is_kept && self.hide_buffer(py).is_err() {
            drop(take_raised(py));
        }
        self.shown.is_empty()
    }

    /// Opens the buffer; `user` runs no Python code.
    #[inline]
    pub(super) fn with<R>(&self, py: Python<'_>, user: impl FnOnce(&mut Lines) -> R) -> Outcome<R> {
        if self.shown.is_empty() {
            return Ok(self.lines.lend(py, user));
        }
        self.hide_buffer(py)?;
        let answer = self.lines.lend(py, user);
        self.echo(py)?;
        Ok(answer)
    }

    /// How many bytes are held.
    #[inline]
    pub(super) fn held(&self, py: Python<'_>) -> usize {
        match self.shown.share() {
            None => self.lines.lend(py, |lines| lines.len()),
            Some(array) => bytearray_len(&array),
        }
    }

    /// Takes the bytes over from the `bytearray` that Python was shown; keeps that if Python has it still.
    #[cold]
    fn hide_buffer(&self, py: Python<'_>) -> Outcome<()> {
        let Some(array) = self.shown.take() else {
            return Ok(());
        };
        let content = array
            .bind(py)
            .cast::<PyByteArray>()
            .map_err(PyErr::from)?
            .to_vec();
        self.lines.lend(py, |lines| {
            lines.clear();
            lines.extend(&content);
        });
        if array.is_shared() {
            drop(self.shown.replace(Some(array)));
        }
        Ok(())
    }

    /// Lets the `bytearray` that Python has follow.
    #[cold]
    fn echo(&self, py: Python<'_>) -> Outcome<()> {
        let Some(array) = self.shown.share() else {
            return Ok(());
        };
        let content = self.lines.lend(py, |lines| lines.held().to_vec());
        array.bind(py).call_method0(pyo3::intern!(py, "clear"))?;
        extend_bytearray(py, &array, &content)
    }

    /// `_buffer`: a `bytearray` that is the buffer from now on.
    pub(super) fn show_buffer(&self, py: Python<'_>) -> Outcome<Ref> {
        if let Some(shown) = self.shown.share() {
            return Ok(shown);
        }
        let content = self.lines.lend(py, |lines| {
            let content = lines.held().to_vec();
            lines.clear();
            content
        });
        let array = bytearray(py, &content)?;
        self.shown.set(array.share());
        Ok(array)
    }

    /// Sets `_buffer` to a `bytearray`, or to a copy of what lends memory.
    pub(super) fn replace_buffer(&self, py: Python<'_>, buffer: &Object) -> Outcome<()> {
        let array = if crate::ffi::is_bytearray(buffer) {
            buffer.share()
        } else {
            bytearray(py, &crate::ffi::Buffer::to_read(py, buffer)?.to_vec())?
        };
        self.shown.set(array);
        Ok(())
    }

    /// `feed_data(data)`.
    ///
    /// # Errors
    /// `AssertionError` after the end, and what a foreign transport raises.
    #[inline]
    pub(super) fn feed(&self, py: Python<'_>, data: &[u8]) -> Outcome<()> {
        if self.eof.get() {
            return Err(PyAssertionError::new_err("feed_data after feed_eof").into());
        }
        if data.is_empty() {
            return Ok(());
        }
        let held = self.with(py, |lines| {
            lines.extend(data);
            lines.len()
        })?;
        let much = held > self.limit().saturating_mul(2);
        if much || held >= self.needed.get() {
            self.wake(py)?;
        }
        if much { self.pause(py) } else { Ok(()) }
    }

    /// Pauses the transport, as so much waits here.
    #[cold]
    fn pause(&self, py: Python<'_>) -> Outcome<()> {
        if self.paused.get() {
            return Ok(());
        }
        let Some(transport) = self.transport.share() else {
            return Ok(());
        };
        match call_method(py, &transport, names::pause_reading(py), &[]) {
            Ok(_) => {
                self.paused.set(true);
                Ok(())
            }
            Err(raised) => {
                let error = PyErr::from(raised);
                if !error.is_instance_of::<pyo3::exceptions::PyNotImplementedError>(py) {
                    return Err(error.into());
                }
                // CPython: a transport that cannot be paused is not asked again.
                self.transport.clear();
                Ok(())
            }
        }
    }

    /// Lets the transport go on when little waits here.
    #[inline]
    pub(super) fn maybe_resume(&self, py: Python<'_>) -> Outcome<()> {
        if self.paused.get() && self.held(py) <= self.limit() {
            return self.resume(py);
        }
        Ok(())
    }

    /// Lets a paused transport go on.
    pub(super) fn resume(&self, py: Python<'_>) -> Outcome<()> {
        if !self.paused.replace(false) {
            return Ok(());
        }
        let transport = self.transport.share_or_none();
        call_method(py, &transport, names::resume_reading(py), &[]).map(drop)
    }

    /// `feed_eof()`.
    pub(super) fn feed_eof(&self, py: Python<'_>) -> Outcome<()> {
        self.eof.set(true);
        self.wake(py)
    }

    /// `_wakeup_waiter()`.
    #[inline]
    pub(super) fn wake(&self, py: Python<'_>) -> Outcome<()> {
        match self.waiter.take() {
            Some(future) => waiter::wake(py, &future),
            None => Ok(()),
        }
    }

    /// `set_exception(exc)`.
    pub(super) fn set_exception(&self, py: Python<'_>, exception: &Object) -> Outcome<()> {
        drop(
            self.exception
                .replace((!exception.is_none()).then(|| exception.share())),
        );
        match self.waiter.take() {
            Some(future) => waiter::disappoint(py, &future, exception),
            None => Ok(()),
        }
    }

    /// Whether who waited is a native read that nobody drives any more; it waits no longer then.
    #[cold]
    pub(super) fn outlives_waiter(&self, py: Python<'_>) -> bool {
        let held = self.waiter.share_or_none();
        match Instance::<Op>::of_exact(&held) {
            Some(op) if held.holders() == 2 && op.is_without_driver() => {
                op.forsake(py);
                true
            }
            _ => false,
        }
    }

    /// Lets `future` be told of the next bytes, once there are `needed`.
    #[inline]
    pub(super) fn wait(&self, future: Ref, needed: usize) {
        self.needed.set(needed);
        self.waiter.set(future);
    }
}
