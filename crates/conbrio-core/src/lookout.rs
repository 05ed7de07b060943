//! How a wait begins: asleep, or awake for a moment where other threads answer sooner than a sleeper wakes.
//!
//! Its own room because it is a forecast, and the one wait that is no system call. It does not know who answers, or what.

use std::hint;
use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use conbrio_driver::driver::{Driver, Events, Timeout};

use crate::clock;
use crate::sleeper::Sleeper;

/// For how many seconds a wait looks out before it sleeps: about what a sleeper takes to wake.
const LONGEST: f64 = 50e-6;

/// After how many seconds the driver is asked meanwhile, and again.
const ASKING: f64 = 2e-6;

/// For how many seconds who came is left alone: he holds the interpreter, and who asks for it now sleeps until he is done.
// Bench: threadsafe_latency, executor_roundtrip; 0 and 2 are each slower in one of them.
const COURTESY: f64 = 1e-6;

/// The shortest wait that is worth it.
const SHORTEST: Duration = Duration::from_millis(1);

/// A sleep that a thread has ended within so many millionths of a second, the waking included, could have been spared.
const QUICK_MICROS: u64 = 100;

/// How many such sleeps in a row are a habit, at first.
const FEW: u32 = 2;

/// And at most, after many times that nobody came.
const MANY: u32 = 1024;

/// How many times somebody has to come until a habit is trusted sooner.
const TRUST: u32 = 16;

/// How waits of one kind have ended.
#[derive(Clone, Copy, Debug)]
struct Habit {
    /// Sleeps in a row that could have been spared.
    quick: u32,
    /// How many of them it takes.
    needed: u32,
    /// How many times somebody came since it takes that many.
    came: u32,
}

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A thread came while the wait looked out.
    Came,
    /// The wait looked out for nothing.
    Missed,
    /// The wait has slept from its beginning.
    Slept,
}

/// Foresees what ends the next wait by what has ended the one before it: an answer follows a question.
#[derive(Debug)]
pub struct Lookout {
    /// After a wait that a thread has ended, and after one that something else has.
    habits: [Habit; 2],
    /// The last wait was ended by something else.
    otherwise: bool,
    /// Some wait was ended by a thread.
    met: bool,
}

impl Default for Lookout {
    fn default() -> Self {
        Self::new()
    }
}

impl Lookout {
    /// Foresees nothing yet.
    pub const fn new() -> Self {
        let none = Habit {
            quick: 0,
            needed: FEW,
            came: 0,
        };
        Self {
            habits: [none; 2],
            otherwise: false,
            met: false,
        }
    }

    /// Whether a thread has ever ended a wait.
    pub const fn has_met_threads(&self) -> bool {
        self.met
    }

    #[inline]
    fn habit(&mut self) -> &mut Habit {
        let [after_thread, otherwise] = &mut self.habits;
        if self.otherwise {
            otherwise
        } else {
            after_thread
        }
    }

    /// Whether the next wait, which lasts until `timeout`, had better look out first.
    #[inline]
    pub fn pays(&mut self, timeout: Timeout) -> bool {
        let habit = self.habit();
        habit.quick >= habit.needed && is_long(timeout) && has_processors()
    }

    /// Learns how a wait has ended: whether a thread has ended it, and after how many ticks.
    #[inline]
    pub fn learn(&mut self, ended: Ended, rung: bool, ticks: u64) {
        let habit = self.habit();
        match ended {
            Ended::Came => habit.has_paid(),
            Ended::Missed => habit.has_not_paid(),
            Ended::Slept if rung && ticks <= clock::ticks_of(QUICK_MICROS) => {
                habit.quick = habit.quick.saturating_add(1);
            }
            Ended::Slept => habit.quick = 0,
        }
        self.otherwise = !rung;
        self.met |= rung;
    }
}

impl Habit {
    fn has_paid(&mut self) {
        self.came += 1;
        if self.came >= TRUST {
            self.came = 0;
            self.needed = (self.needed / 2).max(FEW);
        }
    }

    fn has_not_paid(&mut self) {
        *self = Self {
            quick: 0,
            needed: (self.needed * 2).min(MANY),
            came: 0,
        };
    }
}

/// Whether a wait is longer than the looking out by far.
fn is_long(timeout: Timeout) -> bool {
    timeout.due().is_none_or(|due| due >= SHORTEST)
}

/// Whether who is to come can run meanwhile: on one processor, or on a share of one, he waits for us.
fn has_processors() -> bool {
    static MANY: OnceLock<bool> = OnceLock::new();
    *MANY.get_or_init(|| thread::available_parallelism().is_ok_and(|count| count.get() > 1))
}

/// Waits as the driver does, but awake at first; the sleeper has been told so.
///
/// # Errors
/// The driver's.
pub fn wait(
    sleeper: &Sleeper,
    driver: &impl Driver,
    events: &mut Events,
    timeout: Timeout,
) -> (Ended, io::Result<()>) {
    let began = clock::now();
    let mut asked = began;
    while !sleeper.is_woken() {
        let now = clock::now();
        if now - began >= LONGEST {
            if !sleeper.fall_asleep() {
                break;
            }
            let passed = Duration::try_from_secs_f64(now - began).unwrap_or_default();
            return (Ended::Missed, driver.wait(events, timeout.after(passed)));
        }
        if now - asked >= ASKING {
            asked = now;
            let waited = driver.wait(events, Timeout::Now);
            if waited.is_err() || !events.is_empty() {
                return (Ended::Missed, waited);
            }
        }
        hint::spin_loop();
    }
    let came = clock::now();
    while clock::now() - came < COURTESY {
        hint::spin_loop();
    }
    (Ended::Came, driver.wait(events, Timeout::Now))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::thread;
    use std::time::Duration;

    use conbrio_driver::driver::{Driver, Events, Timeout};
    use conbrio_driver::event::{Interest, Token};
    use conbrio_driver::poll::Poll;
    use conbrio_driver::wake::Wake;

    use super::{Ended, FEW, Lookout, has_processors, wait};
    use crate::clock;
    use crate::sleeper::Sleeper;

    const QUICK: u64 = 10;

    fn slow() -> u64 {
        clock::ticks_of(1_000)
    }

    /// Whether looking out pays, on whatever machine this runs.
    fn pays(lookout: &mut Lookout) -> bool {
        lookout.pays(Timeout::Forever) || (!has_processors() && lookout.habit().quick >= FEW)
    }

    #[test]
    fn quick_answers_are_looked_out_for() {
        let mut lookout = Lookout::new();
        for _ in 0..FEW {
            assert!(!pays(&mut lookout));
            lookout.learn(Ended::Slept, true, QUICK);
        }
        assert!(pays(&mut lookout));
        assert!(!lookout.pays(Timeout::Now));
        assert!(!lookout.pays(Timeout::within(Duration::from_micros(100))));
        lookout.learn(Ended::Came, true, QUICK);
        assert!(pays(&mut lookout));
    }

    #[test]
    fn slow_answers_and_what_descriptors_say_are_slept_for() {
        let mut lookout = Lookout::new();
        for (rung, ticks) in [(true, slow()), (false, QUICK)].repeat(8) {
            lookout.learn(Ended::Slept, rung, ticks);
            assert!(!pays(&mut lookout));
        }
    }

    #[test]
    fn an_answer_that_follows_a_request_is_told_from_the_request() {
        let mut lookout = Lookout::new();
        for _ in 0..=FEW {
            lookout.learn(Ended::Slept, false, slow());
            assert!(lookout.otherwise);
            lookout.learn(Ended::Slept, true, QUICK);
            assert!(!pays(&mut lookout), "the next request comes when it comes");
        }
        lookout.learn(Ended::Slept, false, slow());
        assert!(pays(&mut lookout));
    }

    #[test]
    fn who_was_looked_out_for_in_vain_is_trusted_later_each_time() {
        let mut lookout = Lookout::new();
        let mut needed = Vec::new();
        for _ in 0..3 {
            let mut count = 0;
            while !pays(&mut lookout) || lookout.habit().quick < lookout.habit().needed {
                lookout.learn(Ended::Slept, true, QUICK);
                count += 1;
            }
            needed.push(count);
            lookout.learn(Ended::Missed, true, slow());
        }
        assert_eq!(needed, [2, 4, 8]);
        for _ in 0..200 {
            lookout.learn(Ended::Came, true, QUICK);
        }
        assert_eq!(lookout.habit().needed, FEW);
    }

    #[test]
    fn who_comes_is_seen_without_a_ring() {
        let (sleeper, wake, driver) = (Sleeper::new(), Wake::new().unwrap(), Poll::new());
        wake.arm(&driver).unwrap();
        let mut events = Events::new();
        sleeper.look_out();
        sleeper.waken(&wake);
        let (ended, waited) = wait(&sleeper, &driver, &mut events, Timeout::Forever);
        waited.unwrap();
        assert_eq!(ended, Ended::Came);
        assert!(events.is_empty(), "nobody had to ring");
        assert!(sleeper.leave_sleep());
    }

    #[test]
    fn who_comes_late_rings_and_a_timeout_is_kept() {
        let (sleeper, wake, driver) = (Sleeper::new(), Wake::new().unwrap(), Poll::new());
        wake.arm(&driver).unwrap();
        let mut events = Events::new();
        sleeper.look_out();
        let (ended, waited) = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                sleeper.waken(&wake);
            });
            wait(&sleeper, &driver, &mut events, Timeout::Forever)
        });
        waited.unwrap();
        assert_eq!(ended, Ended::Missed);
        assert_eq!(events.iter().next().unwrap().token, Token::BELL);
        wake.hush();
        sleeper.look_out();
        let (began, time) = (clock::now(), Duration::from_millis(3));
        let (ended, waited) = wait(&sleeper, &driver, &mut events, Timeout::within(time));
        waited.unwrap();
        assert_eq!(ended, Ended::Missed);
        assert!(clock::now() - began >= time.as_secs_f64());
        assert!(events.is_empty() && !sleeper.leave_sleep());
    }

    #[test]
    fn descriptors_are_heard_meanwhile() {
        let (sleeper, driver, mut events) = (Sleeper::new(), Poll::new(), Events::new());
        let (out, into) = conbrio_driver::sys::pipe::pipe().unwrap();
        driver
            .arm(out.as_raw_fd(), Token::new(1, 1), Interest::READ)
            .unwrap();
        conbrio_driver::sys::pipe::write(into.as_raw_fd(), b"x").unwrap();
        sleeper.look_out();
        let (ended, waited) = wait(&sleeper, &driver, &mut events, Timeout::Forever);
        waited.unwrap();
        assert_eq!(ended, Ended::Missed);
        assert_eq!(events.iter().next().unwrap().token, Token::new(1, 1));
    }
}
