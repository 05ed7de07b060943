"""TLS by Python's own objects, plain, with methods of a program's or watched: what was sent arrives whole."""

import asyncio
import functools
import os
import ssl

import pytest

from loopkit import certificates, children
from loopkit.tls import dial, hang_up, served

SIZES = [1, 100, 16383, 16384, 16385, 40_000, 70_000, 300_000]


class InSmallPieces(ssl.SSLObject):
    """Reads and writes no more than a little at once, whatever is asked."""

    def read(self, len=1024, buffer=None):  # noqa: A002
        if buffer is None:
            return super().read(min(len, 1000))
        return super().read(min(len, 1000), buffer)

    def write(self, data):
        return super().write(memoryview(data)[:1000])


def contexts(kind):
    made = certificates.server(), certificates.client()
    for context in made:
        if kind == "methods":
            context.sslobject_class = InSmallPieces
        elif kind == "messages":
            context._msg_callback = lambda *about: None
        elif kind == "instances":
            context.wrap_bio = functools.partial(watched, context.wrap_bio)
    return made


def watched(wrap_bio, *args, **kwargs):
    """Make a connection's object that counts what is read by it."""
    made = wrap_bio(*args, **kwargs)
    made.reads = 0
    read = made.read

    def counting(*args):
        made.reads += 1
        return read(*args)

    made.read = counting
    return made


async def exchange(kind, sizes):
    """Send and receive each size at once; what came back."""
    server_context, client_context = contexts(kind)
    server, port = await served(server_context)
    received = []
    async with server:
        reader, writer = await dial(port, client_context)
        for size in sizes:
            sent = bytes(range(251)) * (size // 251 + 1)
            writer.write(sent[:size])
            received.append(await reader.readexactly(size) == sent[:size])
        if kind == "instances":
            assert writer.get_extra_info("ssl_object").reads > len(sizes)
        await hang_up(writer)
    return received


@pytest.mark.parametrize("kind", ["plain", "methods", "messages", "instances"])
def test_sizes(run, kind):
    assert run(exchange(kind, SIZES)) == [True] * len(SIZES)


@pytest.mark.parametrize("kind", ["plain", "methods", "messages"])
def test_many_writes_of_a_turn(run, kind):
    async def main():
        server_context, client_context = contexts(kind)
        server, port = await served(server_context)
        async with server:
            reader, writer = await dial(port, client_context)
            pieces = [bytes([number % 251]) * (number % 300) for number in range(400)]
            pieces.insert(200, bytes(50_000))
            pieces.insert(300, bytearray(50_000))
            for piece in pieces:
                writer.write(piece)
            sent = b"".join(pieces)
            received = await reader.readexactly(len(sent))
            await hang_up(writer)
        return received == sent

    assert run(main()) is True


@pytest.mark.parametrize("kind", ["plain", "methods", "messages"])
def test_the_end_comes_with_the_last_bytes(run, kind):
    """A connection that ends right behind its data, which is read in one go with the notice of the end."""

    async def main():
        server_context, client_context = contexts(kind)

        async def answer(reader, writer):
            await reader.readexactly(1)
            writer.write(bytes(20_000))
            await hang_up(writer)

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
        async with server:
            reader, writer = await dial(server.sockets[0].getsockname()[1], client_context)
            writer.write(b"x")
            received = await reader.read()
            await hang_up(writer)
        return len(received)

    assert run(main()) == 20_000


def test_a_buffered_protocol_is_filled(run):
    """Its memory is filled piece by piece; nothing is lost where it is smaller than a record."""

    class Filled(asyncio.BufferedProtocol):
        def __init__(self):
            self.memory = bytearray(5000)
            self.received = bytearray()
            self.ended = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint):
            return self.memory

        def buffer_updated(self, nbytes):
            self.received += self.memory[:nbytes]
            if len(self.received) == 100_000:
                self.ended.set_result(None)

    async def main(kind):
        server_context, client_context = contexts(kind)
        server, port = await served(server_context)
        async with server:
            transport, protocol = await asyncio.get_running_loop().create_connection(
                Filled, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            sent = bytes(range(250)) * 400
            transport.write(sent)
            await protocol.ended
            transport.close()
            return protocol.received == sent

    for kind in ("plain", "methods", "messages"):
        assert run(main(kind)) is True


REFUSED = """
import _ssl
_ssl.{name} = {value}
import conbrio, ssl
from loopkit import certificates, tls

async def main():
    server, port = await tls.served(certificates.server())
    async with server:
        reader, writer = await tls.dial(port)
        writer.write(b"hello")
        print(await reader.readexactly(5))
        await tls.hang_up(writer)

conbrio.run(main())
info = conbrio.build_info()
print(info["native_tls"], info["native_tls_refused"])
"""


@pytest.mark.conbrio_only
@pytest.mark.skipif("CONBRIO_NATIVE_TLS" in os.environ, reason="is refused for that reason then")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("OPENSSL_VERSION_NUMBER", 0x10101000, "OpenSSL is 0x"),
        ("__file__", "'/nowhere/_ssl.so'", "the ssl module's library is not loaded"),
    ],
)
def test_an_openssl_that_is_not_what_it_should_be(name, value, reason):
    """It is left alone, TLS works, and what is wrong is said."""
    status, out, err = children.finish(children.start(REFUSED.format(name=name, value=value)))
    assert status == 0, err
    assert out.startswith(f"b'hello'\nFalse RuntimeError: {reason}")
