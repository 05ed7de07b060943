"""Connections over TLS that end badly, or by hand: what the one who closes is told."""

import array
import asyncio
import ssl

import pytest

from loopkit import certificates, peers
from loopkit.peers import Recorder

RECORD = b"\x17\x03\x03\x00\x20" + b"z" * 32
PLAIN = b"HTTP/1.0 400 no\r\n\r\n"


class Peer:
    """The server's end of a connection, driven by hand."""

    def __init__(self, sock, context):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.loop = asyncio.get_running_loop()

    async def do(self, verb, *args):
        """Call a method of the TLS object until it answers; what it raises comes after its last words."""
        while True:
            try:
                return verb(*args)
            except ssl.SSLWantReadError:
                await self.send()
                data = await self.loop.sock_recv(self.sock, 65536)
                self.incoming.write(data) if data else self.incoming.write_eof()

    async def send(self):
        await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def read_on(self):
        """Read until the connection ends."""
        try:
            while await self.loop.sock_recv(self.sock, 65536):
                pass
        except ConnectionError:
            pass

    def alert(self):
        """Have the TLS object write an alert, as it gets a record that nobody can read."""
        self.incoming.write(RECORD)
        with pytest.raises(ssl.SSLError):
            self.tls.read(10)


async def both(protocol, context=None):
    """Return a peer, and the task that connects a protocol to it."""
    loop = asyncio.get_running_loop()
    near, far = peers.unix_pair()
    dialled = loop.create_connection(
        protocol, sock=near, ssl=certificates.client(), server_hostname="localhost"
    )
    return Peer(far, context or certificates.server()), asyncio.ensure_future(dialled)


CASES = {"alert": None, "plain": ssl.SSLError, "record": ssl.SSLError}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
def test_what_is_wrong_after_close(run, case, version, early):
    """A peer's alert is an answer to the end as good as any; other nonsense is told of."""

    async def main():
        context = certificates.server()
        context.maximum_version = version
        peer, dialling = await both(Recorder, context)
        await peer.do(peer.tls.do_handshake)
        await peer.send()
        transport, protocol = await dialling
        if case == "alert":
            peer.alert()
        words = peer.outgoing.read() or {"plain": PLAIN, "record": RECORD}[case]
        transport.pause_reading()
        if early:
            await peer.loop.sock_sendall(peer.sock, words)
            await asyncio.sleep(0.01)
            # What has come is read by who closes; the standard loop is told of it there.
            transport.close()
            transport.close()
        else:
            transport.close()
            await peer.loop.sock_sendall(peer.sock, words)
        reading = asyncio.ensure_future(peer.read_on())
        lost = await asyncio.wait_for(protocol.lost, 10)
        if CASES[case] is None:
            assert lost is None
        else:
            assert type(lost) is CASES[case]
            assert lost.reason != "SHUTDOWN_WHILE_IN_INIT"
        await reading
        peer.sock.close()

    run(main())


def test_a_client_that_is_refused_after_it_has_closed(run):
    """With TLS 1.3 a client is connected before the server looks at its certificate."""

    async def main():
        context = certificates.server()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.made("client")[0])
        peer, dialling = await both(Recorder, context)

        async def refuse():
            with pytest.raises(ssl.SSLError):
                await peer.do(peer.tls.do_handshake)
            await peer.send()
            await peer.read_on()

        refusing = asyncio.ensure_future(refuse())
        transport, protocol = await dialling
        transport.write(b"hello")
        transport.close()
        assert await asyncio.wait_for(protocol.lost, 10) is None
        await refusing
        peer.sock.close()

    run(main())


def test_what_was_written_comes_before_an_end_by_hand(run):
    async def main():
        peer, dialling = await both(Recorder)
        await peer.do(peer.tls.do_handshake)
        await peer.send()
        transport, protocol = await dialling
        transport.write(b"last words")
        with pytest.raises(ssl.SSLWantReadError):
            transport.get_extra_info("ssl_object").unwrap()
        # What sends what the object has written.
        transport.write(b"")
        assert await peer.do(peer.tls.read, 100) == b"last words"
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run(main())


@pytest.mark.parametrize("lent", [b"x" * 100, "abc"], ids=["bytes", "str"])
def test_memory_that_cannot_be_filled(run, lent):
    class Lender(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint):
            return lent

        def buffer_updated(self, nbytes):
            raise AssertionError

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        peer, dialling = await both(Lender)
        shaking = asyncio.ensure_future(peer.do(peer.tls.do_handshake))
        _, protocol = await dialling
        lost = await asyncio.wait_for(protocol.lost, 10)
        assert type(lost) is TypeError
        kind = type(lent).__name__
        expected = f"read() argument 2 must be read-write bytes-like object, not {kind}"
        assert str(lost) == expected
        await asyncio.gather(shaking, return_exceptions=True)
        peer.sock.close()

    run(main())


@pytest.mark.beyond_asyncio("counts the memory's items where bytes are meant, and loses some")
def test_memory_of_larger_items(run):
    class Lender(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint):
            self.memory = memoryview(array.array("i", [0] * 50))
            return self.memory

        def buffer_updated(self, nbytes):
            self.data += self.memory.cast("B")[:nbytes]

    async def main():
        peer, dialling = await both(Lender)
        await peer.do(peer.tls.do_handshake)
        await peer.send()
        transport, protocol = await dialling
        sent = bytes(range(250)) * 40
        peer.tls.write(sent)
        await peer.send()
        await peers.until(lambda: len(protocol.data) == len(sent))
        assert protocol.data == sent
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run(main())


def test_an_upgrade_whose_last_words_cannot_be_sent(run):
    async def main():
        loop = asyncio.get_running_loop()
        told = []
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        near, far = peers.unix_pair()
        plain, protocol = await loop.create_connection(Recorder, sock=near)
        peer = Peer(far, certificates.server())
        upgraded = loop.start_tls(
            plain, protocol, certificates.client(), server_hostname="localhost"
        )
        upgrading = asyncio.ensure_future(upgraded)
        await asyncio.sleep(0.01)
        plain.write_eof()
        shaking = asyncio.ensure_future(peer.do(peer.tls.do_handshake))
        await upgrading
        assert type(await asyncio.wait_for(protocol.lost, 10)) is RuntimeError
        assert told == ["Fatal error on SSL protocol"]
        await asyncio.gather(shaking, return_exceptions=True)
        peer.sock.close()

    run(main())
