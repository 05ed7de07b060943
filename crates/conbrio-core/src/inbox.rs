//! What other threads hand in, and whether the loop's thread has to be woken for it.
//!
//! Its own room because it is the only one that two threads enter. It does not know what is
//! handed in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conbrio_driver::wake::Wake;

/// Works, or has been told that there is something to do.
const AWAKE: u8 = 0;

/// Waits, but looks out for who comes.
const LOOKING: u8 = 1;

/// Waits for the driver, which a ring ends.
const ASLEEP: u8 = 2;

/// Runnables from other threads; one wake-up for a whole batch.
#[derive(Debug)]
pub struct Inbox<R> {
    /// How the loop's thread waits, if it does or is about to and nobody has woken it yet.
    waits: AtomicU8,
    /// Something lies in `queue`.
    filled: AtomicBool,
    /// What native threads pushed; who holds the interpreter uses the ready queue itself.
    queue: Mutex<VecDeque<R>>,
}

impl<R> Default for Inbox<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Inbox<R> {
    /// Makes an empty inbox of a thread that is awake.
    pub const fn new() -> Self {
        Self {
            waits: AtomicU8::new(AWAKE),
            filled: AtomicBool::new(false),
            queue: Mutex::new(VecDeque::new()),
        }
    }

    /// Notes that the loop's thread is about to wait; false when there is something to do
    /// instead.
    #[inline]
    pub fn enter_sleep(&self) -> bool {
        // Sequentially consistent against `push`: one of the two sees what the other wrote.
        self.waits.store(ASLEEP, Ordering::SeqCst);
        !self.filled.load(Ordering::SeqCst)
    }

    /// Notes that the loop's thread is awake; true when somebody has woken it.
    #[inline]
    pub fn leave_sleep(&self) -> bool {
        self.waits.swap(AWAKE, Ordering::SeqCst) == AWAKE
    }

    /// Notes that the loop's thread waits awake: who would wake it need not ring.
    #[inline]
    pub fn look_out(&self) {
        self.waits.store(LOOKING, Ordering::SeqCst);
    }

    /// Tells whether somebody has come since the loop's thread looks out.
    #[inline]
    pub fn has_come(&self) -> bool {
        self.waits.load(Ordering::SeqCst) == AWAKE
    }

    /// Goes to sleep after having looked out; false when somebody has come at the last moment.
    #[inline]
    pub fn fall_asleep(&self) -> bool {
        self.waits
            .compare_exchange(LOOKING, ASLEEP, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Wakes the loop's thread if it sleeps, and at most once a sleep.
    #[inline]
    pub fn notice(&self, wake: &Wake) {
        if self.waits.load(Ordering::SeqCst) != AWAKE
            && self.waits.swap(AWAKE, Ordering::SeqCst) == ASLEEP
        {
            wake.ring();
        }
    }

    /// Hands `runnable` in, from any thread, and wakes the loop's thread if it sleeps.
    pub fn push(&self, runnable: R, wake: &Wake) {
        {
            let mut queue = self.queue();
            queue.push_back(runnable);
            self.filled.store(true, Ordering::SeqCst);
        }
        self.notice(wake);
    }

    /// Tells whether nothing was handed in; cheap enough for every turn.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.filled.load(Ordering::SeqCst)
    }

    /// Takes what was handed in, in order.
    #[inline]
    pub fn take(&self) -> VecDeque<R> {
        if self.is_empty() {
            return VecDeque::new();
        }
        let mut queue = self.queue();
        self.filled.store(false, Ordering::SeqCst);
        std::mem::take(&mut *queue)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use conbrio_driver::driver::{Driver, Events, Timeout};
    use conbrio_driver::poll::Poll;
    use conbrio_driver::wake::Wake;

    use super::Inbox;

    fn rung(wake: &Wake) -> bool {
        let (poll, mut events) = (Poll::new(), Events::new());
        wake.arm(&poll).unwrap();
        poll.wait(&mut events, Timeout::Now).unwrap();
        !events.is_empty()
    }

    #[test]
    fn who_is_awake_is_not_woken() {
        let (inbox, wake) = (Inbox::new(), Wake::new().unwrap());
        inbox.push(1, &wake);
        assert!(!rung(&wake));
        assert!(!inbox.enter_sleep());
        assert_eq!(inbox.take(), [1]);
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let (inbox, wake) = (Inbox::<u8>::new(), Wake::new().unwrap());
        assert!(inbox.enter_sleep());
        inbox.notice(&wake);
        assert!(rung(&wake));
        wake.hush();
        inbox.notice(&wake);
        assert!(!rung(&wake));
        inbox.leave_sleep();
    }

    #[test]
    fn nothing_from_many_threads_is_lost_or_slept_over() {
        let (inbox, wake) = (Inbox::new(), Wake::new().unwrap());
        let (driver, mut events) = (Poll::new(), Events::new());
        wake.arm(&driver).unwrap();
        let mut heard = Vec::new();
        let timeouts = [Timeout::Now, Timeout::Forever];
        thread::scope(|scope| {
            for thread in 0..4_usize {
                let (inbox, wake) = (&inbox, &wake);
                scope.spawn(move || (0..2_000).for_each(|step| inbox.push((thread, step), wake)));
            }
            let mut count = 0;
            while count < 8_000 {
                let timeout = timeouts[usize::from(inbox.enter_sleep())];
                driver.wait(&mut events, timeout).unwrap();
                inbox.leave_sleep();
                wake.hush();
                let batch = inbox.take();
                count += batch.len();
                heard.extend(batch);
            }
        });
        assert!(inbox.is_empty());
        for thread in 0..4 {
            let steps = heard
                .iter()
                .filter(|item| item.0 == thread)
                .map(|item| item.1);
            assert!(steps.eq(0..2_000));
        }
    }
}
