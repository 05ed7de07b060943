"""The writing end of a pipe: bytes go in, what is owed waits its turn, and a reader may go."""

import asyncio
import fcntl
import logging
import os

import pytest

from loopkit import peers
from loopkit.pipes import drain, fill, writing


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
