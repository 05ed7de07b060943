"""Streams of ours: what they are, what serves them and what they go through, and what they leave behind."""

import asyncio
import gc
import inspect
import subprocess
import sys
import weakref

import pytest

from loopkit import streams
from loopkit.streams import THEIRS, Pair, echo

conbrio = pytest.importorskip("conbrio")
swaps = pytest.importorskip("conbrio._swaps")

NAMES = list(THEIRS)
FUNCTIONS = ["open_connection", "start_server", "open_unix_connection", "start_unix_server"]

run = streams.run_on_each


class Closed(asyncio.Transport):
    """A transport that nobody has to close."""

    def is_closing(self):
        return True


# ---------------------------------------------------------------- what they are


@pytest.mark.parametrize("name", NAMES)
def test_a_class_is_asyncios_class_as_well(name):
    ours = getattr(conbrio, name)
    assert issubclass(ours, THEIRS[name])
    assert ours.__module__ == "conbrio"
    for method, value in vars(THEIRS[name]).items():
        if inspect.isfunction(value) and not method.startswith("__"):
            assert callable(getattr(ours, method)), method


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_asyncios_signature(name):
    ours, theirs = getattr(conbrio, name), getattr(asyncio, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert inspect.iscoroutinefunction(ours)
    assert ours.__module__ == "conbrio"


def test_functions_make_our_classes(run):
    seen = []

    async def handler(reader, writer):
        seen.extend((type(reader), type(writer)))
        writer.close()

    async def main():
        async with Pair(handler) as (reader, writer):
            assert await reader.read() == b""
            seen.extend((type(reader), type(writer), type(writer._protocol)))

    run(main())
    reader, writer = conbrio.StreamReader, conbrio.StreamWriter
    assert seen == [reader, writer, reader, writer, conbrio.StreamReaderProtocol]


def test_what_was_made_before_install_counts(run):
    async def main():
        loop = asyncio.get_running_loop()
        reader = THEIRS["StreamReader"](loop=loop)
        with swaps.held(True):
            assert isinstance(reader, asyncio.StreamReader)
            assert not isinstance(5, asyncio.StreamReader)
            protocol = THEIRS["StreamReaderProtocol"](reader, loop=loop)
            writer = asyncio.StreamWriter(Closed(), protocol, reader, loop)
            assert writer._reader is reader

    run(main())


def test_a_writer_wants_a_reader(run):
    async def main():
        with pytest.raises(AssertionError):
            conbrio.StreamWriter(Closed(), None, "no reader", None)

    run(main())


def test_reprs_are_asyncios(run):
    async def main():
        loop = asyncio.get_running_loop()
        for kind in (THEIRS["StreamReader"], conbrio.StreamReader):
            reader = kind(limit=7, loop=loop)
            reader.feed_data(b"abc")
            assert repr(reader) == "<StreamReader 3 bytes limit=7>"
            reader.feed_eof()
            assert repr(reader) == "<StreamReader 3 bytes eof limit=7>"

    run(main())


def test_limits_are_checked(run):
    async def main():
        for limit in (0, -1):
            with pytest.raises(ValueError, match="Limit cannot be <= 0"):
                conbrio.StreamReader(limit, asyncio.get_running_loop())
        reader = conbrio.StreamReader(float("inf"), asyncio.get_running_loop())
        assert reader._limit == float("inf")
        reader.feed_data(b"x" * 200_000 + b"\n")
        assert len(await reader.readline()) == 200_001

    run(main())


def test_they_can_be_referred_to_weakly_and_die(run):
    async def main():
        loop = asyncio.get_running_loop()
        reader = conbrio.StreamReader(loop=loop)
        protocol = conbrio.StreamReaderProtocol(reader, loop=loop)
        dead = [weakref.ref(reader), weakref.ref(protocol)]
        assert protocol._stream_reader is reader
        del reader
        gc.collect()
        assert protocol._stream_reader is None
        protocol.data_received(b"nobody hears")
        del protocol
        gc.collect()
        assert [each() for each in dead] == [None, None]

    run(main())


# ---------------------------------------------------------------- servers, TLS, pipes


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
def test_the_callback_may_be_either(run, kind):
    async def main():
        if kind == "function":

            def handler(reader, writer):
                writer.write(b"hello")
                writer.close()
        else:

            async def handler(reader, writer):
                writer.write(b"hello")
                writer.close()

        async with Pair(handler) as (reader, _):
            assert await reader.read() == b"hello"

    run(main())


def test_what_the_callback_raises_is_reported_as_asyncio_does(run):
    async def handler(reader, writer):
        raise LookupError("in the handler")

    async def main(module):
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with Pair(handler, module) as (reader, _):
            await asyncio.wait_for(reader.read(1), 1) if sys.version_info >= (3, 12) else None
            await asyncio.sleep(0.02)
            gc.collect()
        return [(each["message"], repr(each["exception"]), sorted(each)) for each in told]

    assert run(main(conbrio)) == run(main(asyncio))


def test_they_talk_over_unix_sockets(run, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        server = await conbrio.start_unix_server(echo, path)
        reader, writer = await conbrio.open_unix_connection(path)
        assert type(reader) is conbrio.StreamReader
        writer.writelines([b"one\n", b"two\n"])
        assert await reader.readuntil(b"two\n") == b"one\ntwo\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await asyncio.sleep(0.01)

    run(main())


def test_pipes_of_a_process_go_through_ours_when_swapped(run):
    async def main():
        with swaps.held(True):
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert type(process.stdout) is conbrio.StreamReader
            assert type(process.stdin) is conbrio.StreamWriter
            process.stdin.write(b"through a pipe\n")
            await process.stdin.drain()
            assert await process.stdout.readline() == b"through a pipe\n"
            out, _ = await process.communicate(b"rest" * 50_000)
            assert out == b"rest" * 50_000

    run(main())


# ---------------------------------------------------------------- leaks


@pytest.mark.parametrize("count", [300])
def test_many_pairs_leave_nothing(run, count):
    async def main():
        server = await conbrio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        for _ in range(count):
            reader, writer = await conbrio.open_connection(*address)
            writer.write(b"ping\n")
            assert await reader.readline() == b"ping\n"
            writer.close()
            await writer.wait_closed()
        del reader, writer
        server.close()
        await asyncio.sleep(0.01)
        gc.collect()
        kinds = (conbrio.StreamReader, conbrio.StreamWriter, conbrio.StreamReaderProtocol)
        return sum(type(each) in kinds for each in gc.get_objects())

    assert run(main()) == 0
