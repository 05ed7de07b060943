//! The call of poll, in nanoseconds.

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::time::Duration;

use super::number;

/// What poll answered about one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing happened.
    Nothing,
    /// The number names no open descriptor.
    Closed,
    /// Ready; an error or a hang-up sets both.
    Ready {
        /// Reading would not wait.
        readable: bool,
        /// Writing would not wait.
        writable: bool,
    },
}

/// Writes one question.
pub fn ask(fd: RawFd, read: bool, write: bool) -> libc::pollfd {
    let read = if read { libc::POLLIN } else { 0 };
    let write = if write { libc::POLLOUT } else { 0 };
    libc::pollfd {
        fd,
        events: read | write,
        revents: 0,
    }
}

/// Reads the answer to one question.
pub fn heard(answer: &libc::pollfd) -> Heard {
    match answer.revents {
        0 => Heard::Nothing,
        flags if flags & libc::POLLNVAL != 0 => Heard::Closed,
        flags => Heard::Ready {
            readable: flags & !libc::POLLOUT != 0,
            writable: flags & !libc::POLLIN != 0,
        },
    }
}

/// Waits until a question has an answer or `time` is over; `None` is for ever.
pub fn wait(asked: &mut [libc::pollfd], time: Option<Duration>) -> io::Result<()> {
    let time = time.map(timespec);
    let count = asked.len() as libc::nfds_t;
    let limit = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `asked` has `count` elements, `time` outlives the call, a null mask changes none.
    number(unsafe { libc::ppoll(asked.as_mut_ptr(), count, limit, ptr::null()) }).map(drop)
}

/// Converts a duration, the longest ones cut to what the kernel takes.
pub(super) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
