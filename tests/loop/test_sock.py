"""sock_recv and its family: awaiting what a socket can do."""

import asyncio
import os
import socket

import pytest

from loopkit import peers

ARGUMENTS = {
    "sock_recv": [10],
    "sock_recv_into": [bytearray(10)],
    "sock_recvfrom": [10],
    "sock_recvfrom_into": [bytearray(10)],
    "sock_sendall": [b"x"],
    "sock_sendto": [b"x", ("127.0.0.1", 9)],
    "sock_connect": [("127.0.0.1", 9)],
    "sock_accept": [],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_each_makes_a_coroutine(loop, name):
    """create_task takes only coroutines, so a future would not do."""
    with socket.socket() as sock:
        sock.setblocking(False)
        coro = getattr(loop, name)(sock, *ARGUMENTS[name])
        assert asyncio.iscoroutine(coro)
        coro.close()


@pytest.mark.parametrize("early", [True, False])
def test_recv(run, early):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        if early:
            far.send(b"hello")
            assert await loop.sock_recv(near, 3) == b"hel"
            assert await loop.sock_recv(near, 100) == b"lo"
        else:
            task = asyncio.create_task(loop.sock_recv(near, 100))
            await asyncio.sleep(0)
            assert not task.done()
            far.send(b"hello")
            data = await task
            assert data == b"hello"
            assert type(data) is bytes
        far.close()
        assert await loop.sock_recv(near, 100) == b""
        near.close()

    run(main())


@pytest.mark.parametrize("early", [True, False])
def test_recv_into(run, early):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        buffer = bytearray(8)
        if early:
            far.send(b"hello")
        else:
            loop.call_soon(far.send, b"hello")
        assert await loop.sock_recv_into(near, buffer) == 5
        assert buffer == b"hello\0\0\0"
        far.send(b"more")
        assert await loop.sock_recv_into(near, memoryview(buffer)[2:4]) == 2
        assert buffer == b"hemoo\0\0\0"
        near.close()
        far.close()

    run(main())


def test_sendall_of_much(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        data = os.urandom(1 << 22)
        reading = asyncio.create_task(peers.read_all(loop, far))
        assert await loop.sock_sendall(near, data) is None
        near.close()
        assert await reading == data
        far.close()

    run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendall_takes_any_buffer(run, kind):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        await loop.sock_sendall(near, kind(b"hello"))
        await loop.sock_sendall(near, b"")
        assert await loop.sock_recv(far, 10) == b"hello"
        near.close()
        far.close()

    run(main())


def test_datagrams(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for each in (near, far):
            each.setblocking(False)
            each.bind(("127.0.0.1", 0))
        there = far.getsockname()
        task = asyncio.create_task(loop.sock_recvfrom(far, 100))
        await asyncio.sleep(0)
        assert await loop.sock_sendto(near, b"hello", there) == 5
        assert await task == (b"hello", near.getsockname())
        buffer = bytearray(10)
        assert await loop.sock_sendto(near, b"again", there) == 5
        assert await loop.sock_recvfrom_into(far, buffer) == (5, near.getsockname())
        assert buffer[:5] == b"again"
        await loop.sock_sendto(near, b"abcdef", there)
        assert await loop.sock_recvfrom_into(far, buffer, 3) == (3, near.getsockname())
        assert await loop.sock_sendto(near, b"", there) == 0
        assert await loop.sock_recvfrom(far, 100) == (b"", near.getsockname())
        near.close()
        far.close()

    run(main())


def test_accept_and_connect(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.create_task(loop.sock_accept(listener))
            await asyncio.sleep(0)
            assert await loop.sock_connect(client, listener.getsockname()) is None
            connection, address = await accepting
            with connection:
                assert address == client.getsockname()
                assert connection.gettimeout() == 0
                await loop.sock_sendall(client, b"hello")
                assert await loop.sock_recv(connection, 10) == b"hello"

    run(main())


def test_connect_by_name(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("localhost", listener.getsockname()[1]))
            assert client.getpeername() == listener.getsockname()

    run(main())


def test_connect_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            port = peers.free_port()
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.sock_connect(client, ("127.0.0.1", port))
            return str(caught.value), port

    text, port = run(main())
    assert text == f"[Errno 111] Connect call failed ('127.0.0.1', {port})"


def test_connect_unix(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "sock")
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(path)
            listener.listen()
            client.setblocking(False)
            await loop.sock_connect(client, path)
            assert client.getpeername() == path

    run(main())


@pytest.mark.parametrize("name", ARGUMENTS)
def test_blocking_sockets_are_refused_in_debug_mode(same, name):
    def scenario(loop):
        loop.set_debug(True)
        with socket.socket() as sock:
            loop.run_until_complete(getattr(loop, name)(sock, *ARGUMENTS[name]))

    assert same(scenario) == ("ValueError", ["the socket must be non-blocking"])


@pytest.mark.parametrize("name", ["sock_recv", "sock_sendall", "sock_connect", "sock_accept"])
def test_tls_sockets_are_refused(same, name):
    import ssl

    def scenario(loop):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        sock = socket.socket()
        with context.wrap_socket(sock, do_handshake_on_connect=False) as wrapped:
            wrapped.setblocking(False)
            loop.run_until_complete(getattr(loop, name)(wrapped, *ARGUMENTS[name]))

    assert same(scenario) == ("TypeError", ["Socket cannot be of type SSLSocket"])


def test_cancelled_recv_stops_watching(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        task = asyncio.create_task(loop.sock_recv(near, 10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.remove_reader(near) is False
        far.send(b"kept")
        await asyncio.sleep(0)
        assert await loop.sock_recv(near, 10) == b"kept"
        near.close()
        far.close()

    run(main())


def test_cancelled_connect_stops_watching(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
            clients = [socket.socket() for _ in range(4)]
            for client in clients:
                client.setblocking(False)
            tasks = [
                asyncio.create_task(loop.sock_connect(client, listener.getsockname()))
                for client in clients
            ]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert [loop.remove_writer(client) for client in clients] == [False] * 4
            for client in clients:
                client.close()

    run(main())


def test_timeouts_apply(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(near, 10), 0.01)
        near.close()
        far.close()

    run(main())


def test_reset_is_raised(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        task = asyncio.create_task(loop.sock_recv(near, 10))
        await asyncio.sleep(0)
        peers.reset(far)
        with pytest.raises(ConnectionResetError):
            await task
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendall(near, b"x")
        near.close()

    run(main())


def test_closed_sockets_raise(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        near.close()
        far.close()
        for name in ("sock_recv", "sock_sendall"):
            with pytest.raises(OSError, match="Bad file descriptor"):
                await getattr(loop, name)(near, *ARGUMENTS[name])

    run(main())


def test_reading_and_writing_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        data = os.urandom(1 << 20)

        async def exchange(sock):
            async def read():
                heard = bytearray()
                while len(heard) < len(data):
                    heard += await loop.sock_recv(sock, 1 << 16)
                return bytes(heard)

            heard, _ = await asyncio.gather(read(), loop.sock_sendall(sock, data))
            return heard

        assert await asyncio.gather(exchange(near), exchange(far)) == [data, data]
        near.close()
        far.close()

    run(main())


def test_sendfile(run, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        path = tmp_path / "file"
        data = os.urandom(300_000)
        path.write_bytes(data)
        reading = asyncio.create_task(peers.read_all(loop, far))
        with path.open("rb") as file:
            assert await loop.sock_sendfile(near, file) == len(data)
            assert file.tell() == len(data)
            assert await loop.sock_sendfile(near, file, 100, 50) == 50
            assert await loop.sock_sendfile(near, file, len(data) - 5, None) == 5
            assert await loop.sock_sendfile(near, file, len(data) + 5) == 0
        near.close()
        assert await reading == data + data[100:150] + data[-5:]
        far.close()

    run(main())


def test_sendfile_falls_back_or_refuses(run):
    import io

    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        file = io.BytesIO(b"in memory")
        assert await loop.sock_sendfile(near, file) == 9
        assert await loop.sock_recv(far, 100) == b"in memory"
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(near, file, fallback=False)
        near.close()
        far.close()

    run(main())


def test_streams_of_many_pairs(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def ping(number):
            near, far = peers.unix_pair()
            for turn in range(20):
                await loop.sock_sendall(near, b"%d" % turn)
                assert await loop.sock_recv(far, 10) == b"%d" % turn
                await loop.sock_sendall(far, b"pong")
                assert await loop.sock_recv(near, 10) == b"pong"
            near.close()
            far.close()
            return number

        return await asyncio.gather(*map(ping, range(100)))

    assert run(main()) == list(range(100))


def test_a_socket_with_a_send_of_its_own_is_asked_by_it(run):
    class Upper(socket.socket):
        def send(self, data, flags=0):
            return super().send(bytes(data)[:3].upper(), flags)

    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        near = Upper(fileno=left.detach())
        near.setblocking(False)
        right.setblocking(False)
        await loop.sock_sendall(near, b"hello")
        await loop.sock_sendall(near, b"")
        heard = await loop.sock_recv(right, 100)
        near.close()
        right.close()
        return heard

    assert run(main()) == b"HELLO"


@pytest.mark.parametrize("memory", [b"abc", "abc", memoryview(bytearray(6))[::2], None])
def test_memory_that_cannot_be_received_into(same, memory):
    async def scenario(loop):
        near, far = peers.unix_pair()
        far.send(b"x")
        try:
            await loop.sock_recv_into(near, memory)
        finally:
            near.close()
            far.close()

    assert same(scenario)


def test_memory_is_the_programs_own_while_nothing_comes(run):
    async def main():
        near, far = peers.unix_pair()
        memory = bytearray(4)
        receiving = asyncio.ensure_future(asyncio.get_running_loop().sock_recv_into(near, memory))
        await asyncio.sleep(0)
        memory += b"more"
        far.send(b"123456")
        assert await receiving == 6
        assert memory == b"123456re"
        near.close()
        far.close()

    run(main())


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**64, -1])
@pytest.mark.parametrize("name", ["sock_recv", "sock_recvfrom"])
def test_a_size_that_no_memory_has(same, name, size):
    async def main(loop):
        near, far = peers.unix_pair()
        far.send(b"x")
        try:
            await getattr(loop, name)(near, size)
        except (OverflowError, ValueError) as error:
            return type(error).__name__, str(error)
        finally:
            near.close()
            far.close()

    same(main)


def test_recv_of_a_socket_that_a_transport_has_taken(run):
    """Refused once it would have to wait, though the loop may still watch the socket for the wait before."""

    class Paused(peers.Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        far.send(b"one")
        assert await loop.sock_recv(near, 100) == b"one"
        task = asyncio.create_task(loop.sock_recv(near, 100))
        await asyncio.sleep(0)
        far.send(b"two")
        assert await task == b"two"
        transport, protocol = await loop.create_connection(Paused, sock=near)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await asyncio.wait_for(loop.sock_recv(near, 100), 1)
        await peers.finish(transport, protocol, far)

    run(main())
