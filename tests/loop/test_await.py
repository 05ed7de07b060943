"""What a task may wait for: our futures, theirs, anybody's, and what it refuses."""

import asyncio
import contextlib
import contextvars
import types

import pytest

from loopkit import subject

swaps = pytest.importorskip("conbrio._swaps")


async def value(result=None):
    """Return at once."""
    return result


async def wait_for(future):
    """Wait for ``future``."""
    return await future


def settle(loop, turns=3):
    """Let ``loop`` take some turns."""
    for _ in range(turns):
        loop.run_until_complete(asyncio.sleep(0))


@types.coroutine
def bad(what):
    """Yield something that a task cannot wait for, and return what it is told."""
    try:
        yield what
    except RuntimeError as error:
        return error


def test_bad_yields_are_told_to_the_coroutine(same):
    def scenario(loop):
        other = subject.reference()

        async def asks(what):
            return await bad(what)

        ends = []
        foreign = other.create_future()
        foreign._asyncio_future_blocking = True
        for what in (5, "words", loop.create_future(), foreign, (n for n in [1]), [None]):
            task = loop.create_task(asks(what))
            settle(loop)
            ends.append(task.result())
        other.close()
        return ends

    ends = same(scenario)
    assert "got bad yield: 5" in str(ends[0])
    assert "yield was used instead of yield from" in str(ends[2])
    assert "attached to a different loop" in str(ends[3])


def test_a_task_cannot_wait_for_itself(same):
    def scenario(loop):
        async def selfish():
            await asyncio.current_task()

        task = loop.create_task(selfish())
        settle(loop)
        raise task.exception()

    name, (text,) = same(scenario)
    assert name == "RuntimeError"
    assert text.startswith("Task cannot await on itself: <Task pending")


def test_awaiting_a_task_many_times(run):
    async def main():
        task = asyncio.create_task(value(4))
        return await asyncio.gather(*(wait_for(task) for _ in range(5))), await task, await task

    assert run(main()) == ([4] * 5, 4, 4)


def test_awaiting_a_coroutine_twice_is_refused(run):
    async def main():
        coro = value(1)
        await coro
        await asyncio.create_task(coro)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        run(main())


def test_a_coroutine_in_two_tasks(same):
    def scenario(loop):
        coro = wait_for(loop.create_future())
        first, second = loop.create_task(coro), loop.create_task(coro)
        settle(loop)
        first.cancel()
        return loop.run_until_complete(asyncio.gather(first, second, return_exceptions=True))

    same(scenario)


def test_generator_based_awaitables(run):
    @types.coroutine
    def old_style(future):
        return (yield from future)

    class ByIterator:
        def __init__(self, future):
            self.future = future

        def __await__(self):
            return self.future.__await__()

    async def main():
        loop = asyncio.get_running_loop()
        ends = []
        for wrap in (old_style, ByIterator):
            future = loop.create_future()
            loop.call_soon(future.set_result, wrap.__name__)
            ends.append(await wrap(future))
        return ends

    assert run(main()) == ["old_style", "ByIterator"]


def test_coroutines_that_are_no_coroutines_of_pythons(run):
    """Anything with send, throw and close that counts as a coroutine can be a task."""
    import collections.abc

    class Handmade(collections.abc.Coroutine):
        def __init__(self):
            self.calls = []

        def send(self, sent):
            self.calls.append(("send", sent))
            if len(self.calls) < 3:
                return
            raise StopIteration("made by hand")

        def throw(self, *error):
            raise error[0]

        def close(self):
            self.calls.append("close")

        def __await__(self):
            yield

    async def main():
        coro = Handmade()
        return await asyncio.get_running_loop().create_task(coro), coro.calls

    assert run(main()) == ("made by hand", [("send", None)] * 3)


def test_duck_typed_futures(run):
    """A task waits for anything with _asyncio_future_blocking and add_done_callback."""

    class Duck:
        _asyncio_future_blocking = False

        def __init__(self, loop):
            self.loop = loop
            self.callbacks = []
            self.contexts = []
            self.cancelled_with = []

        def get_loop(self):
            return self.loop

        def add_done_callback(self, callback, *, context=None):
            self.callbacks.append(callback)
            self.contexts.append(context)

        def cancel(self, msg=None):
            self.cancelled_with.append(msg)
            self.wake()
            return True

        def wake(self):
            for callback in self.callbacks:
                self.loop.call_soon(callback, self, context=self.contexts[0])

        def result(self):
            if self.cancelled_with:
                raise asyncio.CancelledError(*self.cancelled_with)
            return "quack"

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self
            return self.result()

    variable = contextvars.ContextVar("variable", default="outside")

    async def waiter(duck):
        variable.set("inside")
        result = await duck
        return result, variable.get()

    async def main():
        loop = asyncio.get_running_loop()
        duck = Duck(loop)
        task = loop.create_task(waiter(duck))
        await asyncio.sleep(0)
        assert duck._asyncio_future_blocking is False
        assert task._fut_waiter is duck
        duck.wake()
        assert await task == ("quack", "inside")
        duck = Duck(loop)
        task = loop.create_task(waiter(duck))
        await asyncio.sleep(0)
        task.cancel("words")
        with pytest.raises(asyncio.CancelledError, match="words"):
            await task
        assert duck.cancelled_with == ["words"]

    run(main())


def test_our_future_in_their_task_and_theirs_in_ours(loop):
    theirs, ours = asyncio.Future(loop=loop), loop.create_future()
    tasks = [
        loop.create_task(wait_for(theirs)),
        loop.create_task(wait_for(ours)),
        asyncio.Task(wait_for(theirs), loop=loop),
        asyncio.Task(wait_for(ours), loop=loop),
    ]
    loop.call_soon(theirs.set_result, "theirs")
    loop.call_soon(ours.set_result, "ours")
    ends = loop.run_until_complete(asyncio.gather(*tasks))
    assert ends == ["theirs", "ours", "theirs", "ours"]


def test_our_task_on_the_standard_loop(Task, Future):
    loop = subject.reference()
    try:
        loop.set_task_factory(lambda loop, coro, **options: Task(coro, loop=loop, **options))

        async def main():
            assert type(asyncio.current_task()) is Task
            future = Future(loop=loop)
            loop.call_soon(future.set_result, 1)
            first = await future
            second = await asyncio.gather(value(2), asyncio.sleep(0.001, 3))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.005)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(value(4))
            return first, second, task.result(), asyncio.all_tasks()

        end = loop.run_until_complete(main())
        assert end[:3] == (1, [2, 3], 4)
        assert len(end[3]) == 1
    finally:
        loop.close()


@pytest.mark.conbrio_only
@pytest.mark.parametrize("kind", ["_PyTask", "_CTask"])
@pytest.mark.parametrize("swapped", [False, True])
def test_tasks_of_asyncios_own_classes(same, kind, swapped):
    """Asyncio's task in Python and the one in C run here, wait for what is ours, and are current."""

    async def scenario(loop):
        from asyncio import futures, tasks

        made = getattr(tasks, kind)

        async def own(task):
            await asyncio.sleep(0)
            return asyncio.current_task() is task[0] and task[0] in asyncio.all_tasks()

        async def waits(future, lock):
            async with lock, asyncio.timeout(5):
                return await future

        async def late():
            async with asyncio.timeout(0.005):
                await asyncio.Event().wait()

        task = []
        task.append(made(own(task), loop=loop))
        heard = [await task[0]]
        queue, lock, future = asyncio.Queue(), asyncio.Lock(), loop.create_future()
        several = [
            made(queue.get(), loop=loop),
            made(waits(future, lock), loop=loop),
            made(waits(futures._PyFuture(loop=loop), asyncio.Lock()), loop=loop),
            made(late(), loop=loop),
        ]
        await asyncio.sleep(0)
        queue.put_nowait("item")
        future.set_result("result")
        heard += await asyncio.gather(*several[:2], several[3], return_exceptions=True)
        several[2].cancel("enough")
        with contextlib.suppress(asyncio.CancelledError):
            await several[2]
        loop.set_task_factory(lambda loop, coro, **how: made(coro, loop=loop, **how))
        async with asyncio.TaskGroup() as group:
            one = group.create_task(asyncio.sleep(0, "grouped"))
        return [*heard, several[2].cancelled(), one.result(), type(one) is made]

    with swaps.held(swapped):
        same(scenario)
