"""The ``bytes`` that a program is given are its own: whatever it keeps of them stays as it was."""

import asyncio
import functools
import random
import socket

import pytest

from loopkit import peers, pipes

SIZES = [100, 480, 1024, 1024, 1024, 1024, 4000, 8192, 8193]


def messages(seed):
    """Return messages of a few lengths, no two of them alike."""
    chosen = random.Random(seed)
    return [chosen.randbytes(chosen.choice(SIZES)) for _ in range(300)]


class Keeps(asyncio.Protocol):
    """Keeps some of what it hears, in one of several ways, and checks it against what was sent."""

    def __init__(self, sent, way):
        self.sent, self.way = sent, way
        self.kept = []
        self.heard = 0
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        assert data == self.sent[self.heard]
        self.note(data)

    def datagram_received(self, data, _):
        self.data_received(data)

    def note(self, data):
        """Keep two of three; each has the hash of its own content."""
        if self.heard % 3:
            self.kept.append((self.heard, self.way(data)))
        assert hash(data) == hash(bytes(bytearray(data)))
        self.heard += 1

    def check(self):
        """Whatever was kept has not changed."""
        assert self.heard == len(self.sent)
        assert self.kept
        for index, kept in self.kept:
            assert bytes(kept) == self.sent[index]


WAYS = {
    "object": lambda data: data,
    "view": memoryview,
    "part of a view": lambda data: memoryview(data)[:],
}


@pytest.fixture(params=WAYS)
def way(request):
    """How a program keeps bytes."""
    return WAYS[request.param]


async def deliver(protocol, send):
    """Send one message after the other, each once the one before has been heard; check what was kept."""
    for number, message in enumerate(protocol.sent, 1):
        await send(message)
        await peers.until(lambda number=number: protocol.heard == number)
    protocol.transport.close()
    protocol.check()


def test_of_a_stream_transport(run, way):
    async def main():
        loop = asyncio.get_running_loop()
        protocol, (near, far) = Keeps(messages(1), way), peers.unix_pair()
        await loop.create_connection(lambda: protocol, sock=near)
        await deliver(protocol, functools.partial(loop.sock_sendall, far))
        far.close()

    run(main())


def test_of_datagrams(run, way):
    async def main():
        loop = asyncio.get_running_loop()
        protocol = Keeps(messages(2), way)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: protocol, local_addr=("127.0.0.1", 0)
        )
        address = transport.get_extra_info("sockname")
        with socket.socket(type=socket.SOCK_DGRAM) as far:
            far.setblocking(False)
            await deliver(protocol, lambda message: loop.sock_sendto(far, message, address))

    run(main())


def test_of_a_pipe(run, way):
    async def main():
        loop = asyncio.get_running_loop()
        protocol, (out, into) = Keeps(messages(3), way), pipes.ends()
        await loop.connect_read_pipe(lambda: protocol, out)

        async def send(message):
            into.write(message)

        await deliver(protocol, send)
        into.close()

    run(main())


def test_of_sock_recv_and_of_a_stream(run, way):
    async def main():
        loop = asyncio.get_running_loop()
        sent = messages(4)
        first, second = Keeps(sent, way), Keeps(sent, way)
        near, far = peers.unix_pair()
        end, other = peers.unix_pair()
        reader, writer = await asyncio.open_connection(sock=end)
        for message in sent:
            await loop.sock_sendall(far, message)
            await loop.sock_sendall(other, message)
            first.data_received(await loop.sock_recv(near, 10_000))
            second.data_received(await reader.readexactly(len(message)))
        writer.close()
        for each in (near, far, other):
            each.close()
        first.check()
        second.check()

    run(main())


def test_what_is_still_owed_to_a_peer_is_not_overwritten(run):
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        transport, _ = await loop.create_connection(Echo, sock=near)
        sent, answers = messages(5), []

        async def receive():
            left = sum(map(len, sent))
            while left:
                # Slowly, so that much is owed meanwhile.
                answers.append(await loop.sock_recv(far, 3000))
                left -= len(answers[-1])
                await asyncio.sleep(0)

        receiving = loop.create_task(receive())
        for message in sent:
            await loop.sock_sendall(far, message)
            await asyncio.sleep(0)
        await receiving
        transport.close()
        far.close()
        assert b"".join(answers) == b"".join(sent)

    run(main())
