"""TLS that few programs use: certificates of clients, early and late, handshakes that fail or are cut."""

import asyncio
import socket
import ssl

import pytest

from loopkit import certificates
from loopkit.peers import Recorder, until
from loopkit.tls import HOST, dial, echo, hang_up, served

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
REFUSED = "ConnectionResetError"
ENDED = "IncompleteReadError"


def contexts(version=None, *, cert=None, mode=ssl.CERT_NONE):
    """Contexts of both ends: the server knows the certificate of one client."""
    far, near = certificates.server(), certificates.client()
    if version:
        for each in (far, near):
            each.minimum_version = each.maximum_version = version
    far.load_verify_locations(certificates.made("client")[0])
    far.verify_mode = mode
    if cert:
        near.load_cert_chain(*certificates.made(cert))
    return far, near


async def visit(far, near, callback=echo):
    """What a client gets that says hello once the server has answered its handshake, or what stops it."""
    served_one = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        await callback(reader, writer)
        served_one.set_result(None)

    server, port = await served(far, serve)
    async with server:
        try:
            reader, writer = await dial(port, near)
        except OSError as error:
            return type(error).__name__
        # The server may refuse now, which nobody is told of before something is read.
        refused = asyncio.create_task(reader.readexactly(5))
        await asyncio.sleep(0.02)
        if not refused.done():
            writer.write(b"hello")
        try:
            answer = await refused
        except EOFError as error:
            answer = type(error).__name__
        else:
            await hang_up(writer)
            await served_one
            return answer
        await hang_up(writer)
        return answer


@pytest.mark.parametrize(
    ("version", "mode", "cert", "expected"),
    [
        (V12, ssl.CERT_OPTIONAL, None, b"hello"),
        (V12, ssl.CERT_OPTIONAL, "other", REFUSED),
        (V12, ssl.CERT_REQUIRED, None, REFUSED),
        (V12, ssl.CERT_REQUIRED, "client", b"hello"),
        (V13, ssl.CERT_OPTIONAL, None, b"hello"),
        (V13, ssl.CERT_OPTIONAL, "client", b"hello"),
        (V13, ssl.CERT_OPTIONAL, "other", ENDED),
        (V13, ssl.CERT_REQUIRED, None, ENDED),
        (V13, ssl.CERT_REQUIRED, "other", ENDED),
    ],
)
def test_a_server_that_asks_for_a_certificate(run, version, mode, cert, expected):
    """A client of TLS 1.3 is refused after its own handshake has ended well."""
    assert run(visit(*contexts(version, cert=cert, mode=mode))) == expected


@pytest.mark.parametrize(
    ("willing", "cert", "expected"),
    [
        (True, "client", [(None, (((("commonName", "client"),),)))]),
        (True, None, [None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"]),
        (True, "other", [None, "CERTIFICATE_VERIFY_FAILED"]),
        (False, "client", ["EXTENSION_NOT_RECEIVED", None]),
    ],
)
def test_a_certificate_that_is_asked_for_later(run, willing, cert, expected):
    """Says what the question raised, and what the next read shows: a subject or why there is none."""
    far, near = contexts(V13, cert=cert, mode=ssl.CERT_REQUIRED)
    far.post_handshake_auth, near.post_handshake_auth = True, willing
    found = []

    async def ask(reader, writer):
        tls = writer.get_extra_info("ssl_object")
        assert await reader.readexactly(3) == b"ask"
        try:
            asked = tls.verify_client_post_handshake()
        except ssl.SSLError as error:
            asked = error.reason
        writer.write(b"asked")
        try:
            await reader.readexactly(4)
            peer = tls.getpeercert()
            found.append(asked or (asked, peer["subject"]))
            found.extend([None] if asked else [])
        except ssl.SSLError as error:
            found.extend([asked, error.reason])
        writer.close()

    async def main():
        done = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            await ask(reader, writer)
            done.set_result(None)

        server, port = await served(far, serve)
        async with server:
            reader, writer = await dial(port, near)
            writer.write(b"ask")
            assert await reader.readexactly(5) == b"asked"
            if cert == "client":
                writer.write(b"next")
            assert await reader.read() == b""
            await done
            await hang_up(writer)
        return found

    assert run(main()) == expected


@pytest.mark.parametrize(
    ("server_version", "client_version"), [(V12, V13), (V13, V12)], ids=["new client", "old client"]
)
def test_no_version_in_common(run, server_version, client_version):
    far, near = certificates.server(), certificates.client()
    far.minimum_version = far.maximum_version = server_version
    near.minimum_version = near.maximum_version = client_version
    assert run(visit(far, near)) == REFUSED


@pytest.mark.parametrize("switches", [True, False])
def test_server_name_callback_over_start_tls(run, switches):
    """The certificate is chosen by the name, or an alert ends the handshake of both ends."""
    context, chosen = certificates.server("elsewhere"), certificates.server()
    said = []

    def choose(tls, name, _):
        said.append(name)
        if not switches:
            return ssl.ALERT_DESCRIPTION_ACCESS_DENIED
        tls.context = chosen
        return None

    context.sni_callback = choose

    async def main():
        done = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            writer.write(b"go")
            try:
                await writer.start_tls(context)
                writer.write(await reader.readexactly(5))
                await hang_up(writer)
            except ssl.SSLError as error:
                said.append(error.reason)
                writer.close()
            done.set_result(None)

        server = await asyncio.start_server(serve, HOST, 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.readexactly(2) == b"go"
            try:
                await writer.start_tls(certificates.client(), server_hostname="localhost")
                writer.write(b"hello")
                said.append(await reader.read())
                await hang_up(writer)
            except ConnectionResetError:
                said.append(REFUSED)
                writer.close()
            await done
        return said

    expected = ["localhost", b"hello"] if switches else ["localhost", "CALLBACK_FAILED", REFUSED]
    assert run(main()) == expected


def first_flight(version):
    """What a client says first."""
    near = certificates.client()
    near.minimum_version = near.maximum_version = version
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = near.wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


@pytest.mark.parametrize("version", [V12, V13])
def test_a_handshake_that_is_cut_short(run, version):
    """The server's protocol hears of no connection, whichever byte was the last."""
    flight = first_flight(version)

    async def main():
        heard = []
        server = await asyncio.start_server(
            lambda *streams: heard.append(1), HOST, 0, ssl=certificates.server()
        )
        answered = []
        async with server:
            for length in [*range(7), 43, len(flight) // 2, len(flight) - 1, len(flight)]:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(flight[:length])
                writer.write_eof()
                answered.append(bool(await reader.read()))
                await hang_up(writer)
        return answered, heard

    assert run(main()) == ([False] * 10 + [True], [])


async def ended_by(action):
    """Calls of both protocols where the server's does ``action`` with the first bytes."""
    loop = asyncio.get_running_loop()

    class Acts(Recorder):
        def data_received(self, data):
            super().data_received(data)
            action(self.transport)

    made = []
    server = await loop.create_server(
        lambda: made.append(Acts()) or made[-1], HOST, 0, ssl=certificates.server()
    )
    async with server:
        _, near = await loop.create_connection(
            Recorder,
            *server.sockets[0].getsockname(),
            ssl=certificates.client(),
            server_hostname="localhost",
        )
        near.transport.write(b"x")
        await asyncio.gather(near.lost, made[0].lost)
    return near.calls, bytes(near.data), made[0].calls


def test_abort_in_data_received(run):
    found = run(ended_by(lambda transport: (transport.abort(), transport.write(b"late"))))
    expected = ["made", "eof", ("lost", None)], b"", ["made", "data", ("lost", None)]
    assert found == expected


def test_close_in_data_received(run):
    """What was written before leaves, what is written after does not."""

    def action(transport):
        transport.write(b"bye")
        transport.close()
        transport.write(b"late")
        assert transport.is_closing()

    near, data, far = run(ended_by(action))
    assert (near, data) == (["made", "data", "eof", ("lost", None)], b"bye")
    assert far == ["made", "data", "eof", ("lost", None)]


def test_methods_that_raise_in_a_class_of_ones_own(run):
    """What ``unwrap`` raises is OpenSSL's to the loop: the protocol hears of it as its loss."""

    class Stubborn(ssl.SSLObject):
        def unwrap(self):
            raise ssl.SSLError(1, "not now")

    far, near = certificates.server(), certificates.client()
    near.sslobject_class = Stubborn

    async def main():
        loop = asyncio.get_running_loop()
        made = []
        server = await loop.create_server(
            lambda: made.append(Recorder()) or made[-1], HOST, 0, ssl=far
        )
        async with server:
            address = server.sockets[0].getsockname()
            transport, protocol = await loop.create_connection(
                Recorder, *address, ssl=near, server_hostname="localhost"
            )
            assert type(transport.get_extra_info("ssl_object")) is Stubborn
            transport.write(b"x")
            await until(lambda: made)
            await made[0].received(1)
            transport.close()
            error = await protocol.lost
            await made[0].lost
        return str(error), made[0].calls[:2]

    assert run(main()) == ("not now", ["made", "data"])


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"], ids=["silent", "begun"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_handshake_ends_with_the_run(run, said, debug):
    """Nobody shakes hands any more: the client is told, and no connection stays."""

    async def main():
        made = []
        server, port = await served(certificates.server(), made.append)
        client = socket.create_connection((HOST, port))
        client.sendall(said)
        await asyncio.sleep(0.02)
        server.close()
        return client, made

    client, made = run(main(), debug=debug)
    with client:
        client.settimeout(5)
        try:
            answer = client.recv(100)
        except ConnectionResetError:
            answer = b""
    assert (answer, made) == (b"", [])
