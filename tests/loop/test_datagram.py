"""Datagram endpoints: how they are asked for, what is sent and received, and by which addresses."""

import asyncio
import os
import pathlib
import socket
import sys
import weakref

import pytest

from loopkit.datagrams import HERE, Recorder, end, endpoint, name_of, peer

# ruff: noqa: ASYNC240 - the paths are few and local


def test_an_endpoint_is_what_asyncio_calls_one(run):
    async def main():
        transport, protocol = await endpoint()
        assert isinstance(transport, asyncio.DatagramTransport)
        assert protocol.calls == ["made"]
        assert protocol.transport is transport
        assert transport.get_protocol() is protocol
        host, port = name_of(transport)
        assert host == "127.0.0.1"
        assert port
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("socket").family == socket.AF_INET
        assert transport.get_extra_info("nothing", 3) == 3
        assert not transport.is_closing()
        assert transport.get_write_buffer_limits() == (16384, 65536)
        await end(transport)

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [0, 1, 1000, 65507])
def test_a_datagram_and_its_answer(run, host, size):
    if sys.version_info < (3, 13) and not size:
        pytest.skip("an empty datagram is not sent before 3.13")

    async def main():
        def answer(protocol, data, addr):
            protocol.transport.sendto(data[::-1], addr)

        server, heard = await endpoint(answer, local_addr=(host, 0))
        client, told = await endpoint(remote_addr=name_of(server)[:2])
        content = os.urandom(size)
        client.sendto(content)
        await told.until(lambda it: it.data)
        assert heard.calls[1:] == [(content, name_of(client))]
        assert told.calls[1:] == [(content[::-1], name_of(server))]
        await end(server, client)

    run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_may_be_sent(run, kind):
    async def main():
        with peer() as far:
            transport, _ = await endpoint()
            content = kind(bytearray(b"abc") if kind is memoryview else b"abc")
            transport.sendto(content, far.getsockname())
            transport.sendto(content, addr=far.getsockname())
            transport.sendto(data=content, addr=far.getsockname())
            if kind is not bytes:
                content[0] = 0x7A  # it was copied, or is sent by now
            transport.sendto(content, far.getsockname())
            await asyncio.sleep(0)
            expected = b"abc" if kind is bytes else b"zbc"
            assert [far.recv(9) for _ in range(4)] == [b"abc"] * 3 + [expected]
            for wrong in ("abc", 1, None, [1]):
                with pytest.raises(TypeError, match="data argument must be a bytes-like object"):
                    transport.sendto(wrong, far.getsockname())
            await end(transport)

    run(main())


def test_addresses_that_only_the_system_can_read(run):
    async def main():
        with peer() as far:
            transport, protocol = await endpoint()
            port = far.getsockname()[1]
            for address in [("localhost", port), ("127.0.0.1", port), ("127.1", port)]:
                transport.sendto(b"x", address)
            await asyncio.sleep(0)
            assert [far.recv(9) for _ in range(3)] == [b"x"] * 3
            assert protocol.calls == ["made"]
            await end(transport)

    run(main())


@pytest.mark.parametrize(
    "address",
    [
        None,
        "127.0.0.1",
        (),
        ("127.0.0.1",),
        ("127.0.0.1", 70000),
        ("127.0.0.1", -1),
        ("127.0.0.1", "1"),
        (1, 1),
        ("256.0.0.1", 1),
    ],
    ids=repr,
)
def test_addresses_that_are_none(same, address):
    async def scenario(loop):
        transport, protocol = await endpoint()
        transport.sendto(b"x", address)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = [call if isinstance(call, str) else call[0] for call in protocol.calls]
        if not transport.is_closing():
            await end(transport)
        return found, repr(protocol.calls[-1])

    same(scenario)


def test_an_endpoint_with_a_peer_sends_to_nobody_else(run):
    async def main():
        with peer() as far, peer() as other:
            transport, _ = await endpoint(remote_addr=far.getsockname())
            assert transport.get_extra_info("peername") == far.getsockname()
            transport.sendto(b"1")
            transport.sendto(b"2", far.getsockname())
            assert [far.recv(9), far.recv(9)] == [b"1", b"2"]
            with pytest.raises(ValueError, match="Invalid address: must be None or "):
                transport.sendto(b"3", other.getsockname())
            await end(transport)

    run(main())


def test_broadcast_endpoints_are_not_connected(run):
    async def main():
        with peer() as far:
            transport, _ = await endpoint(remote_addr=far.getsockname(), allow_broadcast=True)
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
            assert transport.get_extra_info("peername") is None
            transport.sendto(b"1")
            transport.sendto(b"2")
            await asyncio.sleep(0)
            assert [far.recv(9), far.recv(9)] == [b"1", b"2"]
            await end(transport)

    run(main())


def test_unix_addresses(run, tmp_path):
    async def main():
        def answer(protocol, data, addr):
            protocol.transport.sendto(b"<" + data + b">", addr)

        one, two = str(tmp_path / "one"), str(tmp_path / "two")
        server, heard = await endpoint(answer, family=socket.AF_UNIX, local_addr=one)
        client, told = await endpoint(family=socket.AF_UNIX, local_addr=two, remote_addr=one)
        assert client.get_extra_info("peername") == one
        client.sendto(b"hello")
        client.sendto(bytes(100_000))
        await told.until(lambda it: len(it.data) == 2)
        assert heard.calls[1] == (b"hello", two)
        assert told.calls[1] == (b"<hello>", one)
        assert len(told.data[1]) == 100_002
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(b"who", one)
            heard.heard = None
            await heard.until(lambda it: len(it.data) == 3)
        assert heard.calls[-1] == (b"who", None)
        await end(server, client)
        assert pathlib.Path(one).is_socket()

    run(main())


@pytest.mark.conbrio_only
def test_unix_pair(run):
    async def main():
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        transport, protocol = await endpoint(sock=near)
        far.send(b"in")
        far.send(b"")
        await protocol.until(lambda it: len(it.data) == 2)
        # Neither end has a name, and yet it is known who the peer is.
        transport.sendto(b"out")
        assert far.recv(10) == b"out"
        await end(transport)
        far.close()

    run(main())


def test_to_nobody(same):
    async def scenario(loop):
        del loop
        transport, protocol = await endpoint(sock=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        transport.sendto(b"out")
        await protocol.lost
        return repr(protocol.calls[-1])

    same(scenario)


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux only")
def test_addresses_of_a_family_that_the_socket_module_writes(run):
    async def main():
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
        sock.bind((0, 0))
        transport, protocol = await endpoint(sock=sock)
        # RTM_GETLINK, a request for a dump of all links.
        request = b"\x20\x00\x00\x00\x12\x00\x01\x03" + bytes(24)
        transport.sendto(request, (0, 0))
        await protocol.until(lambda it: it.data)
        assert protocol.calls[1][1] == (0, 0)
        await end(transport)

    run(main())


def test_a_socket_of_a_class_of_ones_own(run):
    calls = []

    class Own(socket.socket):
        def recvfrom(self, *args):
            calls.append("recvfrom")
            return super().recvfrom(*args)

        def sendto(self, *args):
            calls.append("sendto")
            return super().sendto(*args)

    async def main():
        sock = Own(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(HERE)
        transport, protocol = await endpoint(sock=sock)
        with peer() as far:
            far.sendto(b"in", name_of(transport))
            await protocol.until(lambda it: it.data)
            transport.sendto(b"out", far.getsockname())
            assert far.recv(9) == b"out"
        assert calls == ["recvfrom", "sendto"]
        await end(transport)

    run(main())


def test_reuse_port(run):
    async def main():
        first, _ = await endpoint(local_addr=HERE, reuse_port=True)
        second, _ = await endpoint(local_addr=name_of(first), reuse_port=True)
        assert name_of(first) == name_of(second)
        await end(first, second)

    run(main())


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"local_addr": "x"},
        {"local_addr": ("127.0.0.1",)},
        {"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 1)},
        {"family": socket.AF_UNIX, "local_addr": ("a", 1)},
        {"local_addr": ("192.0.2.1", 0)},
        {"family": socket.AF_INET},
        {"family": socket.AF_INET6, "proto": socket.IPPROTO_UDP},
    ],
    ids=repr,
)
def test_ways_to_ask_for_an_endpoint(same, how):
    async def scenario(loop):
        transport, _protocol = await loop.create_datagram_endpoint(Recorder, **how)
        found = transport.get_extra_info("socket").family
        await end(transport)
        return found

    same(scenario)


def test_sockets_that_are_refused(same):
    async def scenario(loop):
        found = []
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as sock:
            for how in ({"sock": stream}, {"sock": sock, "local_addr": HERE}):
                try:
                    await loop.create_datagram_endpoint(Recorder, **how)
                except ValueError as error:
                    found.append(str(error).partition("<")[0])
        return found

    same(scenario)


def test_repr(run):
    async def main():
        transport, protocol = await endpoint()
        fd = transport.get_extra_info("socket").fileno()
        await asyncio.sleep(0)
        assert f"fd={fd} read=polling write=<idle, bufsize=0>>" in repr(transport)
        transport.pause_reading()
        transport.pause_reading()
        assert "read=idle" in repr(transport)
        transport.close()
        assert " closing " in repr(transport)
        await protocol.lost
        assert " closed " in repr(transport)

    run(main())


def test_debug_mode(run):
    async def main():
        def answer(protocol, data, addr):
            protocol.transport.sendto(data, addr)

        server, _ = await endpoint(answer)
        client, told = await endpoint(remote_addr=name_of(server))
        for number in range(20):
            client.sendto(b"%d" % number)
        await told.until(lambda it: len(it.data) == 20)
        await end(server, client)

    run(main(), debug=True)


@pytest.mark.parametrize("way", ["close", "abort"])
def test_a_closed_endpoint_frees_its_protocol(run, way):
    async def main():
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        class Ends(asyncio.DatagramProtocol):
            def connection_lost(self, _):
                ended.set_result(None)

        transport, protocol = await loop.create_datagram_endpoint(Ends, ("127.0.0.1", 0))
        seen = weakref.ref(protocol)
        del protocol
        transport.sendto(b"x", transport.get_extra_info("sockname"))
        getattr(transport, way)()
        await ended
        await asyncio.sleep(0)
        return seen() is None, transport.is_closing()

    assert run(main()) == (True, True)
