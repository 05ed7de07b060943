"""Which sockets move bytes and accept by their descriptor alone, as Python's own do.

Programs put other things in the place of ``socket.socket``, also such as are no classes: what it
was is kept from the beginning. Does not know who asks.
"""

from __future__ import annotations

import _socket
import socket

__all__ = ["SOCKET", "accepts_as_socket", "sends_as_socket"]

# Python's class of sockets.
SOCKET: type[socket.socket] = (
    socket.socket if isinstance(socket.socket, type) else _socket.socket  # type: ignore[assignment]
)

# What asyncio's transports ask of a socket, and ours ask of its descriptor.
MOVES = ("recv", "recv_into", "send", "sendmsg", "shutdown")


def sends_as_socket(kind: type) -> bool:
    """Tell whether a class of sockets moves bytes by its descriptor alone, as Python's own does."""
    return issubclass(kind, SOCKET) and all(
        getattr(kind, name) is getattr(SOCKET, name) for name in MOVES
    )


def accepts_as_socket(kind: type) -> bool:
    """Tell whether a class of sockets accepts by its descriptor alone, as Python's own does."""
    return issubclass(kind, SOCKET) and kind.accept is SOCKET.accept
