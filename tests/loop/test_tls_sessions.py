"""What a context decides about a TLS session: keys under a password, shared keys, tickets, binding, renegotiation."""

import asyncio
import socket
import ssl
import subprocess

import pytest

from loopkit import certificates
from loopkit.tls import HOST, dial, hang_up, served

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def test_a_key_under_a_password(run, tmp_path):
    cert, key = certificates.made("localhost")
    locked = str(tmp_path / "locked.key")
    certificates.openssl("pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:secret")

    async def main():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with pytest.raises(ssl.SSLError):
            context.load_cert_chain(cert, locked, password="wrong")
        context.load_cert_chain(cert, locked, password=lambda: b"secret")
        server, port = await served(context)
        async with server:
            reader, writer = await dial(port)
            writer.write(b"hello")
            answer = await reader.readexactly(5)
            await hang_up(writer)
        return answer

    assert run(main()) == b"hello"


def shared_key_contexts(asked):
    """Return contexts of both ends that have a key instead of certificates."""
    key = bytes(range(16))

    def of_client(hint):
        asked.append(hint)
        return "somebody", key

    def of_server(identity):
        asked.append(identity)
        return key if identity == "somebody" else b""

    near = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    far = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    near.check_hostname = False
    near.verify_mode = ssl.CERT_NONE
    for context in (near, far):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("PSK")
    near.set_psk_client_callback(of_client)
    far.set_psk_server_callback(of_server, "who?")
    return near, far


@pytest.mark.skipif(not getattr(ssl, "HAS_PSK", False), reason="shared keys are 3.13's")
def test_a_shared_key(run):
    async def main():
        asked = []
        near, far = shared_key_contexts(asked)
        server, port = await served(far)
        async with server:
            reader, writer = await dial(port, near)
            writer.write(b"hello")
            answer = await reader.readexactly(5)
            peer = writer.get_extra_info("peercert")
            await hang_up(writer)
        return answer, asked, peer

    assert run(main()) == (b"hello", ["who?", "somebody"], None)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_goes_on(run, version):
    """Whoever brings a ticket of ours is known again."""
    context = certificates.client()
    context.minimum_version = context.maximum_version = version

    def visit(port, session):
        with (
            socket.create_connection((HOST, port), 10) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as sock,
        ):
            sock.sendall(b"hello")
            # Tickets of TLS 1.3 come with the first bytes.
            assert sock.recv(5)
            return sock.session, sock.session_reused

    async def main():
        reused = []

        async def note(reader, writer):
            reused.append(writer.get_extra_info("ssl_object").session_reused)
            writer.write(await reader.readexactly(5))
            assert await reader.read() == b""
            writer.close()

        server, port = await served(certificates.server(), note)
        async with server:
            session, first = await asyncio.to_thread(visit, port, None)
            _, second = await asyncio.to_thread(visit, port, session)
        return first, second, reused

    assert run(main()) == (False, True, [False, True])


def test_both_ends_are_bound_to_one_channel(run):
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main():
        told = asyncio.get_running_loop().create_future()

        async def tell(reader, writer):
            told.set_result(writer.get_extra_info("ssl_object").get_channel_binding("tls-unique"))
            assert await reader.read() == b""
            writer.close()

        server, port = await served(certificates.server(), tell)
        async with server:
            _, writer = await dial(port, context)
            ours = writer.get_extra_info("ssl_object").get_channel_binding("tls-unique")
            theirs = await told
            await hang_up(writer)
        return len(ours) > 8, ours == theirs

    assert run(main()) == (True, True)


def test_a_peer_that_wants_to_negotiate_anew(run):
    """It is refused, and the server goes on with others."""

    def ask(port):
        argv = ["openssl", "s_client", "-connect", f"{HOST}:{port}", "-tls1_2"]
        # A line of a single R has the command ask for it.
        done = subprocess.run(argv, input=b"R\n", capture_output=True, timeout=30, check=False)
        return b"RENEGOTIATING" in done.stdout + done.stderr, b"no renegotiation" in done.stderr

    async def main():
        server, port = await served(certificates.server())
        async with server:
            said = await asyncio.to_thread(ask, port)
            reader, writer = await dial(port)
            writer.write(b"hello")
            answer = await reader.readexactly(5)
            await hang_up(writer)
        return said, answer

    assert run(main()) == ((True, True), b"hello")
