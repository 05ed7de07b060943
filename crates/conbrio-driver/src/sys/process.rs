//! Child processes: a descriptor that tells when one ends, and how it ended.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::number;

/// Opens a descriptor that becomes readable when the process ends; it is not inherited.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the kernel makes the descriptor close-on-exec.
    let returned = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = number(RawFd::try_from(returned).unwrap_or(-1))?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits for the end of the child and takes how it ended: its exit status, or the negative number of the signal that
/// killed it. Fails with ECHILD when somebody else took it.
pub fn reap(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        match number(unsafe { libc::waitpid(pid, &raw mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok(if libc::WIFSIGNALED(status) {
        -libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process::Command;
    use std::time::Duration;

    use super::{open, reap};
    use crate::sys::poll;

    #[expect(clippy::zombie_processes, reason = "`reap` is what waits here")]
    fn ending(script: &str) -> i32 {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let end = open(pid).unwrap();
        let mut asked = [poll::ask(end.as_raw_fd(), true, false)];
        poll::wait(&mut asked, Some(Duration::from_secs(30))).unwrap();
        reap(pid).unwrap()
    }

    #[test]
    fn an_end_is_heard_and_taken() {
        assert_eq!(ending("exit 7"), 7);
        assert_eq!(ending("kill -9 $$"), -9);
    }

    #[test]
    fn who_is_no_child_is_not_taken() {
        assert_eq!(reap(1).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        assert_eq!(open(-5).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
