"""TLS: what a program sees of it, natively and by Python's own objects."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys

import pytest

from loopkit import certificates

# ruff: noqa: ASYNC110 - what is waited for has no event of its own

HOST = "127.0.0.1"


async def echo(reader, writer):
    """Send back whatever comes, in two pieces."""
    while data := await reader.read(1 << 20):
        writer.write(data[:7])
        writer.write(data[7:])
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def served(context, callback=echo, **options):
    """Start a TLS server; return it and its port."""
    server = await asyncio.start_server(callback, HOST, 0, ssl=context, **options)
    return server, server.sockets[0].getsockname()[1]


async def dial(port, context=None, **options):
    """Connect a stream to a TLS server."""
    context = context or certificates.client()
    options.setdefault("server_hostname", "localhost")
    return await asyncio.open_connection(HOST, port, ssl=context, **options)


async def hang_up(writer):
    """Close a stream."""
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("size", [1, 16384, 16385, 1_000_000])
def test_echo(run, size):
    async def main():
        server, port = await served(certificates.server())
        async with server:
            reader, writer = await dial(port)
            sent = bytes(range(256)) * (size // 256 + 1)
            writer.write(sent)
            received = await reader.readexactly(len(sent))
            await hang_up(writer)
        return received == sent

    assert run(main()) is True


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_kinds_of_data(run, make):
    async def main():
        server, port = await served(certificates.server())
        async with server:
            reader, writer = await dial(port)
            data = make(b"hello")
            writer.write(data)
            writer.writelines([make(b" "), b"", make(b"world")])
            if make is bytearray:
                data[:] = b"HELLO"
            received = await reader.readexactly(11)
            with pytest.raises(TypeError, match="data: expecting a bytes-like instance, got str"):
                writer.write("text")
            await hang_up(writer)
        return received

    assert run(main()) == b"hello world"


def test_extra_information(run):
    async def main():
        server_context, client_context = certificates.server(), certificates.client()
        for context in (server_context, client_context):
            context.set_alpn_protocols(["h2", "http/1.1"])
        server, port = await served(server_context)
        async with server:
            _, writer = await dial(port, client_context)
            transport = writer.transport
            assert isinstance(transport, asyncio.Transport)
            tls = transport.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == "h2"
            assert tls.get_channel_binding("tls-unique") is not None
            assert transport.get_extra_info("cipher") == tls.cipher()
            assert transport.get_extra_info("peercert") == tls.getpeercert()
            assert transport.get_extra_info("sslcontext") is client_context
            assert transport.get_extra_info("compression") is None
            assert transport.get_extra_info("peername") == (HOST, port)
            assert transport.get_extra_info("nothing", 1) == 1
            assert transport.can_write_eof() is False
            with pytest.raises(NotImplementedError):
                transport.write_eof()
            await hang_up(writer)

    run(main())


def test_server_name_callback(run):
    async def main():
        heard = []
        context, other = certificates.server("elsewhere"), certificates.server()

        def choose(tls, name, _):
            heard.append(name)
            tls.context = other

        context.sni_callback = choose
        server, port = await served(context)
        async with server:
            _, writer = await dial(port)
            await hang_up(writer)
        return heard

    assert run(main()) == ["localhost"]


def test_client_certificate_and_keylog(run, tmp_path):
    async def main():
        server_context, client_context = certificates.server(), certificates.client()
        server_context.verify_mode = ssl.CERT_REQUIRED
        server_context.load_verify_locations(certificates.made("client")[0])
        client_context.load_cert_chain(*certificates.made("client"))
        client_context.keylog_filename = str(tmp_path / "keys")
        subjects = []

        async def look(reader, writer):
            subjects.append(writer.get_extra_info("peercert")["subject"])
            await echo(reader, writer)

        server, port = await served(server_context, look)
        async with server:
            reader, writer = await dial(port, client_context)
            writer.write(b"hello")
            await reader.readexactly(5)
            await hang_up(writer)
        return subjects

    assert run(main()) == [((("commonName", "client"),),)]
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "keys").read_text()


def test_message_callback(run):
    async def main():
        heard = []
        context = certificates.client()
        context._msg_callback = lambda *about: heard.append(about[1])
        server, port = await served(certificates.server())
        async with server:
            reader, writer = await dial(port, context)
            writer.write(b"hello")
            await reader.readexactly(5)
            await hang_up(writer)
        return set(heard)

    assert run(main()) == {"read", "write"}


@pytest.mark.parametrize(
    ("name", "expired", "says"),
    [
        ("localhost", True, "certificate has expired"),
        ("elsewhere", False, "Hostname mismatch, certificate is not valid for 'localhost'."),
    ],
)
def test_bad_certificates(run, name, expired, says):
    async def main():
        server, port = await served(certificates.server(name, expired=expired))
        async with server:
            with pytest.raises(ssl.SSLCertVerificationError, match=says):
                await dial(port, certificates.client(name, expired=expired))
            with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
                await dial(port, ssl.create_default_context())

    run(main())


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


def test_over_unix_sockets(run, tmp_path):
    async def main():
        path = str(tmp_path / "sock")
        server = await asyncio.start_unix_server(echo, path, ssl=certificates.server())
        async with server:
            reader, writer = await asyncio.open_unix_connection(
                path, ssl=certificates.client(), server_hostname="localhost"
            )
            writer.write(b"hello")
            received = await reader.readexactly(5)
            await hang_up(writer)
        return received

    assert run(main()) == b"hello"


class Paced(asyncio.Protocol):
    """Records what it is told."""

    def __init__(self):
        self.told = []
        self.lost = asyncio.get_running_loop().create_future()
        self.data = b""

    def connection_made(self, transport):
        self.told.append("made")

    def data_received(self, data):
        self.data += data

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")

    def eof_received(self):
        self.told.append("eof")

    def connection_lost(self, exc):
        self.told.append("lost")
        self.lost.set_result(exc)


def test_a_peer_that_does_not_read(run):
    async def main():
        loop = asyncio.get_running_loop()
        go_on = asyncio.Event()
        sent, received = 0, 0

        async def slow(reader, writer):
            nonlocal received
            writer.transport.pause_reading()
            await go_on.wait()
            writer.transport.resume_reading()
            while received < sent:
                received += len(await reader.read(1 << 20))
            await hang_up(writer)

        server, port = await served(certificates.server(), slow)
        async with server:
            transport, protocol = await loop.create_connection(
                Paced, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            while "pause" not in protocol.told:
                for _ in range(100):
                    transport.write(b"x" * 1000)
                sent += 100_000
                await asyncio.sleep(0)
            assert transport.get_write_buffer_size() > 0
            go_on.set()
            assert await protocol.lost is None
        return protocol.told

    assert run(main()) == ["made", "pause", "resume", "eof", "lost"]


def test_pause_reading(run):
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await served(certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Paced, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            transport.pause_reading()
            assert not transport.is_reading()
            transport.write(b"hello")
            await asyncio.sleep(0.02)
            assert protocol.data == b""
            transport.resume_reading()
            while protocol.data != b"hello":
                await asyncio.sleep(0)
            transport.close()
            transport.close()
            assert transport.is_closing()
            assert await protocol.lost is None

    run(main())


class Filled(asyncio.BufferedProtocol):
    """Is given bytes in three pieces of memory, by turns."""

    def __init__(self):
        self.memory = memoryview(bytearray(3))
        self.data = bytearray()

    def get_buffer(self, sizehint):
        return self.memory

    def buffer_updated(self, nbytes):
        self.data += self.memory[:nbytes]


def test_buffered_protocol(run):
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await served(certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Filled, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            transport.write(b"hello world")
            while len(protocol.data) < 11:
                await asyncio.sleep(0)
            transport.close()
            await asyncio.sleep(0.01)
        return bytes(protocol.data)

    assert run(main()) == b"hello world"


def test_abort_and_write_after_close(run, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await served(certificates.server())
        async with server:
            transport, protocol = await loop.create_connection(
                Paced, HOST, port, ssl=certificates.client(), server_hostname="localhost"
            )
            transport.abort()
            assert await protocol.lost is None
            for _ in range(6):
                transport.write(b"into the void")
        return protocol.told

    assert run(main()) == ["made", "lost"]
    said = [record.message for record in caplog.records]
    assert said.count("SSL connection is closed") == 2


class Notes(asyncio.Protocol):
    """Keeps its transport, what comes, and how it ends."""

    def __init__(self):
        self.transport = None
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@pytest.mark.conbrio_only
@pytest.mark.parametrize("paused", [False, True])
def test_bytes_after_close(run, paused):
    async def main():
        loop = asyncio.get_running_loop()
        far = Notes()
        server = await loop.create_server(lambda: far, HOST, 0, ssl=certificates.server())
        port = server.sockets[0].getsockname()[1]
        context = certificates.client()
        transport, near = await loop.create_connection(
            Notes, HOST, port, ssl=context, server_hostname="localhost"
        )
        while far.transport is None:
            await asyncio.sleep(0)
        if paused:
            transport.pause_reading()
            far.transport.write(b"early")
            await asyncio.sleep(0.01)
        transport.close()
        # The server has not heard of it yet.
        far.transport.write(b"late" * 10_000)
        assert await asyncio.wait_for(near.lost, 10) is None
        assert await asyncio.wait_for(far.lost, 10) is None
        assert near.data == b""
        server.close()
        await server.wait_closed()

    run(main())


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


@pytest.mark.conbrio_only
@pytest.mark.skipif("CONBRIO_NATIVE_TLS" in os.environ, reason="is this test's own run")
def test_the_other_engine(conbrio):
    """All of this once more where OpenSSL is not driven natively."""
    assert conbrio.build_info()["native_tls"] is True
    environment = {**os.environ, "CONBRIO_NATIVE_TLS": "0"}
    code = "import conbrio; print(conbrio.build_info()['native_tls_refused'])"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "CONBRIO_NATIVE_TLS=0" in said.stdout
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--driver", "epoll"]
    subprocess.run([*command, __file__], env=environment, check=True)


def test_a_socket_with_methods_of_its_own(run):
    """TLS goes by way of the methods that a subclass of socket has replaced."""

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

    async def main():
        server, port = await served(certificates.server())
        async with server:
            sock = Counting()
            sock.connect((HOST, port))
            sock.setblocking(False)
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=certificates.client(), server_hostname="localhost"
            )
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert sock.sent > 100
            assert sock.received > 1000
            await hang_up(writer)

    run(main())
