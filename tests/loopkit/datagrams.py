"""Datagram endpoints, a protocol that notes what it is told of them, and plain sockets to talk to them."""

import asyncio
import socket
from collections.abc import Callable

HERE = ("127.0.0.1", 0)


class Recorder(asyncio.DatagramProtocol):
    """A protocol that keeps its calls in order."""

    def __init__(self, heard: Callable[..., object] | None = None) -> None:
        self.calls: list[object] = []
        self.heard = heard
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def note(self, call: object) -> None:
        self.calls.append(call)
        self.changed.set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport
        self.note("made")

    def datagram_received(self, data: bytes, addr: object) -> None:
        assert type(data) is bytes
        self.note((data, addr))
        if self.heard:
            self.heard(self, data, addr)

    def error_received(self, exc: Exception) -> None:
        self.note(type(exc).__name__)

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.note(("lost", exc))
        self.lost.set_result(None)

    @property
    def data(self) -> list[bytes]:
        return [call[0] for call in self.calls if isinstance(call, tuple) and call[0] != "lost"]

    async def until(self, condition: Callable[["Recorder"], object]) -> None:
        """Wait until ``condition`` holds of this protocol."""
        while not condition(self):
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)


async def endpoint(
    heard: Callable[..., object] | None = None, **how: object
) -> tuple[asyncio.DatagramTransport, Recorder]:
    """Return a transport and its recorder."""
    loop = asyncio.get_running_loop()
    how = how or {"local_addr": HERE}
    return await loop.create_datagram_endpoint(lambda: Recorder(heard), **how)


async def end(*transports: asyncio.DatagramTransport) -> None:
    """Abort transports and wait until their protocols know."""
    for transport in transports:
        protocol = transport.get_protocol()
        transport.abort()
        if protocol is not None:
            await protocol.lost


def name_of(transport: asyncio.DatagramTransport) -> object:
    """Return the address to which ``transport`` is bound."""
    return transport.get_extra_info("sockname")


def peer(family: int = socket.AF_INET, host: str = "127.0.0.1") -> socket.socket:
    """Return a plain bound socket that does not wait for ever."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(10)
    return sock
