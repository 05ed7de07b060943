"""References and descriptors counted over repeated work; the collector run at every turn."""

import asyncio
import contextvars
import gc
import socket
import sys
import weakref

import pytest

from loopkit import leaks, peers
from loopkit.peers import Recorder, connected, finish


class Sentinel:
    """Something whose references are counted."""


@pytest.fixture
def collecting():
    """Run the collector at nearly every allocation."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


async def futures(thing):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.add_done_callback(lambda _: thing)
    loop.call_soon(future.set_result, thing)
    assert await future is thing
    future = loop.create_future()
    future.cancel(thing)
    future = loop.create_future()
    future.set_exception(ValueError(thing))
    future.exception()


async def tasks(thing):
    async def child(value):
        await asyncio.sleep(0)
        return value

    assert await asyncio.create_task(child(thing)) is thing
    await asyncio.gather(*(child(thing) for _ in range(5)))
    task = asyncio.create_task(child(thing))
    task.cancel(thing)
    await asyncio.gather(task, return_exceptions=True)


async def handles(thing):
    loop = asyncio.get_running_loop()
    for method, args in (
        (loop.call_soon, []),
        (loop.call_soon_threadsafe, []),
        (loop.call_later, [0]),
        (loop.call_later, [60]),
        (loop.call_at, [0]),
    ):
        method(*args, id, thing, thing, thing).cancel()
        if args != [60]:
            method(*args, lambda *_: None, thing, thing, thing, thing, thing, thing)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def failures(thing):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)

    def fail(each):
        raise ValueError(each)

    loop.call_soon(fail, thing)
    loop.create_future().set_exception(ValueError(thing))
    for wrong in ([], [5]):
        with pytest.raises(TypeError):
            loop.call_later(*wrong)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)


async def watches(thing):
    loop = asyncio.get_running_loop()
    near, far = peers.unix_pair()
    heard = loop.create_future()
    loop.add_reader(near, lambda: heard.set_result((near.recv(1), thing)))
    loop.add_writer(near, id, thing)
    far.send(b"x")
    await heard
    loop.remove_reader(near)
    loop.remove_writer(near)
    near.close()
    far.close()


async def sockets(thing):
    loop = asyncio.get_running_loop()
    near, far = peers.unix_pair()
    buffer = bytearray(10)
    await loop.sock_sendall(near, b"hello")
    await loop.sock_recv(far, 10)
    await loop.sock_sendall(near, b"hello")
    await loop.sock_recv_into(far, buffer)
    task = asyncio.create_task(loop.sock_recv(far, 10))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    buffer.clear()
    near.close()
    far.close()


async def transports(thing):
    class Holding(Recorder):
        held = thing

    transport, protocol, far = await connected(Holding)
    transport.write(b"x" * 300_000)
    transport.writelines([b"a", b"b"])
    far.send(b"hello")
    await protocol.received(5)
    transport.get_extra_info("socket")
    await finish(transport, protocol, far)
    protocol.transport = None


async def buffers(thing):
    transport, protocol, far = await connected(peers.BufferedRecorder)
    far.send(b"hello")
    await protocol.received(5)
    await finish(transport, protocol, far)
    protocol.buffer.clear()
    protocol.transport = None


async def streams(thing):
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def executors(thing):
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, lambda: thing) is thing


async def timeouts(thing):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60, thing)
    await asyncio.wait_for(asyncio.sleep(0, thing), 60)


async def generators(thing):
    async def numbers():
        yield thing
        yield thing

    async for _ in numbers():
        break
    await asyncio.sleep(0)


WORK = [
    futures, tasks, handles, failures, watches, sockets, transports, buffers, streams, executors,
    timeouts, generators,
]  # fmt: skip
by_name = pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)


@by_name
def test_references_do_not_grow(run, work):
    """Repeated work leaves neither a reference to what it was given nor an object of its kinds."""

    async def main():
        thing = Sentinel()
        for _ in range(40):
            await work(thing)
        await asyncio.sleep(0)
        gc.collect()
        references, objects = sys.getrefcount(thing), len(gc.get_objects())
        for _ in range(100):
            await work(thing)
        await asyncio.sleep(0)
        gc.collect()
        return sys.getrefcount(thing) - references, len(gc.get_objects()) - objects

    references, objects = run(main())
    assert references == 0
    assert objects < 90


@by_name
def test_works_with_the_collector_at_every_turn(run, collecting, work):
    async def main():
        for _ in range(3):
            await work(Sentinel())

    run(main())


@by_name
def test_memory_does_not_grow(run, work):
    """Blocks allocated by Python settle; native buffers are counted by the resident size."""

    def pages():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    async def main():
        thing = Sentinel()
        # As often as afterwards: until then the interpreter's own stocks fill.
        for _ in range(200):
            await work(thing)
        gc.collect()
        blocks, resident = sys.getallocatedblocks(), pages()
        for _ in range(200):
            await work(thing)
        gc.collect()
        return sys.getallocatedblocks() - blocks, pages() - resident

    blocks, resident = run(main())
    assert blocks < 200
    assert resident < 1024


def test_none_and_small_objects_keep_their_references(run):
    """A reference lost on None, True or an empty tuple would show only after hours."""

    async def main():
        for _ in range(5):
            for work in WORK:
                await work(None)
        gc.collect()
        before = [sys.getrefcount(each) for each in (None, True, False, (), "", b"", Ellipsis)]
        for _ in range(20):
            for work in WORK:
                await work(None)
        gc.collect()
        after = [sys.getrefcount(each) for each in (None, True, False, (), "", b"", Ellipsis)]
        return [new - old for new, old in zip(after, before, strict=True)]

    grown = run(main())
    assert all(abs(each) < 60 for each in grown), grown


def test_whole_loops_leave_no_objects(loop_factory):
    def whole():
        loop = loop_factory()
        loop.run_until_complete(futures(Sentinel()))
        loop.call_soon(id, Sentinel())
        loop.call_later(60, id, Sentinel())
        loop.create_future().add_done_callback(lambda _: Sentinel())
        loop.close()

    for _ in range(5):
        whole()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        whole()
    gc.collect()
    assert len(gc.get_objects()) - before < 40
    assert leaks.count(Sentinel) == 0


def test_a_cycle_through_the_loop_is_collected(loop_factory):
    import weakref

    def make():
        loop = loop_factory()
        loop.me = loop
        future = loop.create_future()
        future.add_done_callback(lambda _: (loop, future))
        task = loop.create_task(asyncio.sleep(60))
        loop.call_later(60, lambda: (loop, task))
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return weakref.ref(loop)

    seen = [make() for _ in range(5)]
    gc.collect()
    assert [ref() for ref in seen] == [None] * 5


def test_collecting_inside_every_callback(loop):
    """The loop is whole at any instant at which Python code runs."""
    near, far = peers.unix_pair()
    far.send(b"x")
    heard = []

    async def main():
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()
        future = loop.create_future()
        future.add_done_callback(lambda _: gc.collect())
        loop.call_soon(future.set_result, 1)
        loop.call_later(0, gc.collect)
        loop.add_reader(near, lambda: (heard.append(near.recv(1)), gc.collect()))
        await future
        await asyncio.sleep(0.001)
        gc.collect()
        loop.remove_reader(near)

    loop.run_until_complete(main())
    near.close()
    far.close()
    assert heard == [b"x"]


def test_finalisers_that_schedule_more(loop):
    """Freeing a callback runs Python code, which may call the loop again."""
    order = []

    class Scheduling:
        def __init__(self, depth):
            self.depth = depth

        def __call__(self, *_):
            """Stand in for a callback."""

        def __del__(self):
            order.append(self.depth)
            if self.depth and not loop.is_closed():
                loop.call_soon(Scheduling(self.depth - 1))
                loop.call_later(60, Scheduling(0)).cancel()

    loop.call_soon(Scheduling(5))
    loop.call_later(60, Scheduling(3)).cancel()
    loop.create_future().add_done_callback(Scheduling(2))
    for _ in range(12):
        loop.run_until_complete(asyncio.sleep(0))
    assert order.count(0) >= 10
    loop.call_soon(Scheduling(4))
    loop.close()


def test_accepted_sockets_are_counted(run):
    """Descriptors over many connections: as many closed as opened."""

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        await asyncio.sleep(0.001)  # the first wait makes the alarm
        before = len(leaks.descriptors())
        for _ in range(100):
            client = socket.create_connection(where)
            await asyncio.sleep(0)
            client.close()
        for _ in range(100):
            await asyncio.sleep(0.001)
            if len(leaks.descriptors()) == before:
                break
        after = len(leaks.descriptors())
        server.close()
        await server.wait_closed()
        return after - before

    assert run(main()) == 0


@pytest.mark.parametrize("kind", ["slow_callback_duration", "when"])
def test_a_number_that_leads_back_is_collected(loop_factory, kind):
    """Numbers are kept as they were given; one of a class of its own may have attributes."""

    class Number(float):
        """A number that keeps something."""

    async def cancelled(loop, number):
        number.kept = loop.call_at(number, print)
        number.kept.cancel()

    def begin():
        loop = loop_factory()
        number = Number(loop.time() + 1000)
        if kind == "when":
            # What has a context to show is looked at anyway.
            empty = contextvars.Context()
            loop.run_until_complete(loop.create_task(cancelled(loop, number), context=empty))
        else:
            number.kept = loop
            loop.slow_callback_duration = number
        loop.close()
        return weakref.ref(number)

    seen = begin()
    gc.collect()
    assert seen() is None
