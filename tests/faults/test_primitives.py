"""The primitives' care: what waits is collected, subclasses go by asyncio's own methods, captured names mix."""

import asyncio
import gc

import pytest

conbrio = pytest.importorskip("conbrio")


def test_what_is_left_waiting_is_collected():
    async def main():
        queue = conbrio.Queue()
        queue.task = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.task._log_destroy_pending = False
        held.append(__import__("weakref").ref(queue))

    held = []
    conbrio.run(main())
    gc.collect()
    assert held[0]() is None


def test_a_subclass_that_replaces_inner_methods():
    class Newest(conbrio.Queue):
        def _init(self, maxsize):
            self._queue = {}

        def _put(self, item):
            self._queue[item] = None

        def _get(self):
            return self._queue.popitem()[0]

    async def main():
        queue = Newest(2)
        await queue.put(1)
        await queue.put(1)
        assert queue.qsize() == 1
        await queue.put(2)
        waiting = asyncio.ensure_future(queue.put(3))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert [await queue.get(), await queue.get()] == [2, 1]
        await waiting
        return repr(queue).split(" at ")[0]

    assert conbrio.run(main()) == "<Newest"
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(main()) == "<Newest"


def test_a_subclass_that_replaces_what_async_with_calls():
    class Counted(conbrio.Lock):
        taken = 0

        async def acquire(self):
            self.taken += 1
            return await super().acquire()

    async def main():
        lock = Counted()
        async with lock:
            assert lock.locked()
        assert not lock.locked()
        condition = conbrio.Condition(lock)
        async with condition:
            condition.notify_all()
        plain = conbrio.Lock()
        plain.release = lambda: calls.append(plain.__class__.release(plain))
        async with plain:
            pass
        return lock.taken

    calls = []
    assert conbrio.run(main()) == 2
    assert calls == [None]


def test_items_are_shown_and_may_be_changed():
    async def main():
        queue = conbrio.Queue()
        for number in range(3):
            queue.put_nowait(number)
        queue._queue.rotate(1)
        got = [await queue.get() for _ in range(3)]
        stack = conbrio.LifoQueue()
        stack.put_nowait("a")
        stack._queue.insert(0, "b")
        return got, stack.qsize(), await stack.get(), await stack.get()

    assert conbrio.run(main()) == ([2, 0, 1], 2, "a", "b")


def test_mixed_with_captured_names():
    async def main():
        theirs = asyncio.Lock()
        condition = conbrio.Condition(theirs)
        task = asyncio.ensure_future(waits(condition))
        await asyncio.sleep(0)
        async with condition:
            condition.notify()
        return await task

    async def waits(condition):
        async with condition:
            return await condition.wait()

    assert conbrio.run(main()) is True
