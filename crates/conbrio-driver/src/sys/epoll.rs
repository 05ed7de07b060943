//! The calls of epoll.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::number;

/// Reading would not wait.
pub const IN: u32 = libc::EPOLLIN as u32;
/// Writing would not wait.
pub const OUT: u32 = libc::EPOLLOUT as u32;

/// What is ready is reported once, not as long as it is.
pub const EDGE: u32 = libc::EPOLLET.cast_unsigned();

/// Adds or changes: instance, descriptor, flags, data.
pub type Control = fn(&OwnedFd, RawFd, u32, u64) -> io::Result<()>;

/// Where the kernel leaves events.
pub struct Room {
    /// Its length is how many the last wait left, its capacity how many it may leave.
    list: Vec<libc::epoll_event>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl Room {
    /// Makes room for `most` events, at least one.
    pub fn new(most: usize) -> Self {
        Self {
            list: Vec::with_capacity(most.max(1)),
        }
    }

    /// Goes through flags and data of the events that the last wait left.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.list.iter().map(|event| (event.events, event.u64))
    }

    /// Tells whether the last wait left one event, and that has this data.
    #[inline]
    pub fn is_only(&self, data: u64) -> bool {
        matches!(*self.list, [event] if event.u64 == data)
    }

    /// Says how many events fit.
    #[inline]
    fn most(&self) -> libc::c_int {
        libc::c_int::try_from(self.list.capacity()).unwrap_or(libc::c_int::MAX)
    }

    /// Takes over what a wait returned.
    ///
    /// # Safety
    /// A non-negative `returned` must be the number of events that were written into the list.
    #[inline]
    unsafe fn filled(&mut self, returned: libc::c_int) -> io::Result<()> {
        let count = usize::try_from(returned).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel wrote the first `count` elements, and was told the capacity.
        unsafe { self.list.set_len(count) };
        Ok(())
    }
}

/// Makes an epoll instance.
pub fn create() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = number(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the number of the instance `old` name the instance `new`.
pub fn replace(old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    // SAFETY: both are open and owned; `old` goes on owning its number.
    number(unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}

/// Adds `fd`.
pub fn add(epoll: &OwnedFd, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_ADD, fd, flags, data)
}

/// Changes `fd`.
pub fn modify(epoll: &OwnedFd, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_MOD, fd, flags, data)
}

/// Takes `fd` away.
pub fn delete(epoll: &OwnedFd, fd: RawFd) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_DEL, fd, 0, 0)
}

fn control(epoll: &OwnedFd, deed: libc::c_int, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: flags,
        u64: data,
    };
    // SAFETY: `event` outlives the call, which only reads it.
    number(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), deed, fd, &raw mut event) }).map(drop)
}

/// Waits for whole milliseconds; -1 is for ever.
#[inline]
pub fn wait(epoll: &OwnedFd, room: &mut Room, millis: libc::c_int) -> io::Result<()> {
    let (most, fd) = (room.most(), epoll.as_raw_fd());
    room.list.clear();
    // SAFETY: the list has room for `most` events.
    let returned = unsafe { libc::epoll_wait(fd, room.list.as_mut_ptr(), most, millis) };
    // SAFETY: as returned by the kernel.
    unsafe { room.filled(returned) }
}

/// Waits for nanoseconds; kernels before 5.11 answer ENOSYS.
#[inline]
pub fn wait_precisely(epoll: &OwnedFd, room: &mut Room, time: Duration) -> io::Result<()> {
    let (most, fd) = (room.most(), epoll.as_raw_fd());
    let time = super::poll::timespec(time);
    room.list.clear();
    // By number, since older C libraries have no name for it.
    // SAFETY: the list has room for `most` events, `time` outlives the call, and a null signal
    // mask changes no mask.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            fd,
            room.list.as_mut_ptr(),
            most,
            &raw const time,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    // SAFETY: as returned by the kernel.
    unsafe { room.filled(libc::c_int::try_from(returned).unwrap_or(-1)) }
}

/// Rounds up to whole milliseconds, so that no wait is too short.
pub fn millis(time: Duration) -> libc::c_int {
    libc::c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::millis;

    #[test]
    fn millis_round_up() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(7)), 7);
        assert_eq!(millis(Duration::from_secs(u64::MAX)), i32::MAX);
    }
}
