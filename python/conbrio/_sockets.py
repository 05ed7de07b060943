"""Which sockets connect, move bytes and accept by their descriptor alone, as Python's own do.

Programs put other things in the place of ``socket.socket``, also such as are no classes, or of its
methods: what they were is kept from the beginning. Does not know who asks.
"""

from __future__ import annotations

import _socket
import socket

__all__ = ["SOCKET", "accepts_as_socket", "connects_as_socket", "sends_as_socket"]

# Python's class of sockets.
SOCKET: type[socket.socket] = socket.socket if isinstance(socket.socket, type) else _socket.socket

# What asyncio's transports ask of a socket, and ours ask of its descriptor.
MOVES = {
    name: getattr(_socket.socket, name)
    for name in ("recv", "recv_into", "send", "sendmsg", "shutdown")
}
CONNECT = _socket.socket.connect
# Not there where somebody had replaced the class before: then none accepts so.
ACCEPT = getattr(SOCKET, "accept", None)


def sends_as_socket(kind: type) -> bool:
    """Tell whether a class of sockets moves bytes by its descriptor alone, as Python's own does."""
    return issubclass(kind, SOCKET) and all(
        getattr(kind, name) is usual for name, usual in MOVES.items()
    )


def connects_as_socket(kind: type) -> bool:
    """Tell whether a class of sockets connects so, and then moves bytes so."""
    return sends_as_socket(kind) and kind.connect is CONNECT  # type: ignore[attr-defined]


def accepts_as_socket(kind: type) -> bool:
    """Tell whether a class of sockets accepts so, and what it accepts moves bytes so."""
    return issubclass(kind, SOCKET) and kind.accept is ACCEPT and sends_as_socket(SOCKET)
