//! A file that the kernel sends by itself.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;

use conbrio_driver::sys::file::{seek, send_file};
use conbrio_driver::sys::is_blocked;
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;

use super::{Deed, SocketWait, begin, wait, wrong_arguments};
use crate::engine::Engine;
use crate::ffi::{Args, Instance, Outcome, Raised, Ref, call, object, raise};
use crate::names;
use crate::report::os_exception;

/// The most that one call is asked to send, below what the kernel sends at once.
const MOST: i64 = 1 << 30;

/// How far a file has been sent.
pub(super) struct SendFile {
    file: RawFd,
    offset: i64,
    /// How much is to be sent; up to the file's end if nothing.
    count: Option<i64>,
    /// How large the file was, which only says how much to ask for.
    size: i64,
    /// The file's position is set even when nothing was sent.
    always_placed: bool,
    sent: Cell<i64>,
    /// The descriptor has been waited for.
    waited: Cell<bool>,
}

/// `_native_sendfile(sock, file, offset, count, size, always_placed)`; both are numbers of descriptors but `sock`.
pub(super) fn try_sendfile(
    py: Python<'_>,
    this: &Instance<Engine>,
    args: Args<'_>,
) -> Outcome<Ref> {
    let [sock, file, offset, count, size, always_placed] = args.positional() else {
        return Err(wrong_arguments());
    };
    let deed = SendFile {
        file: file.bind(py).extract()?,
        offset: offset.bind(py).extract()?,
        count: count.bind(py).extract()?,
        size: size.bind(py).extract()?,
        always_placed: always_placed.bind(py).extract()?,
        sent: Cell::new(0),
        waited: Cell::new(false),
    };
    let wait = wait(py, this, sock, Deed::SendFile(deed), true)?;
    begin(py, this, wait)
}

/// Sends as much as the socket takes; nothing means that it takes no more now.
///
/// # Errors
/// `SendfileNotAvailableError` if not a byte could be sent, what the system says otherwise.
pub(super) fn send_more(
    py: Python<'_>,
    wait: &Instance<SocketWait>,
    deed: &SendFile,
) -> Outcome<Option<Ref>> {
    let number = wait.number_now(py);
    // A file that is sent whole needs a second call, which finds its end.
    for _ in 0..2 {
        let sent = deed.sent.get();
        let left = deed.count.map_or(deed.size, |count| count - sent);
        let asked = left.clamp(0, MOST);
        if asked == 0 {
            return Ok(Some(done(py, deed)));
        }
        let most = usize::try_from(asked).unwrap_or(usize::MAX);
        let (socket, file, offset) = (number, deed.file, deed.offset.saturating_add(sent));
        // The file may have to be read first, which takes its time.
        let answer = py.detach(|| send_file(socket, file, offset, most));
        match answer {
            Ok(0) => return Ok(Some(done(py, deed))),
            Ok(count) => {
                let count = i64::try_from(count).unwrap_or(asked);
                deed.sent.set(sent + count);
                if count < asked && sent + count < deed.size - deed.offset {
                    break;
                }
            }
            Err(error) if is_blocked(&error) => break,
            Err(error) => return Err(refused(py, deed, &error)?),
        }
    }
    deed.waited.set(true);
    Ok(None)
}

fn done(py: Python<'_>, deed: &SendFile) -> Ref {
    let sent = deed.sent.get();
    deed.place();
    let Ok(sent) = sent.into_pyobject(py);
    object(&sent).share()
}

/// The exception for what the system has refused, CPython's.
#[cold]
fn refused(py: Python<'_>, deed: &SendFile, error: &io::Error) -> Outcome<Raised> {
    if deed.sent.get() == 0 {
        deed.place();
        let Ok(text) = "os.sendfile call failed".into_pyobject(py);
        let exception = call(py, names::sendfile_not_available(py)?, &[object(&text)])?;
        return Ok(raise(exception));
    }
    deed.place();
    let cause = os_exception(py, error)?;
    if !deed.waited.get() || error.kind() != io::ErrorKind::NotConnected {
        return Ok(raise(cause));
    }
    let lost = PyConnectionError::new_err(("socket is not connected", error.raw_os_error()));
    lost.set_cause(py, Some(PyErr::from_value(cause.bind(py).to_owned())));
    Ok(lost.into())
}

impl SendFile {
    /// Leaves the file where the sent bytes end, as CPython does.
    fn place(&self) {
        if self.sent.get() > 0 || self.always_placed {
            self.seek();
        }
    }

    /// The same when nobody waits any longer; where nothing was sent, the file stays.
    pub(super) fn place_cancelled(&self) {
        if self.sent.get() > 0 {
            self.seek();
        }
    }

    fn seek(&self) {
        // What the kernel could send from has positions, unless it was closed meanwhile.
        let _ = seek(self.file, self.offset.saturating_add(self.sent.get()));
    }
}
