"""Makes asyncio use our loop where a program does not say which, and stops it from doing so.

With it come the native primitives, in the places of asyncio's names. As to the loop: up to 3.15
that is asyncio's policy; from 3.16, which has no policies, it is the function that makes loops.
Nothing here happens at import.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events, unix_events

from . import _swaps
from ._loop import Loop, new_event_loop

# ruff: noqa: SLF001 - policies have private doors only, from 3.14 on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["install", "uninstall"]

if sys.version_info < (3, 16):
    __all__ += ["EventLoopPolicy"]

    class EventLoopPolicy(unix_events._UnixDefaultEventLoopPolicy):
        """asyncio's default policy with loops of ours: for ``asyncio.set_event_loop_policy``."""

        __module__ = "conbrio"
        _loop_factory = Loop


class _Swap:
    """What stood where ours stands now, and how to put each in its place."""

    def __init__(self) -> None:
        self._ours: Any = None
        self._before: Any = None

    def put(self) -> None:
        """Put ours in place, unless it is there."""
        if self._ours is not None and self._current() is self._ours:
            return
        self._before = self._current()
        self._ours = self._make()
        self._set(self._ours)

    def take_back(self) -> None:
        """Put back what was there, unless somebody has put in something else since."""
        if self._ours is not None and self._current() is self._ours:
            self._set(self._before)
        self._ours = self._before = None

    if sys.version_info < (3, 16):

        def _current(self) -> Any:
            # The getter would make a default policy where there is none yet, and warns on 3.14.
            return events._event_loop_policy  # type: ignore[attr-defined]

        def _make(self) -> Any:
            return EventLoopPolicy()

        def _set(self, policy: Any) -> None:
            if sys.version_info >= (3, 14):
                events._set_event_loop_policy(policy)
            else:
                asyncio.set_event_loop_policy(policy)

    else:

        def _current(self) -> Any:
            return events.new_event_loop

        def _make(self) -> Any:
            return new_event_loop

        def _set(self, factory: Any) -> None:
            events.new_event_loop = asyncio.new_event_loop = factory


_swap = _Swap()
_holding = False


def install(*, primitives: bool = True) -> None:
    """Make asyncio use our loop wherever a program does not name another, and our primitives.

    ``asyncio.run``, ``asyncio.Runner`` and ``asyncio.new_event_loop`` give a ``conbrio.Loop``
    afterwards; loops that exist stay what they are. A second call changes nothing. As
    ``asyncio.set_event_loop_policy`` while there are policies. Call it before threads start.

    ``build_info()["swapped"]`` lists the names that are replaced then, ``asyncio.Queue`` and so on;
    what a program has imported by name before stays asyncio's own, which works on any loop.

    Args:
        primitives: False leaves asyncio's names alone.
    """
    global _holding  # noqa: PLW0603 - the process has one set of names
    _swap.put()
    if primitives and not _holding:
        _holding = True
        _swaps.hold()


def uninstall() -> None:
    """Undo ``install()``: exactly what stood before it stands again.

    Changes nothing where nothing is installed, nor where somebody has put a policy of their own
    in place since. Loops that exist stay what they are.
    """
    global _holding  # noqa: PLW0603 - as above
    _swap.take_back()
    if _holding:
        _holding = False
        _swaps.let_go()
