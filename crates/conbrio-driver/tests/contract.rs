//! The promises of `trait Driver`, checked for every driver there is.
//!
//! The simulation has no descriptors of its own: after each deed it is told what the system's
//! `poll` says about the descriptors in play.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it shares too"
)]

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use conbrio_driver::any::AnyDriver;
use conbrio_driver::driver::{Driver, Events, Timeout};
use conbrio_driver::event::{Interest, Token};
use conbrio_driver::sys;
use conbrio_driver::wake::Wake;

const NAMES: [&str; 3] = ["epoll", "poll", "sim"];
const REAL: [&str; 2] = ["epoll", "poll"];
const ONE: Token = Token::new(1, 0);
const TWO: Token = Token::new(2, 7);

/// A driver, its buffer, and the descriptors in play.
struct Bench {
    driver: AnyDriver,
    events: Events,
    fds: Vec<RawFd>,
}

impl Bench {
    fn new(name: &str) -> Self {
        let driver = AnyDriver::choose(Some(name)).unwrap();
        assert_eq!(driver.name(), name);
        Self {
            driver,
            events: Events::new(),
            fds: Vec::new(),
        }
    }

    fn arm(&mut self, stream: &UnixStream, token: Token, interest: Interest) {
        let fd = stream.as_raw_fd();
        self.fds.push(fd);
        self.driver.arm(fd, token, interest).unwrap();
    }

    fn wait(&mut self, timeout: Timeout) -> Vec<(Token, bool, bool)> {
        self.tell_simulation();
        self.driver.wait(&mut self.events, timeout).unwrap();
        let events = self.events.iter();
        let mut heard: Vec<_> = events
            .map(|on| (on.token, on.readable, on.writable))
            .collect();
        heard.sort_by_key(|event| event.0.to_bits());
        heard
    }

    fn tell_simulation(&self) {
        let AnyDriver::Sim(sim) = &self.driver else {
            return;
        };
        for &fd in &self.fds {
            let mut asked = [sys::poll::ask(fd, true, true)];
            sys::poll::wait(&mut asked, Some(Duration::ZERO)).unwrap();
            let ready = match sys::poll::heard(&asked[0]) {
                sys::poll::Heard::Ready {
                    readable: true,
                    writable: true,
                } => Interest::BOTH,
                sys::poll::Heard::Ready { readable: true, .. } => Interest::READ,
                sys::poll::Heard::Ready { writable: true, .. } => Interest::WRITE,
                _ => Interest::EMPTY,
            };
            sim.set_ready(fd, ready);
        }
    }
}

fn pair() -> (UnixStream, UnixStream) {
    let (one, two) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    two.set_nonblocking(true).unwrap();
    (one, two)
}

#[test]
fn hears_bytes_until_they_are_read() {
    for name in NAMES {
        let (mut bench, (mut one, mut two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::READ);
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
        two.write_all(b"x").unwrap();
        for _ in 0..2 {
            assert_eq!(bench.wait(Timeout::Forever), [(ONE, true, false)], "{name}");
        }
        one.read_exact(&mut [0]).unwrap();
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
    }
}

#[test]
fn a_wait_whose_time_is_over_looks_anew() {
    for name in REAL {
        let (mut bench, (mut one, mut two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::READ);
        two.write_all(b"x").unwrap();
        let over = Timeout::within(Duration::from_millis(1)).after(Duration::from_secs(1));
        assert!(over.is_over());
        assert_eq!(bench.wait(over), [(ONE, true, false)], "{name}");
        one.read_exact(&mut [0]).unwrap();
        assert!(bench.wait(over).is_empty(), "{name}");
    }
}

#[test]
fn hears_room_to_write() {
    for name in NAMES {
        let (mut bench, (mut one, mut two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::WRITE);
        assert_eq!(bench.wait(Timeout::Forever), [(ONE, false, true)], "{name}");
        while one.write(&[0; 4096]).is_ok() {}
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
        while two.read(&mut [0; 4096]).is_ok() {}
        assert_eq!(bench.wait(Timeout::Forever), [(ONE, false, true)], "{name}");
    }
}

#[test]
fn a_hang_up_is_readable() {
    for name in NAMES {
        let (mut bench, (one, two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::READ);
        drop(two);
        let heard = bench.wait(Timeout::Forever);
        assert!(matches!(heard[..], [(ONE, true, _)]), "{name}: {heard:?}");
    }
}

#[test]
fn a_hang_up_is_writable_for_a_writer() {
    for name in NAMES {
        let (mut bench, (mut one, two)) = (Bench::new(name), pair());
        while one.write(&[0; 4096]).is_ok() {}
        bench.arm(&one, ONE, Interest::WRITE);
        drop(two);
        let heard = bench.wait(Timeout::Forever);
        assert!(matches!(heard[..], [(ONE, _, true)]), "{name}: {heard:?}");
    }
}

#[test]
fn a_change_replaces_token_and_interest() {
    for name in NAMES {
        let (mut bench, (one, mut two)) = (Bench::new(name), pair());
        two.write_all(b"x").unwrap();
        bench.arm(&one, ONE, Interest::READ);
        bench.arm(&one, TWO, Interest::BOTH);
        assert_eq!(bench.wait(Timeout::Forever), [(TWO, true, true)], "{name}");
        bench.arm(&one, ONE, Interest::WRITE);
        assert_eq!(bench.wait(Timeout::Forever), [(ONE, false, true)], "{name}");
        bench.arm(&one, ONE, Interest::EMPTY);
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
    }
}

#[test]
fn a_disarmed_one_is_silent_even_at_a_hang_up() {
    for name in NAMES {
        let (mut bench, (one, mut two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::BOTH);
        two.write_all(b"x").unwrap();
        drop(two);
        bench.driver.disarm(one.as_raw_fd()).unwrap();
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
        bench.driver.disarm(one.as_raw_fd()).unwrap();
        bench.driver.disarm(-1).unwrap();
    }
}

#[test]
fn a_closed_one_is_silent_and_may_be_disarmed() {
    for name in REAL {
        let (mut bench, (one, _two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::BOTH);
        let fd = one.as_raw_fd();
        drop(one);
        // Other tests of this process may take the number at any moment: then it is not silent.
        let silent = bench.wait(Timeout::Now).is_empty();
        assert!(silent || sys::pipe::check_open(fd).is_ok(), "{name}");
        bench.driver.disarm(fd).unwrap();
    }
}

#[test]
fn what_is_closed_while_somebody_holds_it_open_is_silenced_by_beginning_anew() {
    for name in NAMES {
        let (mut bench, (one, mut two)) = (Bench::new(name), pair());
        let (other, mut peer) = pair();
        bench.arm(&other, TWO, Interest::READ);
        bench.arm(&one, ONE, Interest::READ);
        let (fd, held) = (one.as_raw_fd(), one.try_clone().unwrap());
        assert!(bench.driver.is_armed(fd), "{name}");
        bench.driver.disarm_closing(fd).unwrap();
        assert!(!bench.driver.is_armed(fd), "{name}");
        drop(one);
        two.write_all(b"x").unwrap();
        let heard = bench.wait(Timeout::Now);
        let expected: &[_] = if name == "epoll" {
            &[(ONE, true, false)]
        } else {
            &[]
        };
        assert_eq!(heard, expected, "{name}");
        let armed = [(other.as_raw_fd(), TWO, Interest::READ)];
        bench.driver.renew(&armed).unwrap();
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
        peer.write_all(b"x").unwrap();
        assert_eq!(bench.wait(Timeout::Forever), [(TWO, true, false)], "{name}");
        // From now on the end is told.
        bench.arm(&held, ONE, Interest::READ);
        bench.driver.disarm_closing(held.as_raw_fd()).unwrap();
        assert_eq!(bench.wait(Timeout::Now), [(TWO, true, false)], "{name}");
    }
}

#[test]
fn a_number_that_is_not_open_is_refused() {
    for name in REAL {
        let bench = Bench::new(name);
        for fd in [-1, i32::MAX] {
            let error = bench.driver.arm(fd, ONE, Interest::READ).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(9), "{name}: EBADF");
        }
    }
}

#[test]
fn a_number_given_out_anew_can_be_armed() {
    for name in NAMES {
        let (mut bench, (one, two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::READ);
        let (fd, held) = (one.as_raw_fd(), two.as_raw_fd());
        drop((one, two));
        // One of the two numbers comes back as a rule; which one does not matter.
        let (one, mut two) = pair();
        bench.arm(&one, TWO, Interest::READ);
        bench.driver.disarm(two.as_raw_fd()).unwrap();
        two.write_all(b"x").unwrap();
        let heard = bench.wait(Timeout::Forever);
        assert!(
            heard.contains(&(TWO, true, false)),
            "{name}: {fd} {held} {heard:?}"
        );
    }
}

#[test]
fn a_wait_is_as_long_as_it_was_asked_to_be() {
    for name in REAL {
        let (mut bench, (one, _two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::READ);
        for micros in [300, 20_000] {
            let time = Duration::from_micros(micros);
            let before = sys::clock::monotonic();
            assert!(bench.wait(Timeout::within(time)).is_empty(), "{name}");
            let passed = sys::clock::monotonic() - before;
            let whole = (time.as_secs_f64() * 1e3).ceil() / 1e3;
            assert!(passed >= whole, "{name}: {passed}");
        }
        bench.wait(Timeout::within(Duration::ZERO));
    }
}

#[test]
fn an_endless_timeout_is_no_overflow() {
    for name in REAL {
        let (mut bench, (one, mut two)) = (Bench::new(name), pair());
        bench.arm(&one, ONE, Interest::READ);
        two.write_all(b"x").unwrap();
        let heard = bench.wait(Timeout::within(Duration::from_secs(1 << 40)));
        assert_eq!(heard, [(ONE, true, false)], "{name}");
    }
}

#[test]
fn many_are_heard_at_once() {
    for name in NAMES {
        let mut bench = Bench::new(name);
        let mut pairs: Vec<_> = (0..200).map(|_| pair()).collect();
        for ((one, two), index) in pairs.iter_mut().zip(0_u32..) {
            bench.arm(one, Token::new(index, 1), Interest::READ);
            two.write_all(b"x").unwrap();
        }
        let heard = bench.wait(Timeout::Forever);
        let wanted: Vec<_> = (0..200)
            .map(|index| (Token::new(index, 1), true, false))
            .collect();
        assert_eq!(heard, wanted, "{name}");
    }
}

#[test]
fn a_thread_can_end_a_wait() {
    for name in REAL {
        let (mut bench, wake) = (Bench::new(name), Wake::new().unwrap());
        wake.arm(&bench.driver).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(10));
                wake.ring();
            });
            assert_eq!(
                bench.wait(Timeout::Forever),
                [(Token::BELL, true, false)],
                "{name}"
            );
        });
        let rung_once = bench.wait(Timeout::Now).is_empty();
        assert_eq!(rung_once, bench.driver.knows_edges(), "{name}");
        wake.ring();
        assert!(!bench.wait(Timeout::Now).is_empty(), "{name}");
        wake.hush();
        assert!(bench.wait(Timeout::Now).is_empty(), "{name}");
    }
}

#[test]
fn what_a_thread_arms_is_heard_by_the_next_wait() {
    for name in REAL {
        let (mut bench, (one, mut two)) = (Bench::new(name), pair());
        two.write_all(b"x").unwrap();
        let (driver, fd) = (&bench.driver, one.as_raw_fd());
        let armed = thread::scope(|scope| {
            scope
                .spawn(move || driver.arm(fd, ONE, Interest::READ))
                .join()
                .unwrap()
        });
        armed.unwrap();
        assert_eq!(bench.wait(Timeout::Forever), [(ONE, true, false)], "{name}");
    }
}

#[test]
fn the_best_driver_is_chosen_and_an_unknown_one_refused() {
    assert_eq!(AnyDriver::choose(None).unwrap().name(), "epoll");
    let error = AnyDriver::choose(Some("magic")).unwrap_err();
    assert!(error.to_string().contains("magic"));
}
