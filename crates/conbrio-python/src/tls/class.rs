//! The Python class `TlsFlow`: every method and attribute, a line or two each, under CPython's names.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::engine::{self, Engine};
use super::handshake::shake;
use super::objects::Objects;
use super::read::{control_reading, discard, read, turn_deaf};
use super::states::{advance, state_of};
use super::write::{control_writing, encrypt_and_send, send, settle, write_all};
use super::{Marks, OWN, State, TlsFlow, feed};
use crate::ffi::{
    Args, Buffer, Builder, Instance, Object, Outcome, Ref, as_float, flag, kept, none, object,
};
use crate::protocol::Native;
use crate::transport::Chunk;

/// The class `TlsFlow`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let builder = Builder::<TlsFlow>::new(c"Both directions of a TLS connection.")
        .subclassable()
        .new_with(|_, _, _| Ok(TlsFlow::unmade()));
    parts(switches(control(flow(steps(builder))))).create(py, None)
}

/// Whether CPython's TLS transport asks the carrying one whether it is closing.
pub(super) fn reads_of_transport(py: Python<'_>) -> Outcome<bool> {
    static READS: PyOnceLock<bool> = PyOnceLock::new();
    let reads = READS.get_or_try_init(py, || -> PyResult<bool> {
        py.import("asyncio.sslproto")?
            .getattr("SSLProtocol")?
            .hasattr("_is_transport_closing")
    });
    Ok(*reads?)
}

fn number(py: Python<'_>, number: usize) -> Ref {
    let Ok(number) = number.into_pyobject(py);
    object(&number).share()
}

/// What CPython's half calls when something has to move.
fn steps(builder: Builder<TlsFlow>) -> Builder<TlsFlow> {
    builder
        .method(
            c"_adopt",
            c"_adopt($self, sslobj, context, incoming, outgoing, /)\n--\n\nDrives sslobj; tells whether natively.",
            adopt,
        )
        .one(
            c"_set_state",
            c"_set_state($self, new_state)\n--\n\nGoes one step on.",
            |py, this, member| none(advance(py, this, member)),
        )
        .one(c"_feed", c"_feed($self, data, /)\n--\n\nTakes ciphertext.", |py, this, data| {
            let data = Buffer::to_read(py, data)?.to_vec();
            feed(py, this.object(), &OWN, &data)?;
            Ok(Ref::none())
        })
        .one(c"_keep", c"_keep($self, data, /)\n--\n\nTakes ciphertext before the handshake.", |py, this, data| {
            let data = Buffer::to_read(py, data)?.to_vec();
            let native = Native { received: |_, _| Ok(()), ..OWN };
            feed(py, this.object(), &native, &data)?;
            Ok(Ref::none())
        })
        .one(c"_owe", c"_owe($self, data, /)\n--\n\nKeeps plaintext until something is written.", |py, this, data| {
            let chunk = Chunk::of(py, data)?;
            this.backlog.lend(py, |backlog| backlog.push(chunk));
            Ok(Ref::none())
        })
        .plain(c"_forget", c"_forget($self)\n--\n\nForgets what moves in either direction.", |_, this| {
            drop(this.backlog.take());
            if let Some(Engine::Native(session)) = this.engine.get() {
                session.forget();
            }
            Ok(Ref::none())
        })
}

/// What CPython's half does in Python, natively.
fn flow(builder: Builder<TlsFlow>) -> Builder<TlsFlow> {
    builder
        .plain(
            c"_do_handshake",
            c"_do_handshake($self)\n--\n\nGoes on with the handshake.",
            |py, this| none(shake(py, this)),
        )
        .plain(
            c"_do_read",
            c"_do_read($self)\n--\n\nDecrypts and delivers.",
            |py, this| none(read(py, this)),
        )
        .plain(
            c"_discard",
            c"_discard($self)\n--\n\nDecrypts, for nobody, what the peer still sends; tells whether an alert ended it.",
            |py, this| Ok(Ref::boolean(discard(py, this)?)),
        )
        .plain(
            c"_turn_deaf",
            c"_turn_deaf($self)\n--\n\nGives the protocol nothing more.",
            |_, this| {
                turn_deaf(this);
                Ok(Ref::none())
            },
        )
        .plain(
            c"_do_write",
            c"_do_write($self)\n--\n\nEncrypts and sends.",
            |py, this| none(encrypt_and_send(py, this)),
        )
        .plain(
            c"_process_outgoing",
            c"_process_outgoing($self)\n--\n\nSends ciphertext.",
            |py, this| {
                // What was written while the transport would take nothing has not been encrypted yet.
                if this.state.get() == State::Wrapped
                    && this.backlog.lend(py, |backlog| backlog.len()) > 0
                {
                    return none(encrypt_and_send(py, this));
                }
                none(send(py, this))
            },
        )
        .one(
            c"_write_appdata",
            c"_write_appdata($self, list_of_data)\n--\n\nEncrypts several pieces of data.",
            |py, this, list| none(write_all(py, this, list)),
        )
}

/// Who pauses and goes on, and when.
fn control(builder: Builder<TlsFlow>) -> Builder<TlsFlow> {
    builder
        .plain(
            c"_control_app_writing",
            c"_control_app_writing($self)\n--\n\nPauses the protocol or lets it go on.",
            |py, this| {
                settle(py, this)?;
                none(control_writing(py, this))
            },
        )
        .plain(
            c"_control_ssl_reading",
            c"_control_ssl_reading($self)\n--\n\nPauses the transport or lets it go on.",
            |py, this| none(control_reading(py, this)),
        )
        .plain(
            c"_get_write_buffer_size",
            c"_get_write_buffer_size($self)\n--\n\nHow many bytes are owed.",
            |py, this| {
                settle(py, this)?;
                Ok(number(py, this.owed(py)?))
            },
        )
        .plain(
            c"_get_read_buffer_size",
            c"_get_read_buffer_size($self)\n--\n\nHow many bytes wait for decryption.",
            |py, this| Ok(number(py, this.pending(py)?)),
        )
        .one(
            c"_set_app_protocol",
            c"_set_app_protocol($self, app_protocol)\n--\n\nMakes app_protocol the one that hears.",
            |py, this, protocol| none(this.protocol.set(py, protocol)),
        )
        .method(
            c"_note_outgoing",
            c"_note_outgoing($self, low, high, /)\n--\n\nThe marks of writing.",
            |py, this, args| note(py, &this.outgoing, args),
        )
        .method(
            c"_note_incoming",
            c"_note_incoming($self, low, high, /)\n--\n\nThe marks of reading.",
            |py, this, args| note(py, &this.incoming, args),
        )
}

fn note(py: Python<'_>, marks: &Marks, args: Args<'_>) -> Outcome<Ref> {
    if let [low, high] = args.positional() {
        marks.low.set(as_float(py, low)?);
        marks.high.set(as_float(py, high)?);
    }
    Ok(Ref::none())
}

fn adopt(py: Python<'_>, this: &Instance<TlsFlow>, args: Args<'_>) -> Outcome<Ref> {
    let [sslobj, context, incoming, outgoing] = args.positional() else {
        return Ok(Ref::boolean(false));
    };
    if this.engine.get().is_some() {
        return Ok(Ref::boolean(false));
    }
    let session = engine::native(py, sslobj, context)?;
    let is_native = session.is_some();
    let engine = match session {
        Some(session) => Engine::Native(session),
        None => Engine::Objects(Objects::of(py, sslobj, incoming, outgoing)?),
    };
    // Made once: CPython's half calls this when it has made the connection's object.
    let _ = this.engine.set(engine);
    Ok(Ref::boolean(is_native))
}

fn switches(builder: Builder<TlsFlow>) -> Builder<TlsFlow> {
    let builder = flag!(
        builder,
        c"_app_reading_paused",
        c"Whether the protocol wants nothing.",
        switches.app_reading
    );
    let builder = flag!(
        builder,
        c"_app_writing_paused",
        c"Whether the protocol was paused.",
        switches.app_writing
    );
    let builder = flag!(
        builder,
        c"_ssl_reading_paused",
        c"Whether the transport was paused.",
        switches.carrier_reading
    );
    flag!(
        builder,
        c"_ssl_writing_paused",
        c"Whether the transport takes nothing.",
        switches.carrier_writing
    )
}

fn parts(builder: Builder<TlsFlow>) -> Builder<TlsFlow> {
    let builder = kept!(builder, c"_loop", c"The loop.", event_loop);
    kept!(
        builder,
        c"_transport",
        c"What carries the ciphertext.",
        transport
    )
    .property(
        c"_app_protocol",
        c"Who is given plaintext.",
        |_, this| Ok(this.protocol.share().unwrap_or_else(Ref::none)),
        |py, this, value| {
            if let Some(value) = value.filter(|value| !value.is_none()) {
                return this.protocol.set(py, value);
            }
            this.protocol.clear();
            Ok(())
        },
    )
    .property(
        c"_state",
        c"How far the connection is.",
        |_, this| Ok(this.state_object.share_or_none()),
        |py, this, value| {
            let value = value.map_or_else(Ref::none, Object::share);
            this.state.set(state_of(py, &value)?.unwrap_or_default());
            this.state_object.set(value);
            Ok(())
        },
    )
    .property(
        c"_conn_lost",
        c"How often was written in vain.",
        |py, this| Ok(number(py, this.lost.get() as usize)),
        |py, this, value| {
            let value = value.map_or_else(Ref::none, Object::share);
            this.lost.set(value.bind(py).extract::<u32>()?);
            Ok(())
        },
    )
}
