"""Primitives whose classes or functions a program changes, holds weakly or reads, as asyncio's."""

import asyncio
import typing
import weakref

import pytest

from loopkit.either import both

QUEUES = ["PriorityQueue", "LifoQueue"]


def order(queue):
    """Return what a queue gives of three, or what it raises."""
    try:
        for item in (2, 3, 1):
            queue.put_nowait(item)
        return [queue.get_nowait() for _ in range(3)]
    except Exception as error:
        return repr(error)


@pytest.mark.parametrize("name", QUEUES)
@pytest.mark.parametrize("method", ["_init", "_put", "_get"])
def test_a_method_of_queues_that_is_set_changes_no_other_queue(name, method):
    async def main():
        usual = getattr(asyncio.Queue, method)
        own = method in vars(asyncio.Queue)
        kind = getattr(asyncio, name)
        seen = []

        def replaced(self, *args):
            seen.append(args)
            return usual(self, *args)

        setattr(asyncio.Queue, method, replaced)
        try:
            found = [order(kind())]
            setattr(asyncio.Queue, method, usual)
            found.append(order(kind()))
        finally:
            if not own:
                delattr(asyncio.Queue, method)
        return found, seen, order(kind())

    ours, theirs = both(main)
    assert ours == theirs
    assert not ours[1]


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_with_a_class_between(name):
    async def main():
        log = []

        class Logged(asyncio.Queue):
            def _init(self, maxsize):
                log.append("init")
                super()._init(maxsize)

            def _put(self, item):
                log.append("put")
                super()._put(item)

            def _get(self):
                log.append("get")
                return super()._get()

        class Between(getattr(asyncio, name), Logged):
            pass

        queue = Between()
        return order(queue), type(queue._queue), log

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize("how", ["wait", "wait_for"])
def test_a_wait_for_a_condition_is_cancelled_twice(how):
    async def main():
        condition = asyncio.Condition()

        async def waiter():
            async with condition:
                await (condition.wait() if how == "wait" else condition.wait_for(lambda: False))

        async def outer():
            found = []
            try:
                await waiter()
            except asyncio.CancelledError as error:
                while error is not None:
                    found.append((type(error), error.args))
                    error = error.__context__
            return found

        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await condition.acquire()
        for word in ("first", "second"):
            task.cancel(word)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        condition.release()
        return await task

    ours, theirs = both(main)
    assert ours == theirs
    assert len(ours) == 2


def test_functions_are_held_weakly_and_take_attributes():
    async def main():
        for name in ("sleep", "wait", "wait_for"):
            function = getattr(asyncio, name)
            assert weakref.ref(function)() is function
            function.marked = name
            assert function.__dict__.pop("marked") == name
        lock, queue = asyncio.Lock(), asyncio.Queue()
        for bound in (lock.acquire, queue.put):
            assert weakref.WeakMethod(bound)() == bound
        return True

    assert both(main) == (True, True)


@pytest.mark.parametrize("name", ["Lock", "Event", "Queue", "Semaphore", "BoundedSemaphore"])
def test_hints_of_a_derived_class(name):
    async def main():
        class Derived(getattr(asyncio, name)):
            own: int = 1

        return typing.get_type_hints(Derived)

    ours, theirs = both(main)
    assert ours == theirs == {"own": int}
