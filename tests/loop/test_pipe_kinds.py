"""Pipes of rare kinds and in rare states: FIFOs, sockets, terminals, devices, peers that are gone, protocols that raise."""

import asyncio
import os
import pty
import re
import socket
import tty

import pytest

from loopkit.peers import Recorder
from loopkit.pipes import ends, fill, reading, writing


def state(transport):
    """How a transport is printed, without its class and number."""
    return re.sub(r"^<\w+ ?|(fd=)\d+|>$", r"\1", repr(transport)).strip()


def opened(file, mode):
    """Return a file without a buffer; flags are those of a FIFO that nobody waits for."""
    if mode in ("rb", "r+b") and not isinstance(file, int):
        file = os.open(file, (os.O_RDWR if "+" in mode else os.O_RDONLY) | os.O_NONBLOCK)
    return open(file, mode, 0)


async def to_read(file, make=Recorder):
    return await asyncio.get_running_loop().connect_read_pipe(make, file)


async def to_write(file, make=Recorder):
    return await asyncio.get_running_loop().connect_write_pipe(make, file)


def test_a_named_pipe_on_both_sides(run, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def main():
        out = opened(path, "rb")
        into = opened(path, "wb")
        reader, heard = await to_read(out)
        writer, told = await to_write(into)
        assert reader.get_extra_info("pipe") is out
        assert writer.get_extra_info("pipe") is into
        assert (state(reader), state(writer)) == ("fd= polling", "fd= idle bufsize=0")
        writer.write(b"hello")
        await heard.received(5)
        writer.write_eof()
        await asyncio.gather(told.lost, heard.lost)
        assert (state(reader), state(writer)) == ("closed fd= closed",) * 2
        return heard.calls, told.calls

    lost = ("lost", None)
    assert run(main()) == (["made", "data", "eof", lost], ["made", lost])


def test_one_that_is_its_own_peer(run, tmp_path):
    """A FIFO that is open for both never ends by itself."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def main():
        file = opened(path, "r+b")
        transport, heard = await to_read(file)
        os.write(file.fileno(), b"self")
        await heard.received(4)
        transport.close()
        await heard.lost
        return heard.calls

    assert run(main()) == ["made", "data", ("lost", None)]


@pytest.mark.parametrize("connect", [to_read, to_write])
def test_memory_is_no_pipe(run, connect):
    """It is refused, and left open for whoever brought it."""

    async def main():
        with opened(os.memfd_create("memory"), "r+b") as file:
            with pytest.raises(ValueError, match=r"Pipe transport is (only )?for pipes"):
                await connect(file)
            assert not file.closed

    run(main())


def test_writes_to_a_device_that_takes_all(run):
    async def main():
        transport, told = await to_write(opened("/dev/null", "wb"))
        for _ in range(100):
            transport.write(b"x" * 10_000)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await told.lost
        return told.calls

    assert run(main()) == ["made", ("lost", None)]


@pytest.mark.parametrize("master", [False, True])
def test_the_end_of_a_terminal(run, master):
    """Whose other side goes: an end for the slave, an error that nobody is told of for the master."""

    async def main():
        near, far = pty.openpty()
        tty.setraw(far)
        near, far = (near, far) if master else (far, near)
        transport, heard = await to_read(opened(near, "rb"))
        os.write(far, b"hi")
        await heard.received(2)
        os.close(far)
        await heard.lost
        assert transport.is_closing()
        return heard.calls

    rest = [("lost", "OSError")] if master else ["eof", ("lost", None)]
    assert run(main()) == ["made", "data", *rest]


@pytest.mark.parametrize("speaks", [False, True])
def test_a_socket_that_is_only_written_to(run, speaks):
    """Whatever the other end does but read is taken for its end."""

    async def main():
        near, far = socket.socketpair()
        with far:
            transport, told = await to_write(near)
            transport.write(b"x")
            assert far.recv(10) == b"x"
            for _ in range(5):
                await asyncio.sleep(0)
            assert not transport.is_closing()
            if speaks:
                far.send(b"not asked for")
            else:
                far.close()
            await told.lost
        return told.calls, state(transport)

    assert run(main()) == (["made", ("lost", None)], "closed fd= closed")


def test_states_of_a_writer(run):
    async def main():
        transport, told, out = await writing()
        seen = [state(transport)]
        fill(transport)
        seen.append(re.sub(r"\d+", "N", state(transport)))
        transport.write_eof()
        transport.write_eof()
        transport.write(b"late")
        seen.append(re.sub(r"\d+", "N", state(transport)))
        assert transport.is_closing()
        owed = transport.get_write_buffer_size()
        assert owed > 0
        out.close()
        await told.lost
        assert transport.get_write_buffer_size() == 0
        return [*seen, state(transport)], told.calls[-1]

    states, last = run(main())
    assert states == [
        "fd= idle bufsize=0",
        "fd= polling bufsize=N",
        "closing fd= polling bufsize=N",
        "closed fd= closed",
    ]
    assert last == ("lost", "BrokenPipeError")


def test_states_of_a_reader(run):
    async def main():
        transport, heard, into = await reading()
        seen = [state(transport)]
        for method in ("pause_reading", "resume_reading", "pause_reading", "close"):
            getattr(transport, method)()
            getattr(transport, method)()
            seen.append(state(transport))
        await heard.lost
        transport.resume_reading()
        into.close()
        return seen, state(transport), transport.get_protocol()

    expected = ["fd= polling", "fd= idle", "fd= polling", "fd= idle", "closing fd= idle"]
    assert run(main()) == (expected, "closed fd= closed", None)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reader_that_is_gone_at_the_write(run, when):
    """Gone before the transport was made, it is noticed; gone just before a write, the write finds it."""

    async def main():
        out, into = ends()
        if when == "before":
            out.close()
        transport, told = await to_write(into)
        if when == "after":
            out.close()
            transport.write(b"x")
            assert transport.is_closing()
        await told.lost
        return told.calls

    error = None if when == "before" else "BrokenPipeError"
    assert run(main()) == ["made", ("lost", error)]


@pytest.mark.parametrize(
    "method", ["connection_made", "data_received", "eof_received", "connection_lost"]
)
def test_whatever_raises_the_end_is_told(loop, complaints, method):
    ended = []

    class Raises(Recorder):
        def connection_lost(self, exc):
            ended.append(exc)
            super().connection_lost(exc)

    def raising(self, *args):
        getattr(super(Raises, self), method)(*args)
        raise ValueError(method)

    async def main():
        kind = type("Raises", (Raises,), {method: raising})
        _, heard, into = await reading(kind)
        into.write(b"x")
        await heard.received(1)
        into.close()
        await heard.lost
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert [str(each["exception"]) for each in complaints] == [method]
    assert complaints[0]["message"].startswith("Exception in callback ")
