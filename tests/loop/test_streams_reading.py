"""Readers of ours: what a read returns and when, and which methods of theirs may be replaced."""

import asyncio
import time

import pytest

from loopkit import streams
from loopkit.streams import THEIRS, Pair, echo, until

conbrio = pytest.importorskip("conbrio")

run = streams.run_on_each


# ---------------------------------------------------------------- reading


def test_a_read_is_lazy_and_a_coroutine(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(b"abc")
        read = reader.read(2)
        assert asyncio.iscoroutine(read)
        assert reader._buffer == b"abc"
        assert await read == b"ab"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await read
        with pytest.warns(RuntimeWarning, match=r"coroutine 'StreamReader\.read' was never"):
            reader.read(1)
        assert await asyncio.wait_for(asyncio.create_task(reader.readexactly(1)), 5) == b"c"

    run(main())


def test_arguments_go_by_name(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(data=b"one;two\nthree")
        assert await reader.readuntil(separator=b";") == b"one;"
        assert await reader.readexactly(n=4) == b"two\n"
        assert await reader.read(n=2) == b"th"
        with pytest.raises(TypeError):
            reader.read(1, 2)
        with pytest.raises(TypeError):
            reader.readexactly()

    run(main())


def test_a_timeout_lets_the_next_read_have_the_bytes(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.01)
        assert reader._waiter is None
        reader.feed_data(b"late\n")
        assert await reader.readline() == b"late\n"

    run(main())


def test_what_is_seen_as_the_buffer_is_the_buffer(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(b"abcdef")
        buffer = reader._buffer
        assert buffer is reader._buffer
        assert isinstance(buffer, bytearray)
        del buffer[:2]
        assert await reader.readexactly(1) == b"c"
        assert buffer == b"def"
        reader.feed_data(b"g\n")
        assert buffer == b"defg\n"
        buffer.clear()
        reader._buffer = bytearray(b"new\nrest")
        assert await reader.readline() == b"new\n"
        assert await reader.read(9) == b"rest"

    run(main())


@pytest.mark.parametrize("kind", ["kept", "looked at", "derived"])
def test_a_buffer_that_is_seen_is_not_copied_for_each_line(run, kind):
    class Derived(conbrio.StreamReader):
        async def readline(self):
            return await super().readline()

    async def main():
        made = Derived if kind == "derived" else conbrio.StreamReader
        reader = made(loop=asyncio.get_running_loop())
        reader.feed_data(b"a line of some length\n" * 30_000)
        reader.feed_eof()
        kept = [reader._buffer]
        if kind != "kept":
            kept.clear()
        began, lines = time.process_time(), 0
        while not reader.at_eof():
            lines += len(await reader.readline()) > 0
            assert time.process_time() - began < 2
        assert lines == 30_000
        assert kept == [b""] * (kind == "kept")

    run(main())


def test_a_borrowed_buffer_can_be_asked_about(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(b"bytes")
        with memoryview(reader._buffer) as borrowed:
            assert not reader.at_eof()
            assert borrowed == b"bytes"
            with pytest.raises(BufferError):
                await reader.read(1)
        assert await reader.read(5) == b"bytes"

    run(main())


def test_nobody_reads_beside_another(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        first = asyncio.ensure_future(reader.read(1))
        await asyncio.sleep(0)
        for second, name in ((reader.readline(), "readuntil"), (reader.read(), "read")):
            text = rf"{name}\(\) called while another coroutine is already waiting"
            with pytest.raises(RuntimeError, match=text):
                await second
        reader.set_exception(OSError("broken"))
        with pytest.raises(OSError, match="broken"):
            await first
        with pytest.raises(OSError, match="broken"):
            await reader.readline()

    run(main())


def test_lines_are_iterated(run):
    async def main():
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(b"one\ntwo\nrest")
        reader.feed_eof()
        assert [line async for line in reader] == [b"one\n", b"two\n", b"rest"]
        assert reader.at_eof()

    run(main())


def test_asyncios_own_methods_work_on_a_reader_of_ours(run):
    async def main():
        theirs = THEIRS["StreamReader"]
        reader = conbrio.StreamReader(loop=asyncio.get_running_loop())
        reading = asyncio.ensure_future(theirs.readline(reader))
        await asyncio.sleep(0)
        assert reader._waiter is not None
        theirs.feed_data(reader, b"a line\nmore")
        assert await reading == b"a line\n"
        assert await reader.read(10) == b"more"
        reading = asyncio.ensure_future(reader.readexactly(3))
        await asyncio.sleep(0)
        theirs.feed_data(reader, b"abc")
        assert await reading == b"abc"

    run(main())


# ---------------------------------------------------------------- what is replaced


def test_a_replaced_method_is_called(run):
    fed = []

    class Reader(conbrio.StreamReader):
        def feed_data(self, data):
            fed.append(bytes(data))
            super().feed_data(data)

        async def readuntil(self, separator=b"\n"):
            return (await super().readuntil(separator)).upper()

    class Protocol(conbrio.StreamReaderProtocol):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        server = await conbrio.start_server(echo, "127.0.0.1", 0)
        reader = Reader(loop=loop)
        protocol = Protocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol, *server.sockets[0].getsockname()
        )
        transport.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        assert fed == [b"hello\n"]
        reader.feed_data = lambda data: fed.append("replaced")
        transport.write(b"more")
        await until(lambda: len(fed) == 2)
        assert fed[1] == "replaced"
        protocol.data_received = lambda data: fed.append("by the protocol")
        transport.write(b"more")
        await until(lambda: len(fed) == 3)
        assert fed[2] == "by the protocol"
        transport.close()
        server.close()
        await asyncio.sleep(0.01)

    run(main())


def test_a_method_replaced_on_the_class_is_called(run, monkeypatch):
    called = []
    before = conbrio.StreamReader.feed_data

    def feed_data(self, data):
        called.append(bytes(data))
        before(self, data)

    async def main():
        async with Pair() as (reader, writer):
            writer.write(b"one")
            assert await reader.readexactly(3) == b"one"
            monkeypatch.setattr(conbrio.StreamReader, "feed_data", feed_data)
            writer.write(b"two")
            assert await reader.readexactly(3) == b"two"
            assert called[-1] == b"two"
            monkeypatch.undo()
            called.clear()
            writer.write(b"three")
            assert await reader.readexactly(5) == b"three"
            assert called == []

    run(main())
