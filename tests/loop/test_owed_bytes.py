"""Writes wait for the end of the turn; whatever comes before that must not show it."""

import asyncio
import os
import signal
import socket
import threading
import time

import pytest

from loopkit import certificates, children, peers
from loopkit.tls import dial, served


async def tls_pair(loop, factory):
    """Serve one TLS connection with a protocol; return server, protocol, and the client's streams."""
    made = loop.create_future()

    def make():
        protocol = factory()
        made.set_result(protocol)
        return protocol

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=certificates.server())
    reader, writer = await dial(server.sockets[0].getsockname()[1])
    return server, await made, reader, writer


class Keeps(asyncio.Protocol):
    """Knows its transport."""

    def __init__(self):
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport


def test_a_refusal_of_what_is_not_read_is_sent_over_tls(run):
    async def main():
        async def refuse(reader, writer):
            await peers.until(lambda: reader._paused)
            writer.write(b"too large")
            writer.close()

        server, port = await served(certificates.server(), refuse, limit=1000)
        async with server:
            reader, writer = await dial(port)
            writer.write(bytes(100_000))
            received = await reader.readexactly(9)
            writer.transport.abort()
        return received

    assert run(main()) == b"too large"


@pytest.mark.skipif(not hasattr(asyncio.Server, "close_clients"), reason="from 3.13 on")
@pytest.mark.parametrize("way", ["close_clients", "abort_clients"])
def test_what_a_server_wrote_before_it_ends_its_clients_over_tls(run, way):
    async def main():
        loop = asyncio.get_running_loop()
        server, protocol, reader, writer = await tls_pair(loop, Keeps)
        await peers.until(lambda: protocol.transport is not None)
        protocol.transport.write(b"goodbye")
        server.close()
        getattr(server, way)()
        received = await reader.readexactly(7)
        writer.transport.abort()
        return received

    assert run(main()) == b"goodbye"


def test_what_is_written_while_others_send_theirs_does_not_wait(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _, far = await peers.connected(asyncio.Protocol, peers.unix_pair)

        class Reports(asyncio.DatagramProtocol):
            def error_received(self, exc):
                transport.write(b"report")

        endpoint, _ = await loop.create_datagram_endpoint(Reports, local_addr=("127.0.0.1", 0))
        sink = socket.socket(type=socket.SOCK_DGRAM)
        sink.bind(("127.0.0.1", 0))
        place = sink.getsockname()
        received = loop.create_task(loop.sock_recv(far, 64))
        await asyncio.sleep(0.01)
        # Nothing is ready in the turn after: it rests, unless it knows of the report.
        loop.call_later(5, received.cancel)
        endpoint.sendto(b"small", place)
        endpoint.sendto(bytes(70_000), place)
        received = await received
        transport.abort()
        endpoint.abort()
        sink.close()
        far.close()
        return received

    assert run(main()) == b"report"


def test_what_a_signals_handler_writes_before_it_exits(loop):
    near, far = peers.unix_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=near))

    def leave(*_):
        transport.write(b"bye")
        raise SystemExit

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        pressed = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        pressed.start()
        with pytest.raises(SystemExit):
            loop.run_forever()
        pressed.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert far.recv(64) == b"bye"
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    far.close()


@pytest.mark.parametrize("use", ["shutdown", "dup", "fileno"])
def test_the_socket_asked_for_after_a_write(run, use):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _, far = await peers.connected(asyncio.Protocol, peers.unix_pair)
        transport.write(b"one ")
        sock = transport.get_extra_info("socket")
        if use == "shutdown":
            sock.shutdown(socket.SHUT_WR)
        elif use == "dup":
            with sock.dup() as other:
                other.send(b"two")
        else:
            os.write(sock.fileno(), b"two")
        transport.close()
        received = await peers.read_all(loop, far)
        far.close()
        return received

    assert run(main()) == (b"one " if use == "shutdown" else b"one two")


def test_what_a_closed_transport_writes_as_it_may_go_on(run):
    class Adds(Keeps):
        def resume_writing(self):
            self.transport.write(b"tail")

        def connection_lost(self, exc):
            self.transport = None

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await peers.connected(Adds, peers.unix_pair)
        transport.write(bytes(3_000_000))
        transport.close()
        received = await asyncio.wait_for(peers.read_all(loop, far), 10)
        await peers.until(lambda: protocol.transport is None)
        far.close()
        return received.lstrip(b"\0")

    assert run(main()) == b"tail"


def test_a_write_from_another_thread_while_the_loop_sleeps(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _, far = await peers.connected(asyncio.Protocol, peers.unix_pair)
        received = []

        def foreign():
            time.sleep(0.05)
            transport.write(b"thread")
            far.settimeout(2)
            try:
                received.append(far.recv(64))
            finally:
                loop.call_soon_threadsafe(ended.set)

        ended = asyncio.Event()
        thread = threading.Thread(target=foreign)
        loop.call_later(0.01, thread.start)
        await ended.wait()
        thread.join()
        transport.abort()
        far.close()
        return received

    assert run(main()) == [b"thread"]


def test_the_end_of_writing_to_a_connection_that_was_reset(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
        transport.pause_reading()
        peers.reset(far)
        transport.write(b"x")
        transport.write_eof()
        await asyncio.sleep(0)
        transport.abort()
        await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("leaves", ["sys.exit(0)", "transport.write(b'child'); os._exit(0)"])
def test_a_fork_after_a_write(driver, leaves):
    code = f"""
    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        near.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
        transport.write(b"once ")
        pid = os.fork()
        if not pid:
            {leaves}
        os.waitpid(pid, 0)
        transport.close()
        await asyncio.sleep(0.01)
        far.settimeout(1)
        print(far.recv(64).decode())
    import socket
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    status, out, _ = children.run_python(code, driver, "-W", "ignore")
    assert (status, out.strip()) == (0, "once child" if "child" in leaves else "once")


def test_what_was_written_over_tls_before_the_carrier_is_aborted(run):
    async def main():
        loop = asyncio.get_running_loop()
        server, protocol, reader, writer = await tls_pair(loop, Keeps)
        await peers.until(lambda: protocol.transport is not None)
        protocol.transport.write(b"last")
        protocol.transport._ssl_protocol._transport.abort()
        received = await reader.readexactly(4)
        writer.transport.abort()
        server.close()
        return received

    assert run(main()) == b"last"


@pytest.mark.parametrize("end", ["close", "abort", "abort the carrier", "close after a pause"])
def test_tls_within_tls(run, end):
    """What the inner one has written leaves, whichever of the three ends."""

    async def main():
        loop = asyncio.get_running_loop()
        server, protocol, reader, writer = await tls_pair(loop, Keeps)
        await peers.until(lambda: protocol.transport is not None)
        outer = protocol.transport
        context = certificates.server()
        begun = loop.create_task(loop.start_tls(outer, protocol, context, server_side=True))
        await writer.start_tls(certificates.client(), server_hostname="localhost")
        inner = await begun
        inner.write(b"inside")
        if end == "abort the carrier":
            outer._ssl_protocol._transport.abort()
        elif end == "close after a pause":
            inner.pause_reading()
            inner.close()
        else:
            getattr(outer, end)()
        received = await asyncio.wait_for(reader.readexactly(6), 5)
        writer.transport.abort()
        server.close()
        return received

    assert run(main()) == b"inside"


def test_a_limit_of_nothing_pauses_nobody_who_owes_nothing(run):
    async def main():
        server, protocol, reader, writer = await tls_pair(
            asyncio.get_running_loop(), peers.Recorder
        )
        transport = await protocol.made
        transport.set_write_buffer_limits(high=0)
        for _ in range(3):
            transport.write(b"small")
            await asyncio.sleep(0)
        await reader.readexactly(15)
        await asyncio.sleep(0.01)
        assert transport.get_write_buffer_size() == 0
        calls = [call for call in protocol.calls if call in ("pause", "resume")]
        transport.abort()
        writer.transport.abort()
        server.close()
        return calls[-1:]

    assert run(main()) in ([], ["resume"])
