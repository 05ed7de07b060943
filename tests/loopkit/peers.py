"""Plain sockets that play the other end of a connection, and protocols that note what they hear."""

import asyncio
import socket
import struct
from collections.abc import Callable

Pair = tuple[socket.socket, socket.socket]


def tcp_pair() -> Pair:
    """Return two connected TCP sockets, neither of which blocks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for each in (near, far):
        each.setblocking(False)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def unix_pair() -> Pair:
    """Return two connected Unix sockets, neither of which blocks."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def reset(peer: socket.socket) -> None:
    """Close ``peer`` so that the other end gets a reset and no end of file."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def free_port() -> int:
    """Return a port on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def read_all(loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
    """Return everything ``peer`` receives up to the end of the stream."""
    pieces = []
    while piece := await loop.sock_recv(peer, 65536):
        pieces.append(piece)
    return b"".join(pieces)


async def until(condition: object, turns: int = 1_000_000) -> None:
    """Wait, turn by turn, for something only the system can bring about."""
    for _ in range(turns):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{condition} did not come true")


class Recorder(asyncio.Protocol):
    """A protocol that keeps its calls in order, and its data apart."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.calls: list[object] = []
        self.data = bytearray()
        self.keep_open = keep_open
        self.transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.made = loop.create_future()
        self.ended = loop.create_future()
        self.lost = loop.create_future()
        self.heard = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.calls.append("made")
        self.transport = transport
        self.made.set_result(transport)

    def data_received(self, data: bytes) -> None:
        if not self.calls or self.calls[-1] != "data":
            self.calls.append("data")
        assert type(data) is bytes, type(data)
        self.data += data
        self.heard.set()

    def eof_received(self) -> bool:
        self.calls.append("eof")
        self.ended.set_result(None)
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append(("lost", type(exc).__name__ if exc else None))
        self.lost.set_result(exc)

    async def received(self, size: int) -> bytes:
        """Return the data heard so far once there are ``size`` bytes of it."""
        while len(self.data) < size:
            self.heard.clear()
            await self.heard.wait()
        return bytes(self.data)


class BufferedRecorder(asyncio.BufferedProtocol):
    """The same for a protocol that brings its own buffer."""

    def __init__(self, size: int = 64) -> None:
        self.calls: list[object] = []
        self.data = bytearray()
        self.buffer = bytearray(size)
        self.lost = asyncio.get_running_loop().create_future()
        self.heard = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.calls.append("made")
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        self.calls.append("get")
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.calls.append(("updated", nbytes))
        self.data += self.buffer[:nbytes]
        self.heard.set()

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append(("lost", type(exc).__name__ if exc else None))
        self.lost.set_result(exc)

    received = Recorder.received


async def connected(
    make: Callable[[], Recorder] = Recorder, pair: Callable[[], Pair] = tcp_pair
) -> tuple[asyncio.Transport, Recorder, socket.socket]:
    """Return a transport, its protocol and the plain socket at the other end."""
    near, far = pair()
    transport, protocol = await asyncio.get_running_loop().create_connection(make, sock=near)
    return transport, protocol, far


async def finish(transport: asyncio.Transport, protocol: Recorder, far: socket.socket) -> None:
    """End a connection made by ``connected``."""
    transport.abort()
    await protocol.lost
    far.close()
