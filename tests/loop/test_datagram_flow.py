"""What a datagram endpoint does with what cannot leave: errors, flow control, and the end."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import weakref

import pytest

from loopkit import peers
from loopkit.datagrams import HERE, Recorder, end, endpoint, peer


def test_too_large_a_datagram(same):
    async def scenario(loop):
        with peer() as far:
            transport, protocol = await endpoint()
            for size in (1, 65508, 2, 70000, 3):
                transport.sendto(bytes(size), far.getsockname())
            await asyncio.sleep(0)
            got = [len(far.recv(99)) for _ in range(3)]
            await end(transport)
            return got, protocol.calls

    assert same(scenario) == [[1, 2, 3], ["made", "OSError", "OSError", ["lost", None]]]


def test_refused_by_the_peers_host(same):
    async def scenario(loop):
        port = peers.free_port()
        transport, protocol = await endpoint(remote_addr=("127.0.0.1", port))
        for _ in range(5):
            transport.sendto(b"anybody?")
        await protocol.until(lambda it: len(it.calls) > 1)
        for _ in range(3):
            await asyncio.sleep(0)
        calls = list(protocol.calls)
        assert not transport.is_closing()
        await end(transport)
        return calls

    assert "ConnectionRefusedError" in same(scenario)


def test_error_received_may_raise(same):
    async def scenario(loop):
        class Raises(Recorder):
            def error_received(self, exc):
                raise RuntimeError("no")

        with peer() as far:
            transport, protocol = await loop.create_datagram_endpoint(Raises, local_addr=HERE)
            for size in (65508, 1):
                try:
                    transport.sendto(bytes(size), far.getsockname())
                except RuntimeError as error:
                    protocol.calls.append(str(error))
            await asyncio.sleep(0)
            got = far.recv(99)
            await end(transport)
            return got, protocol.calls

    same(scenario)


def test_one_refused_stops_none_of_those_behind_it(loop, complaints):
    class Raises(Recorder):
        def error_received(self, exc):
            raise RuntimeError("no")

    async def main():
        with peer() as far:
            transport, _protocol = await loop.create_datagram_endpoint(Raises, local_addr=HERE)
            for size in (1, 65508, 2, 65508, 3):
                try:
                    transport.sendto(bytes(size), far.getsockname())
                except RuntimeError:
                    complaints.append({})
            for _ in range(3):
                await asyncio.sleep(0)
            assert [len(far.recv(99)) for _ in range(3)] == [1, 2, 3]
            await end(transport)

    loop.run_until_complete(main())
    assert len(complaints) == 2


@pytest.fixture
def named(tmp_path):
    """Two connected Unix datagram sockets that have names."""
    socks = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    names = [str(tmp_path / name) for name in ("near", "far")]
    for sock, name in zip(socks, names, strict=True):
        sock.bind(name)
        sock.setblocking(False)
    socks[0].connect(names[1])
    yield socks
    for sock in socks:
        sock.close()


def test_flow_control(named, same):
    near, far = named

    async def scenario(loop):
        sock = socket.socket(fileno=os.dup(near.fileno()))
        transport, protocol = await endpoint(sock=sock)
        transport.set_write_buffer_limits(high=3000, low=1000)
        sent = 0
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"%04d" % sent + bytes(996))
            sent += 1
        sizes = [transport.get_write_buffer_size()]
        for _ in range(3):
            transport.sendto(b"%04d" % sent + bytes(996))
            sent += 1
            sizes.append(transport.get_write_buffer_size())
        calls = list(protocol.calls)
        shown = "write=<polling" in repr(transport)
        got = []
        while len(got) < sent:
            try:
                got.append(int(far.recv(2000)[:4]))
            except BlockingIOError:
                await asyncio.sleep(0)
        await protocol.until(lambda it: "resume" in it.calls)
        await asyncio.sleep(0)
        after = transport.get_write_buffer_size()
        await end(transport)
        if (3, 13) <= sys.version_info < (3, 14):
            after = 0  # early versions of 3.13 count the headers, and do not take them back
        return sizes, calls, shown, got == list(range(sent)), after, protocol.calls

    sizes, calls, shown, in_order, after, later = same(scenario)
    header = 8 if sys.version_info >= (3, 13) else 0
    assert sizes == [(1000 + header) * count for count in range(1, 5)]
    assert calls == ["made", "pause"]
    assert shown
    assert in_order
    assert after == 0
    assert later == ["made", "pause", "resume", ["lost", None]]


def test_closing_sends_what_is_owed(named, run):
    near, far = named

    async def main():
        transport, protocol = await endpoint(sock=socket.socket(fileno=os.dup(near.fileno())))
        sent = 0
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"%d" % sent)
            sent += 1
        transport.close()
        assert transport.is_closing()
        transport.sendto(b"%d" % sent)
        sent += 1
        got = []
        while not protocol.lost.done():
            try:
                got.append(int(far.recv(2000)))
            except BlockingIOError:
                await asyncio.sleep(0)
        while len(got) < sent:
            got.append(int(far.recv(2000)))
        assert got == list(range(sent))
        assert protocol.calls[-1] == ("lost", None)

    run(main())


def test_abort_forgets_what_is_owed(named, run):
    near, far = named

    async def main():
        transport, protocol = await endpoint(sock=socket.socket(fileno=os.dup(near.fileno())))
        sent = 0
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"x")
            sent += 1
        transport.abort()
        await protocol.lost
        assert [far.recv(9) for _ in range(sent - 1)] == [b"x"] * (sent - 1)
        with pytest.raises(BlockingIOError):
            far.recv(9)

    run(main())


def test_what_is_sent_after_the_end(run):
    async def main():
        with peer() as far:
            connected, _ = await endpoint(remote_addr=far.getsockname())
            free, _ = await endpoint()
            connected.close()
            free.close()
            connected.sendto(b"lost")
            free.sendto(b"still there", far.getsockname())
            assert far.recv(99) == b"still there"
            await connected.get_protocol().lost
            await asyncio.sleep(0)
            connected.sendto(b"lost")
            assert connected.is_closing()
            connected.close()
            connected.abort()

    run(main())


def close_and_collect(loop):
    loop.close()
    gc.collect()


@pytest.mark.beyond_asyncio("its closed loop keeps the transport alive")
def test_an_endpoint_that_nobody_closes_says_so(loop):
    async def main():
        transport, protocol = await endpoint()
        protocol.transport = None
        return weakref.ref(transport)

    transport = loop.run_until_complete(main())
    assert transport() is not None
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        close_and_collect(loop)
    assert transport() is None


def test_a_datagram_longer_than_what_asyncio_reads_at_once(same):
    """It ends at 256 KiB, and the next one begins where it begins."""

    async def scenario(loop):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for each in (near, far):
            with contextlib.suppress(PermissionError):
                each.setsockopt(socket.SOL_SOCKET, 32, 2_000_000)  # SO_SNDBUFFORCE
        if near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 1_000_000:
            pytest.skip("only root may send one as long")
        heard = []

        class Hears(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                heard.append((len(data), data[:1], data[-1:]))

        transport, _ = await loop.create_datagram_endpoint(Hears, sock=near)
        for size in (65536, 262143, 262144, 262145, 300_000, 1):
            far.send(b"a" * (size - 1) + b"z")
        while len(heard) < 6:  # noqa: ASYNC110 - nothing else tells of it
            await asyncio.sleep(0)
        transport.close()
        far.close()
        return heard

    assert same(scenario)[4] == [262144, b"a", b"a"]
