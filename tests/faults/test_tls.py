"""TLS that goes wrong: cut handshakes, other tongues, silence, and what is left behind."""

import asyncio
import contextlib
import gc
import resource
import socket
import ssl
import weakref

import pytest

from loopkit import certificates

# ruff: noqa: ASYNC110 - what is waited for has no event of its own

HOST = "127.0.0.1"


class Told(asyncio.Protocol):
    """Records what it is told."""

    def __init__(self):
        self.told = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.told.append("made")

    def data_received(self, data):
        self.told.append(data)

    def eof_received(self):
        self.told.append("eof")

    def connection_lost(self, exc):
        self.told.append("lost")
        self.lost.set_result(exc)


async def echo(reader, writer):
    """Send back whatever comes."""
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()


def hello():
    """Return the first bytes of a client's handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_a_handshake_cut_anywhere(loop, complaints):
    async def main():
        made = []
        server = await loop.create_server(
            lambda: made.append(1), HOST, 0, ssl=certificates.server()
        )
        port = server.sockets[0].getsockname()[1]
        whole = hello()
        for cut in [*range(12), *range(12, len(whole), 37), len(whole) - 1]:
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(whole[:cut])
            writer.write_eof()
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return made

    protocols = loop.run_until_complete(main())
    assert len(protocols) > 12
    assert complaints == []


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\x16\x03\x01\xff\xff" + b"x" * 70_000]
)
def test_another_tongue(loop, complaints, garbage):
    async def main():
        server = await loop.create_server(asyncio.Protocol, HOST, 0, ssl=certificates.server())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(garbage)
        try:
            while await reader.read(4096):
                pass
        except ConnectionResetError:
            pass
        writer.close()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(asyncio.wait_for(main(), 10))
    assert complaints == []


def test_a_server_that_speaks_plainly(run):
    async def main():
        done = asyncio.Event()

        async def greet(reader, writer):
            writer.write(b"220 welcome\r\n")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            done.set()

        async with await asyncio.start_server(greet, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ssl.SSLError, match=r"\[SSL"):
                await asyncio.open_connection(HOST, port, ssl=certificates.client())
            await done.wait()

    run(main())


def test_a_server_that_says_nothing(run):
    async def main():
        with socket.create_server((HOST, 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(ConnectionAbortedError) as caught:
                await asyncio.open_connection(
                    HOST, port, ssl=certificates.client(), ssl_handshake_timeout=0.05
                )
        return str(caught.value)

    says = "SSL handshake is taking longer than 0.05 seconds: aborting the connection"
    assert run(main()) == says


def test_a_server_that_goes_during_the_handshake(run):
    async def main():
        async with await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionResetError):
                await asyncio.open_connection(HOST, port, ssl=certificates.client())

    run(main())


@pytest.mark.parametrize("rude", [False, True])
def test_a_peer_that_goes_without_a_word(run, rude):
    async def main():
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Rude(asyncio.Protocol):
            def connection_made(self, transport):
                accepted.set_result(transport)

        server = await loop.create_server(Rude, HOST, 0, ssl=certificates.server())
        port = server.sockets[0].getsockname()[1]
        _, protocol = await loop.create_connection(
            Told, HOST, port, ssl=certificates.client(), server_hostname="localhost"
        )
        transport = await accepted
        transport.write(b"bye")
        if rude:
            transport.abort()
        else:
            transport.close()
        assert await protocol.lost is None
        server.close()
        await server.wait_closed()
        return protocol.told

    assert run(main()) == ["made", b"bye", "eof", "lost"]


def test_a_peer_that_does_not_end(run):
    """The shutdown's timeout ends what the peer does not."""

    async def main():
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Deaf(asyncio.Protocol):
            def connection_made(self, transport):
                transport.pause_reading()
                transport._ssl_protocol._transport.pause_reading()
                accepted.set_result(transport)

        server = await loop.create_server(Deaf, HOST, 0, ssl=certificates.server())
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(
            Told,
            HOST,
            port,
            ssl=certificates.client(),
            server_hostname="localhost",
            ssl_shutdown_timeout=0.05,
        )
        await accepted
        transport.close()
        reason = await protocol.lost
        accepted.result().abort()
        server.close()
        await server.wait_closed()
        return type(reason), str(reason)

    assert run(main()) == (TimeoutError, "SSL shutdown timed out")


def test_a_broken_record(run):
    async def main():
        loop = asyncio.get_running_loop()
        complaints, served = [], []
        loop.set_exception_handler(lambda _, context: complaints.append(context))

        def serve():
            served.append(Told())
            return served[0]

        server = await loop.create_server(serve, HOST, 0, ssl=certificates.server())
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(
            Told, HOST, port, ssl=certificates.client(), server_hostname="localhost"
        )
        transport._ssl_protocol._transport.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        while not served:
            await asyncio.sleep(0)
        reason = await served[0].lost
        transport.abort()
        server.close()
        await server.wait_closed()
        return type(reason), reason.reason, served[0].told, complaints

    kind, reason, told, complaints = run(main())
    assert (kind, told, complaints) == (ssl.SSLError, ["made", "lost"], [])
    # The second is OpenSSL's word from 3.5 on.
    assert reason in {"DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "RECORD_LAYER_FAILURE"}


@pytest.fixture
def many_descriptors():
    """Room for both ends of a thousand connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(before[0], 4096)
    if before[1] != resource.RLIM_INFINITY and before[1] < wanted:
        pytest.skip("the system does not give enough descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_thousand_handshakes_at_once(run, many_descriptors):
    async def main():
        server = await asyncio.start_server(echo, HOST, 0, ssl=certificates.server(), backlog=2048)
        port = server.sockets[0].getsockname()[1]
        context = certificates.client()

        async def one(number):
            reader, writer = await asyncio.open_connection(
                HOST, port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"%d\n" % number)
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return int(answer)

        answers = await asyncio.gather(*map(one, range(1000)))
        server.close()
        await server.wait_closed()
        return answers

    assert run(main()) == list(range(1000))


def test_nothing_is_kept(run):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Told, HOST, 0, ssl=certificates.server())
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(
            Told, HOST, port, ssl=certificates.client(), server_hostname="localhost"
        )
        kept = [weakref.ref(transport), weakref.ref(transport._ssl_protocol), weakref.ref(protocol)]
        transport.close()
        await protocol.lost
        del transport, protocol
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)
        gc.collect()
        return [reference() for reference in kept]

    assert run(main()) == [None, None, None]
