"""Socket operations that a coroutine awaits: sock_recv and its family.

Each is one native try, which answers at once or says what to wait for. Does not know how the
descriptor is watched. sock_connect is CPython's own, and so is what sock_sendfile checks and how
it goes on where the kernel cannot send a file by itself.
"""

from __future__ import annotations

import io
import os
import sys
from asyncio import exceptions, unix_events

from ._conbrio import SocketWait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from typing_extensions import Buffer

__all__ = ["SocketVerbs"]


async def _done(answer: Any) -> Any:
    """Wait for what a try could not do at once, and stop watching however that ends."""
    try:
        return await answer.future
    finally:
        answer.release()


# Newer versions leave a file where the bytes end also when there were none.
_ALWAYS_PLACED = (
    "total_sent"
    not in unix_events.SelectorEventLoop._sock_sendfile_update_filepos.__code__.co_varnames  # type: ignore[attr-defined] # noqa: SLF001
)


async def _send_by_method(loop: SocketVerbs, sock: socket.socket, data: Buffer) -> None:
    """Send all of ``data`` by the ``send`` that the socket's class has of its own."""
    rest = data
    while True:
        answer = loop._native_writing(sock, "send", rest)  # noqa: SLF001 - the loop's own verb
        sent = await _done(answer) if type(answer) is SocketWait else answer
        rest = memoryview(rest)[sent:]
        if not len(rest):
            return


class SocketVerbs:
    """The verbs, for a loop that has the native tries.

    Every socket has to be non-blocking, and may be used by one verb a direction at a time. Not
    thread-safe.
    """

    if TYPE_CHECKING:

        def _native_recv(self, sock: socket.socket, n: int, /) -> Any: ...
        def _native_recv_into(self, sock: socket.socket, buf: Buffer, /) -> Any: ...
        def _native_sendall(self, sock: socket.socket, data: Buffer, /) -> Any: ...
        def _native_sendfile(
            self,
            sock: socket.socket,
            file: int,
            offset: int,
            count: int | None,
            size: int,
            always_placed: bool,
            /,
        ) -> Any: ...
        def _native_reading(self, sock: socket.socket, method: str, /, *args: Any) -> Any: ...
        def _native_writing(self, sock: socket.socket, method: str, /, *args: Any) -> Any: ...

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receive at most ``n`` bytes; none means that the peer sends no more.

        As ``asyncio.loop.sock_recv``.

        Raises:
            OSError: The connection is broken.
        """
        answer = self._native_recv(sock, n)
        if type(answer) is SocketWait:
            try:
                return await answer.future
            finally:
                answer.release()
        return answer

    async def sock_recv_into(self, sock: socket.socket, buf: Buffer) -> int:
        """Receive into ``buf``; return how many bytes came.

        As ``asyncio.loop.sock_recv_into``.

        Raises:
            OSError: The connection is broken.
        """
        answer = self._native_recv_into(sock, buf)
        return await _done(answer) if type(answer) is SocketWait else answer

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        """Receive a datagram; return its bytes and its sender's address.

        As ``asyncio.loop.sock_recvfrom``.

        Raises:
            OSError: The socket cannot receive.
        """
        answer = self._native_reading(sock, "recvfrom", bufsize)
        return await _done(answer) if type(answer) is SocketWait else answer

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: Buffer, nbytes: int = 0
    ) -> tuple[int, Any]:
        """Receive a datagram into ``buf``; return how many bytes came, and from where.

        As ``asyncio.loop.sock_recvfrom_into``.

        Raises:
            OSError: The socket cannot receive.
        """
        answer = self._native_reading(sock, "recvfrom_into", buf, nbytes or len(buf))  # type: ignore[arg-type]
        return await _done(answer) if type(answer) is SocketWait else answer

    async def sock_sendall(self, sock: socket.socket, data: Buffer) -> None:
        """Send all of ``data``.

        As ``asyncio.loop.sock_sendall``.

        Raises:
            OSError: The connection is broken; how much was sent cannot be told.
        """
        answer = self._native_sendall(sock, data)
        if answer is NotImplemented:
            await _send_by_method(self, sock, data)
        elif answer is not None:
            await _done(answer)

    async def _sock_sendfile_native(
        self, sock: socket.socket, file: Any, offset: int, count: int | None
    ) -> int:
        """Have the kernel send a file; return how many bytes went.

        The file's position is then where these end, also after an exception. CPython: leaves it
        alone when the task is cancelled.

        Raises:
            asyncio.SendfileNotAvailableError: The kernel cannot send this; nothing was sent.
            OSError: The connection is broken.
        """
        try:
            fileno = file.fileno()
        except (AttributeError, io.UnsupportedOperation):
            raise exceptions.SendfileNotAvailableError("not a regular file")  # noqa: B904
        try:
            size = os.fstat(fileno).st_size
        except OSError:
            raise exceptions.SendfileNotAvailableError("not a regular file")  # noqa: B904
        if not (count or size):
            return 0
        most = min(count, sys.maxsize) if count else None
        answer = self._native_sendfile(sock, fileno, offset, most, size, _ALWAYS_PLACED)
        return await _done(answer) if type(answer) is SocketWait else answer

    async def sock_sendto(self, sock: socket.socket, data: Buffer, address: Any) -> int:
        """Send a datagram to ``address``; return how many bytes went.

        As ``asyncio.loop.sock_sendto``.

        Raises:
            OSError: The socket cannot send.
        """
        answer = self._native_writing(sock, "sendto", data, address)
        return await _done(answer) if type(answer) is SocketWait else answer

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accept a connection; return its socket, non-blocking, and the peer's address.

        As ``asyncio.loop.sock_accept``.

        Raises:
            OSError: The socket does not listen, or no descriptor is left.
        """
        answer = self._native_reading(sock, "accept")
        conn, address = await _done(answer) if type(answer) is SocketWait else answer
        conn.setblocking(False)
        return conn, address
