"""Which descriptor has which transport, as CPython's loop keeps it in ``_transports``.

A dictionary of weak references, so that native transports enter themselves without running
Python code. What is dead stays until its number is used again, and is not shown. Does not know
what a transport is.
"""

from __future__ import annotations

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Transports"]


class Transports(dict[int, "Any"]):
    """A ``weakref.WeakValueDictionary`` as far as asyncio uses one."""

    def _alive(self) -> dict[int, Any]:
        """Return the transports that live, by descriptor."""
        found = {fd: reference() for fd, reference in dict.items(self)}
        return {fd: transport for fd, transport in found.items() if transport is not None}

    def get(self, fd: int, default: Any = None) -> Any:
        """Return the transport of a descriptor, or ``default``."""
        reference = dict.get(self, fd)
        transport = None if reference is None else reference()
        return default if transport is None else transport

    def __getitem__(self, fd: int) -> Any:
        """Return the transport of a descriptor; ``KeyError`` if there is none."""
        transport = self.get(fd)
        if transport is None:
            raise KeyError(fd)
        return transport

    def __setitem__(self, fd: int, transport: Any) -> None:
        """Enter a transport, without keeping it alive."""
        dict.__setitem__(self, fd, weakref.ref(transport))

    def pop(self, fd: int, *default: Any) -> Any:
        """Take a transport out and return it."""
        transport = self.get(fd)
        dict.pop(self, fd, None)
        if transport is not None:
            return transport
        if default:
            return default[0]
        raise KeyError(fd)

    def __contains__(self, fd: object) -> bool:
        """Tell whether a descriptor has a transport."""
        return fd in self._alive()

    def __len__(self) -> int:
        """Return how many transports live."""
        return len(self._alive())

    def __iter__(self) -> Iterator[int]:
        """Go through the descriptors."""
        return iter(self._alive())

    def keys(self) -> dict_keys[int, Any]:
        """Return the descriptors."""
        return self._alive().keys()

    def values(self) -> dict_values[int, Any]:
        """Return the transports."""
        return self._alive().values()

    def items(self) -> dict_items[int, Any]:
        """Return both."""
        return self._alive().items()
