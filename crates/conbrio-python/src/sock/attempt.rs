//! One try of a socket operation.

use std::cell::Cell;
use std::io;

use conbrio_driver::sys::{is_blocked, socket};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{Deed, SocketWait, sendfile};
use crate::engine::{Engine, SHARED};
use crate::ffi::{
    Buffer, Instance, Outcome, Ref, attribute, bytes, call_tuple, filled_bytes, object, raise,
};
use crate::report::os_error;

/// Tries once; nothing means that it would block.
///
/// # Errors
/// What the system or the socket's method raises.
pub(super) fn attempt(
    py: Python<'_>,
    engine: &Instance<Engine>,
    wait: &Instance<SocketWait>,
) -> Outcome<Option<Ref>> {
    let fd = wait.number_now(py);
    match &wait.deed {
        Deed::Receive(size) if *size <= SHARED => {
            let received = engine.with_buffer(py, |buffer| {
                let count = socket::recv(fd, buffer.get_mut(..*size).unwrap_or_default())?;
                Ok(bytes(py, buffer.get(..count).unwrap_or_default()))
            });
            match received {
                Ok(received) => received.map(Some),
                Err(error) => blocked(py, &error),
            }
        }
        Deed::Receive(size) => {
            match filled_bytes(py, *size, |memory| socket::recv_uninit(fd, memory))? {
                Ok((data, _)) => Ok(Some(data)),
                Err(error) => blocked(py, &error),
            }
        }
        Deed::ReceiveInto => {
            // Lent anew for each try: while nothing comes, the program may do with its memory what it likes.
            let memory = wait.args.share_or_none();
            let memory = Buffer::to_write(py, &memory, "recv_into() argument 1")?;
            // CPython: a buffer without room is filled at once, whatever the socket is.
            let receive = |memory: &mut [_]| match memory {
                [] => Ok(0),
                memory => socket::recv_uninit(fd, memory),
            };
            match memory.write(receive) {
                Ok(count) => {
                    let Ok(count) = count.into_pyobject(py);
                    Ok(Some(object(&count).share()))
                }
                Err(error) => blocked(py, &error),
            }
        }
        Deed::SendAll(sent) => {
            engine.touch(py);
            send_more(py, wait, sent)
        }
        Deed::SendFile(deed) => {
            engine.touch(py);
            sendfile::send_more(py, wait, deed)
        }
        Deed::Call => call_socket(py, wait),
    }
}

fn send_more(
    py: Python<'_>,
    wait: &Instance<SocketWait>,
    sent: &Cell<usize>,
) -> Outcome<Option<Ref>> {
    let fd = wait.number_now(py);
    let taken = wait.memory.lend(py, |memory| {
        let try_once = |data: &[u8]| {
            let left = data.get(sent.get()..).unwrap_or_default();
            socket::send(fd, left).map(|count| (count, count == left.len()))
        };
        memory
            .as_ref()
            .map_or(Ok((0, true)), |memory| memory.read(try_once))
    });
    match taken {
        Ok((_, true)) => Ok(Some(Ref::none())),
        Ok((count, false)) => {
            sent.set(sent.get() + count);
            Ok(None)
        }
        Err(error) => blocked(py, &error),
    }
}

fn call_socket(py: Python<'_>, wait: &Instance<SocketWait>) -> Outcome<Option<Ref>> {
    // CPython: looks the method up each time.
    let name = wait
        .method
        .share_or_none()
        .bind(py)
        .to_owned()
        .cast_into::<PyString>()
        .map_err(PyErr::from)?;
    let method = attribute(py, &wait.sock.share_or_none(), &name)?;
    match call_tuple(py, &method, &wait.args.share_or_none()) {
        Ok(answer) => Ok(Some(answer)),
        Err(raised) => {
            let exception = raised.take();
            let bound = exception.bind(py);
            if bound.is_instance_of::<PyBlockingIOError>()
                || bound.is_instance_of::<PyInterruptedError>()
            {
                return Ok(None);
            }
            Err(raise(exception))
        }
    }
}

fn blocked(py: Python<'_>, error: &io::Error) -> Outcome<Option<Ref>> {
    if is_blocked(error) {
        return Ok(None);
    }
    Err(os_error(py, error))
}
