"""Writers of ours: when a drain waits, what it tells of a loss, and who is warned of."""

import asyncio
import contextlib
import gc
import warnings

import pytest

from loopkit import streams
from loopkit.streams import THEIRS, Pair, echo, until

conbrio = pytest.importorskip("conbrio")

run = streams.run_on_each


def test_drain_costs_nothing_while_there_is_room(loop_factory):
    async def main():
        async with Pair() as (_, writer):
            writer.write(b"x")
            assert writer.drain() is writer.drain()
            await asyncio.gather(writer.drain(), writer.drain())
            assert await asyncio.create_task(writer.drain()) is None

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def test_drain_waits_while_there_is_none(run):
    async def reads_late(reader, writer):
        await asyncio.sleep(0.05)
        total = 0
        while data := await reader.read(1 << 20):
            total += len(data)
        writer.write(str(total).encode())
        writer.close()

    async def main():
        async with Pair(reads_late) as (reader, writer):
            block, count = b"x" * (1 << 20), 0
            while True:
                writer.write(block)
                count += 1
                draining = asyncio.ensure_future(writer.drain())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if not draining.done():
                    break
            await draining
            writer.write_eof()
            assert int(await reader.read()) == count << 20

    run(main())


async def write_on(writer):
    for _ in range(100):
        writer.write(b"y" * 1000)
        await writer.drain()


def test_drain_tells_of_a_loss(run):
    async def slams(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    async def main():
        async with Pair(slams) as (reader, writer):
            writer.write(b"x")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            with pytest.raises(ConnectionError):
                await write_on(writer)
            assert writer.is_closing()
            assert writer.can_write_eof()
            assert writer.get_extra_info("no such", 5) == 5
            assert writer.get_extra_info("no such") is None

    run(main())


def test_a_reader_that_is_full_pauses_its_transport(run):
    async def floods(reader, writer):
        writer.write(b"x" * 500_000)
        await reader.read()
        writer.close()

    async def main():
        async with Pair(floods, limit=1000) as (reader, writer):
            await until(lambda: reader._paused)
            assert not writer.transport.is_reading()
            assert len(await reader.readexactly(400_000)) == 400_000
            assert len(await reader.readexactly(100_000)) == 100_000
            assert not reader._paused

    run(main())


def test_an_unclosed_writer_is_warned_of(run):
    async def main():
        server = await conbrio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await conbrio.open_connection(*server.sockets[0].getsockname())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del reader, writer
            gc.collect()
            await asyncio.sleep(0.01)
        said = [
            str(each.message) for each in caught if "unclosed <StreamWriter" in str(each.message)
        ]
        # asyncio: 3.11.0 had no such words yet.
        assert said or not hasattr(THEIRS["StreamWriter"], "__del__")
        server.close()
        await asyncio.sleep(0.01)

    run(main())
