//! Reads, writes and settings that any descriptor has; pipes above all.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{count, number};

/// Makes a pipe that blocks nobody and is not inherited: reading end, writing end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    number(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    let [read, write] = ends;
    // SAFETY: just made, owned by nobody else.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: the same.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((read, write))
}

/// Has what is written to `fd` from now on go nowhere.
pub fn silence(fd: RawFd) -> io::Result<()> {
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: a name that ends in a zero.
    let null = number(unsafe { libc::open(c"/dev/null".as_ptr(), flags) })?;
    // SAFETY: just opened, owned by nobody else.
    let null = unsafe { OwnedFd::from_raw_fd(null) };
    // SAFETY: no pointers; what `fd` stood for is closed.
    number(unsafe { libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC) }).map(drop)
}

/// Reads into `buffer`; 0 is the end.
#[inline]
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its length.
    count(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// Reads into memory that was never written; the first bytes, as many as returned, then are.
#[inline]
pub fn read_uninit(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its length, and the kernel reads none of it.
    count(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// Writes the beginning of `bytes`; returns how much of it.
#[inline]
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its length.
    count(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

/// Writes the beginning of `slices`, at most 1,024 of them; returns how many bytes.
#[inline]
pub fn write_gather(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let number_of = libc::c_int::try_from(slices.len().min(1024)).unwrap_or(0);
    // SAFETY: an `IoSlice` has the layout of an `iovec`, and each is readable for its length.
    count(unsafe { libc::writev(fd, slices.as_ptr().cast(), number_of) })
}

/// What a descriptor stands for, as far as bytes flow through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe, with a name or without.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal or another device that gives and takes characters.
    Device,
    /// A file, a folder, a block device: nothing that could be waited for.
    Other,
}

/// Asks what `fd` stands for.
pub fn kind(fd: RawFd) -> io::Result<Kind> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `found` is writable for a `stat`.
    number(unsafe { libc::fstat(fd, found.as_mut_ptr()) })?;
    // SAFETY: filled by the call, which has succeeded.
    let mode = unsafe { found.assume_init() }.st_mode;
    Ok(match mode & libc::S_IFMT {
        libc::S_IFIFO => Kind::Pipe,
        libc::S_IFSOCK => Kind::Socket,
        libc::S_IFCHR => Kind::Device,
        _ => Kind::Other,
    })
}

/// Makes reads and writes of `fd` wait for nothing.
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    let mut on: libc::c_int = 1;
    // SAFETY: `on` is readable for the length of a C int.
    number(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut on) }).map(drop)
}

/// Tells whether reads and writes of `fd` wait: whoever else holds what it stands for can have made it so.
#[inline]
pub fn is_blocking(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// Fails with EBADF when `fd` names no open descriptor.
pub fn check_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    number(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    use super::{
        Kind, check_open, is_blocking, kind, pipe, read, read_uninit, set_nonblocking, silence,
        write, write_gather,
    };

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (out, into) = pipe().unwrap();
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(write_gather(into.as_raw_fd(), &slices).unwrap(), 5);
        assert_eq!(write(into.as_raw_fd(), b"fg").unwrap(), 2);
        let mut room = [0; 4];
        assert_eq!(read(out.as_raw_fd(), &mut room).unwrap(), 4);
        assert_eq!(&room, b"abcd");
        let mut raw = [MaybeUninit::<u8>::uninit(); 8];
        assert_eq!(read_uninit(out.as_raw_fd(), &mut raw).unwrap(), 3);
        let error = read(out.as_raw_fd(), &mut room).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn descriptors_are_told_apart() {
        let (out, _into) = pipe().unwrap();
        assert_eq!(kind(out.as_raw_fd()).unwrap(), Kind::Pipe);
        let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(kind(one.as_raw_fd()).unwrap(), Kind::Socket);
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(kind(null.as_raw_fd()).unwrap(), Kind::Device);
        let folder = std::fs::File::open("/").unwrap();
        assert_eq!(kind(folder.as_raw_fd()).unwrap(), Kind::Other);
        assert_eq!(kind(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn a_descriptor_stops_waiting() {
        let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(is_blocking(one.as_raw_fd()));
        for _ in 0..2 {
            set_nonblocking(one.as_raw_fd()).unwrap();
            let error = read(one.as_raw_fd(), &mut [0; 1]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(!is_blocking(one.as_raw_fd()));
        }
        assert!(!is_blocking(-1));
    }

    #[test]
    fn a_silenced_pipe_says_nothing_and_never_fills() {
        let (out, into) = pipe().unwrap();
        silence(into.as_raw_fd()).unwrap();
        for _ in 0..100 {
            assert_eq!(write(into.as_raw_fd(), &[1; 4096]).unwrap(), 4096);
        }
        assert_eq!(read(out.as_raw_fd(), &mut [0; 4]).unwrap(), 0);
        assert!(!is_blocking(into.as_raw_fd()));
    }

    #[test]
    fn a_closed_number_is_noticed() {
        let (out, _into) = pipe().unwrap();
        let fd = out.as_raw_fd();
        check_open(fd).unwrap();
        assert_eq!(
            check_open(-1).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    }
}
