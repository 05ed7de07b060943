"""Ends over TLS while megabytes are owed to a peer that does not read, or reads again later."""

import asyncio
import contextlib
import ssl

import pytest

from loopkit import certificates, peers

DATA = bytes(range(250)) * 8_000
PIECE = 30_000


class Slow:
    """The other end, driven by hand: it reads only when it is told to."""

    def __init__(self, sock, server_side):
        self.sock, self.loop = sock, asyncio.get_running_loop()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = certificates.server() if server_side else certificates.client()
        name = None if server_side else "localhost"
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, name)
        self.data = bytearray()

    async def flush(self):
        if words := self.outgoing.read():
            await self.loop.sock_sendall(self.sock, words)

    async def shake_hands(self):
        while True:
            try:
                self.tls.do_handshake()
                return await self.flush()
            except ssl.SSLWantReadError:
                await self.flush()
                self.incoming.write(await self.loop.sock_recv(self.sock, 65536))

    def decrypt(self):
        """Take what has come; tell whether it ended."""
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self.tls.read(1 << 18):
                self.data += piece
            return True
        return False

    async def read_to_the_end(self, *, answers=True):
        """Read on until the peer has said farewell, and answer; then until the connection ends."""
        while data := await self.loop.sock_recv(self.sock, 1 << 18):
            self.incoming.write(data)
            if self.decrypt() and answers:
                with contextlib.suppress(ssl.SSLError):
                    self.tls.unwrap()
                with contextlib.suppress(ConnectionError):
                    await self.flush()


async def connected(*, server_side=False, patience=None):
    """Return a transport, its protocol, and a peer that has not read anything after the handshake."""
    loop = asyncio.get_running_loop()
    near, far = peers.unix_pair()
    peer = Slow(far, not server_side)
    options = {"ssl_shutdown_timeout": patience} if patience else {}
    if server_side:
        options["ssl"] = certificates.server()
        making = loop.connect_accepted_socket(peers.Recorder, near, **options)
    else:
        options |= {"ssl": certificates.client(), "server_hostname": "localhost"}
        making = loop.create_connection(peers.Recorder, sock=near, **options)
    (transport, protocol), _ = await asyncio.gather(making, peer.shake_hands())
    return transport, protocol, peer


def whole(transport):
    transport.write(DATA)


def pieces(transport):
    for start in range(0, len(DATA), PIECE):
        transport.write(DATA[start : start + PIECE])


def lines(transport):
    transport.writelines([DATA[start : start + PIECE] for start in range(0, len(DATA), PIECE)])


def closed(transport):
    transport.close()
    transport.write(b"late")
    transport.writelines([b"late"])
    assert transport.is_closing()


def closed_while_paused(transport):
    transport.pause_reading()
    transport.close()
    asyncio.get_running_loop().call_later(0.01, transport.resume_reading)


def closed_later(transport):
    asyncio.get_running_loop().call_later(0.01, transport.close)


def closed_under_another_protocol(transport):
    transport.close()
    transport.set_protocol(transport.get_protocol())


@pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
@pytest.mark.parametrize(
    ("write", "end"),
    [
        (whole, closed),
        (pieces, closed),
        (lines, closed),
        (pieces, closed_later),
        (lines, closed_while_paused),
        (whole, closed_under_another_protocol),
    ],
)
def test_close_leaves_nothing_behind(run, server_side, write, end):
    """A peer that stops reading and goes on later is sent all, and then the end."""

    async def main():
        transport, protocol, peer = await connected(server_side=server_side)
        write(transport)
        end(transport)
        await asyncio.sleep(0.02)
        assert not protocol.lost.done()
        await asyncio.wait_for(peer.read_to_the_end(), 10)
        peer.sock.close()
        assert await asyncio.wait_for(protocol.lost, 10) is None
        return peer.data == DATA

    assert run(main()) is True


def at_once(transport):
    transport.close()
    transport.abort()


def later(transport):
    transport.close()
    asyncio.get_running_loop().call_later(0.01, transport.abort)


@pytest.mark.parametrize("end", [at_once, later, lambda transport: transport.abort()])
def test_abort_while_much_is_owed(run, end):
    """The protocol knows without waiting for the peer, which gets a beginning of what was written."""

    async def main():
        transport, protocol, peer = await connected()
        transport.write(DATA)
        end(transport)
        assert await asyncio.wait_for(protocol.lost, 10) is None
        with contextlib.suppress(ConnectionError):
            await peer.read_to_the_end()
        peer.sock.close()
        return len(peer.data) < len(DATA), DATA.startswith(peer.data)

    assert run(main()) == (True, True)


def silent(peer):
    return asyncio.sleep(0)


def without_farewell(peer):
    return peer.read_to_the_end(answers=False)


@pytest.mark.parametrize(
    ("size", "behaves"), [(len(DATA), silent), (1000, silent), (1000, without_farewell)]
)
def test_the_shutdown_times_out(run, size, behaves):
    """It counts from ``close()``, whatever is owed."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await connected(patience=0.1)
        transport.write(DATA[:size])
        start = loop.time()
        transport.close()
        reading = asyncio.ensure_future(behaves(peer))
        lost = await asyncio.wait_for(protocol.lost, 10)
        took = loop.time() - start
        await asyncio.gather(reading, return_exceptions=True)
        peer.sock.close()
        return lost, took >= 0.09

    lost, waited = run(main())
    assert type(lost) is TimeoutError
    assert str(lost) == "SSL shutdown timed out"
    assert waited
