"""sock_sendfile and loop.sendfile: what arrives, how much, and where the file stands afterwards."""

import asyncio
import inspect
import os
import socket

import pytest

from loopkit import certificates, peers

SIZE = 3_000_000


@pytest.fixture
def path(tmp_path):
    """A file larger than what sockets keep."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


def narrow_pair():
    """Two connected sockets that keep little."""
    near, far = peers.tcp_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
    return near, far


async def blocked(loop, sock, file, *args):
    """Begin to send until the socket takes no more."""
    sending = asyncio.create_task(loop.sock_sendfile(sock, file, *args))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not sending.done()
    return sending


@pytest.mark.conbrio_only
@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, None, slice(0, SIZE)),
        (7, None, slice(7, SIZE)),
        (0, 2_000_000, slice(0, 2_000_000)),
        (1_000_000, 1_500_000, slice(1_000_000, 2_500_000)),
        (2_900_000, 500_000, slice(2_900_000, SIZE)),
        (SIZE, None, slice(0, 0)),
        (SIZE + 5, 10, slice(0, 0)),
    ],
)
def test_a_socket_that_blocks(run, path, offset, count, expected, monkeypatch):
    def never(*args):
        raise AssertionError("the file was not to be sent by Python")

    async def main():
        loop = asyncio.get_running_loop()
        near, far = narrow_pair()
        wanted = path.read_bytes()[expected]
        monkeypatch.setattr(os, "sendfile", never)
        monkeypatch.setattr(loop, "run_in_executor", never)
        reading = asyncio.create_task(peers.read_all(loop, far))
        with path.open("rb") as file:
            assert await loop.sock_sendfile(near, file, offset, count) == len(wanted)
            # Where nothing was sent, newer versions of asyncio's loop place the file as well.
            place = asyncio.SelectorEventLoop._sock_sendfile_update_filepos
            untouched = 0 if "total_sent" in inspect.signature(place).parameters else offset
            assert file.tell() == (expected.stop if wanted else untouched)
        near.close()
        assert await reading == wanted
        far.close()

    run(main())


def test_a_file_that_shrinks(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = narrow_pair()
        with path.open("rb") as file:
            sending = await blocked(loop, near, file)
            os.truncate(path, 1_000_000)
            reading = asyncio.create_task(peers.read_all(loop, far))
            sent = await asyncio.wait_for(sending, 10)
            assert file.tell() == sent < SIZE
        near.close()
        assert len(await reading) == sent
        far.close()

    run(main())


def test_a_file_that_grows(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = narrow_pair()
        with path.open("rb") as file:
            sending = await blocked(loop, near, file)
            with path.open("ab") as more:
                more.write(b"more" * 100_000)
            reading = asyncio.create_task(peers.read_all(loop, far))
            assert await sending == SIZE + 400_000
        near.close()
        assert await reading == path.read_bytes()
        far.close()

    run(main())


@pytest.mark.conbrio_only
def test_cancelled(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = narrow_pair()
        with path.open("rb") as file:
            sending = await blocked(loop, near, file)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert not loop.remove_writer(near)
            near.close()
            assert 0 < file.tell() == len(await peers.read_all(loop, far))
        far.close()

    run(main())


def test_a_peer_that_goes(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = narrow_pair()
        with path.open("rb") as file:
            sending = await blocked(loop, near, file)
            far.close()
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(sending, 10)
            assert 0 < file.tell() < SIZE
        near.close()

    run(main())


def test_what_the_kernel_cannot_send(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        out, into = os.pipe()
        os.write(into, b"by hand")
        os.close(into)
        with open(out, "rb", buffering=0) as file:  # noqa: ASYNC230 - a file is what is sent
            with pytest.raises(asyncio.SendfileNotAvailableError):
                # Nothing says how much a pipe has: a count is needed, or it seems to be empty.
                await loop.sock_sendfile(near, file, 0, 7, fallback=False)
            assert await loop.sock_sendfile(near, file) == 0
            assert file.read() == b"by hand"
        near.close()
        far.close()

    run(main())


def test_arguments_are_asyncios(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        with path.open("rb") as file:
            for wrong, kind in [((-1,), ValueError), ((0, 0), ValueError), ((0, "1"), TypeError)]:
                with pytest.raises(kind, match="must be a"):
                    await loop.sock_sendfile(near, file, *wrong)
            with pytest.raises(OverflowError):
                await loop.sock_sendfile(near, file, 1 << 70, 1)
        with pytest.raises(ValueError, match="closed"):
            await loop.sock_sendfile(near, file)
        with path.open("r", encoding="latin1") as file, pytest.raises(ValueError, match="binary"):
            await loop.sock_sendfile(near, file)
        near.close()
        far.close()

    run(main())


class Collects(asyncio.Protocol):
    """Keeps what comes."""

    def __init__(self):
        self.data = bytearray()
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@pytest.mark.parametrize("secret", [False, True])
def test_by_a_transport(run, path, secret):
    async def main():
        loop = asyncio.get_running_loop()
        server_context, client_context = (
            (certificates.server(), certificates.client()) if secret else (None, None)
        )
        made = loop.create_future()

        def accepted():
            protocol = Collects()
            made.set_result(protocol)
            return protocol

        server = await loop.create_server(accepted, "127.0.0.1", 0, ssl=server_context)
        address = server.sockets[0].getsockname()
        name = "localhost" if secret else None
        transport, _ = await loop.create_connection(
            Collects, *address, ssl=client_context, server_hostname=name
        )
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
        wanted = path.read_bytes()
        before = b"before" * 100_000
        with path.open("rb") as file:
            transport.write(before)
            sending = asyncio.create_task(loop.sendfile(transport, file, 10, 2_000_000))
            await asyncio.sleep(0)
            if not secret:
                with pytest.raises(RuntimeError, match="sendfile is in progress"):
                    transport.write(b"between")
            assert await sending == 2_000_000
            assert file.tell() == 2_000_010
            transport.write(b"after")
            if secret:
                with pytest.raises(RuntimeError, match="fallback is disabled"):
                    await loop.sendfile(transport, file, fallback=False)
            transport.close()
            with pytest.raises(RuntimeError, match="closing"):
                await loop.sendfile(transport, file)
        protocol = await made
        assert await protocol.lost is None
        assert protocol.data == before + wanted[10:2_000_010] + b"after"
        server.close()
        await server.wait_closed()

    run(main())
