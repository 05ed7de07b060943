"""Work that an executor does, as far as it is not CPython's own code.

Between the executor's future and ours stands a native follower. Does not know executors: the
default one is made and kept as CPython's loop does.
"""

from __future__ import annotations

import concurrent.futures
from asyncio import futures

from ._conbrio import follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

__all__ = ["Jobs", "executes_as_usual"]


def _ends_at_once() -> bool:
    """Tell whether this CPython ends a job's future at once when it ends in the loop's thread."""
    chain = futures._chain_future  # type: ignore[attr-defined]  # noqa: SLF001
    code = getattr(chain, "__code__", None)
    inner = (getattr(const, "co_names", ()) for const in getattr(code, "co_consts", ()))
    return any("_get_running_loop" in names for names in inner)


AT_ONCE = _ends_at_once()


class Jobs:
    """The verb, for a loop that has CPython's other half."""

    if TYPE_CHECKING:
        _debug: bool
        _default_executor: concurrent.futures.Executor | None

        def _check_closed(self) -> None: ...
        def _check_callback(self, callback: Any, method: str) -> None: ...
        def _check_default_executor(self) -> None: ...
        def create_future(self) -> asyncio.Future[Any]: ...

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[..., Any],
        *args: Any,
    ) -> asyncio.Future[Any]:
        """Have an executor call ``func(*args)`` and return a future of its result.

        ``None`` means the loop's default executor. As ``asyncio.loop.run_in_executor``. Not
        thread-safe.

        Raises:
            RuntimeError: The loop is closed, or its default executor was shut down.
        """
        self._check_closed()
        if self._debug:
            self._check_callback(func, "run_in_executor")
        if executor is None:
            executor = self._default_executor
            self._check_default_executor()
            if executor is None:
                executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
                self._default_executor = executor
        job = executor.submit(func, *args)
        if type(job) is concurrent.futures.Future:
            future = self.create_future()
            if not follow(self, job, future, AT_ONCE):
                futures._chain_future(job, future)  # type: ignore[attr-defined]  # noqa: SLF001
            return future
        return futures.wrap_future(job, loop=self)  # type: ignore[arg-type]


def executes_as_usual(loop: Jobs) -> bool:
    """Tell whether nobody has put a ``run_in_executor`` of his own in the place of ours."""
    return getattr(loop.run_in_executor, "__func__", None) is Jobs.run_in_executor
