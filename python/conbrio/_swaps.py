"""Which of asyncio's names have a native counterpart, and putting those in their places.

A name is replaced wherever asyncio's modules hold it: ``asyncio.Queue``, ``asyncio.queues.Queue``
and what they import from each other. Names that a program has captured stay asyncio's, which
work on any loop. Does not know who asks for it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import types
from contextlib import contextmanager

from . import _streams, _sync
from ._conbrio import _swapped as shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["PRIMITIVES", "held", "hold", "let_go"]

# asyncio's name, and ours: one line each.
PRIMITIVES: dict[str, Any] = {
    "Barrier": _sync.Barrier,
    "BoundedSemaphore": _sync.BoundedSemaphore,
    "Condition": _sync.Condition,
    "Event": _sync.Event,
    "LifoQueue": _sync.LifoQueue,
    "Lock": _sync.Lock,
    "PriorityQueue": _sync.PriorityQueue,
    "Queue": _sync.Queue,
    "Semaphore": _sync.Semaphore,
    "StreamReader": _streams.StreamReader,
    "StreamReaderProtocol": _streams.StreamReaderProtocol,
    "StreamWriter": _streams.StreamWriter,
    "TaskGroup": _sync.TaskGroup,
    "Timeout": _sync.Timeout,
    "as_completed": _sync.as_completed,
    "gather": _sync.gather,
    "open_connection": _streams.open_connection,
    "open_unix_connection": _streams.open_unix_connection,
    "shield": _sync.shield,
    "sleep": _sync.sleep,
    "start_server": _streams.start_server,
    "start_unix_server": _streams.start_unix_server,
    "timeout": _sync.timeout,
    "timeout_at": _sync.timeout_at,
    "wait": _sync.wait,
    "wait_for": _sync.wait_for,
}

# What is asyncio's own here as well has nothing to be swapped with.
PRIMITIVES = {
    name: ours for name, ours in PRIMITIVES.items() if ours is not getattr(asyncio, name, None)
}

# What asyncio had at import, before anybody could swap it.
_theirs = {name: getattr(asyncio, name) for name in PRIMITIVES if hasattr(asyncio, name)}

_lock = threading.Lock()
_holders = 0
# What was replaced: the module, its attribute, what stood there and what stands there.
_places: list[tuple[types.ModuleType, str, Any, Any]] = []


def hold() -> None:
    """Put ours in place, unless somebody holds them there already; ``let_go`` once for each."""
    global _holders  # noqa: PLW0603 - the process has one set of names
    with _lock:
        _holders += 1
        if _holders == 1:
            _put()


def let_go() -> None:
    """Put back what was there when nobody holds ours any more.

    What somebody else has put in place since stays.
    """
    global _holders  # noqa: PLW0603 - as above
    with _lock:
        _holders -= 1
        if _holders == 0:
            _take_back()


@contextmanager
def held(wanted: bool) -> Iterator[None]:
    """Hold ours in place for the length of a ``with`` block, if that is wanted."""
    if not wanted:
        yield
        return
    hold()
    try:
        yield
    finally:
        let_go()


def _modules() -> list[types.ModuleType]:
    """Return asyncio and its modules."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "asyncio" and isinstance(module, types.ModuleType)
    ]


def _put() -> None:
    ours = {id(_theirs[name]): PRIMITIVES[name] for name in _theirs}
    for module in _modules():
        for attribute, value in list(vars(module).items()):
            swapped = ours.get(id(value))
            if swapped is not None:
                setattr(module, attribute, swapped)
                _places.append((module, attribute, value, swapped))
    shown[:] = sorted({f"{module.__name__}.{attribute}" for module, attribute, _, _ in _places})


def _take_back() -> None:
    while _places:
        module, attribute, before, ours = _places.pop()
        if vars(module).get(attribute) is ours:
            setattr(module, attribute, before)
    shown.clear()
