//! The calls of sockets.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::address::Address;
use super::{count, number};

/// Waits for nobody, whatever the socket's own mode, and raises no signal.
pub(super) const QUIETLY: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// Receives into `buffer`, without waiting; 0 is the end.
#[inline]
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its length.
    count(unsafe {
        libc::recv(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// Receives, without waiting, into memory that was never written; the first bytes, as many as returned, then are.
#[inline]
pub fn recv_uninit(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its length, and the kernel reads none of it.
    count(unsafe {
        libc::recv(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// Receives one datagram into `buffer` and its sender into `sender`, without waiting.
pub fn recv_from(fd: RawFd, buffer: &mut [u8], sender: &mut Address) -> io::Result<usize> {
    let (address, mut length) = sender.room();
    let pointer = buffer.as_mut_ptr().cast();
    // SAFETY: `buffer` is writable for its length, `address` for `length`.
    let returned = unsafe {
        libc::recvfrom(
            fd,
            pointer,
            buffer.len(),
            libc::MSG_DONTWAIT,
            address,
            &raw mut length,
        )
    };
    let received = count(returned)?;
    sender.written(length);
    Ok(received)
}

/// Sends the beginning of `bytes`, without waiting; returns how much of it.
#[inline]
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its length.
    count(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), QUIETLY) })
}

/// Sends one datagram to `receiver`, the bytes of a `sockaddr`, without waiting.
pub fn send_to(fd: RawFd, bytes: &[u8], receiver: &[u8]) -> io::Result<usize> {
    let (pointer, length) = (bytes.as_ptr().cast(), bytes.len());
    let room = libc::socklen_t::try_from(receiver.len()).unwrap_or(0);
    let receiver = receiver.as_ptr().cast();
    // SAFETY: both are readable for their lengths; the kernel copies the address, whatever its
    // alignment.
    count(unsafe { libc::sendto(fd, pointer, length, QUIETLY, receiver, room) })
}

/// The error for a descriptor that is no longer there.
pub fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

/// Up to this many bytes of several slices are joined before they are sent: the kernel takes longer to
/// import a list of slices than the copy takes. Bench: `http_uvicorn_c64`.
const JOINED: usize = 2048;

/// Sends the beginning of `slices`, at most 1,024 of them, without waiting; returns how many bytes.
#[inline]
pub fn send_gather(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if slices.iter().map(|slice| slice.len()).sum::<usize>() <= JOINED {
        return send_joined(fd, slices);
    }
    // SAFETY: all zeroes is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // The kernel only reads what it sends.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(1024) as _;
    // SAFETY: an `IoSlice` has the layout of an `iovec`, and each is readable for its length.
    count(unsafe { libc::sendmsg(fd, &raw const message, QUIETLY) })
}

/// Sends `slices`, which are [`JOINED`] bytes at most, as one.
fn send_joined(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut joined = [MaybeUninit::<u8>::uninit(); JOINED];
    let mut length = 0;
    for slice in slices {
        let Some(room) = joined.get_mut(length..length + slice.len()) else {
            break;
        };
        // SAFETY: `room` is as long as `slice`, and memory of this function's own.
        unsafe { ptr::copy_nonoverlapping(slice.as_ptr(), room.as_mut_ptr().cast(), slice.len()) };
        length += slice.len();
    }
    // SAFETY: the first `length` bytes have been written.
    count(unsafe { libc::send(fd, joined.as_ptr().cast(), length, QUIETLY) })
}

/// Accepts one connection that blocks nobody and is not inherited, and tells the peer's address.
pub fn accept_from(listener: RawFd, peer: &mut Address) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (address, mut length) = peer.room();
    // SAFETY: `address` is writable for `length`.
    let fd = number(unsafe { libc::accept4(listener, address, &raw mut length, flags) })?;
    peer.written(length);
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a stream socket that blocks nobody and is not inherited.
pub fn stream(family: i32, protocol: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let fd = number(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Begins to connect; `EINPROGRESS` says that the end of it is heard later.
pub fn connect(fd: RawFd, peer: &Address) -> io::Result<()> {
    let bytes = peer.as_bytes();
    let length = libc::socklen_t::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: `bytes` is readable for `length`; the kernel copies it, whatever its alignment.
    number(unsafe { libc::connect(fd, bytes.as_ptr().cast(), length) }).map(drop)
}

/// Asks for the socket's own address.
pub fn local_address(fd: RawFd, local: &mut Address) -> io::Result<()> {
    let (address, mut length) = local.room();
    // SAFETY: `address` is writable for `length`.
    number(unsafe { libc::getsockname(fd, address, &raw mut length) })?;
    local.written(length);
    Ok(())
}

/// Asks for the address of the socket's peer.
pub fn peer_address(fd: RawFd, peer: &mut Address) -> io::Result<()> {
    let (address, mut length) = peer.room();
    // SAFETY: `address` is writable for `length`.
    number(unsafe { libc::getpeername(fd, address, &raw mut length) })?;
    peer.written(length);
    Ok(())
}

/// Tells the peer that nothing more will be sent.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    number(unsafe { libc::shutdown(fd, libc::SHUT_WR) }).map(drop)
}

/// Takes the error that waits on the socket, as a failed connect leaves it.
pub fn take_error(fd: RawFd) -> io::Result<Option<io::Error>> {
    let mut error: libc::c_int = 0;
    let mut length = int_size();
    let pointer = (&raw mut error).cast();
    // SAFETY: `error` is writable for `length` bytes.
    number(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            pointer,
            &raw mut length,
        )
    })?;
    Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
}

/// Sends small packets at once, or lets them be gathered.
pub fn set_nodelay(fd: RawFd, nodelay: bool) -> io::Result<()> {
    let value = libc::c_int::from(nodelay);
    let pointer = (&raw const value).cast();
    // SAFETY: `value` is readable for the length of a C int.
    number(unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            pointer,
            int_size(),
        )
    })
    .map(drop)
}

/// Whether a connect goes on: what Python calls a `BlockingIOError` or an `InterruptedError`.
pub fn is_begun(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EAGAIN | libc::EINTR)
    )
}

/// Tells whether `error` says that the system has run out of descriptors, buffers or memory.
pub fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| exhausted.contains(&code))
}

#[expect(clippy::cast_possible_truncation, reason = "four")]
const fn int_size() -> libc::socklen_t {
    size_of::<libc::c_int>() as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::mem::MaybeUninit;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::{
        Address, JOINED, accept_from, local_address, peer_address, recv, recv_from, recv_uninit,
        send, send_gather, send_to, set_nodelay, shutdown_write, take_error,
    };

    #[test]
    fn a_stream_carries_bytes_and_an_end() {
        let (one, two) = UnixStream::pair().unwrap();
        let (one, two) = (one.as_raw_fd(), two.as_raw_fd());
        assert_eq!(send(one, b"ab").unwrap(), 2);
        assert_eq!(
            send_gather(one, &[IoSlice::new(b"c"), IoSlice::new(b"de")]).unwrap(),
            3
        );
        shutdown_write(one).unwrap();
        let mut room = [0; 3];
        assert_eq!(recv(two, &mut room).unwrap(), 3);
        assert_eq!(&room, b"abc");
        assert_eq!(
            recv_uninit(two, &mut [MaybeUninit::uninit(); 9]).unwrap(),
            2
        );
        assert_eq!(recv(two, &mut room).unwrap(), 0);
    }

    #[test]
    fn slices_leave_in_order_whether_joined_or_not() {
        for size in [JOINED / 2, JOINED / 2 + 1] {
            let (one, two) = UnixStream::pair().unwrap();
            let (first, second) = (vec![b'a'; size], vec![b'b'; size]);
            let slices = [IoSlice::new(&first), IoSlice::new(&second)];
            let sent = send_gather(one.as_raw_fd(), &slices).unwrap();
            let mut room = vec![0; 2 * size];
            assert_eq!(sent, room.len());
            assert_eq!(recv(two.as_raw_fd(), &mut room).unwrap(), sent);
            assert_eq!(room, [first, second].concat());
        }
    }

    #[test]
    fn a_lost_peer_is_an_error_and_no_signal() {
        let (one, two) = UnixStream::pair().unwrap();
        drop(two);
        assert_eq!(
            send(one.as_raw_fd(), b"a").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn accepts_without_blocking() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut peer = Address::default();
        let error = accept_from(listener.as_raw_fd(), &mut peer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = accept_from(listener.as_raw_fd(), &mut peer).unwrap();
        set_nodelay(accepted.as_raw_fd(), true).unwrap();
        assert!(take_error(accepted.as_raw_fd()).unwrap().is_none());
        let error = recv(accepted.as_raw_fd(), &mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn both_ends_know_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut addresses = [Address::default(); 3];
        let [accepted_from, local, remote] = &mut addresses;
        let accepted = accept_from(listener.as_raw_fd(), accepted_from).unwrap();
        local_address(peer.as_raw_fd(), local).unwrap();
        peer_address(accepted.as_raw_fd(), remote).unwrap();
        assert_eq!(accepted_from.as_bytes(), local.as_bytes());
        assert_eq!(remote.as_bytes(), local.as_bytes());
        assert_eq!(
            peer_address(listener.as_raw_fd(), remote)
                .unwrap_err()
                .kind(),
            io::ErrorKind::NotConnected
        );
    }

    #[test]
    fn a_datagram_can_be_answered() {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let two = UdpSocket::bind("127.0.0.1:0").unwrap();
        one.send_to(b"ask", two.local_addr().unwrap()).unwrap();
        let (mut room, mut sender) = ([0; 16], Address::default());
        assert_eq!(
            recv_from(two.as_raw_fd(), &mut room, &mut sender).unwrap(),
            3
        );
        assert_eq!(
            send_to(two.as_raw_fd(), b"answer", sender.as_bytes()).unwrap(),
            6
        );
        assert_eq!(one.recv(&mut room).unwrap(), 6);
    }
}
