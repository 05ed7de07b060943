//! From ciphertext to plaintext, and to the protocol. CPython: `_do_read`.

use std::convert::Infallible;
use std::mem::MaybeUninit;

use conbrio_tls::openssl::Read;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};

use super::engine::Engine;
use super::objects::{Objects, PIECE, Pause};
use super::pieces::Pieces;
use super::{State, TlsFlow, feed, write};
use crate::ffi::{
    Buffer, Bytes, Instance, Object, Outcome, Own, Raised, Ref, Session, Thunk, attribute,
    call_method, filled_bytes, is_instance, object, raise,
};
use crate::names;
use crate::protocol::{Hears, data_received};

/// Plaintext is given at least this much room.
const ROOM: usize = 64;

/// Decrypts what has been received and gives it to the protocol; what goes wrong ends the connection.
pub(super) fn read(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    if !matches!(this.state.get(), State::Wrapped | State::Flushing) {
        return Ok(());
    }
    guarded(py, this, read_and_write(py, this))
}

/// The same, as a callback.
fn read_later(py: Python<'_>, this: Own<TlsFlow>) -> Outcome<()> {
    read(py, &this)
}

fn read_and_write(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    if !this.switches.app_reading.get() {
        if !this.deaf.get() {
            match (this.engine.get(), this.protocol.hears()) {
                (Some(engine), Hears::Buffered) => read_into(py, this, engine)?,
                (Some(Engine::Native(session)), _) => read_natively(py, this, session)?,
                (Some(Engine::Objects(objects)), _) => read_by_objects(py, this, objects)?,
                (None, _) => {}
            }
        }
        write::after_read(py, this)?;
    }
    control_reading(py, this)
}

fn read_natively(py: Python<'_>, this: &Instance<TlsFlow>, session: &Session) -> Outcome<()> {
    let mut pieces = Pieces::default();
    let last = loop {
        let mut last = Read::Again;
        let room = session.promised().max(ROOM);
        let filled = filled_bytes::<Infallible>(py, room, |room| {
            let (count, pause) = session.read(room);
            last = pause;
            Ok(count)
        })?;
        let Ok((data, count)) = filled;
        if count > 0 {
            pieces.push(data);
        }
        if !matches!(last, Read::Bytes(_)) {
            break last;
        }
    };
    session.settle();
    if matches!(last, Read::Over | Read::Failed) {
        return Err(failure(py, this));
    }
    deliver(py, this, pieces)?;
    if last == Read::End {
        return end(py, this);
    }
    Ok(())
}

fn read_by_objects(py: Python<'_>, this: &Instance<TlsFlow>, objects: &Objects) -> Outcome<()> {
    let (pieces, pause) = objects.read_all(py)?;
    deliver(py, this, pieces)?;
    match pause {
        Pause::Again => Ok(()),
        Pause::End => end(py, this),
    }
}

/// Gives the protocol everything as one.
fn deliver(py: Python<'_>, this: &Instance<TlsFlow>, pieces: Pieces) -> Outcome<()> {
    let (Some(data), Some(protocol)) = (pieces.join(py)?, this.protocol.share()) else {
        return Ok(());
    };
    // Shared, so that the bytes stay while the protocol works on them.
    match (this.protocol.hears(), Bytes::share(&data)) {
        (Hears::Native(native), Some(data)) => feed(py, &protocol, native, data.as_ref()),
        (Hears::Fed(feed), Some(bytes)) if feed(py, &protocol, bytes.as_ref())? => Ok(()),
        _ => data_received(py, &protocol, &data),
    }
}

/// Decrypts into the protocol's own memory. CPython: `_do_read__buffered`.
fn read_into(py: Python<'_>, this: &Instance<TlsFlow>, engine: &Engine) -> Outcome<()> {
    let Some(protocol) = this.protocol.share() else {
        return Ok(());
    };
    let hint = this.pending(py)?;
    let Ok(hint) = hint.into_pyobject(py);
    let memory = call_method(py, &protocol, names::get_buffer(py), &[object(&hint)])?;
    let room = memory.bind(py).len()?;
    if room == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer").into());
    }
    let (count, pause) = match engine {
        Engine::Native(session) => {
            let buffer = Buffer::to_write(py, &memory, "read() argument 2")?;
            let (count, last) = buffer.write(|memory| session.read(memory));
            drop(buffer);
            session.settle();
            if matches!(last, Read::Over | Read::Failed) {
                return Err(failure(py, this));
            }
            let pause = match last {
                Read::Bytes(_) => None,
                Read::End => Some(Pause::End),
                _ => Some(Pause::Again),
            };
            (count, pause)
        }
        Engine::Objects(objects) => fill_by_objects(py, objects, &memory)?,
    };
    drop(memory);
    if pause.is_none()
        && let Some(turns) = this.turns()
    {
        turns.push(py, Thunk::new(this.own(), read_later));
    }
    if count > 0 {
        let Ok(count) = count.into_pyobject(py);
        call_method(py, &protocol, names::buffer_updated(py), &[object(&count)])?;
    }
    match pause {
        Some(Pause::End) => end(py, this),
        _ => Ok(()),
    }
}

fn fill_by_objects(
    py: Python<'_>,
    objects: &Objects,
    memory: &Object,
) -> Outcome<(usize, Option<Pause>)> {
    let room = Buffer::to_write(py, memory, "read() argument 2")?.len();
    let view = PyMemoryView::from(&memory.bind(py))?.call_method1("cast", ("B",))?;
    let mut filled = 0;
    while filled < room {
        let rest = PySlice::new(py, filled.cast_signed(), room.cast_signed(), 1);
        let rest = view.get_item(rest)?;
        match objects.read_into(py, room - filled, object(&rest))? {
            Ok(count) => filled += count,
            Err(pause) => return Ok((filled, Some(pause))),
        }
    }
    Ok((filled, None))
}

/// Gives the protocol nothing more: the connection was closed here.
pub(super) fn turn_deaf(this: &Instance<TlsFlow>) {
    this.deaf.set(true);
}

/// Decrypts what has been received and forgets it; says whether it ends with a fatal alert, which is as good an end as any.
///
/// # Errors
/// `ssl.SSLError`, of anything else that is wrong with it.
pub(super) fn discard(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<bool> {
    turn_deaf(this);
    let failure = match this.engine.get() {
        Some(Engine::Native(session)) => {
            let mut room = [const { MaybeUninit::uninit() }; PIECE];
            let last = loop {
                match session.read(&mut room) {
                    (_, Read::Bytes(_)) => {}
                    (_, last) => break last,
                }
            };
            session.settle();
            if last != Read::Failed {
                return Ok(false);
            }
            // What OpenSSL has refused is raised where it is asked next.
            asked_again(py, this)?
        }
        Some(Engine::Objects(objects)) => loop {
            match objects.read(py).map_err(Raised::take) {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Ok(false),
                Err(exception) if is_end(py, &exception)? => return Ok(false),
                Err(exception) => break Some(exception),
            }
        },
        None => return Ok(false),
    };
    // After an alert there is nothing wrong any more.
    match (failure, asked_again(py, this)?) {
        (Some(exception), Some(_)) => Err(raise(exception)),
        _ => Ok(true),
    }
}

/// What reading raises once more after it has failed; nothing if it finds the end.
#[cold]
fn asked_again(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<Option<Ref>> {
    let sslobj = attribute(py, this.object(), names::sslobj(py))?;
    let Ok(one) = 1.into_pyobject(py);
    match call_method(py, &sslobj, names::read(py), &[object(&one)]).map_err(Raised::take) {
        Err(exception) if !is_end(py, &exception)? => Ok(Some(exception)),
        _ => Ok(None),
    }
}

/// Whether an exception says that both have ended the connection.
fn is_end(py: Python<'_>, exception: &Object) -> Outcome<bool> {
    Ok(is_instance(exception, names::ssl_zero_return_error(py)?))
}

/// The peer has said that it sends no more.
#[cold]
fn end(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    call_method(py, this.object(), names::call_eof_received(py), &[])?;
    call_method(py, this.object(), names::start_shutdown(py), &[])?;
    Ok(())
}

/// Raises what OpenSSL has just refused, as Python's own methods do: they find it where OpenSSL has left it.
#[cold]
pub(super) fn failure(py: Python<'_>, this: &Instance<TlsFlow>) -> Raised {
    let asked = attribute(py, this.object(), names::sslobj(py)).and_then(|sslobj| {
        let nothing = PyBytes::new(py, b"");
        call_method(py, &sslobj, names::write(py), &[object(&nothing)])
    });
    match asked {
        Err(raised) => raised,
        Ok(_) => {
            PyRuntimeError::new_err("OpenSSL has refused to go on and does not say why").into()
        }
    }
}

/// Lets the carrying transport rest while there is much that nobody wants. CPython: `_control_ssl_reading`.
#[expect(clippy::cast_precision_loss, reason = "marks are compared roughly")]
pub(super) fn control_reading(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    let (size, paused) = (this.pending(py)? as f64, &this.switches.carrier_reading);
    let method = if size >= this.incoming.high.get() && !paused.get() {
        names::pause_reading(py)
    } else if size <= this.incoming.low.get() && paused.get() {
        names::resume_reading(py)
    } else {
        return Ok(());
    };
    paused.set(!paused.get());
    let transport = this.transport.share_or_none();
    call_method(py, &transport, method, &[]).map(drop)
}

/// Ends the connection because of an exception, unless it must go on. CPython: `except Exception`.
pub(super) fn guarded(
    py: Python<'_>,
    this: &Instance<TlsFlow>,
    answer: Outcome<()>,
) -> Outcome<()> {
    let Err(raised) = answer else { return Ok(()) };
    let exception = raised.take();
    if !exception.bind(py).is_instance_of::<PyException>() {
        return Err(raise(exception));
    }
    let message = names::fatal_tls_error(py);
    let arguments = [&*exception, object(message)];
    call_method(py, this.object(), names::fatal_error(py), &arguments).map(drop)
}
