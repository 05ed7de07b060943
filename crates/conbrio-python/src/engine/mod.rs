//! The Python host of the turn: one loop's works, its driver and who hears its descriptors.
//!
//! What every room above schedules through. It does not know handles, tasks or transports: it holds runnables.

mod devices;
mod host;
mod signals;
mod watching;

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use conbrio_core::lookout::Lookout;
use conbrio_core::sleeper::Sleeper;
use conbrio_core::sources::Sources;
use conbrio_core::timers::Key;
use conbrio_core::turn::Works;
use conbrio_driver::driver::Events;
use conbrio_driver::sys::datagram::Arrivals;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::ffi::{
    Class, ClassState, CurrentTask, Guarded, Instance, Object, Outcome, Raised, Ref, Slot, Visit,
    thread_ident,
};
use crate::runnable::Runnable;

use devices::Origin;
pub(crate) use devices::{Devices, forked};
pub(crate) use host::Running;

/// How long a loop that threads have woken leaves them the interpreter when it is closed.
const FAREWELL: std::time::Duration = std::time::Duration::from_micros(200);

/// How large the buffer is that small reads share. CPython: `max_size`.
pub(crate) const SHARED: usize = 256 * 1024;

/// How many flushes make a crowd.
const CROWD: usize = 128;

/// One loop: what it has to do and what it watches.
pub(crate) struct Engine {
    works: Guarded<Works<Runnable>>,
    sources: Guarded<Sources<Runnable>>,
    /// The objects by which descriptors are watched: one that is closed meanwhile is still known by itself.
    files: Guarded<HashMap<RawFd, Ref>>,
    devices: Guarded<Option<Arc<Devices>>>,
    /// The process whose devices these are, and whose handles wait.
    origin: Origin,
    /// The buffer for events, while no wait uses it.
    events: Guarded<Option<Events>>,
    /// What transports owe the network at the end of this turn.
    flushes: Guarded<Vec<Runnable>>,
    /// The buffer that small reads share, made by the first of them.
    buffer: Guarded<Option<Box<[u8]>>>,
    /// The last write that was taken for the only one of its turn: which turn, and the address of who wrote.
    pub(crate) single: Cell<Option<(u64, usize)>>,
    /// Where datagrams arrive, made by the first that does.
    arrivals: Guarded<Option<Box<Arrivals>>>,
    /// Whether the loop's thread waits.
    sleeper: Sleeper,
    /// Whether it had better look out than sleep.
    lookout: Guarded<Lookout>,
    /// Which driver was asked for.
    driver: Option<String>,
    /// Where asyncio is told the running task.
    pub(crate) current: Cell<Option<CurrentTask>>,
    /// The thread that runs the loop, 0 when none does.
    pub(crate) thread: Cell<u64>,
    /// `close()` was called.
    pub(crate) closed: Cell<bool>,
    /// Debug mode.
    pub(crate) debug: Cell<bool>,
    /// Nobody has replaced `call_soon`, `call_later` or `call_at`: native rooms may schedule without asking for them.
    pub(crate) plain: Cell<bool>,
    /// Nobody has replaced `call_at`, which `call_later` goes by.
    pub(crate) plain_timers: Cell<bool>,
    /// Somebody has put other classes in the place of asyncio's Future and Task: they are made here as well.
    pub(crate) other_classes: Cell<bool>,
    /// Nobody has replaced `call_soon_threadsafe`.
    pub(crate) plain_threads: Cell<bool>,
    /// Nobody has replaced `create_task`.
    pub(crate) plain_tasks: Cell<bool>,
    /// Nobody has replaced `time`.
    pub(crate) plain_clock: Cell<bool>,
    /// Somebody has set on this loop itself a method by which asyncio makes connections.
    pub(crate) own_ways: Cell<bool>,
    /// Somebody has asked for the wake-up descriptor to hear signals with.
    pub(crate) hears_by_handlers: Cell<bool>,
    /// How long a callback may take in debug mode, in seconds.
    pub(crate) slow_callback: Cell<f64>,
    /// The same as the object it was given as.
    pub(crate) slow_object: Slot,
    /// Called to make tasks, if set.
    pub(crate) task_factory: Slot,
    /// The handle that runs now, in debug mode.
    pub(crate) current_handle: Slot,
    /// The signal wake-up descriptor that was set before this run, while ours is.
    former_wakeup: Cell<Option<RawFd>>,
    /// This run has seen to it that signals end its waits.
    hears_signals: Cell<bool>,
    /// Somebody was told the descriptor that Python writes signals into, when putting another in its place.
    wakeup_was_seen: Cell<bool>,
}

static STATE: ClassState = ClassState::new();

impl Class for Engine {
    const NAME: &'static std::ffi::CStr = c"conbrio._conbrio.EventLoop";

    fn state() -> &'static ClassState {
        &STATE
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.slot(&self.task_factory);
        visit.slot(&self.current_handle);
        visit.slot(&self.slow_object);
        self.works.inspect(|works| {
            works
                .ready
                .iter()
                .for_each(|runnable| visit.reference(runnable.reference()));
            works
                .timers
                .iter()
                .for_each(|runnable| visit.reference(runnable.reference()));
        });
        self.sources.inspect(|sources| {
            sources
                .iter()
                .for_each(|(_, _, runnable)| visit.reference(runnable.reference()));
        });
        self.files
            .inspect(|files| files.values().for_each(|file| visit.reference(file)));
        self.flushes.inspect(|flushes| {
            for runnable in flushes {
                visit.reference(runnable.reference());
            }
        });
    }

    fn clear(&self) {
        self.task_factory.clear();
        self.current_handle.clear();
        self.slow_object.clear();
        drop(self.works.take());
        drop(self.sources.take());
        drop(self.files.take());
        drop(self.flushes.take());
    }
}

/// The engine of `event_loop`, if that is a loop of ours whose scheduling methods nobody has replaced.
#[inline]
pub(crate) fn plain(event_loop: &Object) -> Option<&Instance<Engine>> {
    Instance::<Engine>::of(event_loop).filter(|engine| engine.plain.get())
}

impl Engine {
    /// A loop that nothing has been asked of yet; `driver` names one, else the best is taken when it is first needed.
    pub(crate) fn new(driver: Option<String>) -> Self {
        Self {
            works: Guarded::new(Works::default()),
            sources: Guarded::new(Sources::new()),
            files: Guarded::new(HashMap::new()),
            devices: Guarded::new(None),
            origin: Origin::none(),
            events: Guarded::new(None),
            flushes: Guarded::new(Vec::new()),
            buffer: Guarded::new(None),
            single: Cell::new(None),
            arrivals: Guarded::new(None),
            sleeper: Sleeper::new(),
            lookout: Guarded::new(Lookout::new()),
            driver,
            current: Cell::new(None),
            thread: Cell::new(0),
            closed: Cell::new(false),
            debug: Cell::new(false),
            plain: Cell::new(true),
            plain_threads: Cell::new(true),
            plain_timers: Cell::new(true),
            other_classes: Cell::new(false),
            plain_tasks: Cell::new(true),
            plain_clock: Cell::new(true),
            own_ways: Cell::new(false),
            hears_by_handlers: Cell::new(false),
            slow_callback: Cell::new(0.1),
            slow_object: Slot::empty(),
            task_factory: Slot::empty(),
            current_handle: Slot::empty(),
            former_wakeup: Cell::new(None),
            hears_signals: Cell::new(false),
            wakeup_was_seen: Cell::new(false),
        }
    }

    /// Refuses with CPython's words when the loop is closed.
    ///
    /// # Errors
    /// `RuntimeError`.
    #[inline]
    pub(crate) fn check_closed(&self) -> Outcome<()> {
        if self.closed.get() {
            Err(closed())
        } else {
            Ok(())
        }
    }

    /// Refuses what `call_soon` refuses: a closed loop and, in debug mode, another thread.
    ///
    /// # Errors
    /// `RuntimeError`.
    pub(crate) fn check_call(&self) -> Outcome<()> {
        self.check_closed()?;
        if self.debug.get() {
            self.check_thread()?;
        }
        Ok(())
    }

    /// Refuses to serve in a process forked from the one that the loop has served.
    ///
    /// # Errors
    /// `RuntimeError`.
    #[inline]
    pub(crate) fn check_process(&self) -> Outcome<()> {
        self.origin.check()
    }

    /// Whether who asks is what a turn of the loop runs, so that the end of the turn comes after it: not where the loop does not
    /// run, in another thread, or in a forked child.
    #[inline]
    pub(crate) fn comes_to_an_end_of_turn(&self) -> bool {
        self.thread.get() == thread_ident() && !self.origin.is_elsewhere()
    }

    /// In debug mode, refuses calls from another thread than the loop's.
    ///
    /// # Errors
    /// `RuntimeError`.
    pub(crate) fn check_thread(&self) -> Outcome<()> {
        let thread = self.thread.get();
        if thread == 0 || thread == thread_ident() {
            return Ok(());
        }
        let text = "Non-thread-safe operation invoked on an event loop other than the current one";
        Err(PyRuntimeError::new_err(text).into())
    }

    /// Whether native rooms may make tasks without asking for `create_task`.
    #[inline]
    pub(crate) fn makes_tasks(&self) -> bool {
        self.task_factory.is_empty() && !self.other_classes.get() && self.plain_tasks.get()
    }

    /// Runs `runnable` in the next turn.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, runnable: Runnable) {
        self.works.lend(py, |works| works.ready.push(runnable));
    }

    /// Wakes the loop if it waits.
    pub(crate) fn wake(&self, py: Python<'_>) {
        self.devices.lend(py, |devices| {
            if let Some(devices) = devices {
                self.sleeper.waken(&devices.wake);
            }
        });
    }

    /// Runs `runnable` when `deadline` (seconds of the loop's clock) has come.
    #[inline]
    pub(crate) fn push_timer(&self, py: Python<'_>, deadline: f64, runnable: Runnable) -> Key {
        self.works
            .lend(py, |works| works.timers.push(deadline, runnable))
    }

    /// Shows the collector what the loop keeps, at the end of a run: nothing reaches the loop now but its owner.
    pub(crate) fn show_kept(&self) {
        self.works.inspect(|works| {
            works
                .ready
                .iter()
                .for_each(|runnable| runnable.object().show());
            works
                .timers
                .iter()
                .for_each(|runnable| runnable.object().show());
        });
    }

    /// Takes a timer back.
    #[inline]
    pub(crate) fn cancel_timer(&self, py: Python<'_>, key: Key) -> Option<Runnable> {
        self.works.lend(py, |works| works.timers.cancel(key))
    }

    /// Ends the loop after this turn.
    pub(crate) fn stop(&self, py: Python<'_>, stopping: bool) {
        self.works.lend(py, |works| works.stopping = stopping);
    }

    /// Notes that the loop did I/O, so that the next turn polls.
    #[inline]
    pub(crate) fn touch(&self, py: Python<'_>) {
        self.works.lend(py, Works::touch);
    }

    /// Runs `runnable` at the end of this turn.
    #[inline]
    pub(crate) fn flush_later(&self, py: Python<'_>, runnable: Runnable) {
        self.flushes.lend(py, |flushes| flushes.push(runnable));
        self.works.lend(py, |works| works.flush = true);
    }

    /// Whether very many have something to flush at the end of this turn.
    #[inline]
    pub(crate) fn is_crowded(&self, py: Python<'_>) -> bool {
        self.flushes.lend(py, |flushes| flushes.len() > CROWD)
    }

    /// Lends the buffer that reads share.
    pub(crate) fn with_buffer<R>(&self, py: Python<'_>, user: impl FnOnce(&mut [u8]) -> R) -> R {
        self.buffer.lend(py, |buffer| {
            user(buffer.get_or_insert_with(|| vec![0; SHARED].into_boxed_slice()))
        })
    }

    /// Takes the shared buffer away from whoever might want it meanwhile.
    #[inline]
    pub(crate) fn take_buffer(&self, py: Python<'_>) -> Box<[u8]> {
        let kept = self.buffer.lend(py, Option::take);
        kept.unwrap_or_else(|| vec![0; SHARED].into_boxed_slice())
    }

    /// Gives the shared buffer back.
    #[inline]
    pub(crate) fn give_buffer(&self, py: Python<'_>, buffer: Box<[u8]>) {
        drop(self.buffer.lend(py, |place| place.replace(buffer)));
    }

    /// Lends the memory that datagrams arrive in.
    pub(crate) fn with_arrivals<R>(
        &self,
        py: Python<'_>,
        user: impl FnOnce(&mut Arrivals) -> R,
    ) -> R {
        self.arrivals
            .lend(py, |arrivals| user(arrivals.get_or_insert_default()))
    }

    /// The driver and the wake, made when first asked for.
    ///
    /// # Errors
    /// `OSError` when the system gives no descriptors, `RuntimeError` in a forked child.
    pub(crate) fn devices(&self, py: Python<'_>) -> Outcome<Arc<Devices>> {
        self.check_closed()?;
        self.check_process()?;
        if let Some(devices) = self.devices.lend(py, |devices| devices.clone()) {
            return Ok(devices);
        }
        let made = Arc::new(Devices::new(py, self.driver.as_deref())?);
        self.devices
            .lend(py, |devices| *devices = Some(Arc::clone(&made)));
        Ok(made)
    }

    /// The buffer for events; `keep` gives it back.
    fn events(&self) -> Events {
        self.events.take().unwrap_or_default()
    }

    fn keep(&self, events: Events) {
        drop(self.events.replace(Some(events)));
    }

    /// Drops everything scheduled and watched, and closes the devices.
    pub(crate) fn close(&self, py: Python<'_>) {
        self.closed.set(true);
        self.forget_signals(py);
        if self.lookout.lend(py, |lookout| lookout.has_met_threads()) {
            // Threads that were told to end do so: CPython's loop lets others run at each of its last polls.
            py.detach(|| std::thread::sleep(FAREWELL));
        }
        let works = self.works.take();
        let sources = self.sources.take();
        let flushes = self.flushes.take();
        let files = self.files.take();
        let devices = self.devices.lend(py, Option::take);
        drop((works, sources, flushes, files));
        // Whoever rings at this very moment closes them.
        let devices = devices.and_then(Arc::into_inner);
        if let Some(devices) = devices
            && self.wakeup_was_seen.get()
        {
            devices.wake.retire();
        }
        drop(self.buffer.lend(py, Option::take));
        drop(self.arrivals.lend(py, Option::take));
    }
}

impl Instance<Engine> {
    /// Makes `task` the current one of this loop and returns the former.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn swap_task(&self, py: Python<'_>, task: Option<&Object>) -> Outcome<Option<Ref>> {
        let current = if let Some(current) = self.current.get() {
            current
        } else {
            let current = CurrentTask::of(py, self.object())?;
            self.current.set(Some(current));
            current
        };
        current.swap(py, self.object(), task)
    }
}

#[cold]
fn closed() -> Raised {
    PyRuntimeError::new_err("Event loop is closed").into()
}
