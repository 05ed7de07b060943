"""Records that are rare in the middle of a TLS connection: new keys, empty and tiny ones, cut anywhere."""

import _ssl
import asyncio
import ctypes
import itertools
import ssl

import pytest

from loopkit import certificates, peers

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
DATA = bytes(range(250)) * 40

# What the module itself is linked with, and where it keeps the connection in its object.
OPENSSL = ctypes.CDLL(_ssl.__file__)
PLACE = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
ASK, DO_NOT_ASK = 1, 0
SET_MAX_SEND_FRAGMENT = 52


class Peer:
    """The other end, whose records are made by hand and sent as one likes."""

    def __init__(self, sock, context, server_side):
        self.sock, self.loop = sock, asyncio.get_running_loop()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else "localhost"
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, name)
        self.connection = ctypes.c_void_p.from_address(id(self.tls._sslobj) + PLACE)

    async def do(self, verb, *args):
        """Call a method of the TLS object until it answers."""
        while True:
            try:
                return verb(*args)
            except ssl.SSLWantReadError:
                await self.send(self.outgoing.read())
                data = await self.loop.sock_recv(self.sock, 1 << 18)
                self.incoming.write(data) if data else self.incoming.write_eof()

    async def send(self, data):
        if data:
            await self.loop.sock_sendall(self.sock, data)

    async def send_in_bytes(self, data):
        for each in data:
            await self.send(bytes([each]))
            await asyncio.sleep(0)

    async def answer(self, count):
        """Return the next ``count`` bytes, or what comes before the end."""
        pieces = b""
        while len(pieces) < count:
            piece = await asyncio.wait_for(self.do(self.tls.read, count - len(pieces)), 10)
            if not piece:
                break
            pieces += piece
        return pieces

    def sealed(self, data):
        """Return the records of ``data``."""
        while data:
            data = data[self.tls.write(data) :]
        return self.outgoing.read()

    def new_key(self, ask=ASK):
        """Return the record that announces a new key, and may ask for one."""
        assert OPENSSL.SSL_key_update(self.connection, ask) == 1
        assert OPENSSL.SSL_do_handshake(self.connection) == 1
        return self.outgoing.read()

    def farewell(self):
        """Return the record of an orderly end."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()


class Echo(peers.Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


class BufferedEcho(peers.BufferedRecorder):
    def connection_made(self, transport):
        super().connection_made(transport)
        self.buffer = memoryview(self.buffer)

    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.transport.write(bytes(self.buffer[:nbytes]))


async def shaking(server_side, make=Echo, version=V13):
    """Return a peer before its handshake, and the task of a transport at the other end."""
    loop = asyncio.get_running_loop()
    near, far = peers.unix_pair()
    context = certificates.client() if server_side else certificates.server()
    context.minimum_version = context.maximum_version = version
    if server_side:
        making = loop.connect_accepted_socket(make, near, ssl=certificates.server())
    else:
        named = {"ssl": certificates.client(), "server_hostname": "localhost"}
        making = loop.create_connection(make, sock=near, **named)
    return Peer(far, context, not server_side), asyncio.ensure_future(making)


def conversation(script, server_side, *how):
    """Run ``script(peer)`` against an echo; return what it returns, and how the echo ended."""

    async def main():
        peer, making = await shaking(server_side, *how)
        await peer.do(peer.tls.do_handshake)
        await peer.send(peer.outgoing.read())
        transport, protocol = await making
        try:
            found = await script(peer)
        finally:
            transport.abort()
            lost = await protocol.lost
            peer.sock.close()
        return found, lost

    return main()


both_sides = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


@both_sides
@pytest.mark.parametrize("ask", [ASK, DO_NOT_ASK])
def test_a_new_key_joined_with_data(run, server_side, ask):
    async def script(peer):
        got = []
        for number in range(8):
            await peer.send(peer.new_key(ask) + peer.sealed(b"line%d" % number))
            got.append(await peer.answer(5))
        return got

    expected = [b"line%d" % number for number in range(8)]
    assert run(conversation(script, server_side)) == (expected, None)


@both_sides
def test_a_new_key_byte_by_byte(run, server_side):
    async def script(peer):
        for word in (b"first", b"other"):
            await peer.send_in_bytes(peer.new_key() + peer.sealed(word))
            assert await peer.answer(5) == word

    assert run(conversation(script, server_side)) == (None, None)


@both_sides
def test_a_new_key_alone(run, server_side):
    """Nothing is written, and what is said afterwards is understood."""

    async def script(peer):
        for word in (b"first", b"other", b"third"):
            await peer.send(peer.new_key())
            await asyncio.sleep(0.01)
            await peer.send(peer.sealed(word))
            assert await peer.answer(5) == word

    assert run(conversation(script, server_side)) == (None, None)


@both_sides
@pytest.mark.parametrize("count", [2, 33, 200])
def test_many_new_keys_in_a_row(run, server_side, count):
    async def script(peer):
        keys = b"".join(peer.new_key(number % 2) for number in range(count))
        await peer.send(keys + peer.sealed(b"x"))
        return await peer.answer(1)

    assert run(conversation(script, server_side)) == (b"x", None)


@both_sides
def test_a_new_key_before_the_end(run, server_side):
    async def main():
        peer, making = await shaking(server_side)
        await peer.do(peer.tls.do_handshake)
        await peer.send(peer.outgoing.read())
        _, protocol = await making
        await peer.send(peer.new_key() + peer.sealed(b"the end") + peer.farewell())
        assert await asyncio.wait_for(protocol.lost, 10) is None
        heard = await peer.answer(7)
        with pytest.raises(ssl.SSLZeroReturnError):
            await peer.answer(1)
        peer.sock.close()
        return heard, protocol.calls, bytes(protocol.data)

    calls = ["made", "data", "eof", ("lost", None)]
    assert run(main()) == (b"the end", calls, b"the end")


@both_sides
def test_a_new_key_with_the_end_of_the_handshake(run, server_side):
    async def main():
        peer, making = await shaking(server_side)
        await peer.do(peer.tls.do_handshake)
        last = peer.outgoing.read()
        await peer.send(last + peer.new_key() + peer.sealed(b"early"))
        transport, protocol = await making
        assert await peer.answer(5) == b"early"
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run(main())


@both_sides
def test_new_keys_while_much_is_owed(run, server_side):
    """What leaves is under the old key up to a place and under the new one from there."""
    much = DATA * 200

    class Loads(peers.Recorder):
        def data_received(self, data):
            self.transport.write(much if data == b"go" else data)

    async def script(peer):
        await peer.send(peer.sealed(b"go"))
        await asyncio.sleep(0.01)
        await peer.send(peer.new_key())
        await asyncio.sleep(0.01)
        await peer.send(peer.new_key() + peer.sealed(b"more"))
        await asyncio.sleep(0.01)
        return await peer.answer(len(much) + 4) == much + b"more"

    assert run(conversation(script, server_side, Loads)) == (True, None)


@both_sides
def test_new_keys_of_both_ends_in_a_flood(run, server_side):
    async def script(peer):
        got, sent = b"", b""
        for number in range(100):
            piece = DATA[number : number + 2000]
            key = peer.new_key(number % 2) if number % 3 == 0 else b""
            await peer.send(key + peer.sealed(piece))
            sent += piece
            got += await peer.answer(1000)
        return got + await peer.answer(len(sent) - len(got)) == sent

    assert run(conversation(script, server_side)) == (True, None)


kinds = pytest.mark.parametrize("make", [Echo, BufferedEcho])


@kinds
@pytest.mark.parametrize("version", [V12, V13])
def test_small_records_in_one_piece(run, version, make):
    async def script(peer):
        some = DATA[:3000]
        await peer.send(b"".join(peer.sealed(bytes([each])) for each in some))
        return await peer.answer(len(some)) == some

    assert run(conversation(script, True, make, version)) == (True, None)


@kinds
@pytest.mark.parametrize("version", [V12, V13])
def test_small_records_byte_by_byte(run, version, make):
    async def script(peer):
        some = [DATA[start : start + 9] for start in range(0, 45, 9)]
        await peer.send_in_bytes(b"".join(map(peer.sealed, some)))
        return await peer.answer(45) == DATA[:45]

    assert run(conversation(script, True, make, version)) == (True, None)


@kinds
@pytest.mark.parametrize("version", [V12, V13])
def test_large_records_in_odd_pieces(run, version, make):
    async def script(peer):
        records, sizes = peer.sealed(DATA * 10), itertools.cycle([1, 3, 5, 16389, 100, 20000, 5])
        reading = asyncio.ensure_future(peer.answer(len(DATA) * 10))
        while records:
            size = next(sizes)
            await peer.send(records[:size])
            await asyncio.sleep(0)
            records = records[size:]
        return await reading == DATA * 10

    assert run(conversation(script, True, make, version)) == (True, None)


@kinds
def test_a_peer_whose_records_are_short(run, make):
    async def script(peer):
        control = OPENSSL.SSL_ctrl
        control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        assert control(peer.connection, SET_MAX_SEND_FRAGMENT, 512, None) == 1
        reading = asyncio.ensure_future(peer.answer(len(DATA) * 10))
        await peer.send(peer.sealed(DATA * 10))
        return await reading == DATA * 10

    assert run(conversation(script, True, make)) == (True, None)
