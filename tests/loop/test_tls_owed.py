"""Over TLS, what was written leaves whatever comes next: an end, a pause, half a close of what carries it."""

import asyncio
import socket
import ssl

import pytest

from loopkit import certificates, peers

PIECE = b"x" * 60_000


class Far:
    """The other end, driven by hand: it reads only when it is told to."""

    def __init__(self, sock):
        self.sock = sock
        sock.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = certificates.client().wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost"
        )
        self.count, self.ended = 0, False

    def step(self):
        """Take what has come."""
        try:
            data = self.sock.recv(1 << 20)
            self.incoming.write(data) if data else self.incoming.write_eof()
        except BlockingIOError:
            pass
        try:
            self.tls.do_handshake()
            while data := self.tls.read(1 << 16):
                self.count += len(data)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    async def until(self, condition):
        """Take what comes until ``condition`` holds."""
        for _ in range(3000):
            if condition():
                return
            self.step()
            await asyncio.sleep(0.001)
        raise AssertionError(f"{self.count} bytes came")


async def accepted():
    """Return a TLS transport, its protocol, and its peer."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    making = loop.create_task(
        loop.connect_accepted_socket(peers.Recorder, near, ssl=certificates.server())
    )
    peer = Far(far)
    await peer.until(making.done)
    return (*making.result(), peer)


async def write_on(transport, pieces):
    """Write in a turn each, more than the peer's buffers hold."""
    for _ in range(pieces):
        transport.write(PIECE)
        await asyncio.sleep(0)


def test_an_end_after_a_pause_loses_nothing(run):
    async def main():
        transport, protocol, peer = await accepted()
        await write_on(transport, 40)
        transport.pause_reading()
        transport.write(b"the last")
        transport.close()
        await peer.until(lambda: peer.ended)
        peer.sock.close()
        await protocol.lost
        return peer.count

    assert run(main()) == 40 * len(PIECE) + 8


def test_a_peer_that_has_said_all_is_told_all(run):
    async def main():
        transport, protocol, peer = await accepted()
        transport.pause_reading()
        await write_on(transport, 20)
        peer.sock.shutdown(socket.SHUT_WR)
        await peer.until(lambda: peer.count == 20 * len(PIECE))
        await asyncio.sleep(0)
        transport.abort()
        await protocol.lost
        peer.sock.close()
        return protocol.calls

    calls = run(main())
    assert calls[:3] == ["made", "pause", "resume"]


@pytest.mark.parametrize("nothing", [[], [b""]])
def test_nothing_written_holds_nothing_back(run, nothing):
    class Client(asyncio.Protocol):
        def __init__(self):
            self.heard = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            transport.writelines(nothing)

        def data_received(self, data):
            self.heard.set_result(data)

    class Greets(asyncio.Protocol):
        def connection_made(self, transport):
            transport.write(b"220 hello")
            self.transport = transport

        def eof_received(self):
            self.transport.abort()

        def connection_lost(self, exc):
            ends.append(exc)

    ends = []

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Greets, "127.0.0.1", 0, ssl=certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Client,
                *server.sockets[0].getsockname(),
                ssl=certificates.client(),
                server_hostname="localhost",
            )
            heard = await asyncio.wait_for(protocol.heard, 10)
            transport.abort()
            await peers.until(lambda: ends)
        return heard

    assert run(main()) == b"220 hello"


@pytest.mark.parametrize("server_side", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_pauses_after_start_tls_ends_the_handshake(run, server_side, version):
    class Through(asyncio.Protocol):
        def __init__(self):
            self.through = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.through.set_result(None)

    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        server, client = certificates.server(), certificates.client()
        server.minimum_version = server.maximum_version = version
        named = {"server_hostname": "localhost"}
        protocol = Through()
        if server_side:
            making = loop.create_connection(lambda: protocol, sock=far, ssl=client, **named)
        else:
            making = loop.connect_accepted_socket(lambda: protocol, far, ssl=server)
        making = loop.create_task(making)
        plain, own = await loop.connect_accepted_socket(asyncio.Protocol, near)
        how = {"server_side": True} if server_side else named
        transport = await loop.start_tls(plain, own, server if server_side else client, **how)
        transport.pause_reading()
        await asyncio.wait_for(protocol.through, 10)
        other, _ = await making
        other.abort()
        transport.abort()
        await asyncio.sleep(0.01)

    run(main())


def test_half_a_close_of_what_carries_it(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        making = loop.create_task(
            loop.create_connection(
                peers.Recorder, sock=far, ssl=certificates.client(), server_hostname="localhost"
            )
        )
        plain, own = await loop.connect_accepted_socket(asyncio.Protocol, near)
        transport = await loop.start_tls(plain, own, certificates.server(), server_side=True)
        other, protocol = await making
        transport.write(b"last words")
        plain.write_eof()
        heard = await asyncio.wait_for(protocol.received(10), 10)
        transport.abort()
        other.abort()
        await asyncio.sleep(0.01)
        return heard

    assert run(main()) == b"last words"


def test_limits_set_after_a_write_are_of_what_is_owed(run):
    async def main():
        transport, protocol, peer = await accepted()
        transport.write(b"x" * 2000)
        transport.set_write_buffer_limits(1000)
        await peer.until(lambda: peer.count == 2000)
        transport.abort()
        await protocol.lost
        peer.sock.close()
        return protocol.calls

    assert run(main()) == ["made", ("lost", None)]
