"""Streams over TLS: a server with a certificate, an echo, and a client that trusts it."""

import asyncio
import ssl
from collections.abc import Callable

from loopkit import certificates

HOST = "127.0.0.1"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back whatever comes, in two pieces."""
    while data := await reader.read(1 << 20):
        writer.write(data[:7])
        writer.write(data[7:])
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def served(
    context: ssl.SSLContext, callback: Callable[..., object] = echo, **options: object
) -> tuple[asyncio.Server, int]:
    """Start a TLS server; return it and its port."""
    server = await asyncio.start_server(callback, HOST, 0, ssl=context, **options)
    return server, server.sockets[0].getsockname()[1]


async def dial(port: int, context: ssl.SSLContext | None = None, **options: object) -> Streams:
    """Connect a stream to a TLS server."""
    context = context or certificates.client()
    options.setdefault("server_hostname", "localhost")
    return await asyncio.open_connection(HOST, port, ssl=context, **options)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a stream."""
    writer.close()
    await writer.wait_closed()


async def answer_of(factory: Callable[[], asyncio.Protocol], length: int) -> bytes:
    """Send one byte over TLS to a server of such protocols; return what it answers, which is so long."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, HOST, 0, ssl=certificates.server())
    async with server:
        reader, writer = await dial(server.sockets[0].getsockname()[1])
        writer.write(b"x")
        received = await reader.readexactly(length)
        await hang_up(writer)
    return received
