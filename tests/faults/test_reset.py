"""Peers that vanish: resets at any byte, broken pipes, descriptors closed by somebody else."""

import asyncio
import gc
import os
import socket
import ssl

import pytest

from loopkit import peers
from loopkit.peers import Recorder, connected

# ruff: noqa: ASYNC110 - what the system does sets no event


def test_reset_while_idle(run):
    async def main():
        transport, protocol, far = await connected()
        peers.reset(far)
        error = await protocol.lost
        assert transport.is_closing()
        return type(error), protocol.calls

    kind, calls = run(main())
    assert kind is ConnectionResetError
    assert calls == ["made", ("lost", "ConnectionResetError")]


@pytest.mark.parametrize("size", [0, 1, 2, 100, 65535, 65536, 65537, 1_000_000])
def test_reset_after_some_bytes_were_read(run, size):
    async def main():
        loop = asyncio.get_running_loop()
        _transport, protocol, far = await connected()
        await loop.sock_sendall(far, b"x" * size)
        await protocol.received(size)
        peers.reset(far)
        error = await protocol.lost
        return type(error), len(protocol.data)

    assert run(main()) == (ConnectionResetError, size)


@pytest.mark.parametrize("owed", [1, 65536, 10_000_000])
def test_reset_while_bytes_are_owed(run, owed):
    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        transport, protocol, far = await connected()
        transport.write(b"x" * owed)
        peers.reset(far)
        error = await protocol.lost
        transport.write(b"more")
        assert transport.get_write_buffer_size() == 0
        return type(error), complaints

    kind, complaints = run(main())
    assert kind in (ConnectionResetError, BrokenPipeError)
    assert complaints == []


def test_reset_while_reading_is_paused(run):
    async def main():
        transport, protocol, far = await connected()
        transport.pause_reading()
        far.send(b"unread")
        peers.reset(far)
        await asyncio.sleep(0.01)
        transport.write(b"x")
        transport.write(b"x")
        transport.resume_reading()
        return type(await protocol.lost)

    assert run(main()) in (ConnectionResetError, BrokenPipeError)


def test_reset_inside_data_received(run):
    async def main():
        near, far = peers.tcp_pair()

        class Writing(Recorder):
            def data_received(self, data):
                super().data_received(data)
                peers.reset(far)
                for _ in range(5):
                    self.transport.write(b"answer" * 1000)

        _transport, protocol = await asyncio.get_running_loop().create_connection(
            Writing, sock=near
        )
        far.send(b"x")
        return type(await protocol.lost)

    assert run(main()) in (ConnectionResetError, BrokenPipeError)


def test_reset_wakes_streams(run):
    async def main():
        near, far = peers.tcp_pair()
        reader, writer = await asyncio.open_connection(sock=near)
        task = asyncio.create_task(reader.readline())
        await asyncio.sleep(0)
        peers.reset(far)
        with pytest.raises(ConnectionResetError):
            await task
        writer.write(b"x" * 1_000_000)
        with pytest.raises(ConnectionError):
            await writer.drain()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    run(main())


def test_many_resets_leave_nothing(run):
    async def main():
        loop = asyncio.get_running_loop()

        class Echo(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.write(data * 100)

        made = []
        server = await loop.create_server(lambda: made.append(Echo()) or made[-1], "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        for number in range(200):
            client = socket.create_connection(where)
            client.sendall(b"x" * (number * 37 % 3000))
            if number % 3:
                await asyncio.sleep(0)
            peers.reset(client)
        while len(made) < 200 - 5 or not all(each.lost.done() for each in made):
            await asyncio.sleep(0.001)
        server.close()
        await server.wait_closed()

    run(main())


MOMENTS = [
    "before",
    "inside data_received",
    pytest.param("while owed", marks=pytest.mark.beyond_asyncio("its abort raises")),
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_descriptor_closed_by_somebody_else(loop_factory, moment):
    """The transport ends with an error or quietly; the loop lives, and the number is nobody's."""
    loop = loop_factory()
    loop.set_exception_handler(lambda *_: None)

    async def main():
        near, far = peers.tcp_pair()
        number = near.fileno()

        class Closing(Recorder):
            def data_received(self, data):
                super().data_received(data)
                os.close(number)

        transport, protocol = await loop.create_connection(
            Closing if moment == "inside data_received" else Recorder, sock=near
        )
        if moment == "inside data_received":
            far.send(b"x")
            await protocol.received(1)
        else:
            if moment == "while owed":
                transport.write(b"x" * 10_000_000)
            os.close(number)
        transport.write(b"x")
        transport.abort()
        await protocol.lost
        far.close()
        return await asyncio.sleep(0.001, "alive")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda _: None)
        assert loop.run_until_complete(main()) == "alive"
        loop.close()
        gc.collect()


def test_a_watched_descriptor_closed_and_used_again(loop):
    near, far = peers.unix_pair()
    number = near.fileno()
    heard = []
    loop.add_reader(number, heard.append, "old")
    near.close()
    again, again_far = peers.unix_pair()
    assert number in (again.fileno(), again_far.fileno())
    again.send(b"x")
    again_far.send(b"x")
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.remove_reader(number)
    loop.add_reader(number, lambda: (heard.append("new"), loop.stop()))
    loop.call_later(5, loop.stop)
    loop.run_forever()
    loop.remove_reader(number)
    for each in (far, again, again_far):
        each.close()
    assert heard[-1] == "new"


def test_a_loop_of_closed_descriptors_does_not_spin(loop):
    import time

    near, far = peers.unix_pair()
    loop.add_reader(near.fileno(), int)
    near.close()
    far.close()
    began = time.process_time()
    loop.run_until_complete(asyncio.sleep(0.2))
    assert time.process_time() - began < 0.15


def test_interrupted_system_calls_are_taken_up_again(driver):
    """A storm of signals that nobody handles specially: every timer and byte still arrives."""
    from loopkit import children

    code = """
    import socket
    count = 0
    def hear(*_):
        global count
        count += 1
    signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
    async def main():
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for number in range(300):
                writer.write(b"x" * 10000)
                assert len(await reader.readexactly(10000)) == 10000
                if number % 30 == 0:
                    await asyncio.sleep(0.003)
            writer.close()
            await writer.wait_closed()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(count > 5)
    """
    assert children.output(code, driver) == "True\n"


def test_tls_reset_before_the_handshake_is_quiet(run, caplog):
    """A peer that connects and vanishes is no error to shout about."""

    async def main():
        loop = asyncio.get_running_loop()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        complaints = []
        loop.set_exception_handler(lambda _, each: complaints.append(each))
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=context)
        for _ in range(3):
            peers.reset(socket.create_connection(server.sockets[0].getsockname()))
        await asyncio.sleep(0.05)
        server.close()
        await server.wait_closed()
        return complaints

    assert run(main()) == []
