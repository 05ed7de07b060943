//! The driver for Linux: one epoll instance.
//!
//! It remembers which descriptors it added, so that a change costs one system call; the memory is
//! only a hint, since descriptors are closed and numbered anew without asking.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::driver::{Driver, Events, Timeout};
use crate::event::{Event, Interest, Token};
use crate::sys;

/// Watches descriptors by epoll.
#[derive(Debug)]
pub struct Epoll {
    /// The epoll instance.
    instance: OwnedFd,
    /// One bit for every descriptor that was added and not taken away since.
    known: Mutex<Vec<u64>>,
    /// Set once the kernel refused a wait in nanoseconds.
    coarse: AtomicBool,
    /// Set once a closed descriptor was reported: others hold them open, so closing does not end the watching.
    shared: AtomicBool,
    /// What ends long waits, once there was one; none where there can be none.
    alarm: OnceLock<Option<Alarm>>,
}

impl Epoll {
    /// Makes an epoll instance.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            instance: sys::epoll::create()?,
            known: Mutex::new(Vec::new()),
            coarse: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            alarm: OnceLock::new(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Vec<u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is ready.
    #[inline]
    fn wait_for_ever(&self, events: &mut Events) -> io::Result<()> {
        loop {
            sys::epoll::wait(&self.instance, &mut events.room, -1)?;
            // An alarm that somebody needed who has gone.
            if !events.room.is_only(Token::ALARM.to_bits()) {
                return Ok(());
            }
        }
    }

    /// Waits until something is ready, or for what is due until its end.
    fn wait_within(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        let began = sys::clock::monotonic();
        let (mut now, mut left) = (began, timeout);
        while let (Some(due), Some(end)) = (left.due(), left.end())
            && !end.is_zero()
        {
            let Some(alarm) = self.alarm_for(now, due, end) else {
                return self.wait_timed(events, end);
            };
            sys::epoll::wait(&self.instance, &mut events.room, -1)?;
            now = sys::clock::monotonic();
            // An alarm that was set anew may still ring for what it was set to before.
            if alarm.has_gone_off(now) || !events.room.is_only(Token::ALARM.to_bits()) {
                break;
            }
            left = timeout.after(Duration::try_from_secs_f64(now - began).unwrap_or_default());
        }
        Ok(())
    }

    /// An alarm that goes off at `end` from `now`, or about then for something that is due at the same moment.
    #[inline]
    fn alarm_for(&self, now: f64, due: Duration, end: Duration) -> Option<&Alarm> {
        let alarm = self.alarm.get_or_init(|| {
            let alarm = Alarm::new().ok()?;
            Self::watch_alarm(&self.instance, &alarm).ok()?;
            // Somebody may have had the number, and have closed it without a word.
            remove(&mut self.known(), alarm.as_raw_fd());
            Some(alarm)
        });
        let alarm = alarm.as_ref()?;
        (alarm.serves(now, due) || alarm.set(now, due, end).is_ok()).then_some(alarm)
    }

    /// Whether `fd` is the alarm: nobody else's, whatever the number was before.
    fn is_alarm(&self, fd: RawFd) -> bool {
        let alarm = self.alarm.get().and_then(Option::as_ref);
        alarm.is_some_and(|alarm| alarm.as_raw_fd() == fd)
    }

    fn watch_alarm(instance: &OwnedFd, alarm: &Alarm) -> io::Result<()> {
        let flags = flags(Interest::EDGE);
        sys::epoll::add(instance, alarm.as_raw_fd(), flags, Token::ALARM.to_bits())
    }

    /// Waits until something is ready or `time` has passed, by a timer of the kernel's for this wait.
    fn wait_timed(&self, events: &mut Events, time: Duration) -> io::Result<()> {
        if !self.coarse.load(Ordering::Relaxed) {
            match sys::epoll::wait_precisely(&self.instance, &mut events.room, time) {
                // Old kernels do not know the call, some sandboxes forbid it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.coarse.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        sys::epoll::wait(&self.instance, &mut events.room, sys::epoll::millis(time))
    }
}

impl Driver for Epoll {
    fn arm(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        if interest.is_empty() {
            // An epoll registration without directions would still report hang-ups.
            return self.disarm(fd);
        }
        if self.is_alarm(fd) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let (flags, data) = (flags(interest), token.to_bits());
        let mut known = self.known();
        let (first, second) = if has(&known, fd) {
            (
                sys::epoll::modify as sys::epoll::Control,
                sys::epoll::add as sys::epoll::Control,
            )
        } else {
            (
                sys::epoll::add as sys::epoll::Control,
                sys::epoll::modify as sys::epoll::Control,
            )
        };
        match first(&self.instance, fd, flags, data) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EEXIST)) => {
                second(&self.instance, fd, flags, data)?;
            }
            other => other?,
        }
        insert(&mut known, fd);
        Ok(())
    }

    fn disarm(&self, fd: RawFd) -> io::Result<()> {
        let mut known = self.known();
        if !remove(&mut known, fd) {
            return Ok(());
        }
        match sys::epoll::delete(&self.instance, fd) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF)) => {
                Ok(())
            }
            other => other,
        }
    }

    fn disarm_closing(&self, fd: RawFd) -> io::Result<()> {
        // Bench: accept_close; closing takes the descriptor out of the instance, at no price of its own.
        if self.shared.load(Ordering::Relaxed) {
            return self.disarm(fd);
        }
        remove(&mut self.known(), fd);
        Ok(())
    }

    fn is_armed(&self, fd: RawFd) -> bool {
        has(&self.known(), fd)
    }

    fn renew(&self, armed: &[(RawFd, Token, Interest)]) -> io::Result<()> {
        self.shared.store(true, Ordering::Relaxed);
        let fresh = sys::epoll::create()?;
        let mut known = self.known();
        known.clear();
        for &(fd, token, interest) in armed {
            if self.is_alarm(fd) {
                continue;
            }
            // One that was closed under its watcher stays silent.
            if sys::epoll::add(&fresh, fd, flags(interest), token.to_bits()).is_ok() {
                insert(&mut known, fd);
            }
        }
        if let Some(Some(alarm)) = self.alarm.get() {
            Self::watch_alarm(&fresh, alarm)?;
        }
        // The number stays the same, so that nobody has to be told of the new instance.
        sys::epoll::replace(&self.instance, &fresh)
    }

    #[inline]
    fn knows_edges(&self) -> bool {
        true
    }

    #[inline]
    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()> {
        events.ready.clear();
        match timeout {
            Timeout::Now => sys::epoll::wait(&self.instance, &mut events.room, 0)?,
            Timeout::Forever => self.wait_for_ever(events)?,
            Timeout::Within { .. } if timeout.is_over() => {
                sys::epoll::wait(&self.instance, &mut events.room, 0)?;
            }
            Timeout::Within { .. } => self.wait_within(events, timeout)?,
        }
        let heard = events.room.iter().map(|(flags, data)| Event {
            token: Token::from_bits(data),
            readable: flags & !sys::epoll::OUT != 0,
            writable: flags & !sys::epoll::IN != 0,
        });
        let told = heard.filter(|event| event.token != Token::ALARM);
        events.ready.extend(told);
        Ok(())
    }

    fn name(&self) -> &'static str {
        "epoll"
    }
}

const fn flags(interest: Interest) -> u32 {
    let read = if interest.contains(Interest::READ) {
        sys::epoll::IN
    } else {
        0
    };
    let write = if interest.contains(Interest::WRITE) {
        sys::epoll::OUT
    } else {
        0
    };
    let edge = if interest.contains(Interest::EDGE) {
        sys::epoll::EDGE
    } else {
        0
    };
    read | write | edge
}

/// Splits a descriptor into its word and its bit; negative numbers are never known.
fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((fd / 64, 1 << (fd % 64)))
}

fn has(known: &[u64], fd: RawFd) -> bool {
    place(fd).is_some_and(|(word, bit)| known.get(word).is_some_and(|bits| bits & bit != 0))
}

fn insert(known: &mut Vec<u64>, fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        if known.len() <= word {
            known.resize(word + 1, 0);
        }
        if let Some(bits) = known.get_mut(word) {
            *bits |= bit;
        }
    }
}

fn remove(known: &mut [u64], fd: RawFd) -> bool {
    let was = has(known, fd);
    if let Some((word, bit)) = place(fd)
        && let Some(bits) = known.get_mut(word)
    {
        *bits &= !bit;
    }
    was
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::atomic::Ordering;
    use std::thread;
    use std::time::Duration;

    use super::Epoll;
    use crate::driver::{Driver, Events, Timeout};
    use crate::event::{Interest, Token};
    use crate::sys;

    #[test]
    fn a_coarse_wait_is_never_too_short() {
        let epoll = Epoll::new().unwrap();
        epoll.alarm.set(None).unwrap();
        epoll.coarse.store(true, Ordering::Relaxed);
        let mut events = Events::new();
        let before = sys::clock::monotonic();
        epoll
            .wait(&mut events, Timeout::within(Duration::from_micros(1500)))
            .unwrap();
        assert!(sys::clock::monotonic() - before >= 0.0015);
        assert!(events.is_empty());
    }

    /// An instance with a bell that ends a wait of `millis`, so that its alarm stays set.
    fn alarmed(millis: u64) -> (Epoll, OwnedFd, Events) {
        let (epoll, bell, mut events) = (
            Epoll::new().unwrap(),
            sys::bell::bell().unwrap(),
            Events::new(),
        );
        epoll
            .arm(bell.as_raw_fd(), Token::BELL, Interest::EDGE)
            .unwrap();
        sys::bell::ring(&bell).unwrap();
        let time = Timeout::within(Duration::from_millis(millis));
        epoll.wait(&mut events, time).unwrap();
        assert_eq!(events.len(), 1);
        let alarm = epoll.alarm.get().unwrap().as_ref().unwrap();
        assert!(!alarm.has_gone_off(sys::clock::monotonic()));
        (epoll, bell, events)
    }

    /// How many milliseconds a wait takes that hears nothing.
    fn waits(epoll: &Epoll, events: &mut Events, millis: u64) -> f64 {
        let before = sys::clock::monotonic();
        let time = Timeout::within(Duration::from_millis(millis));
        epoll.wait(events, time).unwrap();
        assert!(events.is_empty());
        (sys::clock::monotonic() - before) * 1e3
    }

    #[test]
    fn an_alarm_of_a_wait_that_is_over_ends_no_other() {
        let (epoll, bell, mut events) = alarmed(30);
        assert!(waits(&epoll, &mut events, 60) >= 60.0);
        let (epoll, other, mut rung) = alarmed(15);
        drop((bell, events));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(60));
                sys::bell::ring(&other).unwrap();
            });
            epoll.wait(&mut rung, Timeout::Forever).unwrap();
        });
        assert_eq!(rung.len(), 1);
    }

    #[test]
    fn an_alarm_that_has_gone_off_is_nothing_to_tell() {
        let (epoll, bell, mut events) = alarmed(10);
        thread::sleep(Duration::from_millis(20));
        epoll.wait(&mut events, Timeout::Now).unwrap();
        assert!(events.is_empty());
        sys::bell::ring(&bell).unwrap();
        epoll.wait(&mut events, Timeout::Forever).unwrap();
        assert_eq!(events.len(), 1);
        assert!(waits(&epoll, &mut events, 20) >= 20.0);
    }

    #[test]
    fn a_late_alarm_is_set_anew_for_who_must_wake_sooner() {
        for millis in [5, 20] {
            let (epoll, _bell, mut events) = alarmed(60_000);
            let waited = waits(&epoll, &mut events, millis);
            assert!((f64::from(u32::try_from(millis).unwrap())..30_000.0).contains(&waited));
        }
    }

    #[test]
    fn an_alarm_serves_an_instance_that_begins_anew() {
        let (epoll, _bell, mut events) = alarmed(100);
        epoll.renew(&[]).unwrap();
        let waited = waits(&epoll, &mut events, 150);
        assert!((150.0..30_000.0).contains(&waited));
    }

    #[test]
    fn an_alarm_serves_all_waits_for_one_moment() {
        let (epoll, _bell, mut events) = alarmed(60_000);
        let alarm = epoll.alarm.get().unwrap().as_ref().unwrap();
        let (now, end) = (sys::clock::monotonic(), Duration::from_millis(12));
        let (due, earlier) = (Duration::from_micros(11_500), Duration::from_micros(11_400));
        alarm.set(now, due, end).unwrap();
        let later = Duration::from_micros(300);
        assert!(alarm.serves(now + later.as_secs_f64(), due.saturating_sub(later)));
        assert!(!alarm.serves(now, earlier));
        // It goes off at its own end, not at the end that this wait would have.
        let time = Timeout::within(
            due.saturating_sub(Duration::from_secs_f64(sys::clock::monotonic() - now)),
        );
        epoll.wait(&mut events, time).unwrap();
        assert!(events.is_empty());
        assert!(sys::clock::monotonic() - now >= end.as_secs_f64());
    }

    #[test]
    fn where_there_is_no_alarm_each_wait_has_a_timer() {
        let (epoll, mut events) = (Epoll::new().unwrap(), Events::new());
        epoll.alarm.set(None).unwrap();
        assert!(waits(&epoll, &mut events, 20) >= 20.0);
    }
}
