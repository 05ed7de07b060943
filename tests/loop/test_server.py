"""Servers: listening, accepting, serving for ever, closing."""

import asyncio
import socket
import sys

import pytest

from loopkit import peers
from loopkit.peers import Recorder

since_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="wait_closed waits since 3.12")
since_313 = pytest.mark.skipif(sys.version_info < (3, 13), reason="close_clients came with 3.13")


class Listener:
    """A server that remembers the protocols it made."""

    def __init__(self):
        self.protocols = []
        self.changed = asyncio.Event()

    def make(self):
        protocol = Recorder()
        self.protocols.append(protocol)
        self.changed.set()
        return protocol

    async def connections(self, count):
        """Wait until ``count`` connections are made and return their protocols."""
        while len(self.protocols) < count:
            self.changed.clear()
            await self.changed.wait()
        for protocol in self.protocols:
            await protocol.made
        return self.protocols

    async def end(self, server):
        """Close ``server`` and every connection."""
        server.close()
        for protocol in self.protocols:
            if protocol.made.done():
                protocol.transport.abort()
                await protocol.lost
        await server.wait_closed()


def address(server):
    """Return where ``server`` listens."""
    return server.sockets[0].getsockname()[:2]


def client(where):
    """Return a plain socket connected to ``where``, which does not block."""
    sock = socket.create_connection(where)
    sock.setblocking(False)
    return sock


def test_a_server_serves(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, "127.0.0.1", 0)
        assert isinstance(server, asyncio.Server)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving()
        assert server.get_loop() is loop
        peer = client(address(server))
        (protocol,) = await listener.connections(1)
        peer.send(b"hello")
        assert await protocol.received(5) == b"hello"
        protocol.transport.write(b"answer")
        assert await loop.sock_recv(peer, 100) == b"answer"
        assert protocol.transport.get_extra_info("peername") == peer.getsockname()
        peer.close()
        await protocol.lost
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        assert not server.sockets
        return protocol.calls

    assert run(main()) == ["made", "data", "eof", ("lost", None)]


def test_many_clients(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, "127.0.0.1", 0, backlog=200)
        clients = [client(address(server)) for _ in range(200)]
        protocols = await listener.connections(200)
        for number, peer in enumerate(clients):
            peer.send(b"%03d" % number)
        heard = [await protocol.received(3) for protocol in protocols]
        for peer in clients:
            peer.close()
        for protocol in protocols:
            await protocol.lost
        server.close()
        await server.wait_closed()
        return sorted(heard)

    assert run(main()) == [b"%03d" % number for number in range(200)]


def test_several_hosts(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, ["127.0.0.1", "127.0.0.2"], 0)
        where = [sock.getsockname() for sock in server.sockets]
        clients = [client(each) for each in where]
        await listener.connections(2)
        for peer in clients:
            peer.close()
        await listener.end(server)
        return sorted(host for host, _ in where)

    assert run(main()) == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize("host", [None, "", "localhost", "0.0.0.0"])
def test_hosts_of_every_kind(run, host):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, host, 0)
        port = server.sockets[0].getsockname()[1]
        family = server.sockets[0].family
        where = ("::1", port) if family == socket.AF_INET6 else ("127.0.0.1", port)
        peer = client(where)
        await listener.connections(1)
        peer.close()
        await listener.end(server)

    run(main())


def test_options_reach_the_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0, reuse_port=True)
        sock = server.sockets[0]
        found = [
            type(sock) is asyncio.trsock.TransportSocket,
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0,
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0,
        ]
        second = await loop.create_server(Recorder, *address(server), reuse_port=True)
        for each in (server, second):
            each.close()
            await each.wait_closed()
        return found

    assert run(main()) == [True] * 3


@since_313
def test_keep_alive(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, "127.0.0.1", 0, keep_alive=True)
        sock = server.sockets[0]
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        await listener.end(server)
        return found

    assert run(main()) is True


def test_an_address_in_use_is_told(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        where = address(server)
        with pytest.raises(OSError, match="error while attempting to bind on address"):
            await loop.create_server(Recorder, *where)
        server.close()
        await server.wait_closed()

    run(main())


def test_an_existing_socket(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = await loop.create_server(listener.make, sock=sock)
        peer = client(address(server))
        await listener.connections(1)
        assert sock.gettimeout() == 0
        peer.close()
        await listener.end(server)
        assert sock.fileno() == -1
        with pytest.raises(ValueError, match="host/port and sock can not be specified"):
            await loop.create_server(Recorder, "127.0.0.1", 0, sock=sock)
        with pytest.raises(ValueError, match="Neither host/port nor sock were specified"):
            await loop.create_server(Recorder)

    run(main())


def test_start_serving_later(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            client(address(server))
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        peer = client(address(server))
        await listener.connections(1)
        peer.close()
        await listener.end(server)

    run(main())


def test_serve_forever(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, "127.0.0.1", 0, start_serving=False)
        task = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert server.is_serving()
        peer = client(address(server))
        (protocol,) = await listener.connections(1)
        with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
            await server.serve_forever()
        loop.call_soon(peer.close)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocol.lost
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()
        await server.wait_closed()

    run(main())


def test_cancelled_serve_forever_keeps_or_closes_clients_as_this_version_does(run, driver):
    """3.13 keeps them, 3.14 closes them; whichever, the standard loop of this version decides."""

    async def main():
        loop = asyncio.get_running_loop()
        listener = Listener()
        server = await loop.create_server(listener.make, "127.0.0.1", 0)
        peer = client(address(server))
        (protocol,) = await listener.connections(1)
        task = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        task.cancel()
        loop.call_later(0.05, peer.close)
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocol.lost
        peer.close()
        return protocol.calls

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        expected = runner.run(main())
    assert run(main()) == expected


def test_close_stops_listening_and_keeps_connections(run):
    async def main():
        listener = Listener()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(listener.make, "127.0.0.1", 0)
        where = address(server)
        peer = client(where)
        (protocol,) = await listener.connections(1)
        server.close()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            client(where)
        protocol.transport.write(b"still here")
        assert await loop.sock_recv(peer, 100) == b"still here"
        peer.close()
        await protocol.lost
        await server.wait_closed()

    run(main())


@since_312
def test_wait_closed_waits_for_the_last_connection(run):
    async def main():
        listener = Listener()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(listener.make, "127.0.0.1", 0)
        peer = client(address(server))
        (protocol,) = await listener.connections(1)
        server.close()
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        peer.close()
        await waiting
        return protocol.lost.done()

    assert run(main())


@since_313
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_clients_are_closed_and_aborted(run, method):
    async def main():
        listener = Listener()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(listener.make, "127.0.0.1", 0)
        clients = [client(address(server)) for _ in range(3)]
        protocols = await listener.connections(3)
        protocols[0].transport.write(b"owed")
        server.close()
        getattr(server, method)()
        heard = []
        for peer in clients:
            try:
                heard.append(await peers.read_all(loop, peer))
            except ConnectionResetError:
                heard.append("reset")
            peer.close()
        for protocol in protocols:
            await protocol.lost
        await server.wait_closed()
        return heard

    # What was written has left either way: asyncio sends at once.
    assert run(main()) == [b"owed", b"", b""]


def test_context_manager(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Recorder, "127.0.0.1", 0) as server:
            assert server.is_serving()
        return server.is_serving()

    assert run(main()) is False


def test_streams_server(run):
    async def main():
        async def echo(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*address(server))
            heard = []
            for line in (b"one\n", b"two\n"):
                writer.write(line)
                heard.append(await reader.readline())
            writer.write_eof()
            heard.append(await reader.read())
            writer.close()
            await writer.wait_closed()
        return heard

    assert run(main()) == [b"ONE\n", b"TWO\n", b""]


def test_connect_accepted_socket(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        _transport, protocol = await loop.connect_accepted_socket(Recorder, near)
        far.send(b"hello")
        assert await protocol.received(5) == b"hello"
        far.close()
        await protocol.lost
        datagram = socket.socket(type=socket.SOCK_DGRAM)
        with datagram, pytest.raises(ValueError, match="A Stream Socket was expected"):
            await loop.connect_accepted_socket(Recorder, datagram)

    run(main())


@pytest.mark.beyond_asyncio("it leaves the socket to the collector")
@pytest.mark.parametrize("debug", [True, False])
def test_a_factory_that_raises_does_not_stop_the_server(run, debug):
    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        listener = Listener()
        turns = iter(["bad"])

        def make():
            if next(turns, None):
                raise ValueError("factory")
            return listener.make()

        server = await loop.create_server(make, "127.0.0.1", 0)
        unlucky = client(address(server))
        assert await asyncio.wait_for(loop.sock_recv(unlucky, 1), 10) == b""
        lucky = client(address(server))
        await listener.connections(1)
        unlucky.close()
        lucky.close()
        await listener.end(server)
        return [context["message"] for context in complaints]

    told = ["Error on transport creation for incoming connection"]
    assert run(main(), debug=debug) == (told if debug else [])


def test_repr(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        text = repr(server)
        server.close()
        await server.wait_closed()
        return text

    assert run(main()).startswith("<Server sockets=(<asyncio.TransportSocket fd=")


def test_servers_closed_one_after_another_leave_nothing(run):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20):
            server = await loop.create_server(Recorder, "127.0.0.1", 0)
            server.close()
            await server.wait_closed()

    run(main())


@pytest.mark.parametrize("asked", ["open", "lost", "afterwards"])
def test_our_end_of_what_was_accepted(run, asked):
    """Where the peer had come to can be asked for at any time, also first when all is over."""

    async def main():
        loop = asyncio.get_running_loop()
        served, names = loop.create_future(), []

        class Serving(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                served.set_result(self)

            def connection_lost(self, exc):
                if asked == "lost":
                    names.append(self.transport.get_extra_info("sockname"))
                super().connection_lost(exc)

        # The wildcard says nothing of it.
        server = await loop.create_server(Serving, "0.0.0.0", 0)
        where = ("127.0.0.3", server.sockets[0].getsockname()[1])
        with socket.create_connection(where) as peer:
            protocol = await served
            if asked == "open":
                names.append(protocol.transport.get_extra_info("sockname"))
            peer.shutdown(socket.SHUT_WR)
            await protocol.lost
        await asyncio.sleep(0)
        transport = protocol.transport
        names.append(transport.get_extra_info("sockname"))
        assert transport.get_extra_info("peername")[0] == "127.0.0.1"
        server.close()
        await server.wait_closed()
        return all(name == where for name in names)

    assert run(main())
