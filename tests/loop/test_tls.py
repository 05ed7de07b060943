"""TLS: what a program sees of it, natively and by Python's own objects."""

import asyncio
import os
import pathlib
import socket
import ssl
import subprocess
import sys

import pytest

from loopkit import certificates
from loopkit.tls import HOST, dial, echo, hang_up, served

TESTS_OF_TLS = sorted(pathlib.Path(__file__).parent.glob("test_tls*.py"))


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


@pytest.mark.conbrio_only
@pytest.mark.skipif("CONBRIO_NATIVE_TLS" in os.environ, reason="is this test's own run")
def test_the_other_engine(conbrio):
    """All tests of TLS once more where OpenSSL is not driven natively."""
    assert conbrio.build_info()["native_tls"] is True
    environment = {**os.environ, "CONBRIO_NATIVE_TLS": "0"}
    code = "import conbrio; print(conbrio.build_info()['native_tls_refused'])"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "CONBRIO_NATIVE_TLS=0" in said.stdout
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--driver", "epoll"]
    subprocess.run([*command, *TESTS_OF_TLS], env=environment, check=True)


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
