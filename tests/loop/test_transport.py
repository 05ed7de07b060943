"""Stream transports: bytes in, bytes out, pauses, ends."""

import asyncio
import contextlib
import os
import socket
import sys
import weakref

import pytest

from loopkit import peers
from loopkit.peers import Recorder, connected, finish


def both_pairs(function):
    """Run a test on TCP and on Unix sockets."""
    return pytest.mark.parametrize("pair", [peers.tcp_pair, peers.unix_pair])(function)


@both_pairs
def test_bytes_travel_both_ways(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected(pair=pair)
        far.send(b"hello")
        assert await protocol.received(5) == b"hello"
        assert transport.write(b"world") is None
        assert await loop.sock_recv(far, 10) == b"world"
        transport.close()
        assert await protocol.lost is None
        assert await loop.sock_recv(far, 10) == b""
        far.close()
        return protocol.calls

    assert run(main()) == ["made", "data", ("lost", None)]


def test_transports_are_asyncios(run):
    async def main():
        transport, protocol, far = await connected()
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.ReadTransport)
        assert isinstance(transport, asyncio.WriteTransport)
        assert transport.get_protocol() is protocol
        assert transport.is_closing() is False
        assert transport.is_reading() is True
        assert transport.can_write_eof() is True
        assert weakref.ref(transport)() is transport
        await finish(transport, protocol, far)

    run(main())


def test_extra_info(run):
    async def main():
        transport, protocol, far = await connected()
        sock = transport.get_extra_info("socket")
        assert type(sock) is asyncio.trsock.TransportSocket
        assert sock.fileno() >= 0
        assert transport.get_extra_info("peername") == far.getsockname()
        assert transport.get_extra_info("sockname") == far.getpeername()
        assert sock.getsockname() == far.getpeername()
        assert transport.get_extra_info("sslcontext") is None
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 5) == 5
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await finish(transport, protocol, far)
        assert transport.get_extra_info("peername") == protocol_peer(transport)

    def protocol_peer(transport):
        return transport.get_extra_info("peername")

    run(main())


@pytest.mark.parametrize("where", [asyncio.Transport, asyncio.BaseTransport])
@pytest.mark.parametrize("plain", [True, False])
def test_get_extra_info_can_be_replaced_for_all_transports(run, monkeypatch, where, plain):
    """Tests of others put a mock into asyncio's classes, and expect every transport to answer by it."""
    heard = []

    def function(transport, *args):
        heard.append(transport)
        return args

    class Mock:
        def __call__(self, *args):
            return args

    async def main():
        transport, protocol, far = await connected()
        before = transport.get_extra_info("peername")
        with monkeypatch.context() as patch:
            patch.setattr(where, "get_extra_info", function if plain else Mock())
            assert transport.get_extra_info("peername") == ("peername",)
            assert transport.get_extra_info("peername", None) == ("peername", None)
        assert transport.get_extra_info("peername") == before
        assert heard == ([transport] * 2 if plain else [])
        heard.clear()
        await finish(transport, protocol, far)

    run(main())


def test_a_socket_with_methods_of_its_own(run):
    """A subclass of socket that counts, encrypts or records is asked, and not its descriptor."""

    class Counting(socket.socket):
        received = sent = 0

        def recv(self, *args):
            data = super().recv(*args)
            self.received += len(data)
            return data

        def recv_into(self, *args):
            count = super().recv_into(*args)
            self.received += count
            return count

        def send(self, *args):
            count = super().send(*args)
            self.sent += count
            return count

    class Quiet(socket.socket):
        def __repr__(self):
            return "quiet"

    async def main(kind):
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        near = kind(fileno=near.detach())
        transport, protocol = await loop.create_connection(Recorder, sock=near)
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"out")
        assert await loop.sock_recv(far, 10) == b"out"
        far.send(b"inwards")
        assert await protocol.received(7) == b"inwards"
        await finish(transport, protocol, far)
        return near

    counting = run(main(Counting))
    assert (counting.received, counting.sent) == (7, 3)
    run(main(Quiet))


@pytest.mark.beyond_asyncio("it asks the socket's proto, which is 0 here")
def test_small_packets_leave_at_once_on_every_tcp_socket(run):
    """A socket made without naming the protocol is TCP none the less, and so is what it accepts."""

    async def main():
        loop = asyncio.get_running_loop()
        listening = socket.create_server(("127.0.0.1", 0))
        assert listening.proto == 0
        served = loop.create_future()

        class Serving(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                served.set_result(self)

        server = await loop.create_server(Serving, sock=listening)
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, listening.getsockname())
        transport, protocol = await loop.create_connection(Recorder, sock=client)
        serving = await served
        for each in (transport, serving.transport):
            sock = each.get_extra_info("socket")
            assert sock.proto == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        transport.close()
        await asyncio.gather(protocol.lost, serving.lost)
        server.close()
        await server.wait_closed()

    run(main())


def test_repr(run):
    async def main():
        transport, protocol, far = await connected()
        texts = [repr(transport)]
        transport.write(b"x")
        transport.close()
        texts.append(repr(transport))
        await protocol.lost
        texts.append(repr(transport))
        far.close()
        return texts

    texts = run(main())
    assert "fd=" in texts[0]
    assert "read=polling" in texts[0]
    assert "closing" in texts[1]
    assert "closed" in texts[2]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_written(run, kind):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.write(kind(b"hello"))
        transport.write(kind(b""))
        assert await loop.sock_recv(far, 10) == b"hello"
        await finish(transport, protocol, far)

    run(main())


@pytest.mark.beyond_asyncio("since 3.12 it keeps the buffer itself")
def test_a_mutable_buffer_may_change_after_write(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        filler = b"x" * 4_000_000
        transport.write(filler)
        data = bytearray(b"before")
        transport.write(data)
        transport.write(memoryview(data))
        data[:] = b"after!"
        data.extend(b"grown")
        transport.close()
        heard = await peers.read_all(loop, far)
        await protocol.lost
        far.close()
        return heard[len(filler) :]

    assert run(main()) == b"beforebefore"


@pytest.mark.parametrize("wrong", ["words", 5, None, [b"x"]])
def test_what_is_no_buffer_is_refused(run, wrong):
    async def main():
        transport, protocol, far = await connected()
        with pytest.raises(TypeError, match="data argument must be a bytes"):
            transport.write(wrong)
        await finish(transport, protocol, far)

    run(main())


def test_a_memoryview_of_wider_items(run):
    import array

    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        numbers = array.array("I", range(100_000))
        transport.write(memoryview(numbers))
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard == numbers.tobytes()

    assert run(main())


def test_writelines(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        transport.writelines([b"a", bytearray(b"b"), memoryview(b"c"), b"", b"d"])
        transport.writelines(iter([b"e"]))
        transport.writelines([])
        transport.writelines([b"%d," % n for n in range(3000)])
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard

    assert run(main()) == b"abcde" + b"".join(b"%d," % n for n in range(3000))


def test_much_data_arrives_whole(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        data = os.urandom(20_000_000)
        for start in range(0, len(data), 999_983):
            transport.write(data[start : start + 999_983])
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard == data

    assert run(main())


def test_much_data_is_received_whole(run):
    async def main():
        loop = asyncio.get_running_loop()
        _transport, protocol, far = await connected()
        data = os.urandom(8_000_000)
        await loop.sock_sendall(far, data)
        far.close()
        await protocol.lost
        return bytes(protocol.data) == data, protocol.calls

    assert run(main()) == (True, ["made", "data", "eof", ("lost", None)])


def test_many_small_writes_keep_their_order(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        reading = asyncio.create_task(peers.read_all(loop, far))
        for number in range(20_000):
            transport.write(b"%d " % number)
            if number % 1000 == 0:
                await asyncio.sleep(0)
        transport.close()
        heard = await reading
        far.close()
        return heard

    assert run(main()) == b"".join(b"%d " % number for number in range(20_000))


def test_write_goes_out_before_the_loop_sleeps(run):
    async def main():
        transport, protocol, far = await connected()
        transport.write(b"one")
        transport.write(b"two")
        await asyncio.sleep(0.01)
        heard = far.recv(10)
        await finish(transport, protocol, far)
        return heard

    assert run(main()) == b"onetwo"


def test_write_goes_out_though_the_loop_stays_busy(run):
    async def main():
        transport, protocol, far = await connected()
        transport.write(b"x")
        for turn in range(1000):
            await asyncio.sleep(0)
            try:
                heard = far.recv(10)
                break
            except BlockingIOError:
                continue
        await finish(transport, protocol, far)
        return heard, turn < 50

    assert run(main()) == (b"x", True)


def test_eof_closes_by_default(run):
    async def main():
        transport, protocol, far = await connected()
        far.shutdown(socket.SHUT_WR)
        await protocol.lost
        far.close()
        return protocol.calls, transport.is_closing()

    assert run(main()) == (["made", "eof", ("lost", None)], True)


def test_eof_may_leave_the_transport_open(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected(lambda: Recorder(keep_open=True))
        far.send(b"last")
        far.shutdown(socket.SHUT_WR)
        await protocol.ended
        assert not transport.is_closing()
        transport.write(b"answer")
        assert await loop.sock_recv(far, 10) == b"answer"
        transport.close()
        await protocol.lost
        far.close()
        return protocol.calls

    assert run(main()) == ["made", "data", "eof", ("lost", None)]


def test_eof_is_told_once_and_costs_nothing_afterwards(run):
    import time

    async def main():
        transport, protocol, far = await connected(lambda: Recorder(keep_open=True))
        far.shutdown(socket.SHUT_WR)
        await protocol.ended
        began = time.process_time()
        await asyncio.sleep(0.2)
        spent = time.process_time() - began
        await finish(transport, protocol, far)
        return protocol.calls, spent < 0.1

    assert run(main()) == (["made", "eof", ("lost", None)], True)


def test_write_eof(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.write(b"x" * 3_000_000)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            transport.write(b"more")
        if sys.version_info >= (3, 12):
            with pytest.raises(RuntimeError, match="after write_eof"):
                transport.writelines([b"more"])
        heard = await peers.read_all(loop, far)
        far.send(b"still heard")
        assert await protocol.received(11) == b"still heard"
        await finish(transport, protocol, far)
        return len(heard)

    assert run(main()) == 3_000_000


def test_close_sends_what_is_owed(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        data = os.urandom(4_000_000)
        transport.write(data)
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not protocol.lost.done()
        heard = await peers.read_all(loop, far)
        await protocol.lost
        far.close()
        return heard == data, protocol.calls.count(("lost", None))

    assert run(main()) == (True, 1)


def test_close_hears_nothing_more(run):
    async def main():
        transport, protocol, far = await connected()
        far.send(b"too late")
        transport.close()
        await protocol.lost
        far.close()
        return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


def test_close_sends_fin_while_the_protocol_keeps_its_transport(run):
    """The peer sees the end at once, whoever still holds the transport."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.close()
        assert await asyncio.wait_for(loop.sock_recv(far, 1), 10) == b""
        far.close()
        return protocol.transport is transport

    assert run(main())


def test_abort_drops_what_is_owed(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.write(b"x" * 20_000_000)
        transport.abort()
        transport.abort()
        assert await protocol.lost is None
        heard = 0
        with contextlib.suppress(ConnectionResetError):
            heard = len(await peers.read_all(loop, far))
        far.close()
        return heard < 20_000_000, protocol.calls

    whole, calls = run(main())
    assert whole
    assert calls[-1] == ("lost", None)


def test_connection_lost_comes_later_never_inside(run):
    async def main():
        transport, protocol, far = await connected()
        transport.close()
        assert protocol.calls == ["made"]
        transport.abort()
        assert protocol.calls == ["made"]
        await protocol.lost
        far.close()

    run(main())


def test_write_after_close(run, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.close()
        await protocol.lost
        for _ in range(10):
            transport.write(b"x")
        far.close()
        return loop

    run(main())
    texts = [record.getMessage() for record in caplog.records]
    assert set(texts) <= {"socket.send() raised exception."}
    assert len(texts) >= 1
