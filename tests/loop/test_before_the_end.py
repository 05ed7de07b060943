"""What stands before a connection's sudden end: bytes that were written, who is blamed, and a loop that is closed."""

import asyncio
import gc
import socket
import sys

import pytest

from loopkit import peers
from loopkit.tls import answer_of


class Fails(asyncio.Protocol):
    """Writes, then raises, in one method."""

    method = "data_received"

    def connection_made(self, transport):
        self.transport = transport

    def end(self, method):
        if method == self.method:
            self.transport.write(b"so ")
            self.transport.writelines([b"long", b"!"])
            raise ValueError(method)

    def data_received(self, data):
        self.end("data_received")

    def eof_received(self):
        self.end("eof_received")


class FailsInBuffer(Fails, asyncio.BufferedProtocol):
    """The same with memory of its own."""

    def get_buffer(self, sizehint):
        self.memory = bytearray(16)
        self.end("get_buffer")
        return self.memory

    def buffer_updated(self, nbytes):
        self.end("buffer_updated")


WAYS = [
    (Fails, "data_received"),
    (Fails, "eof_received"),
    (FailsInBuffer, "get_buffer"),
    (FailsInBuffer, "buffer_updated"),
]


@pytest.mark.parametrize(("kind", "method"), WAYS)
def test_what_was_written_before_an_exception_is_sent(run, kind, method):
    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        loop.set_exception_handler(lambda loop, context: heard.append(context["exception"]))
        near, far = peers.unix_pair()
        factory = type("Protocol", (kind,), {"method": method})
        transport, _ = await loop.create_connection(factory, sock=near)
        if method == "eof_received":
            far.shutdown(socket.SHUT_WR)
        else:
            await loop.sock_sendall(far, b"x")
        received = b""
        while len(received) < len(b"so long!"):
            received += await loop.sock_recv(far, 64)
        far.close()
        assert transport.is_closing()
        assert [str(exception) for exception in heard] == [method]
        return received

    assert run(main()) == b"so long!"


def test_the_same_over_tls(run):
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await answer_of(Fails, 8)

    assert run(main()) == b"so long!"


def test_a_method_that_raises_at_the_end_is_blamed_by_its_handle(run):
    class Stays(asyncio.Protocol):
        def connection_lost(self, exc):
            raise ValueError("lost")

    class Hears(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            raise ValueError("heard")

    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        loop.set_exception_handler(
            lambda loop, context: heard.append((context, repr(context["handle"])))
        )
        transport, _, far = await peers.connected(Stays, peers.unix_pair)
        transport.close()
        one, two = socket.socketpair(type=socket.SOCK_DGRAM)
        endpoint, _ = await loop.create_datagram_endpoint(Hears, sock=one)
        two.send(b"x")
        await peers.until(lambda: len(heard) > 1)
        endpoint.close()
        far.close()
        two.close()
        return heard

    heard = run(main())
    assert sorted(str(context["exception"]) for context, _ in heard) == ["heard", "lost"]
    for context, shown in heard:
        assert set(context) == {"message", "exception", "handle"}
        assert isinstance(context["handle"], asyncio.Handle)
        name = "_call_connection_lost" if str(context["exception"]) == "lost" else "_read_ready"
        assert name in context["message"]
        assert name in shown


def test_a_transport_of_a_closed_loop_ends_as_asyncios(loop):
    near, far = peers.unix_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=near))
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        transport.write(bytes(10_000_000))
    assert transport.get_write_buffer_size() == 0
    transport.write_eof()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        transport.abort()
    assert transport.is_closing()
    transport.close()
    near.close()
    far.close()
    unclosed = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        unclosed.clear()


def test_memory_without_room_is_filled_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        loose = socket.socket()
        loose.setblocking(False)
        filled = [await asyncio.wait_for(loop.sock_recv_into(near, bytearray()), 5)]
        for sock in (near, far, loose):
            sock.close()
            filled.append(await asyncio.wait_for(loop.sock_recv_into(sock, bytearray()), 5))
        return filled

    assert run(main()) == [0] * 4


@pytest.mark.parametrize("verb", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_an_object_without_a_descriptor_is_not_kept(loop, verb):
    class Thing:
        pass

    thing = Thing()
    before = sys.getrefcount(thing)
    arguments = [print] if verb.startswith("add") else []
    for _ in range(10):
        with pytest.raises(ValueError, match="Invalid file object: "):
            getattr(loop, verb)(thing, *arguments)
    gc.collect()
    assert sys.getrefcount(thing) == before


def test_names_are_not_looked_up_by_a_closed_loop(loop):
    looked = loop.getaddrinfo("127.0.0.1", 80)
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        looked.send(None)
