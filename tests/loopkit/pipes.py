"""Pipes: one end a transport, the other a plain file to feed it or to read what it wrote."""

import asyncio
import contextlib
import io
import os
from collections.abc import Callable

from loopkit.peers import Recorder


def ends() -> tuple[io.FileIO, io.FileIO]:
    """Return both ends of a pipe as files, unbuffered."""
    out, into = os.pipe()
    return open(out, "rb", 0), open(into, "wb", 0)


async def reading(
    make: Callable[[], Recorder] = Recorder,
) -> tuple[asyncio.ReadTransport, Recorder, io.FileIO]:
    """Return a transport that reads a pipe, its protocol and the file of the other end."""
    out, into = ends()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(make, out)
    return transport, protocol, into


async def writing(
    make: Callable[[], Recorder] = Recorder,
) -> tuple[asyncio.WriteTransport, Recorder, io.FileIO]:
    """Return a transport that writes into a pipe, its protocol and the file of the other end."""
    out, into = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(make, into)
    return transport, protocol, out


def drain(file: io.FileIO) -> bytes:
    """Read what is in a pipe, and wait for nothing."""
    os.set_blocking(file.fileno(), False)
    pieces = []
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(file.fileno(), 1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


def fill(transport: asyncio.WriteTransport) -> int:
    """Write until something is owed; return how many bytes that were."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(b"x" * 4096)
        written += 4096
    return written
