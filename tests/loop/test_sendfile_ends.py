"""Files sent in rare ways: beyond their end, in the wrong mode, not from a disk, or while the transport is used otherwise."""

import asyncio
import io
import sys

import pytest

from loopkit import certificates, datagrams, peers

TEN = b"0123456789"


async def connection(secret):
    """A transport, its protocol, the protocol of the other end, and the server."""
    loop, made = asyncio.get_running_loop(), asyncio.Queue()

    def far():
        made.put_nowait(peers.Recorder())
        return made._queue[-1]

    context = certificates.server() if secret else None
    server = await loop.create_server(far, "127.0.0.1", 0, ssl=context)
    how = {"ssl": certificates.client(), "server_hostname": "localhost"} if secret else {}
    transport, near = await loop.create_connection(
        peers.Recorder, *server.sockets[0].getsockname(), **how
    )
    return transport, near, await made.get(), server


async def over(secret, work):
    """What ``work(loop, transport)`` gives, and what the other end was sent."""
    transport, near, far, server = await connection(secret)
    try:
        end = await work(asyncio.get_running_loop(), transport)
    finally:
        transport.close()
        await asyncio.gather(near.lost, far.lost)
        server.close()
    return end, bytes(far.data)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(TEN)
    return path


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize(
    ("how", "sent", "position"),
    [
        ({"offset": 10}, b"", 10),
        ({"offset": 50}, b"", 50),
        ({"offset": 50, "count": 5}, b"", 50),
        ({"offset": 2, "count": 300}, TEN[2:], 10),
        ({"offset": 2, "count": 3}, TEN[2:5], 5),
    ],
)
def test_up_to_and_beyond_the_end(run, path, secret, how, sent, position):
    async def main():
        with path.open("rb") as file:
            end = await over(secret, lambda loop, transport: loop.sendfile(transport, file, **how))
            return end, file.tell()

    # Where the system sends the file and has nothing to send, nobody moves its position; from 3.14 on somebody does.
    moved = position if secret or sent or sys.version_info >= (3, 14) else 0
    assert run(main()) == ((len(sent), sent), moved)


@pytest.mark.parametrize("secret", [False, True])
def test_an_empty_file(run, path, secret):
    path.write_bytes(b"")

    async def main():
        with path.open("rb") as file:
            return await over(secret, lambda loop, transport: loop.sendfile(transport, file))

    assert run(main()) == (0, b"")


@pytest.mark.parametrize("secret", [False, True])
def test_a_file_in_memory(run, secret):
    async def work(loop, transport):
        reason = "fallback is disabled and native sendfile" if secret else "not a regular file"
        file = io.BytesIO(TEN)
        expected = RuntimeError if secret else asyncio.SendfileNotAvailableError
        with pytest.raises(expected, match=reason):
            await loop.sendfile(transport, file, fallback=False)
        return await loop.sendfile(transport, file, 3, 4), file.tell()

    assert run(over(secret, work)) == ((4, 7), TEN[3:7])


@pytest.mark.parametrize(
    ("secret", "how", "error", "says"),
    [
        (False, {"count": 0}, ValueError, r"count must be a positive integer \(got 0\)"),
        (False, {"count": 1.5}, TypeError, r"count must be a positive integer \(got 1.5\)"),
        (False, {"offset": -1}, ValueError, r"offset must be a non-negative integer \(got -1\)"),
        (True, {"count": -1}, ValueError, "negative count"),
        (True, {"offset": -1}, OSError, "Invalid argument"),
        (True, {"offset": "x"}, TypeError, "cannot be interpreted as an integer"),
    ],
)
def test_numbers_that_are_refused(run, path, secret, how, error, says):
    async def work(loop, transport):
        with path.open("rb") as file, pytest.raises(error, match=says):
            await loop.sendfile(transport, file, **how)

    assert run(over(secret, work)) == (None, b"")


def test_a_file_of_text_is_refused(run, path):
    async def work(loop, transport):
        with path.open() as file, pytest.raises(ValueError, match="opened in binary mode"):
            await loop.sendfile(transport, file)

    assert run(over(False, work)) == (None, b"")


async def stuck(loop, transport, file):
    """A task that sends ``file`` and waits for room."""
    sending = asyncio.create_task(loop.sendfile(transport, file))
    await asyncio.sleep(0.05)
    assert not sending.done()
    return sending


@pytest.mark.parametrize("secret", [False, True])
def test_nothing_is_written_meanwhile(run, tmp_path, secret):
    """Writing is refused or hangs on nothing, and the transport is the protocol's again after a cancellation."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(30_000_000)

    async def main():
        transport, near, far, server = await connection(secret)
        loop = asyncio.get_running_loop()
        await far.made
        far.transport.pause_reading()
        with path.open("rb") as file:
            sending = await stuck(loop, transport, file)
            if not secret:
                with pytest.raises(RuntimeError, match="unable to write; sendfile is in progress"):
                    transport.write(b"x")
            assert (transport.get_protocol() is near) is not secret
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert transport.get_protocol() is near
        assert not transport.is_closing()
        far.transport.resume_reading()
        transport.write(b"END")
        transport.close()
        await asyncio.gather(near.lost, far.lost)
        server.close()
        return bytes(far.data[-3:]), 3 < len(far.data) < 30_000_000

    assert run(main()) == (b"END", True)


@pytest.mark.parametrize("secret", [False, True])
def test_a_transport_that_is_closing(run, path, secret):
    async def work(loop, transport):
        transport.close()
        with path.open("rb") as file, pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(transport, file)

    assert run(over(secret, work)) == (None, b"")


def test_transports_that_send_no_files(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            datagrams.Recorder, local_addr=("127.0.0.1", 0)
        )
        with (
            path.open("rb") as file,
            pytest.raises(RuntimeError, match="sendfile is not supported"),
        ):
            await loop.sendfile(transport, file)
        transport.close()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("secret", [False, True])
def test_a_reader_of_ones_own(run, secret):
    """A raw file without a descriptor is read in pieces, until it gives none."""

    class Twice(io.RawIOBase):
        mode = "rb"
        left = 2

        def readable(self):
            return True

        def seek(self, *where):
            return 0

        def readinto(self, memory):
            if not self.left:
                return 0
            self.left -= 1
            memory[:2] = b"ab"
            return 2

    file = Twice()
    assert run(over(secret, lambda loop, transport: loop.sendfile(transport, file))) == (4, b"abab")
