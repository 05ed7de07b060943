"""A listening socket whose class accepts in a way of its own."""

import asyncio
import errno
import os
import socket

import pytest

from loopkit import certificates, peers


class Counting(socket.socket):
    """Accepts as every socket does, and counts."""

    accepted = 0

    def accept(self):
        taken = super().accept()
        self.accepted += 1
        return taken


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


@pytest.mark.parametrize("secure", [False, True])
def test_accept_is_called(run, secure):
    async def main():
        listener = Counting()
        listener.bind(("127.0.0.1", 0))
        loop = asyncio.get_running_loop()
        context = certificates.server() if secure else None
        async with await loop.create_server(Echo, sock=listener, ssl=context) as server:
            for count in range(1, 4):
                reader, writer = await asyncio.open_connection(
                    *listener.getsockname(),
                    ssl=certificates.client() if secure else None,
                    server_hostname="localhost" if secure else None,
                )
                writer.write(b"hello")
                assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
                assert listener.accepted == count
                assert writer.get_extra_info("peername") == listener.getsockname()
                writer.close()
                await writer.wait_closed()
            server.close()

    run(main())


@pytest.mark.parametrize("secure", [False, True])
def test_a_factory_that_raises_is_told_of_in_debug_mode(run, secure):
    async def main():
        listener = Counting()
        listener.bind(("127.0.0.1", 0))
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        told = loop.create_future()
        loop.set_exception_handler(lambda _, what: told.done() or told.set_result(what))

        def factory():
            raise LookupError("no protocol")

        context = certificates.server() if secure else None
        async with await loop.create_server(factory, sock=listener, ssl=context):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            what = await asyncio.wait_for(told, 10)
            assert what["message"] == "Error on transport creation for incoming connection"
            assert isinstance(what["exception"], LookupError)
            assert "protocol" not in what
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()

    run(main())


@pytest.mark.beyond_asyncio("it tries on, as often as its backlog is long")
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_every_lack_makes_a_listener_rest_once(run, number, monkeypatch):
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.01)

    class Lacking(socket.socket):
        asked = 0

        def accept(self):
            self.asked += 1
            if self.asked == 1:
                raise OSError(number, os.strerror(number))
            return super().accept()

    async def main():
        loop = asyncio.get_running_loop()
        told = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        listener = Lacking()
        listener.bind(("127.0.0.1", 0))
        async with await loop.create_server(peers.Recorder, sock=listener):
            far = socket.create_connection(listener.getsockname())
            await peers.until(lambda: listener.asked > 1)
            far.close()
        return [(context["message"], context["exception"].errno) for context in told]

    assert run(main()) == [("socket.accept() out of system resource", number)]
