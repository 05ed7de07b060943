"""asyncio's own streams on a loop of ours: fed without a call while they are untouched, called as ever when they are not."""

import asyncio
import sys

import pytest

conbrio = pytest.importorskip("conbrio")


async def until(holds):
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


class Link:
    """A stock reader and protocol on a transport of ours, and the peer's end."""

    def __init__(self, reader=asyncio.StreamReader, protocol=asyncio.StreamReaderProtocol):
        self.kinds = reader, protocol

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()
        self.server = await asyncio.start_server(
            lambda reader, writer: accepted.set_result(writer), "127.0.0.1", 0
        )
        make_reader, make_protocol = self.kinds
        self.reader = make_reader(limit=1000, loop=loop)
        self.protocol = make_protocol(self.reader, loop=loop)
        self.transport, _ = await loop.create_connection(
            lambda: self.protocol, *self.server.sockets[0].getsockname()
        )
        self.peer = await accepted
        return self

    async def __aexit__(self, *_):
        self.peer.close()
        self.transport.close()
        self.server.close()
        await asyncio.sleep(0.01)

    async def talk(self, data=b"some bytes"):
        """Lets the peer send, and the reader read it."""
        self.peer.write(data)
        return await asyncio.wait_for(self.reader.readexactly(len(data)), 5)


@pytest.fixture
def run(loop_factory):
    """Runs a coroutine on a loop of ours."""

    def run(main):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main)

    return run


def called(run_main):
    """Returns the names of the stream functions that were called by ``run_main``."""
    seen = []

    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_filename.endswith("streams.py"):
            seen.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        run_main()
    finally:
        sys.setprofile(None)
    return seen


FED = ["data_received", "feed_data", "_wakeup_waiter"]


def test_untouched_ones_are_fed_without_a_call(run):
    async def main():
        async with Link() as link:
            assert await link.talk() == b"some bytes"
            assert await link.talk(b"more\n") == b"more\n"

    seen = called(lambda: run(main()))
    assert "readexactly" in seen
    assert not {"data_received", "feed_data"} & set(seen)


@pytest.mark.parametrize("kind", ["protocol", "reader"])
def test_a_subclass_is_called(run, kind):
    fed = []

    class Reader(asyncio.StreamReader):
        def feed_data(self, data):
            fed.append(type(data))
            super().feed_data(data)

    class Protocol(asyncio.StreamReaderProtocol):
        def data_received(self, data):
            fed.append(type(data))
            super().data_received(data)

    async def main():
        given = {"protocol": Protocol} if kind == "protocol" else {"reader": Reader}
        async with Link(**given) as link:
            assert await link.talk() == b"some bytes"
            assert await link.talk() == b"some bytes"

    run(main())
    assert fed == [bytes, bytes]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("StreamReaderProtocol", "data_received"),
        ("StreamReader", "feed_data"),
        ("StreamReader", "_wakeup_waiter"),
    ],
)
def test_a_method_replaced_on_a_class_is_called(run, monkeypatch, kind, name):
    fed = []
    kind = getattr(asyncio, kind)
    before = getattr(kind, name)

    def replaced(self, *args):
        fed.append(args)
        return before(self, *args)

    async def main():
        async with Link() as link:
            assert await link.talk() == b"some bytes"
            assert fed == []
            monkeypatch.setattr(kind, name, replaced)
            assert await link.talk() == b"some bytes"
            assert len(fed) == 1
            monkeypatch.undo()
            assert await link.talk() == b"some bytes"
            assert len(fed) == 1

    run(main())


@pytest.mark.parametrize("name", FED)
def test_a_method_replaced_on_an_instance_is_called(run, name):
    fed = []

    async def main():
        async with Link() as link:
            assert await link.talk() == b"some bytes"
            owner = link.protocol if name == "data_received" else link.reader
            before = getattr(owner, name)

            def replaced(*args):
                fed.append(args)
                return before(*args)

            setattr(owner, name, replaced)
            assert await link.talk() == b"some bytes"
            assert len(fed) == 1
            delattr(owner, name)
            assert await link.talk() == b"some bytes"
            assert len(fed) == 1

    run(main())


def test_a_full_reader_pauses_the_transport(run):
    async def main():
        async with Link() as link:
            link.peer.write(b"x" * 100_000)
            await until(lambda: link.reader._paused)
            assert not link.transport.is_reading()
            assert await link.reader.readexactly(100_000) == b"x" * 100_000
            assert await link.talk() == b"some bytes"

    run(main())


def test_a_borrowed_buffer_breaks_the_connection_as_on_asyncio(run):
    async def main():
        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        async with Link() as link:
            link.reader._buffer.extend(b"x")
            view = memoryview(link.reader._buffer)
            link.peer.write(b"more")
            await until(lambda: told)
            view.release()
        return [(each["message"], type(each["exception"])) for each in told]

    expected = [("Fatal error: protocol.data_received() call failed.", BufferError)]
    assert run(main()) == expected
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(main()) == expected


def test_a_reader_that_died_hears_nothing(run):
    async def main():
        async with Link() as link:
            link.peer.write(b"for nobody")
            del link.reader
            await asyncio.sleep(0.02)
            assert link.protocol._stream_reader is None

    run(main())


def test_the_end_arrives(run):
    async def main():
        async with Link() as link:
            link.peer.write(b"last")
            link.peer.write_eof()
            assert await link.reader.read() == b"last"
            assert link.reader.at_eof()

    run(main())
