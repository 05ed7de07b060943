"""How a transport calls its protocol: pauses, buffers, contexts, and another protocol."""

import asyncio
import contextvars
import gc
import os
import socket
import time
import weakref

import pytest

from loopkit import peers
from loopkit.peers import BufferedRecorder, Recorder, connected, finish


def both_pairs(function):
    """Run a test on TCP and on Unix sockets."""
    return pytest.mark.parametrize("pair", [peers.tcp_pair, peers.unix_pair])(function)


def test_pause_and_resume_reading(run):
    async def main():
        transport, protocol, far = await connected()
        transport.pause_reading()
        transport.pause_reading()
        assert transport.is_reading() is False
        far.send(b"hello")
        await asyncio.sleep(0.01)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading() is True
        assert await protocol.received(5) == b"hello"
        transport.close()
        assert transport.is_reading() is False
        transport.pause_reading()
        transport.resume_reading()
        assert transport.is_reading() is False
        await protocol.lost
        far.close()

    run(main())


def test_a_pause_and_what_follows_it_in_the_same_turn(run):
    async def main():
        transport, protocol, far = await connected()
        for _ in range(3):
            transport.pause_reading()
            assert "read=idle" in repr(transport)
            transport.resume_reading()
            assert "read=polling" in repr(transport)
        far.send(b"one")
        assert await protocol.received(3) == b"one"
        # A pause that something comes into, twice, and one that the peer ends in.
        for text in b"two", b"three":
            transport.pause_reading()
            far.send(text)
            await asyncio.sleep(0.01)
            assert "read=idle" in repr(transport)
            assert text not in protocol.data
            transport.resume_reading()
            while text not in protocol.data:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        transport.pause_reading()
        far.close()
        await asyncio.sleep(0.01)
        assert not protocol.ended.done()
        transport.resume_reading()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("heard", [True, False])
def test_a_paused_connection_ends(run, how, heard):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        number = transport.get_extra_info("socket").fileno()
        transport.pause_reading()
        if heard:
            far.send(b"unheard")
            await asyncio.sleep(0.01)
        getattr(transport, how)()
        await protocol.lost
        await asyncio.sleep(0)
        assert protocol.data == b""
        assert loop.remove_reader(number) is False
        far.close()

    run(main())


@pytest.mark.conbrio_only
def test_a_pause_does_not_keep_the_loop_busy(run):
    async def main():
        transport, protocol, far = await connected()
        transport.pause_reading()
        far.send(b"waits")
        before = time.process_time()
        await asyncio.sleep(0.2)
        assert time.process_time() - before < 0.1
        transport.resume_reading()
        assert await protocol.received(5) == b"waits"
        await finish(transport, protocol, far)

    run(main())


def test_pause_reading_in_connection_made(run):
    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        near, far = peers.tcp_pair()
        far.send(b"early")
        transport, protocol = await asyncio.get_running_loop().create_connection(Paused, sock=near)
        await asyncio.sleep(0.01)
        assert protocol.data == b""
        assert not transport.is_reading()
        transport.resume_reading()
        assert await protocol.received(5) == b"early"
        await finish(transport, protocol, far)

    run(main())


def test_pause_reading_in_data_received_holds_back_the_rest(run):
    async def main():
        class Pausing(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.pause_reading()

        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected(Pausing)
        far.send(b"one")
        assert await protocol.received(3) == b"one"
        far.send(b"two")
        await asyncio.sleep(0.01)
        assert protocol.data == b"one"
        loop.call_soon(transport.resume_reading)
        assert await protocol.received(6) == b"onetwo"
        await finish(transport, protocol, far)

    run(main())


def test_set_protocol(run):
    async def main():
        transport, first, far = await connected()
        second = Recorder()
        far.send(b"one")
        await first.received(3)
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        far.send(b"two")
        await second.received(3)
        far.close()
        await second.lost
        return first.calls, second.calls

    assert run(main()) == (["made", "data"], ["data", "eof", ("lost", None)])


@both_pairs
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_buffered_protocol(run, pair, size):
    async def main():
        loop = asyncio.get_running_loop()
        _transport, protocol, far = await connected(lambda: BufferedRecorder(size), pair)
        data = os.urandom(5000)
        await loop.sock_sendall(far, data)
        assert await protocol.received(5000) == data
        far.close()
        await protocol.lost
        assert protocol.calls[-2:] == ["eof", ("lost", None)]
        return all(call == "get" for call in protocol.calls[1:-2:2])

    assert run(main())


@pytest.mark.beyond_asyncio("it calls data_received of what is no BufferedProtocol")
def test_a_protocol_with_nothing_but_a_buffer(run):
    """Uvloop looks at the methods, and programs that ran on it have no class to show."""

    class Duck(asyncio.BaseProtocol):
        def __init__(self):
            self.room = bytearray(7)
            self.heard = b""
            self.lost = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint):
            return self.room

        def buffer_updated(self, nbytes):
            self.heard += self.room[:nbytes]

        def eof_received(self):
            self.heard += b"."

        def connection_lost(self, exc):
            self.lost.set_result(exc)

    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        _, duck = await loop.create_connection(Duck, sock=near)
        await loop.sock_sendall(far, b"more than seven bytes")
        far.close()
        assert await duck.lost is None
        return duck.heard

    assert run(main()) == b"more than seven bytes."


def test_from_plain_to_buffered_protocol_and_back(run):
    async def main():
        transport, plain, far = await connected()
        buffered = BufferedRecorder()
        transport.set_protocol(buffered)
        far.send(b"buffered")
        assert await buffered.received(8) == b"buffered"
        transport.set_protocol(plain)
        far.send(b"plain")
        assert await plain.received(5) == b"plain"
        await finish(transport, plain, far)

    run(main())


def test_protocols_run_in_the_context_of_their_making(run):
    variable = contextvars.ContextVar("variable", default="outside")

    async def main():
        heard = []

        class Looking(Recorder):
            def data_received(self, data):
                heard.append(variable.get())
                super().data_received(data)

            def connection_lost(self, exc):
                heard.append(variable.get())
                super().connection_lost(exc)

        variable.set("maker")
        transport, protocol, far = await connected(Looking)
        variable.set("later")
        far.send(b"x")
        await protocol.received(1)
        transport.close()
        await protocol.lost
        far.close()
        return heard

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        expected = runner.run(main())
    assert expected[0] == "maker"
    assert run(main()) == expected


def test_a_closed_transport_frees_its_protocol(run):
    async def main():
        transport, protocol, far = await connected()
        seen = weakref.ref(protocol)
        transport.close()
        await protocol.lost
        protocol.transport = None
        del protocol
        far.close()
        await asyncio.sleep(0)
        gc.collect()
        return seen() is None

    assert run(main())


def test_streams_drain_waits_for_a_slow_reader(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        _reader, writer = await asyncio.open_connection(sock=near)
        written = 0

        async def produce():
            nonlocal written
            for _ in range(1000):
                writer.write(b"x" * 65536)
                written += 65536
                await writer.drain()
            writer.close()

        task = asyncio.create_task(produce())
        await asyncio.sleep(0.05)
        held_back = written < 50_000_000
        heard = len(await peers.read_all(loop, far))
        await task
        await writer.wait_closed()
        far.close()
        return held_back, heard

    assert run(main()) == (True, 65_536_000)


def test_streams_by_line_and_by_size(run):
    async def main():
        near, far = peers.tcp_pair()
        reader, writer = await asyncio.open_connection(sock=near)
        other_reader, other_writer = await asyncio.open_connection(sock=far)
        other_writer.writelines([b"one\ntwo\n", b"exactly", b"until;rest"])
        assert await reader.readline() == b"one\n"
        assert await reader.readline() == b"two\n"
        assert await reader.readexactly(7) == b"exactly"
        assert await reader.readuntil(b";") == b"until;"
        other_writer.write_eof()
        assert await reader.read() == b"rest"
        assert reader.at_eof()
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(1)
        writer.write(b"answer")
        await writer.drain()
        assert await other_reader.read(100) == b"answer"
        assert writer.get_extra_info("peername") == far.getsockname()
        for each in (writer, other_writer):
            each.close()
            await each.wait_closed()

    run(main())


def test_who_takes_over_while_a_buffer_is_asked_for_hears_of_the_bytes(same):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self, heard, successor=None):
            self.heard, self.successor, self.buffer = heard, successor, bytearray(8)

        def connection_made(self, transport):
            self.transport = transport

        def get_buffer(self, sizehint):
            if self.successor is not None:
                self.transport.set_protocol(self.successor)
            return self.buffer

        def buffer_updated(self, nbytes):
            self.heard.append(["first" if self.successor else "second", nbytes])

    async def scenario(loop):
        heard = []
        protocol = Buffered(heard, Buffered(heard))
        near, far = peers.unix_pair()
        transport, _ = await loop.create_connection(lambda: protocol, sock=near)
        await loop.sock_sendall(far, b"bytes")
        await peers.until(lambda: heard)
        transport.abort()
        far.close()
        await asyncio.sleep(0)
        return heard

    assert same(scenario) == [["second", 5]]


NOTHING = "'NoneType' object has no attribute '{}'"


@pytest.mark.beyond_asyncio("leaves what it has made unclosed")
def test_no_protocol_is_told_as_asyncio_tells_it(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        with near, far, socket.socket(type=socket.SOCK_DGRAM) as sock:
            makers = [
                loop.create_connection(lambda: None, sock=near),
                loop.connect_accepted_socket(lambda: None, far),
                loop.create_datagram_endpoint(lambda: None, sock=sock),
            ]
            for making in makers:
                with pytest.raises(AttributeError, match=NOTHING.format("connection_made")):
                    await making
            for making in (loop.connect_read_pipe, loop.connect_write_pipe):
                with pytest.raises(AttributeError, match=NOTHING.format("fileno")):
                    await making(asyncio.Protocol, None)

    run(main())
