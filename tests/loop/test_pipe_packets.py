"""Pipes that keep what was written apart, and FIFOs whose writers come and go."""

import asyncio
import os

import pytest

from loopkit.peers import Recorder

PACKETS = [b"packet%d" % number for number in range(5)]


class Apart(Recorder):
    """Keeps each piece that it is given."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def data_received(self, data):
        super().data_received(data)
        self.pieces.append(data)


async def to_read(descriptor):
    """Return a transport that reads, and its protocol."""
    file = open(descriptor, "rb", 0)  # noqa: ASYNC230, SIM115 - the transport's to close
    return await asyncio.get_running_loop().connect_read_pipe(Apart, file)


def test_packets_are_read_one_by_one(run):
    async def main():
        out, into = os.pipe2(os.O_DIRECT)
        transport, protocol = await to_read(out)
        for packet in PACKETS:
            os.write(into, packet)
        await protocol.received(len(b"".join(PACKETS)))
        transport.pause_reading()
        os.write(into, b"paused")
        await asyncio.sleep(0.01)
        transport.resume_reading()
        os.close(into)
        await protocol.lost
        return protocol.pieces, protocol.calls

    calls = ["made", "data", "eof", ("lost", None)]
    assert run(main()) == ([*PACKETS, b"paused"], calls)


def test_packets_are_written_one_by_one(run):
    async def main():
        out, into = os.pipe2(os.O_DIRECT)
        os.set_blocking(out, False)
        file = open(into, "wb", 0)  # noqa: ASYNC230, SIM115
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Recorder, file)
        for packet in PACKETS:
            transport.write(packet)
        # Several at once are one write.
        transport.writelines([b"a", b"b", b"c"])
        found = [os.read(out, 100) for _ in range(len(PACKETS) + 1)]
        transport.close()
        await protocol.lost
        assert os.read(out, 100) == b""
        os.close(out)
        return found

    assert run(main()) == [*PACKETS, b"abc"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_writers_that_come_and_go(run, path):
    """As long as one of them is there, the FIFO goes on; its end is that of the last one."""

    async def main():
        transport, protocol = await to_read(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        kept, told = os.open(path, os.O_WRONLY), b""
        for word in (b"one", b"two", b"ten"):
            writer = os.open(path, os.O_WRONLY)
            os.write(writer, word)
            os.close(writer)
            told += word
            assert await protocol.received(len(told)) == told
            assert not transport.is_closing()
        os.write(kept, b"last")
        os.close(kept)
        await asyncio.wait_for(protocol.lost, 10)
        return bytes(protocol.data), protocol.calls

    calls = ["made", "data", "eof", ("lost", None)]
    assert run(main()) == (b"onetwotenlast", calls)


def test_several_writers_at_once(run, path):
    async def main():
        transport, protocol = await to_read(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        writers = [os.open(path, os.O_WRONLY) for _ in range(3)]
        for number, writer in enumerate(writers, 1):
            os.write(writer, b"x" * number)
            await protocol.received(number * (number + 1) // 2)
            assert not transport.is_closing()
            os.close(writer)
        await asyncio.wait_for(protocol.lost, 10)
        return protocol.pieces

    assert run(main()) == [b"x", b"xx", b"xxx"]


def test_nobody_writes_yet(run, path):
    """A FIFO that no one has opened to write is not at its end."""

    async def main():
        transport, protocol = await to_read(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        await asyncio.sleep(0.02)
        assert protocol.calls == ["made"]
        with path.open("wb", 0) as writer:
            writer.write(b"hello")
        await asyncio.wait_for(protocol.lost, 10)
        assert transport.is_closing()
        return bytes(protocol.data)

    assert run(main()) == b"hello"


def test_the_last_writer_goes_while_nobody_reads(run, path):
    """Who has paused is told of nothing; what was written comes first when reading goes on."""

    async def main():
        transport, protocol = await to_read(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        transport.pause_reading()
        with path.open("wb", 0) as writer:
            writer.write(b"hello")
        await asyncio.sleep(0.02)
        assert protocol.calls == ["made"]
        assert not transport.is_closing()
        transport.resume_reading()
        await asyncio.wait_for(protocol.lost, 10)
        return protocol.calls, protocol.pieces

    calls = ["made", "data", "eof", ("lost", None)]
    assert run(main()) == (calls, [b"hello"])
