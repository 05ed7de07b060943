//! The calls of an alarm: a descriptor that is readable once its time has come.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::number;

/// Makes an alarm that blocks nobody, is not inherited and has not been set.
pub fn alarm() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: no pointers.
    let fd = number(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets it to go off once, in `time`; what it was set to before is forgotten.
pub fn set(alarm: &OwnedFd, time: Duration) -> io::Result<()> {
    // One of no time at all would never go off.
    let time = libc::itimerspec {
        it_interval: super::poll::timespec(Duration::ZERO),
        it_value: super::poll::timespec(time.max(Duration::from_nanos(1))),
    };
    // SAFETY: `time` outlives the call, which only reads it; nobody asks for what was set before.
    let set = unsafe {
        libc::timerfd_settime(alarm.as_raw_fd(), 0, &raw const time, std::ptr::null_mut())
    };
    number(set).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::{alarm, set};
    use crate::sys;

    #[test]
    fn it_goes_off_in_its_time_and_not_before() {
        let alarm = alarm().unwrap();
        let waits = |millis| {
            let mut asked = [sys::poll::ask(alarm.as_raw_fd(), true, false)];
            sys::poll::wait(&mut asked, Some(Duration::from_millis(millis))).unwrap();
            !matches!(sys::poll::heard(&asked[0]), sys::poll::Heard::Nothing)
        };
        assert!(!waits(0));
        set(&alarm, Duration::from_secs(u64::MAX)).unwrap();
        assert!(!waits(0));
        set(&alarm, Duration::ZERO).unwrap();
        assert!(waits(1000));
        set(&alarm, Duration::from_millis(20)).unwrap();
        assert!(!waits(0));
        assert!(waits(1000));
    }
}
