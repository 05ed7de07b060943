"""Pipes and child processes, as far as they are not CPython's own code.

The transports of both ends of a pipe are native, and so is the waiting for a child's end. What
happens once per child (its start, its transport) is asyncio's. Does not know how a descriptor
is watched.
"""

from __future__ import annotations

import sys
from asyncio import events, protocols, unix_events

from ._conbrio import ReadPipeTransport, WritePipeTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Any, Protocol

    class _Waits(Protocol):
        """What a loop knows of its children."""

        def _native_watch_child(
            self, pid: int, callback: Any, args: tuple[Any, ...], /
        ) -> None: ...


__all__ = ["ChildWatcher", "Spawning"]

# ruff: noqa: SLF001, PLR0913, PLR0917 - the names and shapes are those that CPython's half uses

if sys.version_info >= (3, 14):
    _Watcher: Any = unix_events._PidfdChildWatcher  # type: ignore[attr-defined]
    _ThreadedWatcher: Any = unix_events._ThreadedChildWatcher  # type: ignore[attr-defined]
else:
    _Watcher = object
    _ThreadedWatcher = unix_events.ThreadedChildWatcher
    # What asyncio's policy makes when it is asked for the first time.
    _UsualWatcher: Any = (
        unix_events.PidfdChildWatcher if sys.version_info >= (3, 12) else _ThreadedWatcher
    )

    def _is_left_to_us() -> bool:
        """Tell whether nobody has put a child watcher of their own into asyncio's policy.

        The kind that asyncio itself makes says nothing: it is there once anybody has asked.
        """
        policy = events._event_loop_policy  # type: ignore[attr-defined]
        if policy is None:
            return True
        usual = unix_events._UnixDefaultEventLoopPolicy
        if getattr(type(policy), "get_child_watcher", None) is not usual.get_child_watcher:
            return False
        watcher = policy._watcher
        return watcher is None or type(watcher) is _UsualWatcher


class ChildWatcher(_Watcher):  # type: ignore[misc,unused-ignore]  # Any, or object
    """Waits for children on the running loop: natively, or in a thread each where that cannot be.

    Shaped as asyncio's own watchers are. Keeps nothing, so that one of it serves every loop.
    """

    def __init__(self) -> None:
        self._threads: Any = None

    def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
        """Have ``callback(pid, returncode, *args)`` called once the child has ended."""
        loop: _Waits = events.get_running_loop()  # type: ignore[assignment]
        try:
            loop._native_watch_child(pid, callback, args)
        except OSError:
            # An old kernel, a sandbox, no descriptor left, or a child that somebody has already
            # reaped: a thread asks the system itself.
            self.in_threads().add_child_handler(pid, callback, *args)

    def in_threads(self) -> Any:
        """Return who waits in a thread for each child, always the same one."""
        if self._threads is None:
            self._threads = _ThreadedWatcher()
        return self._threads


_children = ChildWatcher()


def own_watcher() -> Any:
    """Return who waits for children on Python 3.14 and later, for every loop."""
    if unix_events.can_use_pidfd():  # type: ignore[attr-defined]
        return _children
    return _children.in_threads()


class Spawning:
    """The verbs, for a loop that has the native transports."""

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: protocols.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> ReadPipeTransport:
        """Make the transport of a pipe's reading end; ``waiter`` hears that it has begun."""
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)  # type: ignore[arg-type]

    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: protocols.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> WritePipeTransport:
        """Make the transport of a pipe's writing end; ``waiter`` hears that it has begun."""
        return WritePipeTransport(self, pipe, protocol, waiter, extra)  # type: ignore[arg-type]

    if sys.version_info < (3, 14):

        async def _make_subprocess_transport(
            self,
            protocol: protocols.BaseProtocol,
            args: Any,
            shell: bool,
            stdin: Any,
            stdout: Any,
            stderr: Any,
            bufsize: int,
            extra: dict[str, Any] | None = None,
            **kwargs: Any,
        ) -> Any:
            """Start a child and make its transport, as the class after this one does."""
            given = protocol, args, shell, stdin, stdout, stderr, bufsize
            if not _is_left_to_us():
                return await super()._make_subprocess_transport(*given, extra, **kwargs)  # type: ignore[misc]
            waiter = self.create_future()  # type: ignore[attr-defined]
            transport = unix_events._UnixSubprocessTransport(  # type: ignore[attr-defined]
                self, *given, waiter=waiter, extra=extra, **kwargs
            )
            ended = self._child_watcher_callback  # type: ignore[attr-defined]
            _children.add_child_handler(transport.get_pid(), ended, transport)
            try:
                await waiter
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException:
                transport.close()
                await transport._wait()
                raise
            return transport
