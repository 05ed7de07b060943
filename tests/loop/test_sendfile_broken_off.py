"""Files that are sent by a transport, in the clear and over TLS, and do not get to their end as they were."""

import asyncio
import io
import os
import socket
import struct
import threading

import pytest

from loopkit import certificates, peers

SIZE, LESS = 6_000_000, 3_000_000
both_ways = pytest.mark.parametrize("secret", [False, True])


async def connection(secret):
    """A transport, its protocol, the protocol of an end that does not read, and the server."""
    loop, made = asyncio.get_running_loop(), asyncio.Queue()

    class Far(peers.Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()
            made.put_nowait(self)

    context = certificates.server() if secret else None
    server = await loop.create_server(Far, "127.0.0.1", 0, ssl=context)
    how = {"ssl": certificates.client(), "server_hostname": "localhost"} if secret else {}
    transport, near = await loop.create_connection(
        peers.Recorder, *server.sockets[0].getsockname(), **how
    )
    far = await made.get()
    for each, option in ((near, socket.SO_SNDBUF), (far, socket.SO_RCVBUF)):
        sock = each.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, option, 32 << 10)
    return transport, near, far, server


async def stuck(transport, file):
    """A task that sends ``file`` and waits for room."""
    sending = asyncio.create_task(asyncio.get_running_loop().sendfile(transport, file))
    await asyncio.sleep(0.03)
    assert not sending.done()
    return sending


async def ended(transport, near, far, server):
    """Close what is still open, and wait until both ends know."""
    transport.close()
    if not far.lost.done():
        far.transport.resume_reading()
    await asyncio.wait_for(asyncio.gather(near.lost, far.lost), 10)
    server.close()


@pytest.fixture
def path(tmp_path):
    """A file larger than what sockets keep."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


@both_ways
def test_a_file_that_shrinks(run, path, secret):
    """It ends where it does by then."""
    wanted = path.read_bytes()[:LESS]

    async def main():
        transport, near, far, server = await connection(secret)
        with path.open("rb") as file:
            sending = await stuck(transport, file)
            os.truncate(path, LESS)
            far.transport.resume_reading()
            sent = await asyncio.wait_for(sending, 10)
            position = file.tell()
        assert transport.get_protocol() is near
        transport.write(b"END")
        await ended(transport, near, far, server)
        return sent, position, far.data == wanted + b"END"

    assert run(main()) == (LESS, LESS, True)


@both_ways
def test_abort_while_a_file_is_read_in_pieces(run, path, secret):
    data = path.read_bytes()

    async def main():
        transport, near, far, server = await connection(secret)
        sending = await stuck(transport, io.BytesIO(data))
        transport.abort()
        with pytest.raises(ConnectionError, match="closed by peer"):
            await asyncio.wait_for(sending, 10)
        await ended(transport, near, far, server)
        return near.calls, len(far.data) < SIZE, data.startswith(far.data)

    assert run(main()) == (["made", ("lost", None)], True, True)


@both_ways
def test_a_peer_that_resets(run, path, secret):
    """Where the system sends the file, the transport itself has met no error."""

    async def main():
        transport, near, far, server = await connection(secret)
        with path.open("rb") as file:
            sending = await stuck(transport, file)
            sock = far.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.transport.abort()
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(sending, 10)
        assert transport.get_protocol() is near
        await ended(transport, near, far, server)
        return near.calls[0], near.calls[-1]

    assert run(main()) == ("made", ("lost", "ConnectionResetError" if secret else None))


class Waits(io.RawIOBase):
    """Gives what it has once it is let go on."""

    def __init__(self, pieces):
        self.pieces, self.go_on, self.asked = pieces, threading.Event(), threading.Event()

    def readable(self):
        return True

    def seek(self, *where):
        return 0

    def readinto(self, memory):
        if not self.pieces:
            return 0
        self.asked.set()
        assert self.go_on.wait(10)
        piece = self.pieces.pop(0)
        memory[: len(piece)] = piece
        return len(piece)


@both_ways
def test_another_file_while_one_is_read(run, secret):
    """It is sent between two pieces of the other, and the protocol is the transport's again at the end."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, near, far, server = await connection(secret)
        slow = Waits([b"first ", b"file"])
        sending = asyncio.create_task(loop.sendfile(transport, slow))
        await asyncio.to_thread(slow.asked.wait, 10)
        assert transport.get_protocol() is not near
        assert await loop.sendfile(transport, io.BytesIO(b"other ")) == 6
        slow.go_on.set()
        assert await sending == 10
        assert transport.get_protocol() is near
        far.transport.write(b"answer")
        assert await near.received(6) == b"answer"
        await ended(transport, near, far, server)
        return bytes(far.data)

    assert run(main()) == b"other first file"
