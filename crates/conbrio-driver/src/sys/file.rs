//! The calls of files: what the kernel moves from a file to a socket by itself, and where a file is read next.

use std::io;
use std::os::fd::RawFd;

use super::count;

/// Sends at most `most` bytes of `file`, from `offset` on, to `socket`; 0 is the file's end. The file's position stays.
pub fn send_file(socket: RawFd, file: RawFd, offset: i64, most: usize) -> io::Result<usize> {
    let mut offset: libc::off_t = offset;
    // SAFETY: `offset` is writable for an `off_t`.
    count(unsafe { libc::sendfile(socket, file, &raw mut offset, most) })
}

/// Makes `file` be read from `position` next.
pub fn seek(file: RawFd, position: i64) -> io::Result<()> {
    // SAFETY: no pointers.
    if unsafe { libc::lseek(file, position, libc::SEEK_SET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::{seek, send_file};

    #[test]
    fn a_file_is_sent_and_its_position_stays() {
        let path = std::env::temp_dir().join(format!("conbrio-file-{}", std::process::id()));
        let mut file = std::fs::File::create_new(&path).unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let fds = (near.as_raw_fd(), file.as_raw_fd());
        assert_eq!(send_file(fds.0, fds.1, 2, 3).unwrap(), 3);
        assert_eq!(send_file(fds.0, fds.1, 8, 100).unwrap(), 2);
        assert_eq!(send_file(fds.0, fds.1, 10, 100).unwrap(), 0);
        let mut got = [0; 5];
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"23489");
        let mut rest = String::new();
        seek(file.as_raw_fd(), 7).unwrap();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        let error = send_file(near.as_raw_fd(), near.as_raw_fd(), 0, 1).unwrap_err();
        assert!(error.raw_os_error().is_some());
        seek(near.as_raw_fd(), 0).unwrap_err();
    }
}
