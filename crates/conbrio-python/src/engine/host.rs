//! The engine as the turn's host: waiting without the interpreter's lock, running what is ready, hearing events.

use std::io::ErrorKind;
use std::sync::Arc;

use conbrio_core::clock;
use conbrio_core::lookout::{self, Ended};
use conbrio_core::ready::Ready;
use conbrio_core::sources::{Side, Sources};
use conbrio_core::turn::{Host, Works};
use conbrio_driver::driver::{Driver, Events, Timeout};
use conbrio_driver::event::{Event, Token};
use pyo3::prelude::*;

use super::{Devices, Engine};
use crate::ffi::{
    Instance, Object, Outcome, Raised, arenas, as_float, call, call_method, check_signals, object,
    raise, refill_bytes, take_raised,
};
use crate::names;
use crate::report::os_error;
use crate::runnable::Runnable;

/// A loop while it runs in this thread.
pub(crate) struct Running<'a, 'py> {
    /// Proof of the interpreter's lock.
    pub(crate) py: Python<'py>,
    /// The loop.
    pub(crate) engine: &'a Instance<Engine>,
}

impl Host for Running<'_, '_> {
    type Failure = Raised;
    type Runnable = Runnable;

    #[inline]
    fn works<T>(&self, user: impl FnOnce(&mut Works<Runnable>) -> T) -> T {
        self.engine.works.lend(self.py, user)
    }

    #[inline]
    fn now(&self) -> Outcome<f64> {
        self.engine.now(self.py)
    }

    #[inline]
    fn can_have_come(&self, moment: f64) -> bool {
        self.engine.can_have_come(moment)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "measured, as for `look`")]
    fn wait(&self, timeout: Timeout) -> Outcome<()> {
        let devices = self.engine.devices(self.py)?;
        let mut events = self.engine.events();
        let waited = match timeout {
            Timeout::Now => devices.driver.wait(&mut events, timeout),
            _ => self.sleep(&devices, &mut events, timeout)?,
        };
        refill_bytes(self.py);
        let answer = match waited {
            Ok(()) => self.hear(&devices, &events),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(os_error(self.py, &error)),
        };
        self.engine.keep(events);
        answer?;
        match timeout {
            Timeout::Now => Ok(()),
            _ => check_signals(self.py),
        }
    }

    #[inline]
    fn foresee(next: &Runnable) {
        next.object().prefetch();
    }

    #[inline]
    fn run(&self, runnable: Runnable) -> Outcome<()> {
        if self.engine.debug.get() {
            self.run_watched(runnable)
        } else {
            runnable.run(self.py)
        }
    }

    fn flush(&self) -> Outcome<()> {
        // What ends the run stands aside while others send what they owe; they do so whatever one of them raises.
        let mut failure = take_raised(self.py);
        for runnable in self.engine.flushes.take() {
            if let Err(raised) = runnable.run(self.py) {
                let raised = raised.take();
                failure.get_or_insert(raised);
            }
        }
        failure.map_or(Ok(()), |exception| Err(raise(exception)))
    }
}

impl Running<'_, '_> {
    /// Whether the loop ends after this turn.
    pub(crate) fn is_stopping(&self) -> bool {
        self.works(|works| works.stopping)
    }

    /// What the loop did, by name.
    pub(crate) fn stats(&self) -> [(&'static str, u64); 6] {
        self.works(|works| {
            let stats = &works.stats;
            [
                ("turns", stats.turns.get()),
                ("polls", stats.polls.get()),
                ("polls_skipped", stats.polls_skipped.get()),
                ("callbacks", stats.callbacks.get()),
                ("timers_fired", stats.timers_fired.get()),
                ("events", stats.events.get()),
            ]
        })
    }

    /// When the next timer is due.
    fn next_deadline(&self) -> Option<f64> {
        self.works(|works| works.timers.next_deadline())
    }

    /// Waits without the interpreter's lock.
    fn sleep(
        &self,
        devices: &Arc<Devices>,
        events: &mut Events,
        timeout: Timeout,
    ) -> Outcome<std::io::Result<()>> {
        arenas::rest(self.py);
        let deadline = self.next_deadline();
        self.engine.hear_signals(self.py, devices)?;
        // CPython: between its last callback and the wait it runs Python code, which looks for signals.
        check_signals(self.py)?;
        let sleeper = &self.engine.sleeper;
        let looks_out = self
            .engine
            .lookout
            .lend(self.py, |lookout| lookout.pays(timeout))
            && !self.engine.are_signals_told_elsewhere(devices);
        if looks_out {
            sleeper.look_out();
        } else {
            sleeper.enter_sleep();
        }
        // Python has run since the turn found nothing to do (a signal's handler, a clock of somebody's own), and other
        // threads have found nobody asleep.
        let is_idle = self.works(|works| works.is_idle()) && self.next_deadline() == deadline;
        let timeout = if is_idle { timeout } else { Timeout::Now };
        let began = clock::ticks();
        let ((ended, waited), ticks) = self.py.detach(|| {
            let how = if looks_out && timeout != Timeout::Now {
                lookout::wait(sleeper, &devices.driver, events, timeout)
            } else {
                (Ended::Slept, devices.driver.wait(events, timeout))
            };
            (how, clock::ticks().wrapping_sub(began))
        });
        let rung = sleeper.leave_sleep();
        self.engine
            .lookout
            .lend(self.py, |lookout| lookout.learn(ended, rung, ticks));
        Ok(waited)
    }

    /// Runs in debug mode: tells what runs, and complains when it takes long.
    fn run_watched(&self, runnable: Runnable) -> Outcome<()> {
        let object = runnable.object().share();
        let begin = self.now()?;
        drop(self.engine.current_handle.replace(Some(object.share())));
        let answer = runnable.run(self.py);
        self.engine.current_handle.clear();
        answer?;
        let taken = self.now()? - begin;
        if taken >= self.engine.slow_callback.get() {
            report_slow(self.py, &object, taken)?;
        }
        Ok(())
    }

    /// Pushes who hears the events on the ready queue.
    fn hear(&self, devices: &Devices, events: &Events) -> Outcome<()> {
        let told = |token| events.iter().any(|event| event.token == token);
        if !devices.driver.knows_edges() && told(Token::BELL) {
            devices.wake.hush();
        }
        let over = self.engine.sources.lend(self.py, |sources| {
            self.engine.works.lend(self.py, |works| {
                works.stats.events.add(events.len() as u64);
                push_all(devices, events, sources, &mut works.ready)
            })
        });
        if over {
            self.renew(devices);
        }
        if told(Token::WAKE) {
            self.hear_wake(devices)
        } else {
            Ok(())
        }
    }

    /// Begins to watch anew, as the system reports a descriptor that was closed: a forked child holds it open.
    #[cold]
    fn renew(&self, devices: &Devices) {
        let mut watched = self
            .engine
            .sources
            .lend(self.py, |sources| sources.watched());
        watched.extend(devices.wake.watched());
        // Without a descriptor to spare it fails, and the next such report tries again.
        let _ = devices.driver.renew(&watched);
    }

    /// Empties the pipe of signals.
    fn hear_wake(&self, devices: &Devices) -> Outcome<()> {
        let mut signals = Vec::new();
        devices.wake.drain(&mut |byte| signals.push(byte));
        let mut failure = None;
        for signal in signals {
            let Ok(number) = i32::from(signal).into_pyobject(self.py);
            let heard = call_method(
                self.py,
                self.engine.object(),
                names::handle_signal(self.py),
                &[object(&number)],
            );
            if let Err(raised) = heard {
                let raised = raised.take();
                failure.get_or_insert(raised);
            }
        }
        failure.map_or(Ok(()), |exception| Err(raise(exception)))
    }
}

/// Pushes who hears the events, and tells whether there was one of a registration that is over.
#[inline]
fn push_all(
    devices: &Devices,
    events: &Events,
    sources: &Sources<Runnable>,
    ready: &mut Ready<Runnable>,
) -> bool {
    let is_armed = |fd| devices.driver.is_armed(fd);
    let mut over = false;
    for event in events.iter().filter(|event| !event.token.is_wake_up()) {
        let heard = push_hearers(event, sources, ready);
        over |= !heard && sources.is_over(event.token, is_armed);
    }
    over
}

/// Pushes who hears one event, and tells whether anybody does; the reader of a descriptor comes before its writer, as
/// CPython has it.
#[inline]
fn push_hearers(event: Event, sources: &Sources<Runnable>, ready: &mut Ready<Runnable>) -> bool {
    let sides = [
        (event.readable, Side::Reader),
        (event.writable, Side::Writer),
    ];
    let mut heard = false;
    for (_, side) in sides.into_iter().filter(|(reported, _)| *reported) {
        if let Some(runnable) = sources.find(event.token, side) {
            ready.push(runnable.share());
            heard = true;
        }
    }
    heard
}

impl Instance<Engine> {
    /// What tells whether something was scheduled meanwhile: how much is ready, and whether the loop stops.
    #[inline]
    pub(crate) fn schedule(&self, py: Python<'_>) -> (usize, bool) {
        self.works
            .lend(py, |works| (works.ready.len(), works.stopping))
    }

    /// The number of this turn, and whether nothing but what runs now has anything to do.
    #[inline]
    pub(crate) fn moment(&self, py: Python<'_>) -> (u64, bool) {
        self.works.lend(py, |works| {
            (works.stats.turns.get(), works.ready.is_empty())
        })
    }

    /// The number of this turn.
    #[inline]
    pub(crate) fn turn(&self, py: Python<'_>) -> u64 {
        self.works.lend(py, |works| works.stats.turns.get())
    }

    /// The time by the loop's clock: ours, or the `time()` that somebody has put in its place.
    ///
    /// # Errors
    /// What that `time()` raises.
    #[inline]
    pub(crate) fn now(&self, py: Python<'_>) -> Outcome<f64> {
        if self.plain_clock.get() {
            return Ok(clock::now());
        }
        let time = call_method(py, self.object(), names::time(py), &[])?;
        as_float(py, &time)
    }

    /// Whether `moment` of the loop's clock can have come; false is certain.
    // Bench: timeout_ctx; most deadlines are far, and a coarse clock tells that at a sixth of the price.
    #[inline]
    pub(crate) fn can_have_come(&self, moment: f64) -> bool {
        !self.plain_clock.get() || clock::can_have_come(moment)
    }
}

/// Logs a callback that took long, in CPython's words.
#[cold]
fn report_slow(py: Python<'_>, object: &Object, seconds: f64) -> Outcome<()> {
    let logger = names::asyncio_logger(py)?;
    let bound = object.bind(py);
    let text = if bound.hasattr("_callback")? {
        call(py, names::format_handle(py)?, &[object])?
            .bind(py)
            .to_string()
    } else {
        bound.repr()?.to_string()
    };
    logger
        .bind(py)
        .call_method1("warning", ("Executing %s took %.3f seconds", text, seconds))?;
    Ok(())
}
