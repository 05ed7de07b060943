//! From plaintext to ciphertext, and to the transport that carries it. What one turn writes leaves together.

use conbrio_tls::machine::{Machine, RECORD};
use conbrio_tls::openssl::Write;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::engine::Engine;
use super::objects::Objects;
use super::read::{failure, guarded};
use super::writer::TlsWriter;
use super::{State, TlsFlow};
use crate::ffi::{
    Bytes, Instance, Object, Outcome, Own, Ref, Session, Thunk, attribute, bytes, call_method,
    is_empty, object, raise,
};
use crate::names;
use crate::report::report_raised;
use crate::transport::{Chunk, StreamTransport, send_at_once, send_collected};

/// More than this is not kept until the end of the turn.
const AT_ONCE: usize = 64 * 1024;
/// How many writes into a lost connection go unmentioned. CPython: `LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const UNMENTIONED: u32 = 5;

/// Whether what is written goes nowhere; counts it if so. CPython: the head of `_write_appdata`.
pub(super) fn is_lost(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<bool> {
    if matches!(this.state.get(), State::Handshake | State::Wrapped) {
        return Ok(false);
    }
    if this.lost.get() >= UNMENTIONED {
        names::asyncio_logger(py)?
            .bind(py)
            .call_method1("warning", ("SSL connection is closed",))?;
    }
    this.lost.set(this.lost.get().saturating_add(1));
    Ok(true)
}

/// Writes one object; what lends no memory ends the connection, as CPython has it.
#[inline]
pub(super) fn write(py: Python<'_>, this: &Instance<TlsFlow>, data: &Object) -> Outcome<()> {
    if is_lost(py, this)? {
        return Ok(());
    }
    match Chunk::of(py, data) {
        Ok(chunk) => this.backlog.lend(py, |backlog| backlog.push(chunk)),
        Err(raised) => return guarded(py, this, Err(raised)),
    }
    owe(py, this)
}

/// Writes several objects.
pub(super) fn write_all(py: Python<'_>, this: &Instance<TlsFlow>, list: &Object) -> Outcome<()> {
    if is_lost(py, this)? {
        return Ok(());
    }
    for data in list.bind(py).try_iter()? {
        let data = data?;
        data.len()?;
        match Chunk::of(py, object(&data)) {
            Ok(chunk) => this.backlog.lend(py, |backlog| backlog.push(chunk)),
            Err(raised) => return guarded(py, this, Err(raised)),
        }
    }
    owe(py, this)
}

/// Encrypts what has been written: at the end of the turn, or now if it is much or nobody would do it later.
#[inline]
fn owe(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    if this.state.get() != State::Wrapped {
        return Ok(());
    }
    if this.switches.carrier_writing.get() {
        return control_writing(py, this);
    }
    // Nothing written is still an occasion to send what OpenSSL has to say: CPython takes it.
    let size = this.backlog.lend(py, |backlog| backlog.len());
    let waits = 0 < size && size <= AT_ONCE;
    match this.turns() {
        Some(turns) if waits && turns.comes_to_an_end_of_turn() && this.is_carried_natively() => {
            if !this.flush_due.replace(true) {
                turns.flush_later(py, Thunk::new(this.own(), flush_due));
            }
            Ok(())
        }
        _ => settle_all(py, this),
    }
}

/// The end of the turn.
fn flush_due(py: Python<'_>, this: Own<TlsFlow>) -> Outcome<()> {
    this.flush_due.set(false);
    settle_all(py, &this)
}

/// Encrypts and sends what has been written; what goes wrong ends the connection.
pub(super) fn settle(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    if this.backlog.lend(py, |backlog| backlog.len()) == 0 {
        return Ok(());
    }
    settle_all(py, this)
}

/// The same with what OpenSSL has to say by itself, as after a read that has left that to the end of the turn.
fn settle_all(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    if this.state.get() != State::Wrapped {
        return Ok(());
    }
    let answer = encrypt_and_send(py, this);
    guarded(py, this, answer)
}

/// Encrypts what waits for the end of the turn or for room, as CPython has when it was written, and offers it: the connection is
/// about to end or to break off, and what goes wrong now is nobody's any more.
pub(super) fn send_last(py: Python<'_>, this: &Instance<TlsFlow>) {
    this.protocol.send_last(py);
    let waits = this.backlog.lend(py, |backlog| backlog.len()) > 0;
    if this.state.get() != State::Wrapped || !(waits || this.flush_due.get()) {
        return;
    }
    if let Err(raised) = encrypt_and_send(py, this) {
        drop(raised.take());
    }
}

/// CPython: `_do_write`.
pub(super) fn encrypt_and_send(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    encrypt(py, this)?;
    send(py, this)
}

/// After a read: a reply leaves at the end of the turn, unless the connection is being closed.
pub(super) fn after_read(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    let waits = this.backlog.lend(py, |backlog| backlog.len()) > 0;
    if this.flush_due.get() && this.state.get() == State::Wrapped {
        return Ok(());
    }
    if waits {
        return encrypt_and_send(py, this);
    }
    send(py, this)
}

fn encrypt(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    // Out of the cell: a callback of OpenSSL's may come back here.
    let mut backlog = this.backlog.take();
    let answer = match this.engine.get() {
        Some(Engine::Native(session)) => encrypt_natively(py, this, session, &mut backlog),
        Some(Engine::Objects(objects)) => encrypt_by_objects(py, objects, &mut backlog),
        None => Ok(()),
    };
    this.backlog.lend(py, |later| {
        let later_ones = std::mem::replace(later, backlog);
        later.append(later_ones);
    });
    answer
}

fn encrypt_natively(
    py: Python<'_>,
    this: &Instance<TlsFlow>,
    session: &Session,
    backlog: &mut super::Backlog,
) -> Outcome<()> {
    if session.is_busy() {
        // Written by a callback of OpenSSL's: nobody but the turn's end comes back to it.
        if let Some(turns) = this.turns()
            && !this.flush_due.replace(true)
        {
            turns.flush_later(py, Thunk::new(this.own(), flush_due));
        }
        return Ok(());
    }
    loop {
        let written = match backlog.front() {
            Some((first, rest)) => session.write(first, rest),
            None => return Ok(()),
        };
        match written {
            Write::Bytes(count) => backlog.forget(count),
            Write::Again => return Ok(()),
            Write::Failed => return Err(failure(py, this)),
        }
    }
}

fn encrypt_by_objects(
    py: Python<'_>,
    objects: &Objects,
    backlog: &mut super::Backlog,
) -> Outcome<()> {
    while let Some(piece) = backlog.beginning(py, RECORD)? {
        match objects.write(py, &piece)? {
            Some(count) => backlog.forget(count),
            None => break,
        }
    }
    Ok(())
}

/// Gives ciphertext to the transport. CPython: `_process_outgoing`.
pub(super) fn send(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    if !this.switches.carrier_writing.get() {
        match this.engine.get() {
            Some(Engine::Native(session)) if session.owed() > 0 => {
                let bytes = session.take_owed();
                carry_natively(py, this, bytes)?;
            }
            Some(Engine::Objects(objects)) => {
                let bytes = objects.take_owed(py)?;
                if !is_empty(&bytes) {
                    carry(py, this, &bytes)?;
                }
            }
            _ => {}
        }
    }
    control_writing(py, this)
}

fn carry_natively(py: Python<'_>, this: &Instance<TlsFlow>, sent: Vec<u8>) -> Outcome<()> {
    let Some(transport) = this.transport.share() else {
        return Ok(());
    };
    if let Some(transport) = Instance::<StreamTransport>::of(&transport) {
        Machine::keep(send_collected(py, transport, sent)?);
        return Ok(());
    }
    let data = bytes(py, &sent)?;
    Machine::keep(sent);
    carry(py, this, &data)
}

fn carry(py: Python<'_>, this: &Instance<TlsFlow>, data: &Object) -> Outcome<()> {
    let transport = this.transport.share_or_none();
    if let (Some(transport), Some(data)) = (
        Instance::<StreamTransport>::of(&transport),
        Bytes::share(data),
    ) {
        // Not `write`: that would wait for the end of the turn, which this may be.
        return send_at_once(py, transport, data);
    }
    call_method(py, &transport, names::write(py), &[data])?;
    // TLS within TLS: this may be the end of a turn, so the outer one does not wait for it.
    match Instance::<TlsWriter>::of(&transport).and_then(|writer| writer.flow()) {
        Some(outer) => settle(py, &outer),
        None => Ok(()),
    }
}

/// Tells the protocol to pause when much is owed, and to go on when little is. CPython: `_control_app_writing`.
#[expect(clippy::cast_precision_loss, reason = "marks are compared roughly")]
pub(super) fn control_writing(py: Python<'_>, this: &Instance<TlsFlow>) -> Outcome<()> {
    let (size, paused) = (this.owed(py)? as f64, &this.switches.app_writing);
    // CPython: pauses also where nothing is owed, if the mark is 0, and may never go on.
    if size > 0.0 && size >= this.outgoing.high.get() && !paused.get() {
        paused.set(true);
        tell(
            py,
            this,
            names::pause_writing(py),
            "protocol.pause_writing() failed",
        )
    } else if size <= this.outgoing.low.get() && paused.get() {
        paused.set(false);
        tell(
            py,
            this,
            names::resume_writing(py),
            "protocol.resume_writing() failed",
        )
    } else {
        Ok(())
    }
}

fn tell(
    py: Python<'_>,
    this: &Instance<TlsFlow>,
    method: &Bound<'_, PyString>,
    message: &'static str,
) -> Outcome<()> {
    let protocol = this.protocol.share().unwrap_or_else(Ref::none);
    let Err(raised) = call_method(py, &protocol, method, &[]) else {
        return Ok(());
    };
    let exception = raised.take();
    let transport = attribute(py, this.object(), names::app_transport(py))?;
    let details = [("transport", &*transport), ("protocol", this.object())];
    let event_loop = this.event_loop.share_or_none();
    let message = || message.to_owned();
    report_raised(py, &event_loop, raise(exception), message, &details)
}

impl Instance<TlsFlow> {
    /// Whether what carries the ciphertext sends it in the turn that it is given it.
    #[inline]
    fn is_carried_natively(&self) -> bool {
        self.transport.share().is_some_and(|transport| {
            Instance::<StreamTransport>::of(&transport).is_some()
                || Instance::<TlsWriter>::of(&transport).is_some()
        })
    }
}
