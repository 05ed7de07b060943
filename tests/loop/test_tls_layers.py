"""TLS within TLS within TLS, and another protocol in the middle of a connection."""

import asyncio

import pytest

from loopkit import certificates, peers
from loopkit.tls import HOST

DATA = bytes(range(250)) * 1200
ORDERLY = ["made", "data", "eof", ("lost", None)]


class Echo(peers.Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


async def layered(depth, make_far, make_near=peers.Recorder):
    """Return two protocols on so many layers of TLS, and the layers of each, the outermost first."""
    loop = asyncio.get_running_loop()
    server_context, client_context = certificates.server(), certificates.client()
    named = {"server_hostname": "localhost"}
    left, right = peers.tcp_pair()
    far, near = make_far(), make_near()
    far_layers, near_layers = [], []
    (above, _), (below, _) = await asyncio.gather(
        loop.connect_accepted_socket(lambda: far, left, ssl=server_context),
        loop.create_connection(lambda: near, sock=right, ssl=client_context, **named),
    )
    for _ in range(depth):
        far_layers.append(above)
        near_layers.append(below)
        if len(far_layers) < depth:
            above, below = await asyncio.gather(
                loop.start_tls(above, far, server_context, server_side=True),
                loop.start_tls(below, near, client_context, **named),
            )
    far.transport, near.transport = above, below
    return far, near, far_layers, near_layers


async def both_lost(far, near):
    """Wait until both protocols know of the end; return what they were told."""
    await asyncio.wait_for(asyncio.gather(far.lost, near.lost), 10)
    return far.calls, near.calls


@pytest.mark.parametrize("size", [1, 16385, 300_000])
def test_an_echo_and_an_orderly_end(run, size):
    async def main():
        far, near, far_layers, near_layers = await layered(3, Echo)
        sent = DATA[:size]
        near.transport.write(sent)
        assert await near.received(size) == sent
        near.transport.close()
        calls = await both_lost(far, near)
        assert all(layer.is_closing() for layer in far_layers + near_layers)
        return [[call for call in each if call not in {"pause", "resume"}] for each in calls]

    assert run(main()) == [ORDERLY, ORDERLY]


@pytest.mark.parametrize("depth", [2, 3])
def test_last_words_before_the_end(run, depth):
    async def main():
        far, near, *_ = await layered(depth, peers.Recorder)
        near.transport.write(b"bye")
        near.transport.close()
        near.transport.write(b"late")
        return await both_lost(far, near), bytes(far.data)

    calls = (ORDERLY, ["made", "eof", ("lost", None)])
    assert run(main()) == (calls, b"bye")


@pytest.mark.parametrize("depth", [2, 3])
def test_the_innermost_ends_when_what_carries_it_does(run, depth):
    """Who closes the outermost layer ends all of them; the peer is told of an end in order."""

    async def main():
        far, near, _, layers = await layered(depth, peers.Recorder)
        layers[0].close()
        return await both_lost(far, near)

    assert run(main())[0] == ["made", "eof", ("lost", None)]


@pytest.mark.parametrize("depth", [2, 3])
def test_the_innermost_is_broken_off(run, depth):
    async def main():
        far, near, *_ = await layered(depth, peers.Recorder)
        near.transport.write(b"lost")
        near.transport.abort()
        calls = await both_lost(far, near)
        return calls[1], calls[0][-1]

    assert run(main()) == (["made", ("lost", None)], ("lost", None))


def test_much_through_three_layers_to_who_pauses(run):
    async def main():
        far, near, *_ = await layered(3, peers.Recorder)
        far.transport.pause_reading()
        near.transport.write(DATA * 10)
        near.transport.close()
        await asyncio.sleep(0.01)
        assert not near.lost.done()
        assert not far.data
        far.transport.resume_reading()
        await both_lost(far, near)
        return far.data == DATA * 10

    assert run(main()) is True


class BufferedEcho(peers.BufferedRecorder):
    def __init__(self, transport):
        super().__init__(1000)
        self.buffer = memoryview(self.buffer)
        self.transport = transport

    def buffer_updated(self, nbytes):
        self.transport.write(bytes(self.buffer[:nbytes]))


class PlainEcho(Echo):
    def __init__(self, transport):
        super().__init__()
        self.transport = transport


class Swaps(peers.Recorder):
    """Answers once, and leaves what comes next to another protocol."""

    def __init__(self, successor):
        super().__init__()
        self.successor = successor

    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)
        self.next = self.successor(self.transport)
        self.transport.set_protocol(self.next)
        assert self.transport.get_protocol() is self.next


async def swapped(make):
    """Talk to a server's protocol of this kind; return what it was told, and the end of the last one."""
    loop, made = asyncio.get_running_loop(), []
    server = await loop.create_server(
        lambda: made.append(make()) or made[-1], HOST, 0, ssl=certificates.server()
    )
    async with server:
        _, near = await loop.create_connection(
            peers.Recorder,
            *server.sockets[0].getsockname(),
            ssl=certificates.client(),
            server_hostname="localhost",
        )
        for number, word in enumerate([b"first", b"other", b"third"], 1):
            near.transport.write(word)
            assert (await near.received(5 * number))[-5:] == word
        near.transport.write(DATA)
        assert (await near.received(15 + len(DATA)))[15:] == DATA
        assert made[0].data == b"first"
        near.transport.close()
        last = made[0].next
        await asyncio.wait_for(asyncio.gather(near.lost, last.lost), 10)
    return made[0].calls, [call for call in last.calls if call != "get"][-2:]


@pytest.mark.parametrize("successor", [BufferedEcho, PlainEcho])
def test_another_protocol_in_the_middle(run, successor):
    """Each byte goes to the one whose turn it is, and the end to the last."""
    found = run(swapped(lambda: Swaps(successor)))
    assert found == (["made", "data"], ["eof", ("lost", None)])


class BufferedSwaps(peers.BufferedRecorder):
    """The same for one that brings its own memory."""

    def __init__(self, successor):
        super().__init__(5)
        self.buffer = memoryview(self.buffer)
        self.successor = successor

    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.transport.write(bytes(self.buffer[:nbytes]))
        self.next = self.successor(self.transport)
        self.transport.set_protocol(self.next)


@pytest.mark.parametrize("successor", [BufferedEcho, PlainEcho])
def test_another_protocol_after_one_with_memory_of_its_own(run, successor):
    calls, end = run(swapped(lambda: BufferedSwaps(successor)))
    assert (calls[0], calls[-1], end) == ("made", ("updated", 5), ["eof", ("lost", None)])
