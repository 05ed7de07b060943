"""What both ends of a TLS connection agree upon: a name, a cipher, a version, large certificates, tickets."""

import asyncio
import functools
import pathlib
import ssl
import sys

import pytest

from loopkit import certificates
from loopkit.tls import dial, hang_up, served

T = ssl.TLSVersion
V12, V13 = T.TLSv1_2, T.TLSv1_3
DATA = bytes(range(250)) * 400
RESET = "ConnectionResetError"


async def echo(reader, writer):
    """Send back whatever comes; nothing more is expected of it."""
    while data := await reader.read(1 << 16):
        writer.write(data)
    await hang_up(writer)


async def visited(far, near, visit):
    """What ``visit(reader, writer)`` returns, or the name of what forbids it."""
    ended = []

    async def serve(*streams):
        await echo(*streams)
        ended.append(streams)

    server, port = await served(far, serve)
    async with server:
        try:
            reader, writer = await dial(port, near)
        except OSError as error:
            return getattr(error, "reason", type(error).__name__)
        found = await visit(reader, writer)
        await hang_up(writer)
        while not ended:  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0)
    return found


async def hello(reader, writer):
    writer.write(b"hello")
    return await reader.readexactly(5)


def raising(*_):
    raise ValueError("no such name")


def another(tls, *_):
    tls.context = 3


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(
    ("callback", "error"),
    [
        (raising, ValueError),
        (another, TypeError),
        (lambda *_: "text", TypeError),
        (lambda *_: 1 << 80, OverflowError),
    ],
    ids=["raises", "no context", "no number", "too large a number"],
)
def test_a_server_name_callback_that_fails(run, monkeypatch, version, callback, error):
    """Nobody can be told but the interpreter, and the handshake fails."""
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: heard.append(report.exc_type))
    far, near = certificates.server(), certificates.client()
    far.maximum_version = near.maximum_version = version
    far.sni_callback = callback

    async def main():
        refused = await visited(far, near, hello)
        far.sni_callback = None
        return refused, await visited(far, near, hello)

    assert run(main()) == (RESET, b"hello")
    assert heard == [error]


def test_numbers_from_a_server_name_callback(run):
    """Each is that of an alert, known or not, zero as well."""

    async def main():
        found = []
        for number in (0, 80, 200, 1 << 40):
            far = certificates.server()
            far.sni_callback = lambda *_, number=number: number
            found.append(await visited(far, certificates.client(), hello))
        return found

    assert run(main()) == [RESET] * 4


async def several_sizes(reader, writer):
    """Send several sizes round; return the cipher and the version."""
    for size in (1, 1000, 16384, 16385, 100_000):
        writer.write(DATA[:size])
        assert await reader.readexactly(size) == DATA[:size]
    return writer.get_extra_info("cipher")[:2]


def contexts(version, far_ciphers, near_ciphers):
    far, near = certificates.server(), certificates.client()
    for context, ciphers in ((far, far_ciphers), (near, near_ciphers)):
        context.set_ciphers(ciphers + ":@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return far, near


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "cipher"),
    [
        (T.TLSv1, "ECDHE-ECDSA-AES128-SHA"),
        (T.TLSv1_1, "ECDHE-ECDSA-AES128-SHA"),
        (V12, "ECDHE-ECDSA-AES256-SHA384"),
        (V12, "ECDHE-ECDSA-AES128-CCM8"),
        (V12, "ECDHE-ECDSA-AES128-CCM"),
        (V12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (V12, "ECDHE-ECDSA-NULL-SHA"),
        (V13, "TLS_AES_256_GCM_SHA384"),
    ],
)
def test_ciphers(run, version, cipher):
    ciphers = "ALL" if version is V13 else cipher
    found = run(visited(*contexts(version, ciphers, ciphers), several_sizes))
    assert found[0] == cipher


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("of_server", "of_client"),
    [(a, b) for a in (T.TLSv1, T.TLSv1_1, V12, V13) for b in (T.TLSv1, T.TLSv1_1, V12, V13)],
)
def test_pairs_of_versions(run, of_server, of_client):
    far, _ = contexts(of_server, "ALL", "ALL")
    _, near = contexts(of_client, "ALL", "ALL")
    found = run(visited(far, near, hello))
    if of_server is of_client:
        assert found == b"hello"
    else:
        assert found in {RESET, "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION"}


def test_no_cipher_in_common(run):
    far, near = contexts(V12, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384")
    assert run(visited(far, near, hello)) == RESET


@functools.cache
def long_certificate(count):
    """Return the files of a certificate for so many names and of its key."""
    folder = pathlib.Path(certificates.FOLDER.name)
    cert, key, config = (str(folder / f"long{count}.{end}") for end in ("pem", "key", "cnf"))
    names = [f"DNS.{n} = number-{n:06}.some.long.example.org" for n in range(1, count)]
    lines = ["[req]", "distinguished_name = dn", "x509_extensions = e", "prompt = no"]
    lines += ["[dn]", "CN = localhost", "[e]", "subjectAltName = @s", "[s]", "DNS.0 = localhost"]
    pathlib.Path(config).write_text("\n".join([*lines, *names, ""]))
    made_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"]
    certificates.openssl("req", "-x509", "-config", config, *made_key, key, "-out", cert)
    return cert, key


def long_contexts(count, version):
    cert, key = long_certificate(count)
    far = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    far.load_cert_chain(cert, key)
    near = ssl.create_default_context(cafile=cert)
    far.maximum_version = near.maximum_version = version
    return far, near


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("count", [450, 1500])
def test_certificates_longer_than_a_record(run, version, count):
    async def names(reader, writer):
        assert await hello(reader, writer) == b"hello"
        return len(writer.get_extra_info("peercert")["subjectAltName"])

    assert run(visited(*long_contexts(count, version), names)) == count


@pytest.mark.parametrize("version", [V12, V13])
def test_a_certificate_of_a_client_longer_than_a_record(run, version):
    far, near = certificates.server(), certificates.client()
    cert, key = long_certificate(450)
    far.verify_mode = ssl.CERT_REQUIRED
    far.load_verify_locations(cert)
    near.load_cert_chain(cert, key)
    far.maximum_version = version
    assert run(visited(far, near, hello)) == b"hello"


@pytest.mark.parametrize("version", [V12, V13])
def test_a_certificate_that_is_too_long(run, version):
    """OpenSSL takes 100 KiB of them."""
    found = run(visited(*long_contexts(3500, version), hello))
    assert found == "EXCESSIVE_MESSAGE_SIZE"


class Remembers(ssl.SSLContext):
    """A client's context that goes on with its last session."""

    last = None

    def wrap_bio(self, *args, **options):
        options["session"] = self.last
        return super().wrap_bio(*args, **options)


def ticket_contexts(count, tickets):
    """Return contexts of both ends; ``tickets`` grows by one for each ticket that the client reads."""
    far, near = certificates.server(), Remembers(ssl.PROTOCOL_TLS_CLIENT)
    near.load_verify_locations(certificates.made("localhost")[0])
    near.minimum_version = V13
    far.num_tickets = count

    def look(tls, direction, version, content, message, data):
        if direction == "read" and getattr(message, "name", "") == "NEWSESSION_TICKET":
            tickets.append(data)

    near._msg_callback = look
    return far, near


@pytest.mark.parametrize(("count", "later"), [(0, 0), (1, 1), (5, 1)])
def test_how_many_tickets_a_client_is_given(run, count, later):
    """A client that comes back with one is given another one."""
    tickets = []
    far, near = ticket_contexts(count, tickets)

    async def visit(reader, writer):
        tls = writer.get_extra_info("ssl_object")
        assert await hello(reader, writer) == b"hello"
        near.last = tls.session
        return tls.session_reused, tls.session.has_ticket, len(tickets)

    async def main():
        first = await visited(far, near, visit)
        return first, await visited(far, near, visit)

    known = bool(count)
    expected = (False, known, count), (known, known, count + later)
    assert run(main()) == expected
