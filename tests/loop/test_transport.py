"""Stream transports: what they are, what they say of themselves, and bytes that come in."""

import asyncio
import os
import socket
import weakref

import pytest

from loopkit import peers
from loopkit.peers import Recorder, connected, finish


def both_pairs(function):
    """Run a test on TCP and on Unix sockets."""
    return pytest.mark.parametrize("pair", [peers.tcp_pair, peers.unix_pair])(function)


@both_pairs
def test_bytes_travel_both_ways(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected(pair=pair)
        far.send(b"hello")
        assert await protocol.received(5) == b"hello"
        assert transport.write(b"world") is None
        assert await loop.sock_recv(far, 10) == b"world"
        transport.close()
        assert await protocol.lost is None
        assert await loop.sock_recv(far, 10) == b""
        far.close()
        return protocol.calls

    assert run(main()) == ["made", "data", ("lost", None)]


def test_transports_are_asyncios(run):
    async def main():
        transport, protocol, far = await connected()
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.ReadTransport)
        assert isinstance(transport, asyncio.WriteTransport)
        assert transport.get_protocol() is protocol
        assert transport.is_closing() is False
        assert transport.is_reading() is True
        assert transport.can_write_eof() is True
        assert weakref.ref(transport)() is transport
        await finish(transport, protocol, far)

    run(main())


def test_extra_info(run):
    async def main():
        transport, protocol, far = await connected()
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert sock.fileno() >= 0
        assert transport.get_extra_info("peername") == far.getsockname()
        assert transport.get_extra_info("sockname") == far.getpeername()
        assert sock.getsockname() == far.getpeername()
        assert transport.get_extra_info("sslcontext") is None
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 5) == 5
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await finish(transport, protocol, far)
        assert transport.get_extra_info("peername") == protocol_peer(transport)

    def protocol_peer(transport):
        return transport.get_extra_info("peername")

    run(main())


@pytest.mark.parametrize("where", [asyncio.Transport, asyncio.BaseTransport])
@pytest.mark.parametrize("plain", [True, False])
def test_get_extra_info_can_be_replaced_for_all_transports(run, monkeypatch, where, plain):
    """Tests of others put a mock into asyncio's classes, and expect every transport to answer by it."""
    heard = []

    def function(transport, *args):
        heard.append(transport)
        return args

    class Mock:
        def __call__(self, *args):
            return args

    async def main():
        transport, protocol, far = await connected()
        before = transport.get_extra_info("peername")
        with monkeypatch.context() as patch:
            patch.setattr(where, "get_extra_info", function if plain else Mock())
            assert transport.get_extra_info("peername") == ("peername",)
            assert transport.get_extra_info("peername", None) == ("peername", None)
        assert transport.get_extra_info("peername") == before
        assert heard == ([transport] * 2 if plain else [])
        heard.clear()
        await finish(transport, protocol, far)

    run(main())


def test_a_socket_with_methods_of_its_own(run):
    """A subclass of socket that counts, encrypts or records is asked, and not its descriptor."""

    class Counting(socket.socket):
        received = sent = 0

        def recv(self, *args):
            data = super().recv(*args)
            self.received += len(data)
            return data

        def recv_into(self, *args):
            count = super().recv_into(*args)
            self.received += count
            return count

        def send(self, *args):
            count = super().send(*args)
            self.sent += count
            return count

    class Quiet(socket.socket):
        def __repr__(self):
            return "quiet"

    async def main(kind):
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        near = kind(fileno=near.detach())
        transport, protocol = await loop.create_connection(Recorder, sock=near)
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"out")
        assert await loop.sock_recv(far, 10) == b"out"
        far.send(b"inwards")
        assert await protocol.received(7) == b"inwards"
        await finish(transport, protocol, far)
        return near

    counting = run(main(Counting))
    assert (counting.received, counting.sent) == (7, 3)
    run(main(Quiet))


@pytest.mark.beyond_asyncio("it asks the socket's proto, which is 0 here")
def test_small_packets_leave_at_once_on_every_tcp_socket(run):
    """A socket made without naming the protocol is TCP none the less, and so is what it accepts."""

    async def main():
        loop = asyncio.get_running_loop()
        listening = socket.create_server(("127.0.0.1", 0))
        assert listening.proto == 0
        served = loop.create_future()

        class Serving(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                served.set_result(self)

        server = await loop.create_server(Serving, sock=listening)
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, listening.getsockname())
        transport, protocol = await loop.create_connection(Recorder, sock=client)
        serving = await served
        for each in (transport, serving.transport):
            sock = each.get_extra_info("socket")
            assert sock.proto == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        transport.close()
        await asyncio.gather(protocol.lost, serving.lost)
        server.close()
        await server.wait_closed()

    run(main())


def test_repr(run):
    async def main():
        transport, protocol, far = await connected()
        texts = [repr(transport)]
        transport.write(b"x")
        transport.close()
        texts.append(repr(transport))
        await protocol.lost
        texts.append(repr(transport))
        far.close()
        return texts

    texts = run(main())
    assert "fd=" in texts[0]
    assert "read=polling" in texts[0]
    assert "closing" in texts[1]
    assert "closed" in texts[2]


def test_much_data_is_received_whole(run):
    async def main():
        loop = asyncio.get_running_loop()
        _transport, protocol, far = await connected()
        data = os.urandom(8_000_000)
        await loop.sock_sendall(far, data)
        far.close()
        await protocol.lost
        return bytes(protocol.data) == data, protocol.calls

    assert run(main()) == (True, ["made", "data", "eof", ("lost", None)])
