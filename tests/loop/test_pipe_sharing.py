"""Pipes that others hold too, or that are no pipes: made to block behind the loop's back, or a socket of messages."""

import asyncio
import contextvars
import os
import socket
import threading

import pytest

from loopkit import peers
from loopkit.pipes import ends, reading, writing

SIZE = 1_000_000


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_a_pipe_made_to_block_stops_no_other_thread(run, when):
    async def main():
        transport, protocol, out = await writing()
        received = []

        def read():
            while data := os.read(out.fileno(), 65536):
                received.append(len(data))

        def make_block():
            os.set_blocking(transport.get_extra_info("pipe").fileno(), True)

        reader = threading.Thread(target=read)
        if when == "before":
            make_block()
            reader.start()
            transport.write(b"x" * SIZE)
        else:
            transport.write(b"x" * SIZE)
            assert transport.get_write_buffer_size() > 0
            make_block()
            reader.start()
        transport.close()
        assert await protocol.lost is None
        reader.join(10)
        out.close()
        return sum(received)

    assert run(main()) == SIZE


def test_bytes_of_a_pipe_made_to_block(run):
    async def main():
        transport, protocol, into = await reading()
        os.set_blocking(transport.get_extra_info("pipe").fileno(), True)
        into.write(b"hello")
        assert await protocol.received(5) == b"hello"
        into.close()
        assert await protocol.lost is None
        return protocol.calls

    assert run(main()) == ["made", "data", "eof", ("lost", None)]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_large_messages_are_read_whole(run, kind):
    class Messages(asyncio.Protocol):
        def __init__(self):
            self.sizes, self.all = [], asyncio.get_running_loop().create_future()

        def data_received(self, data):
            self.sizes.append(len(data))
            if len(self.sizes) == 5:
                self.all.set_result(None)

    async def main():
        near, far = socket.socketpair(type=kind)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_read_pipe(Messages, near)
        for _ in range(5):
            await asyncio.to_thread(far.send, b"x" * 150_000)
        await asyncio.wait_for(protocol.all, 10)
        transport.close()
        await asyncio.sleep(0)
        far.close()
        return protocol.sizes

    assert run(main()) == [150_000] * 5


def test_memory_with_gaps_breaks_nothing_off(run):
    gaps = memoryview(b"abcdef")[::2]

    async def main():
        transport, protocol, out = await writing()
        transport.write(b"x" * 100_000)
        with pytest.raises((BufferError, TypeError)):
            transport.write(gaps)
        transport.close()
        transport.write(gaps)
        received = 0
        while data := await asyncio.to_thread(os.read, out.fileno(), 1 << 20):
            received += len(data)
        out.close()
        return received, await protocol.lost

    assert run(main()) == (100_000, None)


HERE = contextvars.ContextVar("HERE", default="outside")


class Fails(peers.Recorder):
    """Raises, in a context that is to be recognised."""

    def data_received(self, data):
        HERE.set("data")
        raise ValueError("data")

    def connection_lost(self, exc):
        HERE.set("lost")
        super().connection_lost(exc)
        raise ValueError("lost")


def test_the_handler_hears_of_a_callback_in_its_context(same):
    async def scenario(loop):
        heard = []
        loop.set_exception_handler(lambda _, it: heard.append([HERE.get(), sorted(it)]))
        out, into = ends()
        transport, protocol = await loop.connect_read_pipe(Fails, out)
        into.write(b"x")
        await peers.until(lambda: heard)
        transport.close()
        await protocol.lost
        into.close()
        out, into = ends()
        transport, protocol = await loop.connect_write_pipe(Fails, into)
        transport.close()
        await protocol.lost
        out.close()
        transport, protocol = await loop.create_datagram_endpoint(
            Fails, local_addr=("127.0.0.1", 0)
        )
        transport.close()
        await protocol.lost
        await asyncio.sleep(0)
        return heard

    assert len(same(scenario)) == 4


def test_another_thread_is_refused_in_debug_mode(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        one, _, into = await reading()
        two, _, out = await writing()
        three, _, far = await peers.connected(peers.Recorder, peers.unix_pair)
        four, _ = await loop.create_datagram_endpoint(peers.Recorder, local_addr=("127.0.0.1", 0))
        transports = [one, two, three, four]
        refused = []

        def close():
            for transport in transports:
                try:
                    transport.close()
                except RuntimeError as error:
                    refused.append(str(error))

        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
        for transport in transports:
            transport._call_connection_lost(None)
        await asyncio.sleep(0.01)
        into.close()
        out.close()
        far.close()
        return refused

    text = "Non-thread-safe operation invoked on an event loop other than the current one"
    assert run(main()) == [text] * 4
