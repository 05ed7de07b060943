"""``socket.socket`` replaced by something that is no class, as tests and proxies do."""

import asyncio
import socket
import subprocess
import sys

import pytest

real = socket.socket


@pytest.fixture
def _patched(monkeypatch):
    """Put a function in the place of the class."""
    monkeypatch.setattr(socket, "socket", lambda *args, **options: real(*args, **options))


@pytest.mark.usefixtures("_patched")
def test_everything_that_asks_for_the_class_of_a_socket_goes_on(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        await loop.sock_sendall(near, b"hello")
        assert await loop.sock_recv(far, 5) == b"hello"
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
        transport.write(b"again")
        assert await loop.sock_recv(far, 5) == b"again"
        transport.close()
        far.close()
        endpoint, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        endpoint.close()

        async def answer(reader, writer):
            writer.write(await reader.read(9))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"and again")
            assert await reader.read() == b"and again"
            writer.close()
            await writer.wait_closed()

    run(main())


@pytest.fixture
def asked(monkeypatch):
    """Put methods in the place of the class's own, as `unittest.mock` does: the names asked for."""
    names = []

    def replace(name):
        own = getattr(real, name)

        def method(self, *args, **options):
            names.append(name)
            return own(self, *args, **options)

        monkeypatch.setattr(real, name, method)

    for name in ("accept", "connect", "recv", "send", "shutdown"):
        replace(name)
    return names


def test_methods_put_into_the_class_of_sockets_are_called(run, asked):
    async def main():
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        async def answer(reader, writer):
            writer.write(await reader.read(10))
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
            answered.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            assert await reader.read() == b"x"
            writer.close()
            await writer.wait_closed()
            await answered.wait()
        assert set(asked) == {"accept", "connect", "recv", "send", "shutdown"}
        asked.clear()
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        await loop.sock_sendall(near, b"x")
        assert await loop.sock_recv(far, 1) == b"x"
        near.close()
        far.close()
        assert asked == ["send", "recv"]

    run(main())


REPLACED_BEFORE = """
import asyncio, socket
real = socket.socket
socket.socket = lambda *args, **options: real(*args, **options)
import conbrio

async def main():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()

conbrio.run(main())
"""


def test_the_class_may_be_replaced_before_the_import():
    pytest.importorskip("conbrio")
    command = [sys.executable, "-c", REPLACED_BEFORE]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
