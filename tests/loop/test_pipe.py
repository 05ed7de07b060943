"""Pipe transports at either end: what they are, over which files, how they show and what they leave."""

import asyncio
import contextvars
import gc
import logging
import os
import pty
import re
import socket
import tty
import weakref

import pytest

from loopkit import children, peers
from loopkit.peers import Recorder
from loopkit.pipes import drain, ends, fill, reading, writing

# ruff: noqa: ASYNC230, SIM115 - pipes are opened at once, and their transports close them

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def test_what_the_transports_are(run):
    async def main():
        transport, protocol, into = await reading()
        assert isinstance(transport, asyncio.ReadTransport)
        assert not isinstance(transport, asyncio.WriteTransport)
        assert transport.get_protocol() is protocol
        assert transport.get_extra_info("pipe").fileno() >= 0
        assert transport.get_extra_info("nothing", 5) == 5
        assert weakref.ref(transport)() is transport
        transport.close()
        await protocol.lost
        into.close()
        transport, protocol, out = await writing()
        assert isinstance(transport, asyncio.WriteTransport)
        assert transport.get_protocol() is protocol
        assert transport.can_write_eof() is True
        assert transport.get_extra_info("pipe").fileno() >= 0
        assert weakref.ref(transport)() is transport
        transport.close()
        await protocol.lost
        out.close()

    run(main())


def test_the_pipe_blocks_nobody_and_is_closed_at_the_end(run):
    async def main():
        for connect in (reading, writing):
            transport, protocol, other = await connect()
            pipe = transport.get_extra_info("pipe")
            assert os.get_blocking(pipe.fileno()) is False
            assert os.get_blocking(other.fileno()) is True
            transport.close()
            assert not pipe.closed
            await protocol.lost
            await asyncio.sleep(0)
            assert pipe.closed
            other.close()

    run(main())


def test_what_connection_lost_raises_is_reported_and_the_pipe_closed(loop, complaints):
    class Faulty(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def main():
        for connect in (reading, writing):
            transport, protocol, other = await connect(Faulty)
            pipe = transport.get_extra_info("pipe")
            transport.close()
            await protocol.lost
            await asyncio.sleep(0)
            assert pipe.closed
            other.close()

    loop.run_until_complete(main())
    assert [type(each["exception"]) for each in complaints] == [ZeroDivisionError] * 2


# ------------------------------------------------------------------ kinds of files
def test_named_pipes(run, tmp_path):
    async def main():
        path = tmp_path / "fifo"
        os.mkfifo(path)
        loop = asyncio.get_running_loop()
        out = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        _reader, heard = await loop.connect_read_pipe(Recorder, out)
        writer, wrote = await loop.connect_write_pipe(Recorder, open(path, "wb", 0))
        writer.write(b"hello")
        assert await heard.received(5) == b"hello"
        writer.close()
        await wrote.lost
        await heard.lost
        return heard.calls

    assert run(main()) == ["made", "data", "eof", ("lost", None)]


def test_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        writer, wrote = await loop.connect_write_pipe(Recorder, near)
        _reader, heard = await loop.connect_read_pipe(Recorder, far)
        writer.write(b"hello")
        assert await heard.received(5) == b"hello"
        writer.close()
        await wrote.lost
        await heard.lost

    run(main())


def test_terminals(run):
    async def main():
        loop = asyncio.get_running_loop()
        master, slave = pty.openpty()
        tty.setraw(slave)
        writer, wrote = await loop.connect_write_pipe(Recorder, open(slave, "wb", 0))
        reader, heard = await loop.connect_read_pipe(Recorder, open(master, "rb", 0))
        writer.write(b"hello")
        assert await heard.received(5) == b"hello"
        for each, protocol in ((writer, wrote), (reader, heard)):
            each.close()
            await protocol.lost

    run(main())


def test_regular_files_are_refused(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = tmp_path / "file"
        path.write_bytes(b"content")
        with open(path, "rb") as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
                await loop.connect_read_pipe(Recorder, file)
            assert not file.closed
        text = "^Pipe transport is only for pipes, sockets and character devices$"
        with open(path, "ab") as file:
            with pytest.raises(ValueError, match=text):
                await loop.connect_write_pipe(Recorder, file)
            assert not file.closed

    run(main())


# ------------------------------------------------------------------ how it shows, and in which context
def test_repr(run):
    async def main():
        transport, protocol, into = await reading()
        texts = [repr(transport)]
        transport.pause_reading()
        texts.append(repr(transport))
        transport.close()
        texts.append(repr(transport))
        await protocol.lost
        await asyncio.sleep(0)
        texts.append(repr(transport))
        into.close()
        transport, protocol, out = await writing()
        texts.append(repr(transport))
        fill(transport)
        texts.append(repr(transport))
        transport.abort()
        await protocol.lost
        await asyncio.sleep(0)
        texts.append(repr(transport))
        out.close()
        return [re.sub(r"^<\S+ (.*)fd=\d+", r"\1fd", text) for text in texts]

    assert run(main()) == [
        "fd polling>",
        "fd idle>",
        "closing fd idle>",
        "closed fd closed>",
        "fd idle bufsize=0>",
        "fd polling bufsize=4096>",
        "closed fd closed>",
    ]


def test_a_closed_transport_is_freed(loop):
    for connect in (reading, writing):
        transport, protocol, other = loop.run_until_complete(connect())
        made = weakref.ref(transport)
        transport.close()
        loop.run_until_complete(protocol.lost)
        del transport, protocol
        other.close()
        gc.collect()
        assert made() is None


def test_a_transport_that_outlives_its_loop_warns(loop_factory, no_leaks):
    for connect in (reading, writing):
        loop = loop_factory()
        transport, protocol, other = loop.run_until_complete(connect())
        loop.close()
        protocol.transport = protocol.made = None
        held = [transport, protocol]
        del transport, protocol

        def let_go(held=held):
            held.clear()
            gc.collect()

        with pytest.warns(ResourceWarning, match=r"unclosed transport <\S+ fd=\d+ open>"):
            let_go()
        other.close()


def test_callbacks_run_in_the_context_of_who_asked(run):
    class Noting(Recorder):
        def note(self, what):
            self.calls.append((what, VARIABLE.get()))

        def connection_made(self, transport):
            super().connection_made(transport)
            self.note("made")

        def data_received(self, data):
            super().data_received(data)
            self.note("data")

        def resume_writing(self):
            self.note("resume")

    async def main():
        VARIABLE.set("making")
        transport, protocol, into = await reading(Noting)
        VARIABLE.set("later")
        into.write(b"a")
        await protocol.received(1)
        transport.pause_reading()
        VARIABLE.set("resuming")
        transport.resume_reading()
        VARIABLE.set("latest")
        into.write(b"b")
        await protocol.received(2)
        transport.close()
        await protocol.lost
        into.close()
        seen = [each for each in protocol.calls if isinstance(each, tuple)]
        transport, protocol, out = await writing(Noting)
        transport.set_write_buffer_limits(0)
        VARIABLE.set("writing")
        fill(transport)
        VARIABLE.set("reading")
        await peers.until(lambda: drain(out) is None or ("resume", "writing") in protocol.calls)
        transport.close()
        await protocol.lost
        out.close()
        return seen

    assert run(main()) == [
        ("made", "making"),
        ("data", "making"),
        ("data", "resuming"),
        ("lost", None),
    ]


def test_debug_says_what_happens(run, caplog):
    async def main():
        transport, protocol, into = await reading()
        transport.pause_reading()
        transport.resume_reading()
        into.close()
        await protocol.lost
        transport, protocol, out = await writing()
        out.close()
        await protocol.lost

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main(), debug=True)
    texts = [each.getMessage() for each in caplog.records]
    for words in ("pauses reading", "resumes reading", "was closed by peer"):
        assert any(words in text for text in texts)
    assert sum("was closed by peer" in text for text in texts) == 2


def test_the_order_of_callbacks_is_asyncios(same_trace):
    class Noting(asyncio.Protocol):
        def __init__(self, note):
            self.note = note

        def __getattribute__(self, name):
            if name.startswith(("connection", "data", "eof", "pause", "resume")):
                return lambda *args: object.__getattribute__(self, "note")(
                    name, [each for each in args if isinstance(each, bytes | None | Exception)]
                )
            return object.__getattribute__(self, name)

    async def script(loop, note):
        out, into = ends()
        transport, _ = await loop.connect_read_pipe(lambda: Noting(note), out)
        note("connected")
        into.write(b"hello")
        await asyncio.sleep(0.01)
        into.close()
        await asyncio.sleep(0.01)
        note("closing", transport.is_closing())
        out, into = ends()
        transport, _ = await loop.connect_write_pipe(lambda: Noting(note), into)
        transport.write(b"x" * 300_000)
        note("owed", transport.get_write_buffer_size())
        for _ in range(8):
            note("read", len(drain(out)))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        note("owed", transport.get_write_buffer_size())
        transport.write_eof()
        note("eof")
        await asyncio.sleep(0.001)
        out.close()

    same_trace(script, turns=False)


def test_streams_over_pipes(run):
    async def main():
        loop = asyncio.get_running_loop()
        out, into = ends()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), out)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop=loop), into
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)

        async def produce():
            for number in range(3000):
                writer.write(b"%d\n" % number)
                await writer.drain()
            writer.close()

        task = asyncio.create_task(produce())
        lines = [line async for line in reader]
        await task
        return [int(line) for line in lines] == list(range(3000))

    assert run(main())


def test_a_transport_that_is_left_at_exit_warns(driver):
    code = """
        async def main():
            out, into = os.pipe()
            loop = asyncio.get_running_loop()
            global left
            left = [
                await loop.connect_read_pipe(asyncio.Protocol, open(out, "rb", 0)),
                await loop.connect_write_pipe(asyncio.BaseProtocol, open(into, "wb", 0)),
            ]

        loop = new_loop()
        loop.run_until_complete(main())
    """
    status, out, err = children.run_python(code, driver, "-W", "default")
    assert (status, out) == (0, "")
    assert err.count("ResourceWarning: unclosed transport <") == 2
    assert "ignored" not in err
