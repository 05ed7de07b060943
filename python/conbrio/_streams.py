"""Streams: asyncio's three classes with a native half each, and the four functions that make them.

What runs once per connection is CPython's own code, told to make our classes: its words, its
argument checks, its order, on each version. Does not know how the native half keeps its state.
"""

from __future__ import annotations

import asyncio
import types
from asyncio import streams
from collections.abc import MutableMapping

from . import _conbrio
from ._standing import Standing, stand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
]

_conbrio._know_stock_streams(  # noqa: SLF001 - our own other half
    asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReaderProtocol
)


class StreamReader(_conbrio.StreamReader, asyncio.StreamReader, metaclass=Standing):
    """The receiving half of a stream, ``asyncio.StreamReader`` with a native buffer.

    Args:
        limit: How many bytes a line may have; with twice as many waiting, the transport pauses.
        loop: The event loop; the current one by default.

    Raises:
        ValueError: The limit is not positive.
    """

    __module__ = "conbrio"
    __slots__ = ()


class StreamWriter(_conbrio.StreamWriter, asyncio.StreamWriter, metaclass=Standing):
    """The sending half of a stream, ``asyncio.StreamWriter`` whose writes are native."""

    __module__ = "conbrio"
    __slots__ = ()


# What CPython's protocol has in its dictionary, and ours elsewhere.
_KEPT = (
    "_client_connected_cb",
    "_closed",
    "_connection_lost",
    "_drain_waiters",
    "_loop",
    "_over_ssl",
    "_paused",
    "_reject_connection",
    "_source_traceback",
    "_stream_reader_wr",
    "_stream_writer",
    "_strong_reader",
    "_task",
    "_transport",
)
_attributes = vars(_conbrio.StreamReaderProtocol)["__dict__"]


class _Attributes(dict[str, "Any"]):
    """The dictionary of a protocol, with what is kept elsewhere; what is set in it is set there."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(_attributes.__get__(protocol))
        for name in _KEPT:
            if hasattr(protocol, name):
                super().__setitem__(name, getattr(protocol, name))
        self._protocol = protocol

    def __setitem__(self, name: str, value: Any) -> None:
        """Set an attribute of the protocol."""
        object.__setattr__(self._protocol, name, value)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        """Delete an attribute of the protocol."""
        super().__delitem__(name)
        object.__delattr__(self._protocol, name)

    # What a dictionary does by itself goes by these two then.
    clear = MutableMapping.clear
    popitem = MutableMapping.popitem
    setdefault = MutableMapping.setdefault
    update = MutableMapping.update

    def pop(self, name: str, *default: Any) -> Any:
        """Delete an attribute of the protocol and return its value."""
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def __ior__(self, given: Any) -> Any:  # type: ignore[misc]  # any mapping
        """Set several attributes of the protocol."""
        self.update(given)
        return self


class StreamReaderProtocol(
    _conbrio.StreamReaderProtocol, asyncio.StreamReaderProtocol, metaclass=Standing
):
    """The protocol between a transport and a stream, ``asyncio.StreamReaderProtocol``."""

    __module__ = "conbrio"
    __slots__ = ()

    @property
    def __dict__(self) -> dict[str, Any]:
        """All attributes: subclasses save them and put them back."""
        return _Attributes(self)

    @__dict__.setter
    def __dict__(self, attributes: dict[str, Any]) -> None:
        _attributes.__set__(self, {})
        _Attributes(self).update(attributes)


for _ours in (StreamReader, StreamWriter, StreamReaderProtocol):
    stand(_ours, getattr(asyncio, _ours.__name__))
_conbrio._set_stream_classes(  # noqa: SLF001 - our own other half
    StreamReader, StreamWriter, StreamReaderProtocol
)

# What CPython's code finds where it looks for its own classes.
_names = {
    **vars(streams),
    "StreamReader": StreamReader,
    "StreamReaderProtocol": StreamReaderProtocol,
    "StreamWriter": StreamWriter,
}


def _with_ours(function: Any) -> Any:
    """Return CPython's function, which makes our classes where it makes CPython's."""
    copy = types.FunctionType(
        function.__code__, _names, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__doc__ = function.__doc__
    copy.__module__ = "conbrio"
    return copy


StreamReaderProtocol.connection_made = _with_ours(  # type: ignore[method-assign]
    asyncio.StreamReaderProtocol.connection_made
)
open_connection = _with_ours(asyncio.open_connection)
open_unix_connection = _with_ours(asyncio.open_unix_connection)
start_server = _with_ours(asyncio.start_server)
start_unix_server = _with_ours(asyncio.start_unix_server)
