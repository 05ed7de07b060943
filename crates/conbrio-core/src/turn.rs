//! One turn of a loop: poll, due timers, then exactly the runnables that were ready when the batch began.
//!
//! The room that decides order. It asks upward through one trait, `Host`, and does not know what a runnable is.

use std::time::Duration;

use conbrio_driver::driver::Timeout;

use crate::clock;
use crate::ready::Ready;
use crate::stats::Stats;
use crate::timers::Timers;

/// The longest wait, in seconds: what `epoll` and asyncio agree on as "long enough".
const LONGEST_WAIT: f64 = 24.0 * 3600.0;

/// How fine the clock is, in seconds: a timer this close to its deadline is due. CPython: `_clock_resolution`.
pub const CLOCK_RESOLUTION: f64 = 1e-9;

/// How many turns in a row may go without asking the driver while there are descriptors to ask about.
const SKIPS: u32 = 7;

/// How many runnables may run meanwhile.
const SKIPPED_RUNNABLES: usize = 64;

/// From how many on the host foresees what runs next.
const MANY: usize = 128;

/// From how many looks on, about, what only a burst has needed is given back.
const RESTS: u64 = 64;

/// How long they may take together, in millionths of a second.
const SKIPPED_MICROS: u64 = 20;

/// What a loop has to do, and how it paces itself.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four questions that have nothing to do with each other"
)]
pub struct Works<R> {
    /// What runs in this turn and the next.
    pub ready: Ready<R>,
    /// What runs later.
    pub timers: Timers<R>,
    /// The loop ends after this turn.
    pub stopping: bool,
    /// Bytes wait to be sent at the end of this turn.
    pub flush: bool,
    /// There are descriptors or signals that only the driver can tell of.
    pub watching: bool,
    /// The loop itself did I/O since the last poll, so an answer may be waiting.
    pub touched: bool,
    /// Counts turns since the last poll.
    skipped: u32,
    /// Counts runnables since the last poll.
    skipped_runnables: usize,
    /// When the last poll ended, in ticks.
    polled: u64,
    /// What the monitor reads.
    pub stats: Stats,
}

impl<R> Default for Works<R> {
    fn default() -> Self {
        Self {
            ready: Ready::new(),
            timers: Timers::new(),
            stopping: false,
            flush: false,
            watching: false,
            touched: false,
            skipped: 0,
            skipped_runnables: 0,
            polled: 0,
            stats: Stats::default(),
        }
    }
}

/// What a turn begins with.
enum Beginning {
    /// Nothing new can have happened, or it can wait.
    Skip,
    /// Ask the driver, and go on at once.
    Look,
    /// Nothing is ready: wait until this deadline, or for ever.
    Sleep(Option<f64>),
}

impl<R> Works<R> {
    #[inline]
    fn begin(&mut self, ticks: impl FnOnce() -> u64) -> Beginning {
        self.stats.turns.count();
        if self.is_idle() {
            if self.stats.polls.get().is_multiple_of(RESTS) {
                self.ready.shrink();
            }
            return Beginning::Sleep(self.timers.next_deadline());
        }
        if self.skips(ticks) {
            return Beginning::Skip;
        }
        Beginning::Look
    }

    /// Whether a turn that has something to run goes without asking the driver; counts it if so.
    #[inline]
    fn skips(&mut self, ticks: impl FnOnce() -> u64) -> bool {
        let skips = !self.watching || self.is_patient(ticks);
        if skips {
            self.skipped += 1;
            self.stats.polls_skipped.count();
        }
        skips
    }

    /// Whether what descriptors have to say can wait for another turn.
    #[inline]
    fn is_patient(&self, ticks: impl FnOnce() -> u64) -> bool {
        self.skipped < SKIPS
            && self.skipped_runnables < SKIPPED_RUNNABLES
            && !self.touched
            && ticks().wrapping_sub(self.polled) < clock::ticks_of(SKIPPED_MICROS)
    }

    /// Whether a wait for what comes is all there is to do.
    #[inline]
    pub fn is_idle(&self) -> bool {
        // What is owed since the last flush, written while others sent theirs, leaves at the end of the next turn.
        self.ready.is_empty() && !self.stopping && !self.flush
    }

    /// Notes that the driver has been asked.
    #[inline]
    fn looked(&mut self) {
        self.stats.polls.count();
        self.skipped = 0;
        self.skipped_runnables = 0;
        self.touched = false;
    }

    /// Asks for a poll in the next turn: the loop has just done I/O, or starts to run.
    #[inline]
    pub fn touch(&mut self) {
        self.touched = true;
    }

    #[inline]
    fn fire(&mut self, now: f64) {
        // Order: timers come behind what is ready, by deadline, ties first in, first out.
        while let Some(runnable) = self.timers.pop_due(now + CLOCK_RESOLUTION) {
            self.stats.timers_fired.count();
            self.ready.push(runnable);
        }
    }

    /// Takes what runs next, and lets the host foresee what comes after it: of many, the processor no longer has it at hand.
    #[inline]
    fn take<H: Host<Runnable = R>>(&mut self) -> Option<R> {
        let runnable = self.ready.pop();
        if self.ready.len() > MANY
            && let Some(next) = self.ready.peek()
        {
            H::foresee(next);
        }
        runnable
    }

    #[inline]
    fn batch(&mut self) -> usize {
        let size = self.ready.len();
        self.skipped_runnables += size;
        self.stats.callbacks.add(size as u64);
        size
    }
}

/// The loop that owns the works: the only way up from here.
pub trait Host {
    /// What is run.
    type Runnable;
    /// What ends the loop early.
    type Failure;

    /// Lends the works for the length of `user`, which calls nothing of the host.
    fn works<T>(&self, user: impl FnOnce(&mut Works<Self::Runnable>) -> T) -> T;

    /// The time, in seconds.
    ///
    /// # Errors
    /// When the host's clock fails.
    fn now(&self) -> Result<f64, Self::Failure>;

    /// What the pace of turns is measured with.
    #[inline]
    fn ticks(&self) -> u64 {
        clock::ticks()
    }

    /// Whether `moment` can have come: false only where that is certain, without a look at the clock.
    fn can_have_come(&self, _moment: f64) -> bool {
        true
    }

    /// Asks the driver and pushes what it reports on the ready queue.
    ///
    /// # Errors
    /// When the loop has to end.
    fn wait(&self, timeout: Timeout) -> Result<(), Self::Failure>;

    /// Hears that `next` runs after the one that runs now, when many wait.
    fn foresee(next: &Self::Runnable);

    /// Runs one runnable.
    ///
    /// # Errors
    /// When the loop has to end.
    fn run(&self, runnable: Self::Runnable) -> Result<(), Self::Failure>;

    /// Sends what the turn has left to be sent.
    ///
    /// # Errors
    /// When the loop has to end.
    fn flush(&self) -> Result<(), Self::Failure>;
}

/// Makes one turn.
///
/// # Errors
/// What the host fails with; the works stay whole, and a later turn goes on.
#[inline]
pub fn turn<H: Host>(host: &H) -> Result<(), H::Failure> {
    match host.works(|works| works.begin(|| host.ticks())) {
        Beginning::Skip => {}
        Beginning::Look => look(host, Timeout::Now)?,
        Beginning::Sleep(deadline) => sleep(host, deadline)?,
    }
    let next = host.works(|works| works.timers.next_deadline());
    if next.is_some_and(|deadline| host.can_have_come(deadline)) {
        let now = host.now()?;
        host.works(|works| works.fire(now));
    }
    let ran = run_batch(host);
    flush(host)?;
    ran
}

#[inline]
fn flush<H: Host>(host: &H) -> Result<(), H::Failure> {
    if host.works(|works| std::mem::take(&mut works.flush)) {
        host.flush()?;
    }
    Ok(())
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "measured: of two copies one knows that it does not sleep"
)]
fn look<H: Host>(host: &H, timeout: Timeout) -> Result<(), H::Failure> {
    host.works(Works::looked);
    host.wait(timeout)?;
    host.works(|works| works.polled = host.ticks());
    Ok(())
}

fn sleep<H: Host>(host: &H, deadline: Option<f64>) -> Result<(), H::Failure> {
    let timeout = match deadline {
        Some(deadline) => until(host.now()?, deadline),
        None => Timeout::Forever,
    };
    // A timer is due: that is something to run.
    if timeout == Timeout::Now && host.works(|works| works.skips(|| host.ticks())) {
        return Ok(());
    }
    look(host, timeout)
}

/// How long a wait for `deadline` lasts.
fn until(now: f64, deadline: f64) -> Timeout {
    match Duration::try_from_secs_f64((deadline - now).min(LONGEST_WAIT)) {
        Ok(left) if !left.is_zero() => Timeout::within(left),
        _ => Timeout::Now,
    }
}

#[inline]
fn run_batch<H: Host>(host: &H) -> Result<(), H::Failure> {
    // Order: what a runnable schedules runs in the next turn.
    for _ in 0..host.works(Works::batch) {
        let Some(runnable) = host.works(Works::take::<H>) else {
            break;
        };
        host.run(runnable)?;
    }
    Ok(())
}

/// Makes turns until somebody stops the loop.
///
/// # Errors
/// As `turn`.
pub fn run_until_stopped<H: Host>(host: &H) -> Result<(), H::Failure> {
    let ran = loop {
        let ran = turn(host);
        if ran.is_err() || host.works(|works| works.stopping) {
            break ran;
        }
    };
    // What a signal's handler has written that ends a wait, and what was written while others sent theirs.
    flush(host)?;
    ran
}
