"""A callback that ends the run: what the turn still owes is done, and the exception stays the same."""

import asyncio
import socket

import pytest


class Listening(asyncio.Protocol):
    """Notes how the connection was lost."""

    def __init__(self):
        self.lost = []

    def connection_lost(self, exc):
        self.lost.append(exc)


@pytest.fixture
def streams(loop):
    """Three streams with their protocols, and their peers' sockets."""
    triples = []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        made = loop.run_until_complete(loop.create_connection(Listening, sock=ours))
        triples.append((*made, theirs))
    yield triples
    for transport, _, theirs in triples:
        transport.close()
        theirs.close()
    loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("debug", [False, True])
def test_what_was_written_before_is_sent(loop, streams, kind, debug):
    def write_and_end():
        for transport, _, _ in streams:
            transport.write(b"owed")
        raise kind(7)

    loop.set_debug(debug)
    loop.call_soon(write_and_end)
    with pytest.raises(kind) as caught:
        loop.run_forever()
    assert caught.value.args == (7,)
    for _, _, theirs in streams:
        theirs.settimeout(5)
        assert theirs.recv(10) == b"owed"


@pytest.mark.parametrize("debug", [False, True])
def test_a_connection_lost_in_the_same_turn_is_told_in_the_next_run(loop, streams, debug):
    (transport, protocol, theirs), (other, _, reader), _ = streams
    theirs.close()

    def write_and_end():
        transport.write(b"nobody reads")
        other.write(b"owed")
        raise KeyboardInterrupt

    loop.set_debug(debug)
    loop.call_soon(write_and_end)
    with pytest.raises(KeyboardInterrupt) as caught:
        loop.run_forever()
    assert caught.value.__context__ is None
    assert reader.recv(10) == b"owed"
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    assert [type(error) for error in protocol.lost] == [BrokenPipeError]


def test_the_rest_of_the_turn_runs_in_the_next_run(loop):
    order = []

    def end():
        raise KeyboardInterrupt

    loop.call_soon(order.append, 1)
    loop.call_soon(end)
    loop.call_soon(order.append, 2)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert order == [1]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == [1, 2]
