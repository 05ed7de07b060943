"""Connections that turn to TLS after they were made: in the clear, half-way, and within TLS."""

import asyncio
import socket
import ssl

import pytest

from loopkit import certificates
from loopkit.tls import HOST, dial, echo, hang_up, served

# ruff: noqa: ASYNC110 - what is waited for has no event of its own


@pytest.mark.parametrize("server_side", [False, True])
def test_start_tls(run, server_side):
    async def main():
        async def greet(reader, writer):
            writer.write(await reader.readline())
            await writer.start_tls(certificates.server())
            await echo(reader, writer)

        server = await asyncio.start_server(greet, HOST, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"STARTTLS\n"
            await writer.start_tls(certificates.client(), server_hostname="localhost")
            writer.write(b"hello")
            received = await reader.readexactly(5)
            await hang_up(writer)
        return received

    assert run(main()) == b"hello"


@pytest.mark.beyond_asyncio("older versions lose what came before the handshake")
def test_bytes_that_arrive_before_start_tls(run):
    async def main():
        plain = asyncio.get_running_loop().create_future()

        async def greet(reader, writer):
            plain.set_result(await reader.readline())
            while not reader._buffer:
                await asyncio.sleep(0)
            await writer.start_tls(certificates.server())
            await echo(reader, writer)

        server = await asyncio.start_server(greet, HOST, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = certificates.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"now\n" + outgoing.read())
            assert await plain == b"now\n"
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(await reader.read(65536))
            tls.write(b"hello")
            writer.write(outgoing.read())
            while True:
                incoming.write(await reader.read(65536))
                try:
                    received = tls.read(5)
                    break
                except ssl.SSLWantReadError:
                    pass
            await hang_up(writer)
        return received

    assert run(main()) == b"hello"


def test_tls_in_tls(run):
    async def main():
        async def greet(reader, writer):
            await writer.start_tls(certificates.server())
            await echo(reader, writer)

        server, port = await served(certificates.server(), greet)
        async with server:
            reader, writer = await dial(port)
            await writer.start_tls(certificates.client(), server_hostname="localhost")
            sent = b"x" * 300_000
            writer.write(sent)
            received = await reader.readexactly(len(sent))
            await hang_up(writer)
        return received == sent

    assert run(main()) is True


def say_hello(port):
    """Connect, and send the first bytes together with the end of the handshake; return the answer."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection((HOST, port), 10) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(b"hello")
        sock.sendall(outgoing.read())
        while True:
            try:
                return tls.read(100)
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))


@pytest.mark.conbrio_only
def test_first_bytes_after_start_tls(run):
    class Upgrades(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            self.upgrading = asyncio.ensure_future(self.upgrade())

        async def upgrade(self):
            loop = asyncio.get_running_loop()
            self.transport = await loop.start_tls(
                self.transport, self, certificates.server(), server_side=True
            )

        def data_received(self, data):
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Upgrades, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        assert await loop.run_in_executor(None, say_hello, port) == b"hello"
        server.close()
        await server.wait_closed()

    run(main())


def test_what_was_written_before_start_tls_goes_before_it(run):
    """Uvloop lost it (#707)."""
    size = 2_000_000

    async def main():
        async def greet(reader, writer):
            writer.write(bytes(size) + b"\n")
            await writer.start_tls(certificates.server())
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), limit=size * 2
            )
            plain = await reader.readline()
            await writer.start_tls(certificates.client(), server_hostname="localhost")
            writer.write(b"inside\n")
            heard = await reader.read()
            writer.close()
        return len(plain), heard

    assert run(main()) == (size + 1, b"inside\n")
