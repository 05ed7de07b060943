"""Datagram endpoints: what is sent and received, in which order, and what a protocol is told of it."""

import asyncio
import contextvars
import gc
import os
import pathlib
import socket
import sys
import time
import weakref

import pytest

from loopkit import peers

# ruff: noqa: ASYNC240 - the paths are few and local

HERE = ("127.0.0.1", 0)


class Recorder(asyncio.DatagramProtocol):
    """A protocol that keeps its calls in order."""

    def __init__(self, heard=None):
        self.calls = []
        self.heard = heard
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def note(self, call):
        self.calls.append(call)
        self.changed.set()

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def datagram_received(self, data, addr):
        assert type(data) is bytes
        self.note((data, addr))
        if self.heard:
            self.heard(self, data, addr)

    def error_received(self, exc):
        self.note(type(exc).__name__)

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    def connection_lost(self, exc):
        self.note(("lost", exc))
        self.lost.set_result(None)

    @property
    def data(self):
        return [call[0] for call in self.calls if isinstance(call, tuple) and call[0] != "lost"]

    async def until(self, condition):
        """Wait until ``condition`` holds of this protocol."""
        while not condition(self):
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)


async def endpoint(heard=None, **how):
    """Return a transport and its recorder."""
    loop = asyncio.get_running_loop()
    how = how or {"local_addr": HERE}
    return await loop.create_datagram_endpoint(lambda: Recorder(heard), **how)


async def end(*transports):
    """Abort transports and wait until their protocols know."""
    for transport in transports:
        protocol = transport.get_protocol()
        transport.abort()
        if protocol is not None:
            await protocol.lost


def name_of(transport):
    return transport.get_extra_info("sockname")


def peer(family=socket.AF_INET, host="127.0.0.1"):
    """Return a plain bound socket that does not wait for ever."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(10)
    return sock


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


def test_very_many_datagrams_stay_in_order(run):
    async def main():
        server, heard = await endpoint()
        client, _ = await endpoint()
        sock = server.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for start in range(0, 900, 150):
            for number in range(start, start + 150):
                client.sendto(b"%d" % number, name_of(server))
            await heard.until(lambda it: len(it.data) == start + 150)  # noqa: B023 - at once
        assert heard.data == [b"%d" % number for number in range(900)]
        assert {call[1] for call in heard.calls[1:]} == {name_of(client)}
        await end(server, client)

    run(main())


def test_many_senders_are_told_apart(run):
    async def main():
        server, heard = await endpoint()
        senders = [peer() for _ in range(60)]
        for sender in senders * 2:
            sender.sendto(b"%d" % sender.getsockname()[1], name_of(server))
        await heard.until(lambda it: len(it.data) == 120)
        assert [int(data) for data in heard.data] == [call[1][1] for call in heard.calls[1:]]
        for sender in senders:
            server.sendto(b"back", sender.getsockname())
        await asyncio.sleep(0)
        assert [sender.recv(9) for sender in senders] == [b"back"] * 60
        for sender in senders:
            sender.close()
        await end(server)

    run(main())


def test_what_a_datagram_schedules_runs_before_the_next_one(same):
    async def scenario(loop):
        trace = []

        def heard(protocol, data, addr):
            trace.append(data)
            if data in {b"1", b"4"}:
                loop.call_soon(trace.append, b"after " + data)

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(60):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: len(it.data) == 60)
        await end(transport)
        return trace

    trace = same(scenario)
    assert trace.index(b"after 1") == trace.index(b"1") + 1


@pytest.mark.parametrize("slow", [False, True])
def test_a_waiter_sees_every_datagram(run, slow):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()

        def heard(protocol, data, addr):
            waiting.set_result(data)  # an InvalidStateError if two come at once
            if slow:
                # The loop asks the system in every turn then, and hears the descriptor in each.
                time.sleep(0.0005)

        transport, _ = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        got = []
        while len(got) < 40:
            # Not by `wait_for`, which up to 3.11 takes more turns than datagrams do.
            async with asyncio.timeout(10):
                got.append(await waiting)
            waiting = loop.create_future()
        assert got == [b"%d" % number for number in range(40)]
        await end(transport)

    run(main())


def test_an_exception_stops_nothing_else(same):
    async def scenario(loop):
        def heard(protocol, data, addr):
            if int(data) % 3 == 1:
                raise ValueError(data)

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(60):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: len(it.data) == 60)
        found = protocol.data, transport.is_closing()
        await end(transport)
        return found

    heard = []

    async def without_words(loop):
        loop.set_exception_handler(lambda _, context: heard.append(str(context["exception"])))
        return await scenario(loop)

    assert same(without_words)[1] is False
    assert len(heard) == 40


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_loop_loses_no_datagram(loop, error):
    def heard(protocol, data, addr):
        if data == b"20":
            raise error

    async def begin():
        return await endpoint(heard)

    async def rest(protocol):
        await protocol.until(lambda it: len(it.data) == 40)

    transport, protocol = loop.run_until_complete(begin())
    with peer() as far:
        for number in range(40):
            far.sendto(b"%d" % number, name_of(transport))
    with pytest.raises(error):
        loop.run_until_complete(rest(protocol))
    loop.run_until_complete(rest(protocol))
    assert protocol.data == [b"%d" % number for number in range(40)]
    loop.run_until_complete(end(transport))


def test_stop_in_the_middle_of_many(same):
    def scenario(loop):
        trace = []

        def heard(protocol, data, addr):
            if data == b"20":
                loop.stop()

        async def begin():
            return await endpoint(heard)

        transport, protocol = loop.run_until_complete(begin())
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        loop.run_forever()
        trace.append(list(protocol.data))

        async def rest():
            await protocol.until(lambda it: len(it.data) == 40)

        loop.run_until_complete(rest())
        trace.append(list(protocol.data))
        loop.run_until_complete(end(transport))
        return trace

    assert len(same(scenario)[0]) == 21


def test_pausing_in_the_middle_of_many(run):
    async def main():
        def heard(protocol, data, addr):
            if data == b"20":
                protocol.transport.pause_reading()

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: b"20" in it.data)
            assert not transport.is_reading()
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(protocol.data) == 21
            far.sendto(b"40", name_of(transport))
        transport.resume_reading()
        assert transport.is_reading()
        assert len(protocol.data) == 21
        await protocol.until(lambda it: len(it.data) == 41)
        assert protocol.data == [b"%d" % number for number in range(41)]
        await end(transport)

    run(main())


@pytest.mark.parametrize("verb", ["close", "abort"])
def test_closing_in_the_middle_of_many(same, verb):
    async def scenario(loop):
        def heard(protocol, data, addr):
            if data == b"20":
                getattr(protocol.transport, verb)()

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        await protocol.lost
        await asyncio.sleep(0)
        return protocol.data, protocol.calls[-1], transport.is_closing()

    assert len(same(scenario)[0]) == 21


def test_another_protocol_in_the_middle_of_many(run):
    async def main():
        second = Recorder()

        def heard(protocol, data, addr):
            if data == b"20":
                protocol.transport.set_protocol(second)

        transport, first = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        await second.until(lambda it: len(it.data) == 19)
        assert first.data + second.data == [b"%d" % number for number in range(40)]
        await end(transport)

    run(main())


def test_the_protocol_keeps_one_context(run):
    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        seen = []

        def heard(protocol, data, addr):
            seen.append(variable.get())
            variable.set(variable.get() + 1)

        variable.set(5)
        transport, protocol = await endpoint(heard)
        variable.set(50)
        with peer() as far:
            for number in range(30):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: len(it.data) == 30)
        assert seen == list(range(5, 35))
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
