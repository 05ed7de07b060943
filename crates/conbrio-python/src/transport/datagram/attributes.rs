//! CPython's attributes that asyncio's own modules and tools read of a transport.

use pyo3::prelude::*;

use super::DatagramTransport;
use crate::engine::SHARED;
use crate::ffi::{Builder, Ref, is_true, object};
use crate::transport::attributes::{number, or_none};

/// Adds the attributes.
pub(super) fn add(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    limits(flags(parts(builder)))
}

/// What a transport is made of.
fn parts(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    builder
        .getter(
            c"_sock",
            c"The socket, None once it is closed.",
            |_, this| Ok(this.sock.share_or_none()),
        )
        .getter(c"_sock_fd", c"The descriptor.", |py, this| {
            let Ok(fd) = this.fd.get().into_pyobject(py);
            Ok(object(&fd).share())
        })
        .getter(
            c"_protocol",
            c"The protocol, None once the socket is closed.",
            |_, this| Ok(or_none(this.protocol.share())),
        )
        .getter(
            c"_protocol_connected",
            c"Whether there is a protocol.",
            |_, this| Ok(Ref::boolean(!this.protocol.is_empty())),
        )
        // CPython: every one of these can be set; this one is, for sockets that came connected (asyncio-dgram).
        .property(
            c"_address",
            c"The one address that is sent to, or None.",
            |_, this| Ok(this.address.share_or_none()),
            |py, this, address| {
                let address = match address {
                    Some(address) if is_true(py, address)? => Some(address.share()),
                    _ => None,
                };
                drop(this.address.replace(address));
                Ok(())
            },
        )
        .getter(c"_server", c"None: no server makes it.", |_, _| {
            Ok(Ref::none())
        })
}

/// How far its life has gone.
fn flags(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    builder
        .getter(
            c"_conn_lost",
            c"Not 0 once the transport ends.",
            |py, this| number(py, this.life.lost.get()),
        )
        .getter(c"_closing", c"Whether the transport ends.", |_, this| {
            Ok(Ref::boolean(this.life.closing.get()))
        })
        .getter(c"_paused", c"Whether reading is paused.", |_, this| {
            Ok(Ref::boolean(this.life.paused.get()))
        })
}

/// How much it does.
fn limits(builder: Builder<DatagramTransport>) -> Builder<DatagramTransport> {
    builder
        .getter(c"_buffer_size", c"How much is owed.", |py, this| {
            number(py, this.owed(py))
        })
        .getter(
            c"max_size",
            c"How much one datagram has at most.",
            |py, _| number(py, SHARED),
        )
}
