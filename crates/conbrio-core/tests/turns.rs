//! How a loop paces its polls: which turns ask the driver, and which go without.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;

use conbrio_core::clock;
use conbrio_core::turn::{Host, Works, turn};
use conbrio_driver::driver::Timeout;

/// A loop in which each runnable takes so many ticks and schedules itself again.
struct Simulated {
    works: RefCell<Works<u64>>,
    ticks: Cell<u64>,
    polls: Cell<usize>,
    /// How long a poll takes, in ticks.
    poll_takes: u64,
}

impl Simulated {
    fn watching(runnables: impl IntoIterator<Item = u64>) -> Self {
        let mut works = Works::default();
        (works.watching, works.touched) = (true, true);
        for ticks in runnables {
            works.ready.push(ticks);
        }
        Self {
            works: RefCell::new(works),
            ticks: Cell::new(1_000_000_000_000),
            polls: Cell::new(0),
            poll_takes: 0,
        }
    }

    /// How many of so many turns ask the driver.
    fn polls_in(&self, turns: usize) -> usize {
        let before = self.polls.get();
        for _ in 0..turns {
            let Ok(()) = turn(self);
        }
        self.polls.get() - before
    }
}

impl Host for Simulated {
    type Runnable = u64;
    type Failure = Infallible;

    fn works<T>(&self, user: impl FnOnce(&mut Works<u64>) -> T) -> T {
        user(&mut self.works.borrow_mut())
    }

    fn now(&self) -> Result<f64, Infallible> {
        Ok(0.0)
    }

    fn ticks(&self) -> u64 {
        self.ticks.get()
    }

    fn wait(&self, _timeout: Timeout) -> Result<(), Infallible> {
        self.polls.set(self.polls.get() + 1);
        self.ticks.set(self.ticks.get() + self.poll_takes);
        Ok(())
    }

    fn foresee(_next: &Self::Runnable) {}

    fn run(&self, ticks: u64) -> Result<(), Infallible> {
        self.ticks.set(self.ticks.get() + ticks);
        self.works(|works| works.ready.push(ticks));
        Ok(())
    }

    fn flush(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn quick_turns_ask_once_in_eight() {
    assert_eq!(Simulated::watching([0]).polls_in(80), 10);
}

#[test]
fn many_runnables_ask_more_often() {
    // 64 may run between two polls: two turns of 32.
    assert_eq!(Simulated::watching([0; 32]).polls_in(80), 40);
    assert_eq!(Simulated::watching([0; 64]).polls_in(80), 80);
}

#[test]
fn slow_turns_ask_as_soon_as_they_have_taken_long() {
    let micro = clock::ticks_of(1);
    assert_eq!(Simulated::watching([21 * micro]).polls_in(80), 80);
    assert_eq!(Simulated::watching([11 * micro]).polls_in(80), 40);
    assert_eq!(Simulated::watching([2 * micro]).polls_in(80), 10);
}

#[test]
fn the_time_of_a_wait_does_not_count() {
    let mut waiting = Simulated::watching([0]);
    waiting.poll_takes = clock::ticks_of(1_000_000);
    assert_eq!(waiting.polls_in(80), 10);
}

#[test]
fn nothing_watched_is_nothing_to_ask() {
    let alone = Simulated::watching([clock::ticks_of(100)]);
    alone.works(|works| works.watching = false);
    assert_eq!(alone.polls_in(80), 0);
}

#[test]
fn a_loop_that_did_io_asks_in_the_next_turn() {
    let touching = Simulated::watching([0]);
    for _ in 0..10 {
        touching.works(Works::touch);
        assert_eq!(touching.polls_in(1), 1);
    }
}
