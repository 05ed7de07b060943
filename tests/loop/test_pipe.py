"""Pipe transports: bytes out of one end, bytes into the other, pauses, ends."""

import asyncio
import contextlib
import contextvars
import errno
import fcntl
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

# ruff: noqa: ASYNC230, SIM115 - pipes are opened at once, and their transports close them

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def ends():
    """Return both ends of a pipe as files, unbuffered."""
    out, into = os.pipe()
    return open(out, "rb", 0), open(into, "wb", 0)


async def reading(make=Recorder):
    """Return a transport that reads a pipe, its protocol and the descriptor of the other end."""
    out, into = ends()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(make, out)
    return transport, protocol, into


async def writing(make=Recorder):
    """Return a transport that writes into a pipe, its protocol and the file of the other end."""
    out, into = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(make, into)
    return transport, protocol, out


def drain(file):
    """Read what is in a pipe, and wait for nothing."""
    os.set_blocking(file.fileno(), False)
    pieces = []
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(file.fileno(), 1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


def fill(transport):
    """Write until something is owed; return how many bytes that were."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(b"x" * 4096)
        written += 4096
    return written


# ------------------------------------------------------------------ the reading end
def test_bytes_come_out(run):
    async def main():
        transport, protocol, into = await reading()
        into.write(b"hello")
        assert await protocol.received(5) == b"hello"
        into.write(b" world")
        assert await protocol.received(11) == b"hello world"
        assert not transport.is_closing()
        into.close()
        assert await protocol.lost is None
        assert transport.is_closing()
        return protocol.calls

    assert run(main()) == ["made", "data", "eof", ("lost", None)]


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


def test_reading_pauses_and_goes_on(run):
    async def main():
        transport, protocol, into = await reading()
        assert transport.is_reading() is True
        transport.pause_reading()
        transport.pause_reading()
        assert transport.is_reading() is False
        into.write(b"hello")
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading() is True
        assert await protocol.received(5) == b"hello"
        transport.close()
        assert transport.is_reading() is False
        transport.pause_reading()
        transport.resume_reading()
        await protocol.lost
        into.close()

    run(main())


def test_reading_may_be_paused_before_it_begins(run):
    class Hesitant(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        transport, protocol, into = await reading(Hesitant)
        into.write(b"hello")
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.data == b""
        transport.resume_reading()
        await protocol.received(5)
        transport.close()
        await protocol.lost
        into.close()

    run(main())


def test_a_new_protocol_hears(run):
    async def main():
        transport, first, into = await reading()
        second = Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        into.write(b"hello")
        assert await second.received(5) == b"hello"
        assert first.data == b""
        into.close()
        await second.lost
        assert transport.get_protocol() is None

    run(main())


def test_much_comes_out_whole(run):
    data = os.urandom(1 << 20)

    async def main():
        _transport, protocol, into = await reading()
        loop = asyncio.get_running_loop()

        def feed():
            with open(into.fileno(), "wb", closefd=False) as file:
                file.write(data)
            into.close()

        await loop.run_in_executor(None, feed)
        await protocol.lost
        return bytes(protocol.data) == data

    assert run(main())


def test_what_a_protocol_raises_is_reported_and_reading_goes_on(loop, complaints):
    class Faulty(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise ZeroDivisionError(data)

    async def main():
        transport, protocol, into = await reading(Faulty)
        into.write(b"one")
        await protocol.received(3)
        into.write(b"two")
        await protocol.received(6)
        transport.close()
        await protocol.lost
        into.close()

    loop.run_until_complete(main())
    assert [type(each["exception"]) for each in complaints] == [ZeroDivisionError] * 2


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


def test_a_read_that_fails(loop, complaints):
    async def main():
        near, far = peers.tcp_pair()
        _transport, protocol = await loop.connect_read_pipe(Recorder, near)
        peers.reset(far)
        return await protocol.lost

    assert isinstance(loop.run_until_complete(main()), ConnectionResetError)
    assert [each["message"] for each in complaints] == ["Fatal read error on pipe transport"]
    assert set(complaints[0]) == {"message", "exception", "transport", "protocol"}


def test_a_terminal_that_hangs_up_is_no_fault(loop, complaints):
    async def main():
        master, slave = pty.openpty()
        _transport, protocol = await loop.connect_read_pipe(Recorder, open(master, "rb", 0))
        os.write(slave, b"hello")
        await protocol.received(5)
        os.close(slave)
        return await protocol.lost

    assert loop.run_until_complete(main()).errno == errno.EIO
    assert complaints == []


# ------------------------------------------------------------------ the writing end
def test_bytes_go_in_at_once(run):
    async def main():
        transport, protocol, out = await writing()
        transport.write(b"one")
        assert os.read(out.fileno(), 10) == b"one"
        transport.write(bytearray(b"two"))
        transport.write(memoryview(b"three"))
        transport.writelines([b"four", b"five"])
        transport.write(b"")
        assert os.read(out.fileno(), 100) == b"twothreefourfive"
        assert transport.get_write_buffer_size() == 0
        transport.close()
        assert await protocol.lost is None
        assert os.read(out.fileno(), 10) == b""
        out.close()
        return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


def test_a_short_write_stays_in_one_piece(run):
    async def main():
        transport, protocol, out = await writing()
        room = fcntl.fcntl(out.fileno(), fcntl.F_GETPIPE_SZ)
        transport.write(b"a" * (room - 100))
        transport.write(b"b" * 200)
        assert transport.get_write_buffer_size() == 200
        assert os.read(out.fileno(), 2 * room) == b"a" * (room - 100)
        await peers.until(lambda: not transport.get_write_buffer_size())
        assert os.read(out.fileno(), 2 * room) == b"b" * 200
        transport.close()
        await protocol.lost
        out.close()

    run(main())


def test_what_is_not_bytes_is_refused(run):
    async def main():
        transport, protocol, out = await writing()
        with pytest.raises(AssertionError, match="'text'"):
            transport.write("text")
        transport.close()
        await protocol.lost
        out.close()

    run(main())


def test_the_writer_is_paused(run):
    async def main():
        transport, protocol, out = await writing()
        assert transport.get_write_buffer_limits() == (16384, 65536)
        transport.set_write_buffer_limits(high=100, low=10)
        assert transport.get_write_buffer_limits() == (10, 100)
        written = fill(transport)
        assert protocol.calls == ["made", "pause"]
        transport.write(b"y" * 10)
        assert protocol.calls == ["made", "pause"]
        owed = transport.get_write_buffer_size()
        got = 0
        while got < written + 10:
            got += len(drain(out))
            await asyncio.sleep(0)
        await peers.until(lambda: "resume" in protocol.calls)
        assert owed > 100
        assert protocol.calls == ["made", "pause", "resume"]
        with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.close()
        await protocol.lost
        out.close()

    run(main())


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_what_is_owed_is_written_before_the_end(run, end):
    async def main():
        transport, protocol, out = await writing()
        written = fill(transport)
        getattr(transport, end)()
        assert transport.is_closing()
        transport.write(b"too late")
        got = b""
        while piece := await asyncio.to_thread(os.read, out.fileno(), 1 << 20):
            got += piece
        assert len(got) == written
        assert await protocol.lost is None
        out.close()
        return protocol.calls[-1]

    assert run(main()) == ("lost", None)


def test_abort_forgets_what_is_owed(run):
    async def main():
        transport, protocol, out = await writing()
        fill(transport)
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        out.close()

    run(main())


def test_abort_after_close_does_not_wait(run):
    async def main():
        transport, protocol, out = await writing()
        fill(transport)
        transport.close()
        await asyncio.sleep(0)
        transport.abort()
        assert await protocol.lost is None
        out.close()

    run(main())


@pytest.mark.parametrize("owes", [False, True])
def test_a_reader_that_goes_is_noticed(run, owes):
    async def main():
        transport, protocol, out = await writing()
        if owes:
            fill(transport)
        out.close()
        lost = await protocol.lost
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        return type(lost)

    assert run(main()) is (BrokenPipeError if owes else type(None))


def test_a_write_that_fails(loop, complaints):
    async def main():
        transport, protocol, out = await writing()
        out.close()
        transport.write(b"hello")
        return await protocol.lost

    assert isinstance(loop.run_until_complete(main()), BrokenPipeError)
    assert complaints == []


def test_writes_into_the_void_are_mentioned(run, caplog):
    async def main():
        transport, protocol, out = await writing()
        out.close()
        for _ in range(8):
            transport.write(b"hello")
        await protocol.lost

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    text = "pipe closed by peer or os.write(pipe, data) raised exception."
    assert [each.getMessage() for each in caplog.records] == [text] * 3


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
