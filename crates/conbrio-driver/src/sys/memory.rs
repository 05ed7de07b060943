//! The C library's searches in memory, which use what the processor has for them.

/// Finds the first `byte` in `memory`.
#[inline]
pub fn find_byte(memory: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: `memory` is readable for its length; the answer is null or lies within.
    let found = unsafe { libc::memchr(memory.as_ptr().cast(), byte.into(), memory.len()) };
    distance(memory, found)
}

/// Finds the first `wanted` in `memory`; an empty one is found at once.
#[inline]
pub fn find(memory: &[u8], wanted: &[u8]) -> Option<usize> {
    if let [byte] = *wanted {
        return find_byte(memory, byte);
    }
    // SAFETY: both are readable for their lengths; the answer is null or lies within `memory`.
    let found = unsafe {
        libc::memmem(
            memory.as_ptr().cast(),
            memory.len(),
            wanted.as_ptr().cast(),
            wanted.len(),
        )
    };
    distance(memory, found)
}

#[inline]
fn distance(memory: &[u8], found: *mut libc::c_void) -> Option<usize> {
    (!found.is_null()).then(|| found.addr() - memory.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::{find, find_byte};

    #[test]
    fn the_first_is_found() {
        assert_eq!(find_byte(b"a\nb\n", b'\n'), Some(1));
        assert_eq!(find_byte(b"", b'\n'), None);
        assert_eq!(find(b"a\rb\r\nc\r\n", b"\r\n"), Some(3));
        assert_eq!(find(b"a\r", b"\r\n"), None);
        assert_eq!(find(b"ab", b"b"), Some(1));
        assert_eq!(find(b"ab", b""), Some(0));
    }
}
