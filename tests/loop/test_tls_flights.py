"""Handshakes that break off at any byte of the server's flight: how a client hears of it, and how a server."""

import asyncio
import functools
import socket
import ssl

import pytest

from loopkit import certificates, peers
from loopkit.tls import HOST

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # fatal, handshake failure


def contexts(version):
    far, near = certificates.server(), certificates.client()
    far.minimum_version = far.maximum_version = version
    near.minimum_version = near.maximum_version = version
    return far, near


def flight_for(context, hello):
    """Return what a server says to the first words of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def bytes_of(flight, count):
    """Return so many bytes of a flight."""
    return flight[:count]


def first(flight, count):
    """Return so many records of a flight."""
    end = 0
    for _ in range(count):
        end += 5 + int.from_bytes(flight[end + 3 : end + 5], "big")
    return flight[:end]


class Unheard(asyncio.Protocol):
    """A protocol whose connection is never made."""

    def connection_made(self, transport):
        raise AssertionError


async def dialling(context, upgrade):
    """Return what a client said first, the socket at the other end, and the client's task."""
    loop = asyncio.get_running_loop()
    near, far = peers.tcp_pair()
    named = {"server_hostname": "localhost"}
    if upgrade:
        plain, protocol = await loop.create_connection(asyncio.Protocol, sock=near)
        making = loop.start_tls(plain, protocol, context, **named)
    else:
        making = loop.create_connection(Unheard, sock=near, ssl=context, **named)
    making = asyncio.ensure_future(making)
    return await loop.sock_recv(far, 65536), far, making


async def outcome(making):
    """Return the class of what a client was told, and OpenSSL's reason where it is one."""
    with pytest.raises(OSError) as raised:  # noqa: PT011 - which one it is, is the answer
        await asyncio.wait_for(making, 10)
    error = raised.value
    return type(error), error.reason if isinstance(error, ssl.SSLError) else None


async def told(both, cut, end, *, upgrade=False):
    """What a client is told where the server's flight is cut by ``cut`` and ``end(sock)`` follows."""
    server_context, client_context = both
    hello, far, making = await dialling(client_context, upgrade)
    flight = cut(flight_for(server_context, hello))
    far.send(flight)
    end(far)
    answer = await outcome(making)
    far.close()
    return answer


def fin(sock):
    sock.shutdown(socket.SHUT_WR)


def alert(sock):
    sock.send(ALERT)


def shut_after_alert(sock):
    alert(sock)
    fin(sock)


def size_of(version):
    """How long the server's flight is, a few bytes more or less."""
    far, near = contexts(version)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = near.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return len(flight_for(far, outgoing.read()))


def cuts(version, step):
    """Each byte of a record's head, and some of the others."""
    size = size_of(version)
    return [*range(7), *range(7, size - 40, step), size - 40]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("end", [fin, peers.reset])
@pytest.mark.parametrize(("upgrade", "step"), [(False, 3), (True, 43)], ids=["made", "upgraded"])
def test_a_flight_that_is_cut(run, version, end, upgrade, step):
    """Wherever it was, the client is told of a reset."""

    async def main():
        both = contexts(version)
        lengths = cuts(version, step)
        return {
            await told(both, functools.partial(bytes_of, count=length), end, upgrade=upgrade)
            for length in lengths
        }

    assert run(main()) == {(ConnectionResetError, None)}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_alert_between_two_records(run, version):
    """Where records are under a key by then, it is no record."""

    async def main():
        both = contexts(version)
        return [
            await told(both, functools.partial(first, count=count), alert) for count in range(3)
        ]

    refused = (ssl.SSLError, "SSLV3_ALERT_HANDSHAKE_FAILURE")
    found = run(main())
    if version is ssl.TLSVersion.TLSv1_2:
        assert found == [refused] * 3
    else:
        assert found[0] == refused
        assert {error for error, _ in found} == {ssl.SSLError}
        # How OpenSSL says so depends on its version.
        assert refused not in found[1:]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_alert_within_a_record(run, version):
    """It is taken for a part of the record, and the client is told of something in any case."""

    async def main():
        both = contexts(version)
        for length in range(1, size_of(version) - 40, 17):
            error, _ = await told(both, functools.partial(bytes_of, count=length), shut_after_alert)
            assert error in {ConnectionResetError, ssl.SSLError, ssl.SSLCertVerificationError}

    run(main())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_resets_its_handshake(run, version):
    """The server's protocol hears nothing, whichever byte was the last, and the next client is served."""

    async def main():
        loop = asyncio.get_running_loop()
        far, near = contexts(version)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = near.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello, heard = outgoing.read(), []

        def serve(reader, writer):
            heard.append(1)
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0, ssl=far)
        address = server.sockets[0].getsockname()
        async with server:
            for length in [*range(0, len(hello), 31), len(hello)]:
                client = socket.create_connection(address)
                client.setblocking(False)
                await loop.sock_sendall(client, hello[:length])
                if length == len(hello):
                    assert await loop.sock_recv(client, 65536)
                peers.reset(client)
            assert not heard
            reader, writer = await asyncio.open_connection(
                *address, ssl=near, server_hostname="localhost"
            )
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        return heard

    assert run(main()) == [1]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_resets_in_place_of_its_last_words(run, version):
    """By ``start_tls()``: who has begun to shake hands is told of the reset."""

    async def main():
        loop = asyncio.get_running_loop()
        server_context, client_context = contexts(version)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        near, far = peers.tcp_pair()
        plain, protocol = await loop.create_connection(asyncio.Protocol, sock=near)
        making = loop.start_tls(plain, protocol, server_context, server_side=True)
        making = asyncio.ensure_future(making)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        far.send(outgoing.read())
        assert await loop.sock_recv(far, 65536)
        peers.reset(far)
        return await outcome(making)

    assert run(main()) == (ConnectionResetError, None)
