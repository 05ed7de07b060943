"""Connections that go out to an address in numbers, and such addresses without a thread.

``create_connection`` goes its native way when nothing has to be asked: one address, written in
numbers, and nobody has put methods or sockets of his own in the place of asyncio's. All else is
CPython's own code. Does not know names: those are asked for in an executor, since that may block.
"""

from __future__ import annotations

import contextvars
import socket
import sys
from asyncio import base_events

from . import _conbrio
from ._sockets import SOCKET, connects_as_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

__all__ = ["Dials", "resolve_literal", "wants_numbers"]

# ruff: noqa: PLR0913 - the names and shapes are those that CPython's half uses

# A program that puts its own resolver in its place (gevent, tests) is asked for numbers too.
_getaddrinfo = socket.getaddrinfo
_getnameinfo = socket.getnameinfo
_NUMBERS = int(socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
# The same of its own sockets.
_socket_module: Any = socket
_socket = socket.socket


class Dials:
    """The verb that makes a connection, for a loop that dials natively."""

    if TYPE_CHECKING:
        _debug: bool

        def _native_dial(
            self, host: Any, port: Any, family: int, proto: int, /
        ) -> _conbrio.Dial | None: ...

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: Any = None,
        server_hostname: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[Any, Any]:
        """Connect to ``host`` and ``port``; return a transport and what the factory made.

        As ``asyncio.loop.create_connection``. Not thread-safe.

        Raises:
            OSError: There is no connection to be had.
            ValueError: The arguments do not go together.
        """
        dial = None
        if (
            sock is local_addr is happy_eyeballs_delay is None
            and (ssl or server_hostname is ssl_handshake_timeout is ssl_shutdown_timeout is None)
            and not (interleave or self._debug or (all_errors and sys.version_info < (3, 12)))
            and _is_usual()
        ):
            dial = self._native_dial(host, port, family, proto)
        if dial is None:
            more = {"all_errors": all_errors} if all_errors else {}
            return await super().create_connection(  # type: ignore[misc,no-any-return]
                protocol_factory,
                host,
                port,
                ssl=ssl,
                family=family,
                proto=proto,
                flags=flags,
                sock=sock,
                local_addr=local_addr,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
                happy_eyeballs_delay=happy_eyeballs_delay,
                interleave=interleave,
                **more,
            )
        await _settled(dial, all_errors=all_errors)
        if not ssl:
            return await _begun(dial, protocol_factory)
        name = host if server_hostname is None else server_hostname
        times = ssl_handshake_timeout, ssl_shutdown_timeout
        return await _secured(self, dial, protocol_factory, ssl, name, times)


def _is_usual() -> bool:
    """Tell whether asyncio's own code would make the sockets that we make."""
    return (
        socket.socket is _socket
        and base_events.socket is _socket_module  # type: ignore[attr-defined]
        and connects_as_socket(SOCKET)
    )


async def _settled(dial: _conbrio.Dial, *, all_errors: bool) -> None:
    """Wait until the connection is there; give it up when it does not come."""
    try:
        await dial.future
    except OSError as error:
        failure = error
    except BaseException:
        dial.close()
        raise
    else:
        return
    dial.close()
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", [failure])
        raise failure
    finally:
        del failure  # whoever keeps the exception keeps this frame


async def _begun(
    dial: _conbrio.Dial, protocol_factory: Callable[[], asyncio.BaseProtocol]
) -> tuple[_conbrio.StreamTransport, asyncio.BaseProtocol]:
    """Give the connection its protocol and transport."""
    try:
        # CPython: from 3.15 on the protocol has a context of its own, copied before it is made.
        context = contextvars.copy_context() if sys.version_info >= (3, 15) else None
        protocol = protocol_factory()
        transport, waiter = dial.transport(protocol, context)
    except BaseException:
        dial.close()
        raise
    try:
        await waiter
    except BaseException:
        transport.close()
        del waiter
        raise
    return transport, protocol


async def _secured(
    loop: Any,
    dial: _conbrio.Dial,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    context: Any,
    name: str,
    times: tuple[float | None, float | None],
) -> tuple[Any, Any]:
    """Give the connection its protocol and a TLS transport: CPython's own code."""
    handshake, shutdown = times
    return await loop._create_connection_transport(  # type: ignore[no-any-return]  # noqa: SLF001
        dial.socket(),
        protocol_factory,
        context,
        name,
        ssl_handshake_timeout=handshake,
        ssl_shutdown_timeout=shutdown,
    )


def resolve_literal(host: Any, port: Any, *rest: int) -> list[tuple[Any, ...]] | None:
    """Return the addresses of a host given in numbers; None for one that must be looked up.

    Never blocks: the host is read as numbers only, and a service's name is not looked up.

    Args:
        host: As for ``socket.getaddrinfo``; None means this machine.
        port: Likewise; a number, in digits or not, or None.
        rest: Family, type, protocol and flags.
    """
    if socket.getaddrinfo is not _getaddrinfo:
        return None
    family, kind, proto, flags = rest
    known = _conbrio.resolve_literal(host, port, family, kind, proto, flags)
    if known is not None or not (_may_be_literal(host) and _is_number(port)):
        return known
    try:
        return _getaddrinfo(host, port, family, kind, proto, flags | int(socket.AI_NUMERICHOST))
    except (OSError, ValueError, TypeError, OverflowError):
        return None  # not numbers after all, or an error that the real look-up tells in its words


def wants_numbers(flags: Any) -> bool:
    """Tell whether ``socket.getnameinfo`` is asked for numbers alone, and so looks nothing up."""
    return (
        isinstance(flags, int)
        and flags & _NUMBERS == _NUMBERS
        and socket.getnameinfo is _getnameinfo
    )


def _may_be_literal(host: Any) -> bool:
    """Tell whether a host looks like an address; a wrong yes costs little, a wrong no a thread."""
    if host is None:
        return True
    return isinstance(host, str) and (host[-1:].isdecimal() or ":" in host)


def _is_number(port: Any) -> bool:
    """Tell whether a port needs no look-up among the services."""
    return port is None or isinstance(port, int) or (isinstance(port, str) and port.isdecimal())
