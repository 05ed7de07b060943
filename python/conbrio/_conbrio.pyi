"""The native half of conbrio: what runs per callback, task step or packet."""
# ruff: noqa: PYI021 - the header is a rule of the house

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from socket import socket
from types import GenericAlias
from typing import Any, Literal, Protocol, Self, TypeVar, TypeVarTuple, final, overload

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
    # Calls `callback(pid, returncode, *args)`; OSError when the end of this child cannot be heard.
    def _watch_child(
        self, pid: int, callback: Callable[..., Any], args: tuple[Any, ...], /
    ) -> None: ...

@final
class Op(Coroutine[Any, Any, _T]):
    """A native wait, awaited once; what ``sleep``, ``Lock.acquire`` and their like return."""

    __name__: str
    __qualname__: str
    @property
    def cr_await(self) -> None: ...
    @property
    def cr_running(self) -> bool: ...
    _asyncio_future_blocking: bool | None
    def __await__(self) -> Generator[Any, Any, _T]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, type: Any, value: Any = None, traceback: Any = None, /) -> Any: ...  # noqa: A002
    def close(self) -> None: ...
    def get_loop(self) -> asyncio.AbstractEventLoop: ...
    def add_done_callback(
        self, fn: Callable[[Self], object], /, *, context: Context | None = None
    ) -> None: ...
    def cancel(self, msg: Any = None) -> bool: ...
    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def result(self) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

@final
class Ready:
    """A wait that is over before it begins."""

    def __await__(self) -> Generator[Any, Any]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, type: Any, value: Any = None, traceback: Any = None, /) -> Any: ...  # noqa: A002
    def close(self) -> None: ...

@disjoint_base
class Lock:
    _loop: asyncio.AbstractEventLoop | None
    _locked: bool
    _waiters: Any
    def locked(self) -> bool: ...
    def acquire(self) -> Op[Literal[True]]: ...
    def release(self) -> None: ...
    def __aenter__(self) -> Op[None]: ...
    def __aexit__(self, exc_type: Any, exc: Any, tb: Any, /) -> Op[None]: ...

@disjoint_base
class Event:
    _loop: asyncio.AbstractEventLoop | None
    _value: bool
    _waiters: Any
    def is_set(self) -> bool: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self) -> Op[Literal[True]]: ...

@overload
def sleep(delay: float) -> Op[None]: ...
@overload
def sleep(delay: float, result: _T) -> Op[_T]: ...

# asyncio's names that ours stand in the place of; the package keeps it up to date.
_swapped: list[str]

def _adopt(class_: type, /) -> None: ...

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
class ReadPipeTransport(asyncio.ReadTransport):
    """The reading end of a pipe."""

    @property
    def max_size(self) -> int: ...

    def __init__(
        self,
        loop: EventLoop,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None: ...

@final
class WritePipeTransport(asyncio.Transport):
    """The writing end of a pipe."""

    def __init__(
        self,
        loop: EventLoop,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None: ...

@final
class Child:
    """A child process whose end the loop waits for."""

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
