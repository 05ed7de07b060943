"""The native half of conbrio: what runs per callback, task step or packet."""
# ruff: noqa: PYI021 - the header is a rule of the house

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from socket import socket
from typing import Any, Protocol, Self, TypeVar, TypeVarTuple, final

from typing_extensions import disjoint_base

__version__: str
# False where a layout probe failed: the loop then uses CPython's own Task and Future.
NATIVE_TASKS: bool

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

class _TaskFactory(Protocol):
    def __call__(self, loop: asyncio.AbstractEventLoop, factory: Any, /) -> asyncio.Future[Any]: ...

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

@disjoint_base
class EventLoop:
    slow_callback_duration: float
    _closed: bool
    _debug: bool
    _thread_id: int | None
    _current_handle: asyncio.Handle | None
    _clock_resolution: float
    @property
    def _wake_fd(self) -> int: ...
    @property
    def _driver(self) -> str: ...
    def __new__(cls, driver: str | None = None) -> Self: ...
    def run_forever(self) -> None: ...
    def run_until_complete(self, future: Any) -> Any: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def _close(self) -> None: ...
    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def time(self) -> float: ...
    def create_future(self) -> asyncio.Future[Any]: ...
    def create_task(
        self, coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T], **kwargs: Any
    ) -> asyncio.Task[_T]: ...
    def set_task_factory(self, factory: _TaskFactory | None) -> None: ...
    def get_task_factory(self) -> _TaskFactory | None: ...
    def get_debug(self) -> bool: ...
    def set_debug(self, enabled: bool) -> None: ...
    def add_reader(
        self,
        fd: int | _HasFileno,
        callback: Callable[[*_Ts], Any],
        *args: *_Ts,
    ) -> None: ...
    def remove_reader(self, fd: int | _HasFileno) -> bool: ...
    def add_writer(
        self,
        fd: int | _HasFileno,
        callback: Callable[[*_Ts], Any],
        *args: *_Ts,
    ) -> None: ...
    def remove_writer(self, fd: int | _HasFileno) -> bool: ...
    def _add_reader(
        self,
        fd: int,
        callback: Callable[[*_Ts], Any],
        *args: *_Ts,
    ) -> asyncio.Handle: ...
    def _remove_reader(self, fd: int, /) -> bool: ...
    def _add_writer(
        self,
        fd: int,
        callback: Callable[[*_Ts], Any],
        *args: *_Ts,
    ) -> asyncio.Handle: ...
    def _remove_writer(self, fd: int, /) -> bool: ...
    # What is watched of a descriptor: EVENT_READ, EVENT_WRITE of `selectors`, both, or 0.
    def _watched(self, fd: int, /) -> int: ...
    def _ensure_fd_no_transport(self, fd: int | _HasFileno, /) -> None: ...
    def _add_callback(self, handle: asyncio.Handle, /) -> None: ...
    def _add_callback_signalsafe(self, handle: asyncio.Handle, /) -> None: ...
    def _write_to_self(self) -> None: ...

class Future(asyncio.Future[_T]): ...

if sys.version_info >= (3, 14):
    # As large as asyncio's own: its fields hold all that there is.
    class Task(asyncio.Task[_T]): ...

    @final
    class _ThreadSafeHandle(asyncio.Handle): ...

else:
    @disjoint_base
    class Task(asyncio.Task[_T]): ...

@final
class Handle(asyncio.Handle): ...

@final
class TimerHandle(asyncio.TimerHandle): ...

@final
class StreamTransport(asyncio.Transport):
    """A connected stream socket; enters itself in its loop's ``_transports``."""

    @property
    def max_size(self) -> int: ...

    def __init__(
        self,
        loop: EventLoop,
        sock: socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Context | None = None,
    ) -> None: ...

@final
class SocketWait:
    """A socket operation that waits: its future is awaited, then it is released."""

    @property
    def future(self) -> asyncio.Future[Any]: ...
    def release(self) -> None: ...

@final
class Listener:
    """A listening socket that the loop watches."""

def resolve_literal(
    host: Any, port: Any, family: int, type: int, proto: int, flags: int  # noqa: A002
) -> list[tuple[Any, ...]] | None: ...
def serve(
    event_loop: EventLoop,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    sock: socket,
    server: Any,
    backlog: int,
    context: Context | None,
) -> bool: ...
# Why a fast path is not taken, or None.
_native_tasks_refused: str | None
_lazy_contexts_refused: str | None

def _stop_when_done(future: asyncio.Future[Any]) -> None: ...
def build_info() -> dict[str, Any]: ...
def set_loop_class(loop_class: type[EventLoop], /) -> None: ...

# Used up to 3.13; later asyncio keeps the list itself.
def _native_tasks() -> list[asyncio.Task[Any]]: ...
