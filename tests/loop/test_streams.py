"""Streams of ours: what they are, how they are fed, when they wait, and what they leave behind."""

import asyncio
import contextlib
import gc
import inspect
import subprocess
import sys
import warnings
import weakref

import pytest

conbrio = pytest.importorskip("conbrio")
swaps = pytest.importorskip("conbrio._swaps")

NAMES = ["StreamReader", "StreamWriter", "StreamReaderProtocol"]
THEIRS = {name: getattr(asyncio, name) for name in NAMES}
FUNCTIONS = ["open_connection", "start_server", "open_unix_connection", "start_unix_server"]


@pytest.fixture(params=["ours", "standard"])
def run(request, loop_factory):
    """Runs a coroutine on our loop, and on the standard one."""
    factory = loop_factory if request.param == "ours" else asyncio.SelectorEventLoop

    def run(main):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)

    return run


async def echo(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def until(holds):
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


class Pair:
    """A client's reader and writer, and a server that does what it is told."""

    def __init__(self, handler=echo, module=conbrio, **given):
        self.handler, self.module, self.given = handler, module, given

    async def __aenter__(self):
        self.server = await self.module.start_server(self.handler, "127.0.0.1", 0, **self.given)
        address = self.server.sockets[0].getsockname()
        self.reader, self.writer = await self.module.open_connection(*address, **self.given)
        return self.reader, self.writer

    async def __aexit__(self, *_):
        self.writer.close()
        self.server.close()
        await asyncio.sleep(0.01)


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


# ---------------------------------------------------------------- writing


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
