"""What a protocol is told over TLS: pauses, memory of its own, and the end."""

import asyncio

import pytest

from loopkit import certificates
from loopkit.tls import HOST, hang_up, served

# ruff: noqa: ASYNC110 - what is waited for has no event of its own


class Paced(asyncio.Protocol):
    """Records what it is told."""

    def __init__(self):
        self.told = []
        self.lost = asyncio.get_running_loop().create_future()
        self.data = b""

    def connection_made(self, transport):
        self.told.append("made")

    def data_received(self, data):
        self.data += data

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")

    def eof_received(self):
        self.told.append("eof")

    def connection_lost(self, exc):
        self.told.append("lost")
        self.lost.set_result(exc)


def test_a_peer_that_does_not_read(run):
    async def main():
        loop = asyncio.get_running_loop()
        go_on = asyncio.Event()
        sent, received = 0, 0

        async def slow(reader, writer):
            nonlocal received
            writer.transport.pause_reading()
            await go_on.wait()
            writer.transport.resume_reading()
            while received < sent:
                received += len(await reader.read(1 << 20))
            await hang_up(writer)

        server, port = await served(certificates.server(), slow)
        async with server:
            transport, protocol = await loop.create_connection(
                Paced, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            while "pause" not in protocol.told:
                for _ in range(100):
                    transport.write(b"x" * 1000)
                sent += 100_000
                await asyncio.sleep(0)
            assert transport.get_write_buffer_size() > 0
            go_on.set()
            assert await protocol.lost is None
        return protocol.told

    assert run(main()) == ["made", "pause", "resume", "eof", "lost"]


def test_pause_reading(run):
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await served(certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Paced, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            transport.pause_reading()
            assert not transport.is_reading()
            transport.write(b"hello")
            await asyncio.sleep(0.02)
            assert protocol.data == b""
            transport.resume_reading()
            while protocol.data != b"hello":
                await asyncio.sleep(0)
            transport.close()
            transport.close()
            assert transport.is_closing()
            assert await protocol.lost is None

    run(main())


class Filled(asyncio.BufferedProtocol):
    """Is given bytes in three pieces of memory, by turns."""

    def __init__(self):
        self.memory = memoryview(bytearray(3))
        self.data = bytearray()

    def get_buffer(self, sizehint):
        return self.memory

    def buffer_updated(self, nbytes):
        self.data += self.memory[:nbytes]


def test_buffered_protocol(run):
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await served(certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Filled, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            transport.write(b"hello world")
            while len(protocol.data) < 11:
                await asyncio.sleep(0)
            transport.close()
            await asyncio.sleep(0.01)
        return bytes(protocol.data)

    assert run(main()) == b"hello world"


def test_abort_and_write_after_close(run, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await served(certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Paced, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            transport.abort()
            assert await protocol.lost is None
            for _ in range(6):
                transport.write(b"into the void")
        return protocol.told

    assert run(main()) == ["made", "lost"]
    said = [record.message for record in caplog.records]
    assert said.count("SSL connection is closed") == 2


class Notes(asyncio.Protocol):
    """Keeps its transport, what comes, and how it ends."""

    def __init__(self):
        self.transport = None
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def both_ends(kind):
    """Return a server, its one connection's protocol, and the client's transport and protocol."""
    loop = asyncio.get_running_loop()
    far = Notes()
    server = await loop.create_server(lambda: far, HOST, 0, ssl=certificates.server())
    port = server.sockets[0].getsockname()[1]
    transport, near = await loop.create_connection(
        kind, HOST, port, ssl=certificates.client(), server_hostname="localhost"
    )
    while far.transport is None:
        await asyncio.sleep(0)
    return server, far, transport, near


async def both_end(server, far, near):
    """Wait until both ends are lost without an error."""
    assert await asyncio.wait_for(near.lost, 10) is None
    assert await asyncio.wait_for(far.lost, 10) is None
    server.close()
    await server.wait_closed()


@pytest.mark.conbrio_only
@pytest.mark.parametrize("paused", [False, True])
def test_bytes_after_close(run, paused):
    async def main():
        server, far, transport, near = await both_ends(Notes)
        if paused:
            transport.pause_reading()
            far.transport.write(b"early")
            await asyncio.sleep(0.01)
        transport.close()
        # The server has not heard of it yet.
        far.transport.write(b"late" * 10_000)
        await both_end(server, far, near)
        assert near.data == b""

    run(main())


class FirstPiece(asyncio.BufferedProtocol):
    """Closes its transport when memory for three bytes has been filled once."""

    def __init__(self):
        self.memory = memoryview(bytearray(3))
        self.transport = None
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        assert not self.transport.is_closing()
        return self.memory

    def buffer_updated(self, nbytes):
        self.data += self.memory[:nbytes]
        self.transport.close()

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@pytest.mark.beyond_asyncio("gives a protocol what it has not read when its transport is closed")
@pytest.mark.parametrize(("kind", "read"), [(Notes, b""), (FirstPiece, b"ear")])
def test_bytes_that_are_not_read_at_close(run, kind, read):
    async def main():
        server, far, transport, near = await both_ends(kind)
        if kind is Notes:
            transport.pause_reading()
        far.transport.write(b"early")
        await asyncio.sleep(0.01)
        transport.resume_reading()
        transport.close()
        await both_end(server, far, near)
        return near.data

    assert run(main()) == read
