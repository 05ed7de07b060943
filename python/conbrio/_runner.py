"""Runs a coroutine from synchronous code, on a loop of ours that is made and closed for it.

Does not know what ``install()`` did: a loop of ours is used either way.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop

from . import _swaps
from ._hints import unhinted
from ._loop import new_event_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sys
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context
    from typing import Any, TypeAlias, TypeVar

    _T = TypeVar("_T")
    if sys.version_info >= (3, 14):
        _Main: TypeAlias = Awaitable[_T]
    else:
        _Main: TypeAlias = Coroutine[Any, Any, _T]

__all__ = ["Runner", "run"]


class Runner(asyncio.Runner):  # type: ignore[misc]  # final by its documentation only
    """``asyncio.Runner`` whose loop is a ``conbrio.Loop``.

    Args:
        debug: True or False sets the loop's debug mode, None leaves it as Python was started.
        loop_factory: Makes another loop instead; None means ours.
        primitives: True puts the native primitives in the places of asyncio's names while ``run``
            runs, as ``install()`` does.
    """

    __module__ = "conbrio"

    def __init__(
        self,
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        primitives: bool = False,
    ) -> None:
        super().__init__(debug=debug, loop_factory=loop_factory or new_event_loop)
        self._primitives = primitives

    def run(self, coro: _Main[_T], *, context: Context | None = None) -> _T:
        """Run a coroutine to its end and return its result; see ``asyncio.Runner.run``.

        Raises:
            RuntimeError: The runner is closed, or a loop is running in this thread.
            ValueError: ``coro`` is no coroutine; from 3.14 on TypeError, if it is no awaitable.
            BaseException: Whatever ``coro`` raises.
        """
        with _swaps.held(self._primitives):
            return super().run(coro, context=context)  # type: ignore[arg-type,unused-ignore]


def run(main: _Main[_T], *, debug: bool | None = None, primitives: bool = False) -> _T:
    """Run a coroutine to its end on a new loop of ours, and return its result.

    Afterwards tasks that are left are cancelled, asynchronous generators finalised, the default
    executor joined and the loop closed. As ``asyncio.run``, with its checks and messages.

    Args:
        main: The coroutine; from 3.14 on any awaitable.
        debug: True or False sets the loop's debug mode, None leaves it as Python was started.
        primitives: True puts the native primitives in the places of asyncio's names meanwhile, as
            ``install()`` does; else nothing in asyncio is touched.

    Raises:
        RuntimeError: A loop is running in this thread.
        ValueError: ``main`` is no coroutine; from 3.14 on TypeError, if it is no awaitable.
        BaseException: Whatever ``main`` raises.
    """
    if _get_running_loop() is not None:
        # CPython: `asyncio.run` says it in these words before it looks at `main`.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with _swaps.held(primitives), Runner(debug=debug) as runner:
        return runner.run(main)


unhinted(Runner, run)
