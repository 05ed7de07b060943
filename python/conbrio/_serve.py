"""Connections that come in where the native listener cannot accept them, with Python's sockets.

Runs once per connection. Does not know how bytes move, nor TLS, nor what a server counts: the
transport tells its server when it comes and goes.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
from asyncio import constants, trsock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from ._loop import Loop

__all__ = ["Listener"]

# ruff: noqa: SLF001 - it works with loop methods that CPython names and shapes

# What accept() answers when the process or the system has nothing left to make a socket of.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

logger = logging.getLogger("asyncio")


class Listener:
    """A listening socket, and what becomes of those who knock.

    Args:
        loop: Who watches the socket; everything here happens on its thread.
        protocol_factory: Called with nothing for each connection.
        sock: The listening socket, non-blocking.
        server: What each transport is attached to, or None.
        backlog: Most connections accepted in one turn, less one.
        context: What each connection's context is a copy of; None for the current one.
    """

    def __init__(
        self,
        loop: Loop,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        server: Any,
        backlog: int,
        context: contextvars.Context | None,
    ) -> None:
        self._loop = loop
        self._protocol_factory = protocol_factory
        self._sock = sock
        self._server = server
        self._backlog = backlog
        self._context = context

    def arm(self) -> None:
        """Begin to accept; a socket that was closed meanwhile is left alone."""
        fd = self._sock.fileno()
        if fd != -1 and not self._loop.is_closed():
            self._loop._add_reader(fd, self._accept_batch)

    def _accept_batch(self) -> None:
        """Accept whoever waits, as CPython's ``_accept_connection`` does.

        One more than the backlog is asked for, so that a burst which fills it is seen to end.
        """
        for _ in range(self._backlog + 1):
            try:
                conn, address = self._sock.accept()
                if self._loop._debug:
                    logger.debug("%r got a new connection from %r: %r", self._server, address, conn)
                conn.setblocking(False)
            except ConnectionAbortedError:
                continue  # gone before it was accepted
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._rest(error)
                return
            self._greet(conn, address)

    def _rest(self, error: OSError) -> None:
        """Report that nothing is left to make sockets of, and stop accepting for a second.

        Linux goes on saying that the socket is readable, so the loop would spin otherwise.
        """
        self._loop.call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": error,
                "socket": trsock.TransportSocket(self._sock),
            }
        )
        self._loop._remove_reader(self._sock.fileno())
        self._loop.call_later(constants.ACCEPT_RETRY_DELAY, self.arm)

    def _greet(self, conn: socket.socket, address: Any) -> None:
        """Give a connection its protocol and transport, in a context of its own."""
        given = None if self._context is None else self._context.copy()
        context = contextvars.copy_context() if given is None else given
        context.run(self._connect, conn, address, given)

    def _connect(
        self, conn: socket.socket, address: Any, context: contextvars.Context | None
    ) -> None:
        """Connect protocol and transport; what goes wrong is told in debug mode, as by CPython."""
        protocol = None
        try:
            protocol = self._protocol_factory()
            self._loop._make_socket_transport(
                conn, protocol, extra={"peername": address}, server=self._server, context=context
            )
        except (SystemExit, KeyboardInterrupt):
            conn.close()
            raise
        except BaseException as error:  # noqa: BLE001 - CPython's loop outlives any of them here
            conn.close()
            self._complain(error, protocol)

    def _complain(self, error: BaseException, protocol: asyncio.BaseProtocol | None) -> None:
        """Report a connection that could not be made, in debug mode."""
        if not self._loop._debug:
            return
        report: dict[str, Any] = {
            "message": "Error on transport creation for incoming connection",
            "exception": error,
        }
        if protocol is not None:
            report["protocol"] = protocol
        self._loop.call_exception_handler(report)
