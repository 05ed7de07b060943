"""TLS between a transport and a protocol: CPython's own states and timeouts, with native packets.

``TlsProtocol`` puts the native flow before CPython's ``SSLProtocol``, so handshake, shutdown and
what is said of their failures are CPython's on each version. Runs once per connection; what runs
for each packet is native. Does not know how the flow moves bytes.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import ssl
from asyncio import constants, sslproto, streams

from ._conbrio import TlsFlow, TlsWriter, expect_tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["SSLTransport", "TlsProtocol", "TlsProtocols", "TlsVerbs"]

# ruff: noqa: SLF001, PLR0913, PLR0917 - the names and shapes are those that CPython's half uses

RECEIVED_MAX = 256 * 1024

# Always empty: stand on a connection where CPython's half expects what the flow keeps instead.
NO_BACKLOG: collections.deque[Any] = collections.deque(maxlen=0)
NO_BYTES = ssl.MemoryBIO()

UNWRAPPED = sslproto.SSLProtocolState.UNWRAPPED
WRAPPED = sslproto.SSLProtocolState.WRAPPED
BEGINNING = {UNWRAPPED, sslproto.SSLProtocolState.DO_HANDSHAKE}
NOT_TOLD = sslproto.AppProtocolState.STATE_INIT
TOLD = sslproto.AppProtocolState.STATE_CON_MADE


def positive(name: str, seconds: float | None, default: float) -> Any:
    """Return ``seconds``, or ``default`` in place of None.

    Raises:
        ValueError: They are not more than none.
    """
    if seconds is None:
        return default
    if seconds <= 0:
        raise ValueError(f"{name} should be a positive number, got {seconds}")
    return seconds


class SSLTransport(TlsWriter, sslproto._SSLProtocolTransport):
    """The transport that a program sees of a TLS connection."""

    def _force_close(self, exc: BaseException | None) -> None:
        # What was written this turn leaves first: CPython would have sent it when it was written.
        self._settle()
        super()._force_close(exc)  # type: ignore[misc]  # typeshed does not name it

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection, as asyncio's transports do."""
        if name == "ssl_object":
            # Whoever asks for it may end the connection by it: what was written comes before.
            self._settle()
        return super().get_extra_info(name, default)

    def abort(self) -> None:
        """Close the transport at once; what the system has not taken is lost."""
        self._settle()
        super().abort()

    def _test__append_write_backlog(self, data: bytes) -> None:
        protocol: Any = self._ssl_protocol
        protocol._owe(data)


class TlsProtocol(TlsFlow, sslproto.SSLProtocol):
    """The protocol that a carrying transport sees: CPython's, over a native flow.

    Takes what ``asyncio.sslproto.SSLProtocol`` takes.
    """

    # CPython's half makes a buffer of this size for each connection; the flow lends one to all.
    max_size = 0

    # What a connection begins with as CPython's does; one that differs has its own.
    _app_transport: Any = None
    _app_transport_created = False
    _eof_received = False
    _server_hostname: str | None = None
    _ssl_buffer: Any = None
    _ssl_buffer_view: memoryview | None = None
    _write_backlog = NO_BACKLOG
    _write_buffer_size = 0
    _incoming_high_water, _incoming_low_water = sslproto.add_flowcontrol_defaults(
        None, None, constants.FLOW_CONTROL_HIGH_WATER_SSL_READ
    )
    _outgoing_high_water, _outgoing_low_water = sslproto.add_flowcontrol_defaults(
        None, None, constants.FLOW_CONTROL_HIGH_WATER_SSL_WRITE
    )
    _incoming = _outgoing = NO_BYTES

    _app_protocol: asyncio.BaseProtocol
    _app_reading_paused: bool
    _ssl_writing_paused: bool
    _app_state: Any
    _loop: Any
    _sslobj: ssl.SSLObject

    def __init__(
        self,
        loop: Any,
        app_protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: Any,
        server_side: bool = False,
        server_hostname: str | None = None,
        call_connection_made: bool = True,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        # CPython's, alike on every version, less what the class and the flow hold.
        self._ssl_handshake_timeout = positive(
            "ssl_handshake_timeout", ssl_handshake_timeout, constants.SSL_HANDSHAKE_TIMEOUT
        )
        self._ssl_shutdown_timeout = positive(
            "ssl_shutdown_timeout", ssl_shutdown_timeout, constants.SSL_SHUTDOWN_TIMEOUT
        )
        if not sslcontext:
            sslcontext = sslproto._create_transport_context(server_side, server_hostname)
        self._server_side = server_side
        if server_hostname and not server_side:
            self._server_hostname = server_hostname
        self._sslcontext = sslcontext
        self._extra = {"sslcontext": sslcontext}
        self._waiter = waiter
        self._loop = loop
        self._set_app_protocol(app_protocol)
        self._state = UNWRAPPED
        self._app_state = NOT_TOLD if call_connection_made else TOLD
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sslobj = sslcontext.wrap_bio(
            incoming, outgoing, server_side=server_side, server_hostname=self._server_hostname
        )
        if not self._adopt(self._sslobj, sslcontext, incoming, outgoing):
            self._incoming, self._outgoing = incoming, outgoing
        self._note_incoming(self._incoming_low_water, self._incoming_high_water)
        self._note_outgoing(self._outgoing_low_water, self._outgoing_high_water)
        self._get_app_transport()

    def _get_app_transport(self) -> SSLTransport:
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating _SSLProtocolTransport twice")
            self._app_transport = SSLTransport(self._loop, self)
            self._app_transport_created = True
        made: SSLTransport = self._app_transport
        return made

    def _set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        super()._set_write_buffer_limits(high, low)  # type: ignore[misc]
        self._note_outgoing(self._outgoing_low_water, self._outgoing_high_water)

    def _set_read_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        super()._set_read_buffer_limits(high, low)  # type: ignore[misc]
        self._note_incoming(self._incoming_low_water, self._incoming_high_water)

    # ---------------------------------------------------------------- its beginning and end

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if self._app_state is NOT_TOLD:
            try:
                super()._on_handshake_complete(handshake_exc)
            finally:
                # Its traceback leads back to here.
                del handshake_exc
            return
        # Order: `start_tls()` answers before the first byte comes, or the protocol would not know
        # yet which transport to answer it on.
        paused, self._app_reading_paused = self._app_reading_paused, True
        try:
            super()._on_handshake_complete(handshake_exc)
        finally:
            self._app_reading_paused = paused
            del handshake_exc
        if self._state is WRAPPED:
            # The peer waits for the last words of the handshake, whether we read on or not.
            try:
                self._process_outgoing()  # type: ignore[attr-defined]
            except Exception as exc:  # noqa: BLE001 - CPython catches as much where it reads
                self._fatal_error(exc, "Fatal error on SSL protocol")
        self._loop.call_soon(self._do_read)  # type: ignore[attr-defined]

    def _shakes_hands(self) -> bool:
        """Tell whether it was accepted and its protocol has not been told of it yet."""
        return self._server_side and self._app_state is NOT_TOLD and self._state in BEGINNING

    def _do_flush(self) -> None:
        # Nothing more is received once close() was called. CPython: what had come before is.
        if self._app_transport is not None and self._app_transport._closed:
            self._turn_deaf()
        super()._do_flush()  # type: ignore[misc]

    def _do_shutdown(self) -> None:
        # What the peer sends until it has heard of the end is nobody's. CPython: takes it for an
        # error (bpo-39951).
        if not self._eof_received:
            try:
                ended = self._discard()
            except ssl.SSLError as exc:
                self._on_shutdown_complete(exc)  # type: ignore[attr-defined]
                return
            if ended:
                self._process_outgoing()  # type: ignore[attr-defined]
                self._call_eof_received()  # type: ignore[attr-defined]
                self._on_shutdown_complete(None)  # type: ignore[attr-defined]
                return
        super()._do_shutdown()  # type: ignore[misc]

    # ---------------------------------------------------------------- a transport that is not ours

    def get_buffer(self, n: int) -> memoryview:  # noqa: ARG002 - asyncio's shape
        """Return memory for ciphertext."""
        if self._ssl_buffer_view is None:
            self._ssl_buffer_view = memoryview(bytearray(RECEIVED_MAX))
        return self._ssl_buffer_view

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was written to that memory."""
        self._feed(self.get_buffer(-1)[:nbytes])

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hear that the carrying transport is gone."""
        self._forget()
        super().connection_lost(exc)


class TlsProtocols:
    """Makes the protocol of each accepted connection: a TLS one before the program's.

    Args:
        loop: Who runs them.
        protocol_factory: Called with nothing for the program's own.
        sslcontext: What their TLS is like.
        timeouts: Seconds for the handshake and for the shutdown.
    """

    def __init__(
        self,
        loop: Any,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: ssl.SSLContext,
        timeouts: tuple[float | None, float | None],
    ) -> None:
        self._loop = loop
        self._protocol_factory = protocol_factory
        self._sslcontext = sslcontext
        self._handshake_timeout, self._shutdown_timeout = timeouts

    def __call__(self) -> TlsProtocol:
        """Make one."""
        protocol = self._protocol_factory()
        # CPython: a task waits for each handshake, to tell of its failure in debug mode.
        waiter = self._loop.create_future() if self._loop._debug else None
        tls = TlsProtocol(
            self._loop,
            protocol,
            self._sslcontext,
            waiter,
            server_side=True,
            ssl_handshake_timeout=self._handshake_timeout,
            ssl_shutdown_timeout=self._shutdown_timeout,
        )
        if waiter is not None:
            made = self._loop, protocol, tls._app_transport
            waiter.add_done_callback(functools.partial(tell_of_failure, *made))
        return tls


def tell_of_failure(
    loop: Any,
    protocol: asyncio.BaseProtocol,
    transport: SSLTransport,
    waiter: asyncio.Future[None],
) -> None:
    """Report a handshake that failed, as CPython's ``_accept_connection2`` does."""
    exception = None if waiter.cancelled() else waiter.exception()
    if exception is not None:
        loop.call_exception_handler(
            {
                "message": "Error on transport creation for incoming connection",
                "exception": exception,
                "protocol": protocol,
                "transport": transport,
            }
        )


class TlsVerbs:
    """The loop's verbs of TLS: what upgrades a connection, and what ends those not begun."""

    _transports: dict[int, Any]

    async def shutdown_asyncgens(self) -> None:
        """End asynchronous generators, and handshakes of accepted connections.

        As ``asyncio.loop.shutdown_asyncgens``. Not thread-safe.
        """
        # CPython: a task waits for each such handshake, and is cancelled with all others before.
        for transport in self._transports.values():
            tls = transport.get_protocol()
            if isinstance(tls, TlsProtocol) and tls._shakes_hands():
                tls._app_transport.abort()
        await super().shutdown_asyncgens()  # type: ignore[misc]  # the loop is CPython's as well

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Return a TLS transport over ``transport``, for ``protocol`` to use from now on.

        What a stream of the server side has received and not read belongs to the handshake, on
        every version. As ``asyncio.loop.start_tls``. Not thread-safe.

        Raises:
            TypeError: ``sslcontext`` is no context, or the transport cannot be upgraded.
            ssl.SSLError: The handshake failed.
            ConnectionError: The connection was lost or took too long.
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(
                f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
            )
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter: asyncio.Future[None] | None = self.create_future()  # type: ignore[attr-defined]
        tls = TlsProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        # Order: the protocol hears of its connection before it is given a byte.
        transport.pause_reading()
        if server_side and isinstance(protocol, streams.StreamReaderProtocol):
            take_early_bytes(protocol, tls)
        transport.set_protocol(tls)
        made = self.call_soon(tls.connection_made, transport)  # type: ignore[attr-defined]
        resumed = self.call_soon(transport.resume_reading)  # type: ignore[attr-defined]
        try:
            await waiter  # type: ignore[misc]
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            waiter = None  # whoever keeps the exception keeps this frame
            raise
        upgraded: asyncio.Transport = tls._app_transport
        return upgraded


def take_early_bytes(protocol: streams.StreamReaderProtocol, tls: TlsProtocol) -> None:
    """Give the handshake what the stream has received and not read."""
    reader: Any = getattr(protocol, "_stream_reader", None)
    buffer = None if reader is None else reader._buffer
    if buffer:
        tls._keep(buffer)
        buffer.clear()


expect_tls(TlsProtocol, SSLTransport)
