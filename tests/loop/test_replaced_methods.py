"""Primitives of which a subclass replaces some methods: every set of them, traced beside asyncio's own."""

import asyncio
import heapq
import itertools
import sys

import pytest

from loopkit.either import both

QUEUE = ["_init", "_get", "_put", "qsize", "empty", "full", "put_nowait", "get_nowait"]
LOCK = ["acquire", "release", "locked"]


def subsets(names):
    return [
        pytest.param(chosen, id="+".join(chosen) or "none")
        for size in range(len(names) + 1)
        for chosen in itertools.combinations(names, size)
    ]


def logged(base, name, log):
    """Return a method that says that it was called, and does what the base class's does."""
    usual = getattr(base, name)
    if name == "acquire":

        async def method(self, *args):
            log.append(name)
            answer = await usual(self, *args)
            log.append((name, answer))
            return answer

    else:

        def method(self, *args):
            answer = usual(self, *args)
            log.append((name, args, answer))
            return answer

    return method


def derived(base, chosen, log):
    return type("Derived", (base,), {name: logged(base, name, log) for name in chosen})


def noted(log, what, function, *args):
    try:
        log.append((what, function(*args)))
    except Exception as error:
        log.append((what, type(error).__name__, str(error)))


async def use_queue(queue, log):
    """Fill, drain, wait on both sides, cancel on both sides, join."""

    async def put(*items):
        for item in items:
            log.append(("put", await queue.put(item)))

    async def take(count):
        for _ in range(count):
            log.append(("took", await queue.get()))
            queue.task_done()

    noted(log, "empty", queue.get_nowait)
    takers = [asyncio.create_task(take(1)) for _ in range(3)]
    await asyncio.sleep(0)
    takers[0].cancel()
    putter = asyncio.create_task(put(5, 3, 4, 1, 2, 6))
    await asyncio.sleep(0)
    takers[1].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    noted(log, "full", queue.put_nowait, 7)
    log.append(("sizes", queue.qsize(), queue.empty(), queue.full(), queue.maxsize))
    await take(3)
    other = asyncio.create_task(put(8, 9))
    await asyncio.sleep(0)
    other.cancel()
    await asyncio.sleep(0)
    log.append(("before the end", queue.qsize()))
    while not queue.empty():
        await take(1)
    await asyncio.wait_for(queue.join(), 5)
    log.append([task.done() for task in (*takers, putter, other)])
    await asyncio.gather(*takers, putter, other, return_exceptions=True)


@pytest.mark.parametrize("chosen", subsets(QUEUE))
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_queue_calls_what_is_replaced_as_asyncios_does(kind, chosen):
    async def main():
        log = []
        queue = derived(getattr(asyncio, kind), chosen, log)(2)
        await use_queue(queue, log)
        return log

    ours, theirs = both(main)
    assert ours == theirs
    assert ("took", 1) in ours


@pytest.mark.parametrize("name", QUEUE)
def test_a_queue_calls_what_is_set_on_it_as_asyncios_does(name):
    async def main():
        log = []
        queue = asyncio.Queue(2)
        usual = getattr(queue, name)

        def method(*args):
            log.append((name, args))
            return usual(*args)

        setattr(queue, name, method)
        await use_queue(queue, log)
        return log

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues are shut down from 3.13 on")
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("chosen", subsets(["_get", "_put", "empty", "get_nowait"]))
def test_a_queue_that_replaces_methods_is_shut_down_as_asyncios_is(chosen, immediate):
    async def main():
        log = []
        queue = derived(asyncio.Queue, chosen, log)(2)
        for item in (1, 2):
            queue.put_nowait(item)
        putter = asyncio.create_task(queue.put(3))
        await asyncio.sleep(0)
        queue.shutdown(immediate)
        noted(log, "put", queue.put_nowait, 4)
        for _ in range(3):
            noted(log, "get", queue.get_nowait)
        log.append(repr(await asyncio.gather(putter, queue.get(), return_exceptions=True)))
        return log

    ours, theirs = both(main)
    assert ours == theirs


def ordered(base):
    class Ordered(base):
        def _init(self, maxsize):
            self.given = maxsize
            self._queue = []

        def _put(self, item):
            heapq.heappush(self._queue, item)

        def _get(self):
            return heapq.heappop(self._queue)

    return Ordered


def unique(base):
    class Unique(base):
        def _init(self, maxsize):
            self._queue = {}

        def _put(self, item):
            self._queue[item] = None

        def _get(self):
            return self._queue.popitem()[0]

    return Unique


def with_its_own_container(base):
    class Other(base):
        def _init(self, maxsize):
            self.stack = []

        def _put(self, item):
            self.stack.append(item)

        def _get(self):
            return self.stack.pop()

        def qsize(self):
            return len(self.stack)

        def empty(self):
            return not self.stack

    return Other


@pytest.mark.parametrize("make", [ordered, unique, with_its_own_container])
def test_a_queue_keeps_its_items_where_a_subclass_says(make):
    async def main():
        log = []
        queue = make(asyncio.Queue)(2)
        log.append(queue._format())
        await use_queue(queue, log)
        log.append(getattr(queue, "given", None))
        return log

    ours, theirs = both(main)
    assert ours == theirs


def without_a_container(base):
    class Bare(base):
        def _init(self, maxsize):
            pass

    return Bare


def that_fails(base):
    class Failing(base):
        def _put(self, item):
            raise KeyError(item)

        def _get(self):
            raise IndexError("nothing")

    return Failing


def that_lies(base):
    class Lying(base):
        def empty(self):
            return False

    return Lying


@pytest.mark.parametrize("make", [without_a_container, that_fails, that_lies])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_queue_fails_as_its_subclass_does(kind, make):
    async def main():
        log = []
        queue = make(getattr(asyncio, kind))(3)
        for function in (queue.qsize, queue.empty, queue.full, queue.get_nowait):
            noted(log, function.__name__, function)
        noted(log, "put_nowait", queue.put_nowait, 1)
        noted(log, "unfinished", lambda: queue._unfinished_tasks)
        for wait in (queue.put(2), queue.get()):
            task = asyncio.create_task(wait)
            await asyncio.sleep(0)
            task.cancel()
            log.append(repr(await asyncio.gather(task, return_exceptions=True)))
        return log

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize("chosen", subsets(LOCK))
@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "BoundedSemaphore"])
def test_a_lock_calls_what_is_replaced_as_asyncios_does(kind, chosen):
    async def main():
        log = []
        lock = derived(getattr(asyncio, kind), chosen, log)()

        async def hold(number):
            async with lock as entered:
                log.append(("in", number, entered, lock.locked()))
                await asyncio.sleep(0)
            log.append(("out", number))

        tasks = [asyncio.create_task(hold(number)) for number in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        log.append(("taken", await lock.acquire(), lock.locked()))
        lock.release()
        noted(log, "once more", lock.release)
        return log

    ours, theirs = both(main)
    assert ours == theirs
    assert ("out", 3) in ours
