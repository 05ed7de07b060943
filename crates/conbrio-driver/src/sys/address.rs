//! A socket address as opaque bytes, for calls that pass it through unread.

/// A socket address that the kernel wrote.
#[derive(Clone, Copy)]
pub struct Address {
    /// Large enough for an address of any family.
    bytes: [u8; size_of::<libc::sockaddr_storage>()],
    /// How many of the bytes the kernel wrote.
    length: usize,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Address")
            .field(&self.as_bytes())
            .finish()
    }
}

impl Default for Address {
    fn default() -> Self {
        Self {
            bytes: [0; size_of::<libc::sockaddr_storage>()],
            length: 0,
        }
    }
}

impl Address {
    /// An address that `as_bytes` gave; what is too long is cut.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut address = Self::default();
        for (place, byte) in address.bytes.iter_mut().zip(bytes) {
            *place = *byte;
        }
        address.length = bytes.len().min(address.bytes.len());
        address
    }

    /// Gives the bytes of a `sockaddr`; none when the peer has no address.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// Gives where the kernel writes, and how much fits.
    pub(super) fn room(&mut self) -> (*mut libc::sockaddr, libc::socklen_t) {
        let length = libc::socklen_t::try_from(self.bytes.len()).unwrap_or(0);
        (self.bytes.as_mut_ptr().cast(), length)
    }

    /// Notes how much the kernel wrote.
    pub(super) fn written(&mut self, length: libc::socklen_t) {
        self.length = usize::try_from(length).unwrap_or(0);
    }
}
