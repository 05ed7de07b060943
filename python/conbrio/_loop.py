"""The event loop: native where something runs per callback, task step or packet.

``Loop`` puts the native loop before CPython's own one, so every verb that is not native is
CPython's code: its words, its argument checks, its exceptions, on each version. What stands here
is what these two need of each other. Does not know how the native half keeps its state.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]
import asyncio
import logging
import selectors
import socket
import sys
import warnings
import weakref
from asyncio import constants, coroutines, unix_events

from ._conbrio import DatagramTransport, EventLoop, StreamTransport, serve, set_loop_class
from ._connect import Dials, resolve_literal, wants_numbers
from ._hints import unhinted
from ._jobs import Jobs, executes_as_usual
from ._serve import Listener
from ._sock import SocketVerbs
from ._sockets import SOCKET, accepts_as_socket, sends_as_socket
from ._spawn import Spawning, own_watcher
from ._tls import TlsProtocol, TlsProtocols, TlsVerbs
from ._transports import Transports

if sys.version_info < (3, 14):
    from ._registry import adopt

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    import ssl
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import Any

__all__ = ["Loop", "new_event_loop"]

# ruff: noqa: SLF001, PLR0913, PLR0917 - the names and shapes are those that CPython's half uses

logger = logging.getLogger("asyncio")


class _WakeEnd:
    """Stands where CPython keeps an end of its self-pipe: signal numbers may be written to it."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor's number."""
        return self._fd


class _Watched:
    """Stands where CPython keeps its selector, for transports of CPython's that show themselves."""

    __slots__ = ("_loop",)

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get_key(self, fd: int) -> selectors.SelectorKey:
        """Return what is watched of a descriptor, as ``selectors.BaseSelector.get_key``.

        Raises:
            KeyError: Nothing is.
        """
        events = self._loop._native_watched(fd)
        if not events:
            raise KeyError(f"{fd!r} is not registered")
        return selectors.SelectorKey(fd, fd, events, None)


def _forget_signals(loop: Loop) -> None:
    """Take every signal handler away, or say why that cannot be done any more."""
    if not loop._signal_handlers:
        return
    if not sys.is_finalizing():
        for sig in list(loop._signal_handlers):
            loop.remove_signal_handler(sig)
        return
    warnings.warn(
        f"Closing the loop {loop!r} "
        f"on interpreter shutdown "
        f"stage, skipping signal handlers removal",
        ResourceWarning,
        stacklevel=3,
        source=loop,
    )
    loop._signal_handlers.clear()


class Loop(  # type: ignore[misc]  # mypy cannot compare signatures that end in *args
    EventLoop, Dials, SocketVerbs, TlsVerbs, Spawning, Jobs, unix_events._UnixSelectorEventLoop
):
    """An asyncio event loop whose turns, timers, tasks and streams are native.

    Answers to ``asyncio.SelectorEventLoop`` and passes for one by ``isinstance``. Not
    thread-safe, but for ``call_soon_threadsafe``, as every asyncio loop.

    Args:
        driver: How the system is asked what is ready: ``"epoll"``, ``"poll"``, or None for
            the best there is.

    Raises:
        ValueError: No driver has this name.

    Its descriptors are opened when it first needs them; ``OSError`` comes then if none is left.
    """

    __module__ = "conbrio"

    if sys.version_info >= (3, 12):
        # What is set while a loop lives has a place of its own: as long as a loop has no
        # dictionary, the interpreter finds its methods at a fraction of the price.
        __slots__ = (
            "_asyncgens",
            "_default_executor",
            "_exception_handler",
            "_signal_handlers",
            "_transports",
            "_unix_server_sockets",
        )

    # CPython's loop sets these on each instance. Standing here they cost a new loop nothing.
    _asyncgens_shutdown_called = False
    _executor_shutdown_called = False
    _coroutine_origin_tracking_enabled = False
    _coroutine_origin_tracking_saved_depth: int | None = None
    _old_agen_hooks = None
    _timer_cancelled_count = 0

    def __init__(self, *, driver: str | None = None) -> None:
        # `driver` was the affair of __new__. CPython's initialisers are not called: they would
        # make a selector and a self-pipe that nobody uses.
        del driver
        self._default_executor: Executor | None = None
        self._exception_handler: Callable[[Loop, dict[str, Any]], object] | None = None
        self._asyncgens: weakref.WeakSet[Any] = weakref.WeakSet()
        self._signal_handlers: dict[int, asyncio.Handle] = {}
        self._unix_server_sockets: dict[socket.socket, int] = {}
        self._transports = Transports()
        if coroutines._is_debug_mode():  # type: ignore[attr-defined]
            self.set_debug(True)
        if sys.version_info < (3, 14):
            adopt()

    # ---------------------------------------------------------------- what CPython's half asks

    @property
    def _watcher(self) -> Any:
        """Who waits for child processes (3.14 and later)."""
        return own_watcher()

    @property
    def _selector(self) -> _Watched:
        """What is watched: to be looked at only."""
        return _Watched(self)

    @property
    def _csock(self) -> _WakeEnd | None:
        """Where signal numbers are written to, for ``add_signal_handler``."""
        return None if self._closed else _WakeEnd(self._native_wake_fd)

    @property
    def _ssock(self) -> _WakeEnd | None:
        """The other end, which is the same one here."""
        return self._csock

    @property
    def _internal_fds(self) -> int:
        """How many descriptors the loop has registered for itself."""
        return 0 if self._closed else 1

    # ---------------------------------------------------------------- its end

    def close(self) -> None:
        """Close the loop: drop what is pending, give descriptors back, dismiss the executor.

        A closed loop runs nothing and cannot be opened again; closing it twice is harmless. As
        ``asyncio.SelectorEventLoop.close``. Not thread-safe.

        Raises:
            RuntimeError: The loop is running.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        if self._debug:
            logger.debug("Close %r", self)
        try:
            # Order: before the descriptor is closed that Python writes signal numbers to, or a
            # late signal would write into whoever gets its number next.
            _forget_signals(self)
        finally:
            self._native_close()
            self._executor_shutdown_called = True
            executor, self._default_executor = self._default_executor, None
            if executor is not None:
                executor.shutdown(wait=False)

    def _check_signal(self, sig: int) -> None:
        # CPython: the same of the public module, which makes an enumeration of them all each time.
        if not isinstance(sig, int):
            raise TypeError(f"sig must be an int, not {sig!r}")
        if sig not in _signal.valid_signals():
            raise ValueError(f"invalid signal number {sig}")

    # ---------------------------------------------------------------- names to addresses

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's word
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[Any, ...]]:
        """Return the addresses of a name, as ``socket.getaddrinfo`` does.

        An address written in numbers is answered at once; a name is asked for in the default
        executor. As ``asyncio.loop.getaddrinfo``. Not thread-safe.

        Raises:
            socket.gaierror: The name has no address of this kind.
        """
        # CPython: in debug mode the look-up is timed and logged, literals too.
        known = None
        # Nor is who does his work elsewhere passed over.
        if not (self._debug or self._closed) and executes_as_usual(self):
            known = resolve_literal(host, port, family, type, proto, flags)
        if known is not None:
            return known
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """Return the names of an address and its port, as ``socket.getnameinfo`` does.

        Where both are wanted in numbers that is done at once; else in the default executor. As
        ``asyncio.loop.getnameinfo``. Not thread-safe.

        Raises:
            socket.gaierror: The address has no name.
        """
        if wants_numbers(flags) and not (self._debug or self._closed) and executes_as_usual(self):
            return socket.getnameinfo(sockaddr, flags)
        return await super().getnameinfo(sockaddr, flags)

    # ---------------------------------------------------------------- streams

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Transport:
        """Make the transport of a connected socket; ``waiter`` hears that it has begun."""
        if not sends_as_socket(type(sock)):
            # Somebody's own idea of a socket, with its own `send`: CPython's transport calls it.
            given = {} if context is None else {"context": context}
            return super()._make_socket_transport(  # type: ignore[no-any-return,misc]
                sock, protocol, waiter, extra=extra, server=server, **given
            )
        self._ensure_fd_no_transport(sock)
        return StreamTransport(self, sock, protocol, waiter, extra, server, context)

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.DatagramTransport:
        """Make the transport of a datagram socket; ``waiter`` hears that it has begun."""
        if not issubclass(type(sock), SOCKET):
            # Somebody's own idea of a socket: CPython's transport calls it.
            return super()._make_datagram_transport(  # type: ignore[no-any-return,misc]
                sock, protocol, address, waiter, extra
            )
        self._ensure_fd_no_transport(sock)
        return DatagramTransport(self, sock, protocol, address, waiter, extra)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        ssl_handshake_timeout: Any = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: Any = constants.SSL_SHUTDOWN_TIMEOUT,
        context: contextvars.Context | None = None,
    ) -> asyncio.Transport:
        """Make a TLS transport over a stream transport."""
        self._ensure_fd_no_transport(rawsock)
        tls = TlsProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, tls, extra=extra, server=server, context=context)
        return tls._get_app_transport()

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: ssl.SSLContext | None = None,
        server: Any = None,
        backlog: int = 100,
        ssl_handshake_timeout: Any = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: Any = constants.SSL_SHUTDOWN_TIMEOUT,
        context: contextvars.Context | None = None,
    ) -> None:
        """Begin to accept connections on a listening socket."""
        factory: Callable[[], asyncio.BaseProtocol] = protocol_factory
        if sslcontext:
            timeouts = ssl_handshake_timeout, ssl_shutdown_timeout
            factory = TlsProtocols(self, protocol_factory, sslcontext, timeouts)
        natively = accepts_as_socket(type(sock))
        if natively and serve(self, factory, sock, server, backlog, context):
            return
        Listener(self, factory, sock, server, backlog, context).arm()


def new_event_loop() -> Loop:
    """Return a new loop, which nobody runs yet.

    Fits wherever asyncio takes a loop factory. As ``asyncio.new_event_loop``. Thread-safe.
    """
    return Loop()


set_loop_class(Loop)
unhinted(new_event_loop, *(kind for kind in Loop.__mro__ if kind.__module__.startswith("conbrio")))
