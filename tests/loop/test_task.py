"""Tasks: stepping a coroutine, its end, cancelling it, and what it may wait for."""

import asyncio
import contextvars
import sys
import threading
import types

import pytest


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


def test_the_loops_tasks_are_asyncios(loop, Task):
    task = loop.create_task(value(3))
    assert type(task) is Task
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert asyncio.isfuture(task)
    assert task.get_loop() is loop
    assert loop.run_until_complete(task) == 3
    assert task.result() == 3
    assert isinstance(Task[int], types.GenericAlias)


def test_asyncio_create_task_makes_ours(run, Task):
    async def main():
        tasks = [asyncio.create_task(value(1)), asyncio.ensure_future(value(2))]
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(value(3)))
        return [type(task) for task in tasks], await asyncio.gather(*tasks)

    kinds, results = run(main())
    assert kinds == [Task] * 3
    assert results == [1, 2, 3]


def test_a_task_takes_only_coroutines(same):
    def scenario(loop):
        ends = []
        for wrong in (None, 5, value, [], iter([]), (n for n in [])):
            try:
                loop.create_task(wrong)
            except TypeError as error:
                ends.append(error)
        return ends

    assert len(same(scenario)) >= 5


def test_names(loop, Task):
    named = loop.create_task(value(), name="mine")
    assert named.get_name() == "mine"
    named.set_name(17)
    assert named.get_name() == "17"
    first, second = loop.create_task(value()), loop.create_task(value())
    assert first.get_name().startswith("Task-")
    assert int(second.get_name()[5:]) == int(first.get_name()[5:]) + 1
    theirs = asyncio.Task(value(), loop=loop)
    assert theirs.get_name().startswith("Task-")
    assert len({task.get_name() for task in (first, second, theirs)}) == 3
    loop.run_until_complete(asyncio.gather(named, first, second, theirs))


def test_set_result_and_exception_are_refused(loop):
    task = loop.create_task(value())
    with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
        task.set_result(1)
    with pytest.raises(RuntimeError, match="Task does not support set_exception operation"):
        task.set_exception(ValueError())
    loop.run_until_complete(task)


def test_get_coro_and_context(loop):
    variable = contextvars.ContextVar("variable", default=0)

    async def look():
        variable.set(variable.get() + 1)
        await asyncio.sleep(0)
        return variable.get()

    coro = look()
    task = loop.create_task(coro)
    assert task.get_coro() is coro
    assert loop.run_until_complete(task) == 1
    assert task.get_coro() is coro
    assert variable.get() == 0
    context = contextvars.copy_context()
    context.run(variable.set, 5)
    task = loop.create_task(look(), context=context)
    assert loop.run_until_complete(task) == 6
    assert context[variable] == 6
    if sys.version_info >= (3, 12):
        assert task.get_context() is context


def test_current_task_and_all_tasks(loop):
    async def inside():
        await asyncio.sleep(0)
        return asyncio.current_task(), asyncio.current_task(loop)

    tasks = [loop.create_task(inside()) for _ in range(3)]
    assert asyncio.all_tasks(loop) == set(tasks)
    assert asyncio.current_task(loop) is None
    for task in tasks:
        assert loop.run_until_complete(task) == (task, task)
    assert asyncio.all_tasks(loop) == set()
    with pytest.raises(RuntimeError):
        asyncio.current_task()


def test_no_task_is_current_in_a_callback(loop):
    seen = []

    async def main():
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        loop.call_soon(lambda: seen.append(len(asyncio.all_tasks())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return asyncio.current_task()

    task = loop.create_task(main())
    assert loop.run_until_complete(task) is task
    assert seen == [None, 1]


def test_cancel_counts(loop):
    task = loop.create_task(wait_for(loop.create_future()))
    assert task.cancelling() == 0
    assert task.uncancel() == 0
    settle(loop)
    assert (task.cancel(), task.cancel(), task.cancelling()) == (True, True, 2)
    assert (task.uncancel(), task.cancelling(), task.uncancel(), task.uncancel()) == (1, 1, 0, 0)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert (task.cancel(), task.cancelling()) == (False, 0)


@pytest.mark.parametrize("wait", ["not started", "future", "sleep", "task", "bare", "gather"])
@pytest.mark.parametrize("words", [(), ("because",), (None,), ({"odd": 1},)])
def test_cancel_message_arrives(same, wait, words):
    class Bare:
        def __await__(self):
            while True:
                yield

    def scenario(loop):
        heard = []
        future = loop.create_future()
        inner = {
            "future": lambda: future,
            "sleep": lambda: asyncio.sleep(60),
            "task": lambda: loop.create_task(wait_for(future)),
            "bare": Bare,
            "gather": lambda: asyncio.gather(future),
        }.get(wait, Bare)

        async def main():
            try:
                await inner()
            except asyncio.CancelledError as error:
                heard.append(("inside", error.args))
                raise

        task = loop.create_task(main())
        if wait != "not started":
            settle(loop, 2)
        task.cancel(*words)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError as error:
            heard.append(("outside", error.args))
        for ask in (task.result, task.exception):
            try:
                ask()
            except asyncio.CancelledError as error:
                heard.append(("asked", error.args))
        return heard, task.cancelled()

    same(scenario)


def test_cancel_is_forwarded_to_what_the_task_waits_for(loop):
    future = loop.create_future()
    task = loop.create_task(wait_for(future))
    settle(loop)
    assert task._fut_waiter is future
    task.cancel("words")
    assert future.cancelled()
    assert task._must_cancel is False
    with pytest.raises(asyncio.CancelledError, match="words"):
        loop.run_until_complete(task)
    assert task._fut_waiter is None


def test_must_cancel_is_kept_until_the_next_step(loop):
    task = loop.create_task(value(1))
    assert task._must_cancel is False
    task.cancel()
    assert task._must_cancel is True
    task.uncancel()
    if sys.version_info < (3, 13):
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    else:
        assert task._must_cancel is False
        assert loop.run_until_complete(task) == 1


def test_a_future_that_refuses_to_be_cancelled(same):
    """The next step then raises CancelledError all the same."""

    def scenario(loop):
        class Stubborn(asyncio.Future):
            def cancel(self, msg=None):
                return False

        future = Stubborn(loop=loop)
        task = loop.create_task(wait_for(future))
        settle(loop)
        ends = [task.cancel("words"), task._must_cancel, future.cancelled()]
        future.set_result(1)
        try:
            ends.append(loop.run_until_complete(task))
        except asyncio.CancelledError as error:
            ends.append(error)
        return ends

    assert same(scenario) == [True, True, False, ("CancelledError", ["words"])]


def test_exceptions_end_a_task(loop):
    async def fail():
        raise KeyError("k")

    task = loop.create_task(fail())
    with pytest.raises(KeyError):
        loop.run_until_complete(task)
    assert isinstance(task.exception(), KeyError)
    assert not task.cancelled()


def test_a_task_that_raises_cancelled_error_itself_is_cancelled(loop):
    async def fail():
        raise asyncio.CancelledError("own")

    task = loop.create_task(fail())
    with pytest.raises(asyncio.CancelledError, match="own"):
        loop.run_until_complete(task)
    assert task.cancelled()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_leaving_exceptions_end_the_task_and_the_run(loop, error):
    async def leave():
        await asyncio.sleep(0)
        raise error("out")

    order = []
    task = loop.create_task(leave())
    task.add_done_callback(order.append)
    loop.call_soon(order.append, "before")
    with pytest.raises(error, match="out"):
        loop.run_forever()
    assert task.done()
    assert isinstance(task.exception(), error)
    assert not loop.is_running()
    settle(loop)
    assert order == ["before", task]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_leaving_exceptions_out_of_run_until_complete(same, error):
    def scenario(loop):
        async def leave():
            raise error("out")

        with pytest.raises(error):
            loop.run_until_complete(leave())
        return loop.run_until_complete(asyncio.sleep(0, "fine"))

    assert same(scenario) == "fine"


def test_base_exceptions_stay_in_the_task(loop):
    class Odd(BaseException):
        pass

    async def fail():
        raise Odd

    task = loop.create_task(fail())
    with pytest.raises(Odd):
        loop.run_until_complete(task)
    assert isinstance(task.exception(), Odd)


def test_another_thread_sees_the_tasks_of_a_loop(same):
    """While the loop sleeps, in a step and in a callback; a thread has no loop of its own."""

    def scenario(loop):
        seen = []

        def look(task):
            seen.append(asyncio.current_task(loop) is task)
            seen.append(len(asyncio.all_tasks(loop)))
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.current_task()

        def from_a_thread(task):
            thread = threading.Thread(target=look, args=(task,))
            thread.start()
            thread.join()

        async def main():
            from_a_thread(asyncio.current_task())
            loop.call_soon(from_a_thread, None)
            await asyncio.sleep(0)
            asleep = loop.create_future()
            answer = threading.Timer(0.05, lambda: (look(None), wake()))

            def wake():
                loop.call_soon_threadsafe(asleep.set_result, None)

            answer.start()
            await asleep
            answer.join()

        loop.run_until_complete(main())
        return seen

    assert same(scenario) == [True, 1] * 3


def test_all_tasks_while_tasks_come_and_go(loop):
    """Asked in another thread, again and again, it neither fails nor shows a dead one."""
    failures, over = [], threading.Event()

    def ask():
        while not over.is_set():
            try:
                assert all(isinstance(each, asyncio.Task) for each in asyncio.all_tasks(loop))
            except Exception as error:
                failures.append(error)
                return

    async def main():
        for _ in range(100):
            await asyncio.gather(*[asyncio.sleep(0) for _ in range(20)])

    thread = threading.Thread(target=ask)
    thread.start()
    loop.run_until_complete(main())
    over.set()
    thread.join()
    assert failures == []
