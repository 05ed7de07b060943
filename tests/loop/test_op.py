"""The native wait: lazy, awaited once, a coroutine to who makes a task of it, a future to who is parked on it."""

import asyncio
import collections.abc
import gc
import inspect
import sys
import weakref

import pytest

conbrio = pytest.importorskip("conbrio")

FACTORIES = {"ours": conbrio.new_event_loop, "standard": asyncio.SelectorEventLoop}


@pytest.fixture(params=sorted(FACTORIES))
def run(request):
    """Runs a coroutine on our loop, and on the standard one with asyncio's own tasks."""

    def run(main):
        with asyncio.Runner(loop_factory=FACTORIES[request.param]) as runner:
            return runner.run(main)

    return run


def test_nothing_happens_before_the_first_send(run):
    async def main():
        lock = conbrio.Lock()
        waiting = lock.acquire()
        assert not lock.locked()
        assert await waiting is True
        assert lock.locked()

    run(main())


def test_it_is_a_coroutine_and_no_future(run):
    async def main():
        one = conbrio.sleep(0, "done")
        assert asyncio.iscoroutine(one)
        assert isinstance(one, collections.abc.Coroutine)
        assert inspect.isawaitable(one)
        assert not asyncio.isfuture(one)
        assert not isinstance(one, asyncio.Future)
        assert one._asyncio_future_blocking is None
        assert (one.__name__, one.__qualname__) == ("sleep", "sleep")
        task = asyncio.create_task(one)
        assert await task == "done"
        assert await asyncio.gather(conbrio.sleep(0, 1), conbrio.sleep(0.001, 2)) == [1, 2]
        assert await asyncio.wait_for(conbrio.sleep(0, 3), 5) == 3

    run(main())


def test_what_a_task_waits_for_can_be_asked_whether_it_is_done(run):
    """What is about to go on is not cancelled by anyio, which looks at the future that the task waits for."""

    async def main():
        event = conbrio.Event()
        task = asyncio.create_task(asyncio.wait_for(event.wait(), None))
        await asyncio.sleep(0)
        waiter = task._fut_waiter
        assert isinstance(waiter, asyncio.Future)
        assert not waiter.done()
        event.set()
        assert isinstance(waiter, asyncio.Future)
        assert waiter.done()
        assert not waiter.cancelled()
        assert await task is True
        assert not isinstance(waiter, asyncio.Future)
        task = asyncio.create_task(conbrio.Event().wait())
        await asyncio.sleep(0)
        waiter = task._fut_waiter
        task.cancel()
        assert isinstance(waiter, asyncio.Future)
        assert waiter.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_parked_one_shows_itself_as_a_future(run):
    async def main():
        lock = conbrio.Lock()
        await lock.acquire()
        waiting = lock.acquire()
        task = asyncio.create_task(waiting)
        await asyncio.sleep(0)
        assert waiting._asyncio_future_blocking is False
        assert waiting.get_loop() is asyncio.get_running_loop()
        assert not waiting.done()
        lock.release()
        assert waiting.done()
        assert await task is True
        assert waiting._asyncio_future_blocking is None

    run(main())


def test_cancelled_by_its_task(run):
    async def main():
        lock = conbrio.Lock()
        await lock.acquire()
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("why",)
        assert not lock._waiters
        lock.release()
        assert not lock.locked()

    run(main())


def test_cancelled_before_it_begins_and_after_it_was_woken(run):
    async def main():
        lock = conbrio.Lock()
        task = asyncio.create_task(lock.acquire())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await lock.acquire()
        first, second = (asyncio.create_task(lock.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        lock.release()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second is True

    run(main())


def test_driven_by_hand():
    one = conbrio.sleep(0, "result")
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        one.send(1)
    assert one.send(None) is None
    with pytest.raises(StopIteration) as stopped:
        one.send(None)
    assert stopped.value.value == "result"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        one.send(None)
    one.close()


def test_closed_and_thrown_into():
    one = conbrio.sleep(1)
    one.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        one.send(None)
    two = conbrio.sleep(1)
    with pytest.raises(KeyError):
        two.throw(KeyError("x"))
    three = conbrio.sleep(0)
    with pytest.raises(TypeError):
        three.throw()
    three.close()


def test_closing_a_parked_one_leaves_the_line(run):
    async def main():
        lock = conbrio.Lock()
        await lock.acquire()
        waiting = lock.acquire()
        parked = waiting.send(None)
        assert parked is waiting
        assert len(lock._waiters) == 1
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            waiting.send(None)
        waiting.close()
        assert not lock._waiters

    run(main())


def test_one_that_nobody_awaits_is_told_of():
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Lock.acquire' was never awaited"):
        conbrio.Lock().acquire()


def test_awaited_from_within_coroutines(run):
    async def inner(lock):
        async with lock:
            return await conbrio.sleep(0, "inner")

    async def main():
        lock = conbrio.Lock()
        return await asyncio.gather(*(inner(lock) for _ in range(3)))

    assert run(main()) == ["inner"] * 3


def test_on_another_loop():
    lock = conbrio.Lock()

    async def contended():
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task

    async def take():
        await lock.acquire()

    conbrio.run(take())
    assert conbrio.run(contended()).cancelled()
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        conbrio.run(take())


def test_an_eager_task_of_one(run):
    if sys.version_info < (3, 12):
        pytest.skip("tasks begin eagerly from 3.12 on")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        lock = conbrio.Lock()
        done = loop.create_task(lock.acquire())
        assert done.done()
        waiting = loop.create_task(lock.acquire())
        assert not waiting.done()
        lock.release()
        assert await waiting is True

    run(main())


def test_sleep_is_asyncios(run):
    async def main():
        loop = asyncio.get_running_loop()
        assert await conbrio.sleep(-1, "now") == "now"
        start = loop.time()
        assert await conbrio.sleep(delay=0.01, result="later") == "later"
        assert loop.time() - start >= 0.009
        with pytest.raises(TypeError):
            await conbrio.sleep("1")
        if sys.version_info >= (3, 13):
            with pytest.raises(ValueError, match=r"Invalid delay: NaN \(not a number\)"):
                await conbrio.sleep(float("nan"))
        with pytest.raises(TypeError):
            conbrio.sleep()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(conbrio.sleep(60), 0.005)

    run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        conbrio.sleep(1).send(None)


def test_nothing_is_left_behind(run):
    class Result:
        """Something to watch."""

    async def main():
        result = Result()
        seen = weakref.ref(result)
        task = asyncio.create_task(conbrio.sleep(60, result))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task, result
        gc.collect()
        return seen() is None

    assert run(main())


def test_the_end_of_a_wait_is_a_stop_iteration_in_everything_that_it_says():
    """Those are used again when they are dead: whoever keeps one has it for ever, and nothing is kept for him."""

    def end(value):
        waiting = conbrio.sleep(0, value)
        next(waiting)
        try:
            next(waiting)
        except StopIteration as stop:
            return stop

    first, second = end([1]), end((2, 3))
    assert (first.value, first.args, str(first), repr(first)) == (
        [1],
        ([1],),
        "[1]",
        "StopIteration([1])",
    )
    assert (second.value, second.args) == ((2, 3), ((2, 3),))
    assert isinstance(first, StopIteration)
    assert first.__traceback__ is not None
    assert (first.__cause__, first.__context__, first.__suppress_context__) == (None, None, False)
    first.note = "kept"
    first.__cause__ = second
    del first, second
    for _ in range(10):
        again = end("again")
        assert (again.value, again.__cause__, again.__suppress_context__, vars(again)) == (
            "again",
            None,
            False,
            {},
        )
        assert again.__traceback__.tb_next is None
        del again


def test_what_a_wait_returns_is_kept_by_nobody(run):
    class Value:
        pass

    async def main():
        for _ in range(3):
            value = await conbrio.sleep(0, Value())
            gone = weakref.ref(value)
            del value
            assert gone() is None

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_an_end_that_holds_itself_is_collected():
    class Value:
        pass

    def end():
        value = Value()
        waiting = conbrio.sleep(0, value)
        next(waiting)
        try:
            next(waiting)
        except StopIteration as stop:
            value.stop = stop.with_traceback(None)
        return weakref.ref(value)

    gone = end()
    gc.collect()
    assert gone() is None
