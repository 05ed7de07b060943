//! Whether the loop's thread sleeps, and who wakes it.
//!
//! Its own room because it is the only one that two threads enter. It does not know what they have handed in.

use std::sync::atomic::{AtomicU8, Ordering};

use conbrio_driver::wake::Wake;

/// Works, or has been told that there is something to do.
const AWAKE: u8 = 0;

/// Waits, but looks out for who comes.
const LOOKING: u8 = 1;

/// Waits for the driver, which a ring ends.
const ASLEEP: u8 = 2;

/// How a loop's thread waits; one wake-up for a whole batch of what others have handed in.
#[derive(Debug)]
pub struct Sleeper {
    /// How it waits, if it does or is about to and nobody has woken it yet.
    waits: AtomicU8,
}

impl Default for Sleeper {
    fn default() -> Self {
        Self::new()
    }
}

impl Sleeper {
    /// Makes that of a thread that is awake.
    pub const fn new() -> Self {
        Self {
            waits: AtomicU8::new(AWAKE),
        }
    }

    /// Notes that the thread is about to wait; who hands something in before that looks is seen by it, who does so later wakes it.
    #[inline]
    pub fn enter_sleep(&self) {
        self.waits.store(ASLEEP, Ordering::SeqCst);
    }

    /// Notes that the thread is awake; true when somebody has woken it.
    #[inline]
    pub fn leave_sleep(&self) -> bool {
        self.waits.swap(AWAKE, Ordering::SeqCst) == AWAKE
    }

    /// Notes that the thread waits awake: who would wake it need not ring.
    #[inline]
    pub fn look_out(&self) {
        self.waits.store(LOOKING, Ordering::SeqCst);
    }

    /// Tells whether somebody has come since the thread looks out.
    #[inline]
    pub fn is_woken(&self) -> bool {
        self.waits.load(Ordering::SeqCst) == AWAKE
    }

    /// Goes to sleep after having looked out; false when somebody has come at the last moment.
    #[inline]
    pub fn fall_asleep(&self) -> bool {
        self.waits
            .compare_exchange(LOOKING, ASLEEP, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Wakes the thread if it sleeps, and at most once a sleep; from any thread.
    #[inline]
    pub fn waken(&self, wake: &Wake) {
        if self.waits.load(Ordering::SeqCst) != AWAKE
            && self.waits.swap(AWAKE, Ordering::SeqCst) == ASLEEP
        {
            wake.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::thread;

    use conbrio_driver::driver::{Driver, Events, Timeout};
    use conbrio_driver::poll::Poll;
    use conbrio_driver::wake::Wake;

    use super::Sleeper;

    fn rung(wake: &Wake) -> bool {
        let (poll, mut events) = (Poll::new(), Events::new());
        wake.arm(&poll).unwrap();
        poll.wait(&mut events, Timeout::Now).unwrap();
        !events.is_empty()
    }

    #[test]
    fn who_is_awake_is_not_woken() {
        let (sleeper, wake) = (Sleeper::new(), Wake::new().unwrap());
        sleeper.waken(&wake);
        assert!(!rung(&wake));
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let (sleeper, wake) = (Sleeper::new(), Wake::new().unwrap());
        sleeper.enter_sleep();
        sleeper.waken(&wake);
        assert!(rung(&wake));
        wake.hush();
        sleeper.waken(&wake);
        assert!(!rung(&wake));
        assert!(sleeper.leave_sleep());
        sleeper.enter_sleep();
        assert!(!sleeper.leave_sleep());
    }

    #[test]
    fn nothing_from_many_threads_is_lost_or_slept_over() {
        let (sleeper, wake) = (Sleeper::new(), Wake::new().unwrap());
        let (driver, mut events) = (Poll::new(), Events::new());
        wake.arm(&driver).unwrap();
        let (queue, mut heard) = (Mutex::new(VecDeque::new()), Vec::new());
        let timeouts = [Timeout::Now, Timeout::Forever];
        let hand_in = |thread: usize, step: usize| {
            queue.lock().unwrap().push_back((thread, step));
            sleeper.waken(&wake);
        };
        thread::scope(|scope| {
            for thread in 0..4_usize {
                let hand_in = &hand_in;
                scope.spawn(move || (0..2_000).for_each(|step| hand_in(thread, step)));
            }
            while heard.len() < 8_000 {
                sleeper.enter_sleep();
                let timeout = timeouts[usize::from(queue.lock().unwrap().is_empty())];
                driver.wait(&mut events, timeout).unwrap();
                sleeper.leave_sleep();
                wake.hush();
                heard.extend(queue.lock().unwrap().drain(..));
            }
        });
        assert!(queue.lock().unwrap().is_empty());
        for thread in 0..4 {
            let steps = heard
                .iter()
                .filter(|item| item.0 == thread)
                .map(|item| item.1);
            assert!(steps.eq(0..2_000));
        }
    }
}
