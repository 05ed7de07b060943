"""Streams: asyncio's three classes with a native half each, and the four functions that make them.

What runs once per connection is CPython's own code, told to make our classes: its words, its
argument checks, its order, on each version. Does not know how the native half keeps its state.
"""

import asyncio
import types
from asyncio import streams
from typing import Any

from . import _conbrio
from ._sync import _Standing, _stands_for

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


class StreamReader(_conbrio.StreamReader, asyncio.StreamReader, metaclass=_Standing):
    """The receiving half of a stream, ``asyncio.StreamReader`` with a native buffer.

    Args:
        limit: How many bytes a line may have; with twice as many waiting, the transport pauses.
        loop: The event loop; the current one by default.

    Raises:
        ValueError: The limit is not positive.
    """

    __module__ = "conbrio"
    __slots__ = ()


class StreamWriter(_conbrio.StreamWriter, asyncio.StreamWriter, metaclass=_Standing):
    """The sending half of a stream, ``asyncio.StreamWriter`` whose writes are native."""

    __module__ = "conbrio"
    __slots__ = ()


class StreamReaderProtocol(
    _conbrio.StreamReaderProtocol, asyncio.StreamReaderProtocol, metaclass=_Standing
):
    """The protocol between a transport and a stream, ``asyncio.StreamReaderProtocol``."""

    __module__ = "conbrio"
    __slots__ = ()


_conbrio._set_stream_classes(  # noqa: SLF001 - our own other half
    StreamReader, StreamWriter, StreamReaderProtocol
)

_stands_for.update(
    {
        StreamReader: asyncio.StreamReader,
        StreamWriter: asyncio.StreamWriter,
        StreamReaderProtocol: asyncio.StreamReaderProtocol,
    }
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
