//! Many datagrams with one call, where the kernel has one.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::RawFd;
use std::ptr;

use super::address::Address;
use super::number;
use super::socket::{QUIETLY, recv_from};

/// The most that one call moves.
pub const MOST: usize = 32;
/// No datagram of the internet's protocols is larger.
const ROOM: usize = 64 * 1024;
/// From one datagram's room to the next: no multiple of a page, or all of them would share a few places of the
/// processor's cache.
const STRIDE: usize = ROOM + 17 * 64;

/// Where datagrams arrive: memory for many, which the system provides as it is written to.
#[derive(Debug)]
pub struct Arrivals {
    memory: Box<[u8]>,
    senders: Box<[Address]>,
    lengths: [usize; MOST],
    /// The kernel has no call for many, so they are received one by one.
    one_by_one: bool,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            memory: vec![0; STRIDE * MOST].into_boxed_slice(),
            senders: vec![Address::default(); MOST].into_boxed_slice(),
            lengths: [0; MOST],
            one_by_one: false,
        }
    }
}

impl Arrivals {
    /// Receives at most `most` datagrams of an internet socket, without waiting; tells how many.
    ///
    /// An error is told when it comes first; else the next call tells it.
    pub fn receive(&mut self, fd: RawFd, most: usize) -> io::Result<usize> {
        if most > 1 && !self.one_by_one {
            match self.receive_many(fd, most.min(MOST)) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => self.one_by_one = true,
                answer => return answer,
            }
        }
        let (Some(length), Some(sender)) = (self.lengths.first_mut(), self.senders.first_mut())
        else {
            return Ok(0);
        };
        let memory = self.memory.get_mut(..ROOM).unwrap_or_default();
        *length = recv_from(fd, memory, sender)?;
        Ok(1)
    }

    /// The bytes and the sender of one that came in the last call.
    #[inline]
    pub fn get(&self, index: usize) -> (&[u8], &[u8]) {
        let begin = index * STRIDE;
        let length = self.lengths.get(index).copied().unwrap_or_default();
        let bytes = self.memory.get(begin..begin + length).unwrap_or_default();
        let sender = self.senders.get(index).map_or(&[][..], Address::as_bytes);
        (bytes, sender)
    }

    fn receive_many(&mut self, fd: RawFd, most: usize) -> io::Result<usize> {
        let mut slices = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
        let rooms = self.memory.chunks_mut(STRIDE).zip(&mut self.senders);
        let places = slices.iter_mut().zip(messages.iter_mut());
        for ((memory, sender), (slice, message)) in rooms.zip(places).take(most) {
            let (name, length) = sender.room();
            let slice = slice.write(libc::iovec {
                iov_base: memory.as_mut_ptr().cast(),
                iov_len: ROOM,
            });
            message.write(message_of(slice, name, length));
        }
        let pointer = messages.as_mut_ptr().cast();
        let count = libc::c_uint::try_from(most).unwrap_or(1);
        // SAFETY: the first `most` messages are written, and each one's memory, address and slice outlive the call.
        let came = number(unsafe {
            libc::recvmmsg(fd, pointer, count, libc::MSG_DONTWAIT as _, ptr::null_mut())
        })?;
        let came = usize::try_from(came).unwrap_or(0).min(most);
        let told = self.senders.iter_mut().zip(&mut self.lengths);
        for ((sender, length), message) in told.zip(&messages).take(came) {
            // SAFETY: written above, and by the kernel since.
            let message = unsafe { message.assume_init_ref() };
            sender.written(message.msg_hdr.msg_namelen);
            *length = usize::try_from(message.msg_len).unwrap_or(0).min(ROOM);
        }
        Ok(came)
    }
}

/// Sends datagrams, at most `MOST`, each to its receiver (the bytes of a `sockaddr`), without waiting; tells how many went.
///
/// An error is told when it comes first; else it is lost, and a further call runs into it if it still holds.
pub fn send_many<'a>(
    fd: RawFd,
    datagrams: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> io::Result<usize> {
    let mut slices = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
    let mut count = 0;
    let places = slices.iter_mut().zip(messages.iter_mut());
    for ((bytes, receiver), (slice, message)) in datagrams.zip(places) {
        // The kernel only reads what it sends.
        let slice = slice.write(libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        });
        let length = libc::socklen_t::try_from(receiver.len()).unwrap_or(0);
        let name = receiver.as_ptr().cast_mut().cast();
        message.write(message_of(slice, name, length));
        count += 1;
    }
    // SAFETY: the first `count` messages are written; bytes, addresses and slices outlive the call.
    let sent =
        number(unsafe { libc::sendmmsg(fd, messages.as_mut_ptr().cast(), count, QUIETLY as _) })?;
    Ok(usize::try_from(sent).unwrap_or(0))
}

fn message_of(
    slice: &mut libc::iovec,
    name: *mut libc::sockaddr,
    length: libc::socklen_t,
) -> libc::mmsghdr {
    // SAFETY: all zeroes is an empty message.
    let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
    message.msg_hdr.msg_name = name.cast();
    message.msg_hdr.msg_namelen = length;
    message.msg_hdr.msg_iov = slice;
    message.msg_hdr.msg_iovlen = 1;
    message
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::{Address, Arrivals, MOST, send_many};
    use crate::sys::socket;

    fn pair() -> (UdpSocket, UdpSocket, Address) {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let two = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut address = Address::default();
        socket::local_address(two.as_raw_fd(), &mut address).unwrap();
        (one, two, address)
    }

    #[test]
    fn many_go_and_come_in_order() {
        let (one, two, address) = pair();
        let texts: Vec<_> = (0..40_u8)
            .map(|number| vec![number; usize::from(number)])
            .collect();
        let mut sent = 0;
        while sent < texts.len() {
            let datagrams = texts.iter().skip(sent).take(MOST);
            let datagrams = datagrams.map(|text| (text.as_slice(), address.as_bytes()));
            sent += send_many(one.as_raw_fd(), datagrams).unwrap();
        }
        let mut sender = Address::default();
        socket::local_address(one.as_raw_fd(), &mut sender).unwrap();
        let many = &mut Arrivals::default();
        let single = &mut Arrivals {
            one_by_one: true,
            ..Arrivals::default()
        };
        let mut texts = texts.iter();
        for (arrivals, expected, calls) in [(many, 5, 4), (single, 1, 20)] {
            for _ in 0..calls {
                let came = arrivals.receive(two.as_raw_fd(), 5).unwrap();
                assert_eq!(came, expected);
                let all = (0..came).map(|index| arrivals.get(index));
                assert!(
                    all.eq(texts
                        .by_ref()
                        .take(came)
                        .map(|text| (text.as_slice(), sender.as_bytes())))
                );
            }
        }
        two.set_nonblocking(true).unwrap();
        let error = Arrivals::default().receive(two.as_raw_fd(), 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_error_that_comes_first_is_told() {
        let (one, _two, address) = pair();
        let (small, large) = (vec![1; 10], vec![2; 70_000]);
        let mut queue = vec![
            (&small[..], address.as_bytes()),
            (&large[..], address.as_bytes()),
        ];
        assert_eq!(
            send_many(one.as_raw_fd(), queue.clone().into_iter()).unwrap(),
            1
        );
        queue.remove(0);
        let error = send_many(one.as_raw_fd(), queue.into_iter()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }
}
