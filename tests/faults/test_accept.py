"""Descriptors run out while a server accepts: it rests, says so once, and recovers."""

import asyncio
import errno
import logging
import os
import resource
import socket
import time

import pytest

from loopkit import leaks
from loopkit.peers import Recorder, reset, until

# ruff: noqa: ASYNC110 - what the system does sets no event


@pytest.fixture
def few_descriptors():
    """Allow this process only a few more descriptors than it has now."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def allow(more):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(leaks.descriptors()) + 1 + more, before[1]))

    yield allow
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def fill():
    """Take every descriptor that is left."""
    taken = []
    while True:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            return taken


async def turns(count):
    """Let the loop poll some times without waiting long."""
    for _ in range(count):
        await asyncio.sleep(0.002)


@pytest.mark.beyond_asyncio("it tries as often as its backlog is long, and logs each time")
def test_accept_rests_and_recovers(run, few_descriptors, caplog, monkeypatch):
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.2)

    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        made = []

        def make():
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(make, "127.0.0.1", 0)
        clients = [socket.socket() for _ in range(3)]
        for client in clients:
            client.setblocking(False)
        few_descriptors(4)
        taken = fill()
        for client in clients:
            with pytest.raises(BlockingIOError):
                client.connect(server.sockets[0].getsockname())
        began = time.process_time()
        await until(lambda: complaints)
        await turns(30)
        spent = time.process_time() - began
        first = len(complaints)
        assert made == []
        for fd in taken:
            os.close(fd)
        await asyncio.wait_for(until_made(made, 3), 20)
        for protocol in made:
            protocol.transport.abort()
            await protocol.lost
        for client in clients:
            client.close()
        server.close()
        await server.wait_closed()
        return complaints, first, spent

    async def until_made(made, count):
        while len(made) < count:
            await asyncio.sleep(0.005)
        for protocol in made:
            await protocol.made

    complaints, first, spent = run(main())
    assert first == 1
    context = complaints[0]
    assert context["message"] == "socket.accept() out of system resource"
    assert context["exception"].errno == errno.EMFILE
    assert type(context["socket"]) is asyncio.trsock.TransportSocket
    assert spent < 1


def test_the_loop_lives_on_while_accept_rests(run, few_descriptors, monkeypatch):
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.1)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        client = socket.socket()
        client.setblocking(False)
        few_descriptors(2)
        taken = fill()
        with pytest.raises(BlockingIOError):
            client.connect(server.sockets[0].getsockname())
        counted = 0
        for _ in range(100):
            await asyncio.sleep(0.001)
            counted += 1
        for fd in taken:
            os.close(fd)
        client.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.15)
        return counted

    assert run(main()) == 100


@pytest.mark.beyond_asyncio("it starts serving on the closed socket again")
def test_a_server_closed_while_it_rests_stays_closed(run, few_descriptors, monkeypatch):
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.05)

    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        client = socket.socket()
        client.setblocking(False)
        few_descriptors(2)
        taken = fill()
        with pytest.raises(BlockingIOError):
            client.connect(server.sockets[0].getsockname())
        await until(lambda: complaints)
        server.close()
        for fd in taken:
            os.close(fd)
        await asyncio.sleep(0.15)
        client.close()
        await server.wait_closed()
        return complaints

    assert set(run(main())) == {"socket.accept() out of system resource"}


@pytest.mark.beyond_asyncio("it leaves half a loop behind")
def test_a_new_loop_without_descriptors_says_so(loop_factory, few_descriptors, no_leaks):
    few_descriptors(8)
    taken = fill()
    loop = None
    try:
        with pytest.raises(OSError, match="Too many open files"):  # noqa: PT012
            loop = loop_factory()
            loop.run_until_complete(asyncio.sleep(0.001))
    finally:
        for fd in taken:
            os.close(fd)
        if loop:
            assert loop.run_until_complete(asyncio.sleep(0.001, "fine")) == "fine"
            loop.close()


def test_a_connection_gone_before_accept_is_nothing(run, caplog):
    caplog.set_level(logging.WARNING)

    async def main():
        loop = asyncio.get_running_loop()
        made = []
        server = await loop.create_server(
            lambda: made.append(Recorder()) or made[-1], "127.0.0.1", 0
        )
        where = server.sockets[0].getsockname()
        for _ in range(20):
            reset(socket.create_connection(where))
        good = socket.create_connection(where)
        good.sendall(b"hello")
        await until(lambda: any(protocol.data == b"hello" for protocol in made))
        good.close()
        for protocol in made:
            await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.slow
def test_the_loop_lives_on_when_a_listener_cannot_be_armed_again(run, few_descriptors):
    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        number = server.sockets[0].fileno()
        client, spare = socket.socket(), socket.socketpair()
        client.setblocking(False)
        few_descriptors(4)
        taken = fill()
        with pytest.raises(BlockingIOError):
            client.connect(server.sockets[0].getsockname())
        await until(lambda: complaints)
        # What epoll refuses to watch, under the listener's number.
        os.dup2(taken[0], number)
        for fd in taken:
            os.close(fd)
        await asyncio.sleep(asyncio.constants.ACCEPT_RETRY_DELAY + 0.1)
        for sock in (client, *spare):
            sock.close()
        server.close()
        await server.wait_closed()
        return complaints

    complaints = run(main())
    assert complaints[0] == "socket.accept() out of system resource"
    # A driver that asks the system only when it waits hears of it later.
    again = set(complaints) - {complaints[0]}
    assert all("Exception in callback" in message for message in again)
