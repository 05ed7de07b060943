"""The socket that a program sees of a transport: what was written leaves before it.

Writes of a turn leave at its end, so what is done to the socket in between would come before
them. Does not know how a transport sends.
"""

from __future__ import annotations

import weakref
from asyncio import trsock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

__all__ = ["TransportSocket"]


class TransportSocket(trsock.TransportSocket):
    """``asyncio.trsock.TransportSocket`` of a transport whose writes wait for the end of a turn."""

    __slots__ = ("_owner",)

    def __init__(self, sock: socket.socket, transport: Any) -> None:
        super().__init__(sock)
        self._owner = weakref.ref(transport)

    def _settle(self) -> None:
        transport = self._owner()
        if transport is not None:
            transport._settle()  # noqa: SLF001 - our own

    def fileno(self) -> int:
        """Return the descriptor; what was written has been offered to the system before."""
        self._settle()
        return super().fileno()

    def dup(self) -> socket.socket:
        """Return another socket of the same connection."""
        self._settle()
        return super().dup()

    def shutdown(self, how: int) -> None:
        """Shut a direction down, after what was written."""
        self._settle()
        super().shutdown(how)

    def getsockopt(self, *args: Any, **kwargs: Any) -> Any:
        """Return an option, as what was written has left it."""
        self._settle()
        return super().getsockopt(*args, **kwargs)

    def setsockopt(self, *args: Any, **kwargs: Any) -> None:
        """Set an option for what is written from now on."""
        self._settle()
        super().setsockopt(*args, **kwargs)
