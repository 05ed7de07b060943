"""Streams of ours: the loops they are tried on, a pair of them with a server, and asyncio's classes."""

import asyncio
import types
from collections.abc import Callable, Coroutine

import pytest

from loopkit import subject

conbrio = pytest.importorskip("conbrio")

THEIRS = {
    name: getattr(asyncio, name)
    for name in ["StreamReader", "StreamWriter", "StreamReaderProtocol"]
}


@pytest.fixture(params=["ours", "standard"])
def run_on_each(
    request: pytest.FixtureRequest, loop_factory: subject.Factory
) -> Callable[..., object]:
    """Runs a coroutine on our loop, and on the standard one."""
    factory = loop_factory if request.param == "ours" else asyncio.SelectorEventLoop

    def run(main: Coroutine[object, object, object]) -> object:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)

    return run


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back whatever comes."""
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait, for a few seconds, until ``holds()`` is true."""
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


class Pair:
    """A client's reader and writer, and a server that does what it is told."""

    def __init__(
        self,
        handler: Callable[..., object] = echo,
        module: types.ModuleType = conbrio,
        **given: object,
    ) -> None:
        self.handler, self.module, self.given = handler, module, given

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.server = await self.module.start_server(self.handler, "127.0.0.1", 0, **self.given)
        address = self.server.sockets[0].getsockname()
        self.reader, self.writer = await self.module.open_connection(*address, **self.given)
        return self.reader, self.writer

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        self.server.close()
        await asyncio.sleep(0.01)
