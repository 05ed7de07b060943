"""The lines in which tasks wait: who is driven no more has left them, and that somebody looks at one slows nothing."""

import asyncio
import collections
import gc

import pytest

from loopkit.either import both

pytest.importorskip("conbrio")


def drop(*waits):
    """Drives each wait by hand up to where it waits, and lets go of it."""
    for wait in waits:
        wait.send(None)
    del wait, waits
    gc.collect()


async def soon(wait):
    return await asyncio.wait_for(wait, 5)


async def a_lock():
    lock = asyncio.Lock()
    await lock.acquire()
    drop(lock.acquire(), lock.acquire())
    lock.release()
    return await soon(lock.acquire()), lock.locked()


async def a_lock_with_others():
    lock = asyncio.Lock()
    await lock.acquire()
    drop(lock.acquire())
    others = [asyncio.ensure_future(lock.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    drop(lock.acquire())
    lock.release()
    await soon(others[0])
    lock.release()
    return await soon(others[1])


async def a_lock_that_is_looked_at():
    lock = asyncio.Lock()
    await lock.acquire()
    waiting = lock.acquire()
    waiting.send(None)
    before = len(lock._waiters)
    del waiting
    gc.collect()
    lock.release()
    return before, await soon(lock.acquire()), repr(lock).rpartition("[")[2]


async def a_lock_given_to_who_is_gone():
    lock = asyncio.Lock()
    await lock.acquire()
    waiting = lock.acquire()
    waiting.send(None)
    lock.release()
    del waiting
    gc.collect()
    return await soon(lock.acquire())


async def a_semaphore():
    semaphore = asyncio.Semaphore(0)
    drop(semaphore.acquire())
    other = asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    semaphore.release()
    await soon(other)
    drop(semaphore.acquire())
    semaphore.release()
    return semaphore.locked(), await soon(semaphore.acquire()), semaphore.locked()


async def a_queue():
    queue = asyncio.Queue(1)
    drop(queue.get())
    other = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(1)
    first = await soon(other)
    queue.put_nowait(2)
    drop(queue.put(3))
    fourth = asyncio.ensure_future(queue.put(4))
    await asyncio.sleep(0)
    rest = [queue.get_nowait()]
    await soon(fourth)
    return first, rest, queue.get_nowait(), queue.qsize()


async def an_event():
    event = asyncio.Event()
    drop(event.wait())
    before = len(event._waiters)
    event.set()
    return before, await soon(event.wait())


async def a_condition_that_another_has_locked():
    condition = asyncio.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    waiting = wait()
    waiting.send(None)
    await condition.acquire()
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        waiting.close()
    del waiting
    return condition.locked(), await soon(condition.acquire())


async def a_barrier():
    barrier = asyncio.Barrier(2)
    drop(barrier.wait())
    one = asyncio.ensure_future(barrier.wait())
    await asyncio.sleep(0)
    waits = not one.done()
    await soon(barrier.wait())
    return waits, await soon(one)


async def a_reader():
    reader = asyncio.StreamReader()
    drop(reader.readline())
    reading = asyncio.ensure_future(reader.readline())
    await asyncio.sleep(0)
    waits = not reading.done()
    reader.feed_data(b"line\n")
    line = await soon(reading)
    drop(reader.read(1))
    return waits, line, reader._waiter


@pytest.mark.parametrize(
    "main",
    [
        a_lock,
        a_lock_with_others,
        a_lock_that_is_looked_at,
        a_lock_given_to_who_is_gone,
        a_semaphore,
        a_queue,
        an_event,
        a_condition_that_another_has_locked,
        a_barrier,
        a_reader,
    ],
)
def test_a_wait_that_nobody_drives_any_more_is_over(main):
    ours, theirs = both(main)
    assert ours == theirs


class Walked(collections.deque):
    """A line in whose middle nobody is found by a number, as that takes time."""

    def __getitem__(self, index):
        raise AssertionError(index)


async def notified(condition):
    async with condition:
        await condition.wait()


async def notify(condition):
    async with condition:
        condition.notify(2)
        condition.notify_all()


async def set_up(event):
    event.set()


async def release(semaphore):
    for _ in range(4):
        semaphore.release()


@pytest.mark.parametrize(
    ("name", "wait", "wake"),
    [
        ("Semaphore", lambda semaphore: semaphore.acquire(), release),
        ("Condition", notified, notify),
        ("Event", lambda event: event.wait(), set_up),
    ],
)
def test_a_line_is_walked_along(name, wait, wake):
    async def main():
        made = getattr(asyncio, name)(*[0] * (name == "Semaphore"))
        made._waiters = Walked()
        tasks = [asyncio.ensure_future(wait(made)) for _ in range(4)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = len(made._waiters)
        await wake(made)
        return waiting, await soon(asyncio.gather(*tasks)), len(made._waiters)

    ours, theirs = both(main)
    assert ours == theirs


NUMBERS = ["x", None, 1.5, -1, 0, True, 2**2000, -(2**2000), float("inf"), [], 1 + 1j]


@pytest.mark.parametrize("waiting", [0, 3])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: str(number)[:6])
def test_how_many_are_notified(number, waiting):
    """The number is looked at where somebody waits, and only there."""

    def attempt(condition):
        try:
            return condition.notify(number)
        except (TypeError, RuntimeError) as error:
            return type(error), str(error)

    async def main():
        condition = asyncio.Condition()
        woken = []

        async def wait():
            async with condition:
                await condition.wait()
                woken.append(None)

        tasks = [asyncio.ensure_future(wait()) for _ in range(waiting)]
        await asyncio.sleep(0)
        said = [attempt(condition)]
        async with condition:
            said.append(attempt(condition))
        for _ in range(10):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return said, len(woken)

    ours, theirs = both(main)
    assert ours == theirs
