"""How a TLS connection begins: with what CPython's own begins with."""

import asyncio
import ssl
from asyncio import sslproto

import pytest

from conbrio import _tls
from loopkit import certificates

# What the flow keeps in memory of its own: CPython's places hold nothing.
ELSEWHERE = {"_incoming", "_outgoing", "_ssl_buffer", "_ssl_buffer_view", "_app_protocol_is_buffer"}


def shown(value):
    """A value, or the name of its class where each connection has an object of its own."""
    if isinstance(value, (ssl.SSLObject, asyncio.Transport)):
        return "one of its own"
    return list(value) if type(value).__name__ == "deque" else value


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("timeouts", [(None, None), (1.5, 2)])
@pytest.mark.parametrize(
    ("server_side", "hostname"), [(True, "a.b"), (False, "a.b"), (False, None)]
)
def test_every_attribute_is_cpythons(run, server_side, hostname, timeouts, made):
    async def main():
        loop = asyncio.get_running_loop()
        context = certificates.server() if server_side else certificates.client()
        context.check_hostname = False
        protocol, waiter = asyncio.Protocol(), loop.create_future()
        pair = []
        for kind in (sslproto.SSLProtocol, _tls.TlsProtocol):
            one = kind(loop, protocol, context, waiter, server_side, hostname, made, *timeouts)
            one._app_transport._closed = True
            pair.append(one)
        theirs, ours = pair
        names = vars(theirs).keys() - ELSEWHERE
        assert len(names) > 25
        assert {n: shown(getattr(theirs, n)) for n in names} == {
            n: shown(getattr(ours, n)) for n in names
        }
        assert (
            ours._app_transport.get_write_buffer_limits()
            == theirs._app_transport.get_write_buffer_limits()
        )
        assert type(ours._app_transport) is _tls.SSLTransport

    run(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_a_timeout_that_is_none_at_all(run, name):
    async def main():
        loop = asyncio.get_running_loop()
        said = []
        for kind in (sslproto.SSLProtocol, _tls.TlsProtocol):
            with pytest.raises(ValueError, match=name) as raised:
                kind(loop, asyncio.Protocol(), certificates.client(), None, **{name: 0})
            said.append(str(raised.value))
        assert said[0] == said[1]

    run(main())


def test_no_context_is_the_one_that_cpython_makes(run):
    async def main():
        loop = asyncio.get_running_loop()
        one = _tls.TlsProtocol(loop, asyncio.Protocol(), None, None, False, "a.b")
        one._app_transport._closed = True
        assert one._sslcontext.check_hostname
        with pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
            _tls.TlsProtocol(loop, asyncio.Protocol(), None, None, True)

    run(main())


def test_a_handshake_that_fails_is_told_of_in_debug_mode(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        told, heard = [], asyncio.Event()

        def hear(_, context):
            told.append(context)
            if context["message"].startswith("Error on transport creation"):
                heard.set()

        loop.set_exception_handler(hear)
        made = []

        def factory():
            made.append(asyncio.Protocol())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=certificates.server())
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"this is no handshake\r\n\r\n")
            await asyncio.wait_for(heard.wait(), 10)
            writer.close()
        report = next(one for one in told if one["message"].startswith("Error on transport"))
        assert report["message"] == "Error on transport creation for incoming connection"
        assert isinstance(report["exception"], ssl.SSLError)
        assert report["protocol"] is made[0]
        assert "transport" in report

    run(main())


def test_a_context_with_which_no_handshake_can_begin(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        heard = loop.create_future()
        loop.set_exception_handler(lambda _, told: heard.done() or heard.set_result(told))
        context = certificates.server()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"\x16\x03\x01")
            assert isinstance((await asyncio.wait_for(heard, 10))["exception"], ssl.SSLError)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()

    run(main())
