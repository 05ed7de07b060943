"""Addresses that need no asking: numbers become addresses at once, without a thread.

The C library itself reads them, so the answer is what ``socket.getaddrinfo`` gives for the same
words. Does not know names: those are asked for in an executor, since that may block.
"""

import socket
from typing import Any

from . import _conbrio

__all__ = ["resolve_literal"]

# A program that puts its own resolver in its place (gevent, tests) is asked for numbers too.
_getaddrinfo = socket.getaddrinfo


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
        return _getaddrinfo(host, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
    except (OSError, ValueError, TypeError, OverflowError):
        return None  # not numbers after all, or an error that the real look-up tells in its words


def _may_be_literal(host: Any) -> bool:
    """Tell whether a host looks like an address; a wrong yes costs little, a wrong no a thread."""
    if host is None:
        return True
    return isinstance(host, str) and (host[-1:].isdecimal() or ":" in host)


def _is_number(port: Any) -> bool:
    """Tell whether a port needs no look-up among the services."""
    return port is None or isinstance(port, int) or (isinstance(port, str) and port.isdecimal())
