"""How much memory the primitives and streams take, beside asyncio's own, and that nothing is left of very many.

`CONBRIO_LEAK_ROUNDS` says how many rounds a leak test does: some thousands by default, a million for a long run.
"""

import asyncio
import contextlib
import gc
import json
import os
import pathlib
import socket
import subprocess
import sys
import textwrap
import tracemalloc
import weakref

import pytest

conbrio = pytest.importorskip("conbrio")

ROUNDS = int(os.environ.get("CONBRIO_LEAK_ROUNDS", "4000"))
PAGE = os.sysconf("SC_PAGE_SIZE")


class Closed(asyncio.Transport):
    """What a writer needs so as to be made and to go."""

    def is_closing(self):
        return True


class Makers:
    """Makes one of each, of asyncio's kinds or of ours."""

    def __init__(self, kit, loop):
        self.kit, self.loop, self.transport = kit, loop, Closed()
        names = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore")
        self.all = {name: getattr(kit, name) for name in names}
        self.all |= {name: getattr(kit, name) for name in ("Queue", "LifoQueue", "PriorityQueue")}
        self.all |= {"Barrier": lambda: kit.Barrier(3), "streams": self.streams}

    def streams(self):
        """Makes a reader and a writer, as the functions that connect do."""
        reader = self.kit.StreamReader(loop=self.loop)
        protocol = self.kit.StreamReaderProtocol(reader, loop=self.loop)
        return reader, self.kit.StreamWriter(self.transport, protocol, reader, self.loop)


KINDS = sorted(Makers(asyncio, None).all)


def allocated():
    """What Python's allocators have given out since `tracemalloc` began."""
    return tracemalloc.get_traced_memory()[0]


def resident():
    """What the process holds, whoever asked for it."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * PAGE


def size_of(make, count, counter=allocated):
    """Returns how many bytes one more takes, and them all."""
    make()
    kept = [None] * count
    gc.collect()
    before = counter()
    for index in range(count):
        kept[index] = make()
    return (counter() - before) / count, kept


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("kind", KINDS)
def test_one_takes_no_more_of_pythons_memory_than_asyncios(kind, loop):
    tracemalloc.start()
    ours, _ = size_of(Makers(conbrio, loop).all[kind], 500)
    theirs, _ = size_of(Makers(asyncio, loop).all[kind], 500)
    tracemalloc.stop()
    assert ours <= theirs


# Nothing is freed in between, so that no room of one is filled by the next.
RESIDENT = """
    import asyncio, gc, json, os, sys
    sys.path.insert(0, sys.argv[1])
    import conbrio, test_footprint
    loop = conbrio.new_event_loop()
    kits = [test_footprint.Makers(kit, loop).all for kit in (conbrio, asyncio)]
    gc.disable()
    kept = [[kit[kind]() for _ in range(2000)] for kit in kits for kind in kit]
    found = {}
    for kind in kits[0]:
        sizes = [test_footprint.size_of(kit[kind], 10000, test_footprint.resident) for kit in kits]
        kept.append(sizes)
        found[kind] = [size for size, _ in sizes]
    print(json.dumps(found), flush=True)
    os._exit(0)
"""


def test_the_process_does_not_grow_by_more_than_with_asyncios():
    """The resident size counts what Rust allocates as well."""
    command = [sys.executable, "-c", textwrap.dedent(RESIDENT), str(pathlib.Path(__file__).parent)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert sorted(found) == KINDS
    assert {kind: both for kind, both in found.items() if both[0] > both[1] + 2} == {}


# ---------------------------------------------------------------- leaks


class Thing:
    """Something that is passed along, whose references are counted."""


async def ended(*tasks):
    """Cancels tasks and waits for their end."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, ValueError):
            await task


async def begun(awaitable):
    """Starts something that then waits."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    return task


async def child(thing, error=None):
    """A child that ends in the next turn."""
    await asyncio.sleep(0)
    if error:
        raise error(thing)
    return thing


async def held(make):
    """Uses a lock or semaphore that is taken once: given on, and waited for in vain."""
    one = make()
    async with one:
        waiting = await begun(one.acquire())
    await waiting
    waiting = await begun(one.acquire())
    await ended(waiting)
    return one


async def lock(thing):
    return await held(conbrio.Lock)


async def semaphore(thing):
    return await held(lambda: conbrio.Semaphore(1))


async def bounded_semaphore(thing):
    one = await held(lambda: conbrio.BoundedSemaphore(1))
    one.release()
    with pytest.raises(ValueError, match="too many"):
        one.release()
    return one


async def event(thing):
    one = conbrio.Event()
    one.thing = thing
    waiting, vain = await begun(one.wait()), await begun(one.wait())
    await ended(vain)
    one.set()
    assert await waiting
    return one


async def condition(thing):
    one = conbrio.Condition()

    async def wait():
        async with one:
            await one.wait_for(lambda: thing)
            await one.wait()

    waiting = await begun(wait())
    vain = await begun(wait())
    await ended(vain)
    async with one:
        one.notify_all()
    await waiting
    return one


async def barrier(thing):
    one = conbrio.Barrier(2)
    waiting = await begun(one.wait())
    async with one:
        pass
    await waiting
    vain = await begun(one.wait())
    await one.abort()
    with pytest.raises(asyncio.BrokenBarrierError):
        await vain
    return one


async def queued(one, thing):
    getting = await begun(one.get())
    await one.put((0, thing))
    await getting
    one.put_nowait((0, thing))
    putting, joining = await begun(one.put((1, 1))), await begun(one.join())
    await ended(putting, joining)
    one.mine = one  # a cycle, with an item in it
    return one


async def queue(thing):
    return await queued(conbrio.Queue(1), thing)


async def lifo_queue(thing):
    return await queued(conbrio.LifoQueue(1), thing)


async def priority_queue(thing):
    return await queued(conbrio.PriorityQueue(1), thing)


async def gather(thing):
    assert await conbrio.gather(child(thing), child(thing)) == [thing, thing]
    await conbrio.gather(child(thing, ValueError), child(thing), return_exceptions=True)
    both = conbrio.gather(child(thing), child(thing))
    await asyncio.sleep(0)
    await ended(both)
    return both


async def wait(thing):
    several = [asyncio.ensure_future(child(thing)) for _ in range(3)]
    done, _pending = await conbrio.wait(several, return_when="FIRST_COMPLETED")
    assert done
    await conbrio.wait(several)
    await conbrio.wait([asyncio.get_running_loop().create_future()], timeout=0)
    waiting = await begun(conbrio.wait([asyncio.get_running_loop().create_future()]))
    await ended(waiting)
    return several[0]


async def shield(thing):
    inner = asyncio.ensure_future(child(thing))
    assert await conbrio.shield(inner) is thing
    inner = asyncio.ensure_future(child(thing))
    outer = await begun(conbrio.shield(inner))
    await ended(outer)
    await inner
    return outer


async def as_completed(thing):
    for one in conbrio.as_completed([child(thing), child(thing)]):
        assert await one is thing
    never = asyncio.get_running_loop().create_future()
    for one in conbrio.as_completed([never], timeout=0):
        with pytest.raises(TimeoutError):
            await one
    return never


async def timeout(thing):
    with pytest.raises(TimeoutError):
        async with conbrio.timeout(0) as one:
            await asyncio.get_running_loop().create_future()
    async with conbrio.timeout(60):
        await child(thing)
    return one


async def wait_for(thing):
    never = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await conbrio.wait_for(never, 0)
    assert await conbrio.wait_for(child(thing), 60) is thing
    waiting = await begun(conbrio.wait_for(child(thing), 60))
    await ended(waiting)
    return never


async def group(thing):
    async with conbrio.TaskGroup() as one:
        one.create_task(child(thing))
        one.create_task(child(thing))
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the end of the block raises
        async with conbrio.TaskGroup() as one:
            one.create_task(child(thing, ValueError))
            one.create_task(child(thing))
            await asyncio.get_running_loop().create_future()
    return one


async def reader(thing):
    one = conbrio.StreamReader(limit=8, loop=asyncio.get_running_loop())
    one.thing = thing
    reading = await begun(one.readline())
    one.feed_data(b"a line\nand more than the limit")
    await reading
    with pytest.raises(ValueError, match="limit"):
        await one.readline()
    reading = await begun(one.readexactly(3))
    await ended(reading)
    one.feed_data(b"ab")
    one.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError):
        await one.readuntil(b"\r\n")
    return one


async def connection(thing):
    near, far = socket.socketpair()
    one, writer = await conbrio.open_connection(sock=near)
    one.thing = thing
    far.send(b"a line\nand so on")
    assert await one.readline() == b"a line\n"
    writer.write(b"x" * 1000)
    await writer.drain()
    far.close()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await one.readexactly(100)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return one


USES = [
    lock, semaphore, bounded_semaphore, event, condition, barrier, queue, lifo_queue, priority_queue,
    gather, wait, shield, as_completed, timeout, wait_for, group, reader, connection,
]  # fmt: skip


class Count:
    """What the process holds: objects that the collector knows, blocks, bytes, and references to a thing."""

    def __init__(self, thing):
        gc.collect()
        self.objects = len(gc.get_objects())
        self.blocks = sys.getallocatedblocks()
        self.bytes = resident()
        self.references = sys.getrefcount(thing)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_nothing_is_left_of_very_many(use):
    """References, objects and blocks do not grow with the rounds; nor does the process, over the later half."""
    rounds = ROUNDS if use is not connection else min(ROUNDS, 20000)

    async def repeat(thing, count):
        for _ in range(count):
            last = weakref.ref(await use(thing))
        await asyncio.sleep(0)
        gc.collect()
        assert last() is None

    with asyncio.Runner(loop_factory=conbrio.new_event_loop) as runner:
        thing = Thing()
        runner.run(repeat(thing, 200))
        first = Count(thing)
        runner.run(repeat(thing, rounds // 2))
        half = Count(thing)
        runner.run(repeat(thing, rounds // 2))
        whole = Count(thing)
    assert whole.references == first.references
    assert whole.objects - first.objects < 60
    # Spare objects are kept, as many as were in use at once; the first half has made them.
    assert whole.blocks - half.blocks < 300 + rounds // 1000
    # A byte a round is less than anything that could be lost, but a page comes and goes.
    assert whole.bytes - half.bytes < max(rounds // 2, 64 * PAGE)
