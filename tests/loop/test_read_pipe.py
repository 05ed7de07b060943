"""The reading end of a pipe: bytes come out, reading pauses, and it ends well or by a fault."""

import asyncio
import errno
import os
import pty

from loopkit import peers
from loopkit.peers import Recorder
from loopkit.pipes import reading

# ruff: noqa: ASYNC230, SIM115 - pipes are opened at once, and their transports close them


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
