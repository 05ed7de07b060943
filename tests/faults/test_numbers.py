"""Descriptors closed behind the loop's back, whose numbers are somebody else's by then."""

import asyncio
import contextlib
import os
import socket

import pytest

from loopkit import peers
from loopkit.datagrams import Recorder as Endpoint
from loopkit.datagrams import peer
from loopkit.peers import Recorder

MUCH = b"of the old " * 200_000
ABORTED = pytest.mark.parametrize("way", ["close", "abort"])
# What the standard loop says of a stranger who wants to be watched under a number that is.
STALE = contextlib.suppress(FileNotFoundError)


def numbered(number: int, family: int = socket.AF_UNIX, kind: int = socket.SOCK_STREAM):
    """Return two connected sockets that do not block, the first with this number, which is free."""
    near, far = socket.socketpair(family, kind) if family == socket.AF_UNIX else (peer(), peer())
    if near.fileno() != number:
        with near as other:
            os.dup2(other.fileno(), number)
        near = socket.socket(fileno=number)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def nothing_for(far: socket.socket) -> None:
    """Assert that nothing has come for ``far``, nor its end."""
    with pytest.raises(BlockingIOError):
        far.recv(100)


async def given_up(*tasks: asyncio.Task[object]) -> None:
    """Cancel the tasks and wait for their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("how", ["remove", "cancel", "transport", "again"])
def test_the_loop_wakes_though_its_own_descriptor_took_the_number(run, how):
    """The first timer may need a descriptor, which gets the number that is unwatched then."""

    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        number = near.fileno()
        waiting = transport = None
        if how == "cancel":
            waiting = asyncio.ensure_future(loop.sock_recv(near, 1))
            await asyncio.sleep(0)
        elif how == "transport":
            transport, protocol = await loop.create_connection(Recorder, sock=near)
            await asyncio.sleep(0)
        else:
            loop.add_reader(number, print)
        near.close()
        await asyncio.sleep(0.002)
        if waiting:
            await given_up(waiting)
        elif transport:
            transport.close()
            await protocol.lost
        else:
            if how == "again":
                with contextlib.suppress(OSError):
                    loop.add_writer(number, print)
                loop.remove_writer(number)
            loop.remove_reader(number)
        await asyncio.sleep(0.002)
        far.close()

    run(asyncio.wait_for(main(), 10))


@ABORTED
@pytest.mark.parametrize("new", ["reader", "recv", "transport"])
def test_a_watch_lasts_that_begins_while_a_connection_ends(run, way, new):
    """A connection and its socket are closed in one turn, and the number is watched anew."""

    async def main():
        loop = asyncio.get_running_loop()
        old, old_far = peers.unix_pair()
        number = old.fileno()
        transport, ended = await loop.create_connection(Recorder, sock=old)
        await asyncio.sleep(0)
        getattr(transport, way)()
        old.close()
        near, far = numbered(number)
        connection = None
        if new == "recv":
            heard = asyncio.ensure_future(loop.sock_recv(near, 10))
        elif new == "reader":
            heard = loop.create_future()
            loop.add_reader(near, lambda: heard.done() or heard.set_result(near.recv(10)))
        else:
            connection, protocol = await loop.create_connection(Recorder, sock=near)
            heard = asyncio.ensure_future(protocol.received(5))
        await ended.lost
        await asyncio.sleep(0)
        far.send(b"hello")
        await asyncio.wait_for(heard, 10)
        loop.remove_reader(near) if not connection else connection.abort()
        await asyncio.sleep(0)
        for each in (near, far, old_far):
            each.close()

    run(main())


@pytest.mark.parametrize("new", ["reader", "recv", "transport"])
def test_what_was_to_be_sent_reaches_no_stranger(run, new):
    async def main():
        loop = asyncio.get_running_loop()
        old, old_far = peers.unix_pair()
        number = old.fileno()
        tasks = [asyncio.ensure_future(loop.sock_sendall(old, MUCH))]
        await asyncio.sleep(0)
        old.close()
        near, far = numbered(number)
        connection = None
        with STALE:
            if new == "recv":
                tasks.append(asyncio.ensure_future(loop.sock_recv(near, 10)))
            elif new == "reader":
                loop.add_reader(near, print)
            else:
                connection, _ = await loop.create_connection(Recorder, sock=near)
        for _ in range(5):
            await asyncio.sleep(0)
        nothing_for(far)
        await given_up(*tasks)
        loop.remove_reader(near) if not connection else connection.abort()
        await asyncio.sleep(0)
        for each in (near, far, old_far):
            each.close()

    run(main())


@pytest.mark.parametrize("verb", ["sock_recv", "sock_recv_into"])
def test_what_comes_for_a_stranger_answers_nobody(run, verb):
    async def main():
        loop = asyncio.get_running_loop()
        old, old_far = peers.unix_pair()
        number = old.fileno()
        room = 100 if verb == "sock_recv" else bytearray(100)
        waiting = asyncio.ensure_future(getattr(loop, verb)(old, room))
        await asyncio.sleep(0)
        old.close()
        near, far = numbered(number)
        sending = asyncio.ensure_future(loop.sock_sendall(near, MUCH))
        await asyncio.sleep(0)
        far.send(b"of the new")
        for _ in range(5):
            await asyncio.sleep(0)
        if waiting.done():
            assert isinstance(waiting.exception(), OSError)
        assert near.recv(100) == b"of the new"
        await given_up(waiting, sending)
        for each in (near, far, old_far):
            each.close()

    run(main())


@contextlib.asynccontextmanager
async def succeeded():
    """Lend a connection whose socket was closed, its protocol, and two sockets of which one has its number."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    old, old_far = peers.unix_pair()
    number = old.fileno()
    transport, protocol = await loop.create_connection(Recorder, sock=old)
    await asyncio.sleep(0)
    old.close()
    near, far = numbered(number)
    yield transport, protocol, near, far
    transport.abort()
    await protocol.lost
    for each in (near, far, old_far):
        each.close()


@pytest.mark.parametrize("deed", ["write", "write_eof"])
def test_a_connection_does_nothing_to_a_stranger(run, deed):
    async def main():
        async with succeeded() as (transport, protocol, _, far):
            if deed == "write":
                transport.write(b"of the old")
                assert isinstance(await protocol.lost, OSError)
            else:
                with pytest.raises(OSError, match="Bad file descriptor"):
                    transport.write_eof()
            nothing_for(far)

    run(main())


def test_a_connection_hears_nothing_of_a_stranger(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with succeeded() as (_, protocol, near, far):
            far.send(b"of the new")
            sending = asyncio.ensure_future(loop.sock_sendall(near, MUCH))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not protocol.data
            assert near.recv(100) == b"of the new"
            await given_up(sending)

    run(main())


def test_a_datagram_leaves_through_no_stranger(run):
    async def main():
        loop = asyncio.get_running_loop()
        old = peer()
        number = old.fileno()
        transport, protocol = await loop.create_datagram_endpoint(Endpoint, sock=old)
        old.close()
        near, far = numbered(number, socket.AF_INET)
        transport.sendto(b"of the old", far.getsockname())
        for _ in range(3):
            await asyncio.sleep(0)
        nothing_for(far)
        transport.abort()
        await protocol.lost
        near.close()
        far.close()

    run(main())
