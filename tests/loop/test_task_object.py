"""A task as a Python object: its words, its stack, its memory, its factories."""

import asyncio
import copy
import gc
import io
import pickle
import sys
import weakref

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


def end(task):
    """Cancel ``task`` and wait for its end."""
    task.cancel()
    task.get_loop().run_until_complete(asyncio.gather(task, return_exceptions=True))


@pytest.mark.parametrize("debug", [False, True])
def test_repr_is_asyncios(same, debug):
    async def fail():
        raise ValueError("no")

    def scenario(loop):
        loop.set_debug(debug)
        future = loop.create_future()
        tasks = [
            loop.create_task(wait_for(future), name="waiting"),
            loop.create_task(value(1), name="valued"),
            loop.create_task(fail(), name="failing"),
            loop.create_task(wait_for(loop.create_future()), name="cancelled"),
        ]
        for task in tasks:
            task.add_done_callback(print)
            task.remove_done_callback(print)
        texts = [[repr(task) for task in tasks]]
        settle(loop)
        texts.append([repr(task) for task in tasks])
        tasks[3].cancel()
        texts.append([repr(task) for task in tasks])
        settle(loop)
        texts.append([repr(task) for task in tasks])
        tasks[2].exception()
        future.set_result(1)
        settle(loop)
        return texts

    texts = same(scenario)
    assert texts[0][0].startswith("<Task pending name='waiting' coro=<wait_for() running at ")
    assert texts[1][1].startswith("<Task finished name='valued' coro=<value() done, defined at ")
    assert "result=1" in texts[1][1]
    assert texts[2][3].startswith("<Task cancelling name='cancelled'")
    assert texts[3][3].startswith("<Task cancelled name='cancelled'")


def test_repr_tells_what_a_task_waits_for(same):
    def scenario(loop):
        future = loop.create_future()
        task = loop.create_task(wait_for(future))
        settle(loop)
        texts = repr(task), repr(future)
        end(task)
        return texts

    task, future = same(scenario)
    assert "wait_for=<Future pending cb=[" in task
    assert "Task.task_wakeup()" in future or "TaskWakeup" in future


def test_waiting_shows_in_the_futures_callbacks(loop):
    future = loop.create_future()
    task = loop.create_task(wait_for(future))
    settle(loop)
    ((callback, _),) = future._callbacks
    assert callable(callback)
    assert callback.__self__ is task
    assert future.remove_done_callback(callback) == 1
    future.add_done_callback(callback)
    future.set_result(5)
    assert loop.run_until_complete(task) == 5


def test_stacks(same):
    async def inner(future):
        await future

    async def outer(future):
        await inner(future)

    async def fail():
        raise ValueError("no")

    def names(frames):
        return [frame.f_code.co_name for frame in frames]

    def scenario(loop):
        future = loop.create_future()
        task, failing = loop.create_task(outer(future)), loop.create_task(fail())
        found = [names(task.get_stack())]
        settle(loop)
        found += [names(task.get_stack()), names(task.get_stack(limit=1))]
        found += [names(failing.get_stack()), names(failing.get_stack(limit=1))]
        for each in (task, failing):
            file = io.StringIO()
            each.print_stack(file=file)
            each.print_stack(limit=1, file=file)
            found.append(file.getvalue())
        end(task)
        found.append(names(task.get_stack()))
        failing.exception()
        return found

    found = same(scenario)
    assert found[1] == ["outer"]
    assert found[5].startswith("Stack for <Task pending")
    assert "Traceback for <Task finished" in found[6]


def test_destroyed_pending_is_reported(loop, complaints):
    task = loop.create_task(wait_for(loop.create_future()), name="dropped")
    settle(loop)
    seen = weakref.ref(task)
    del task
    gc.collect()
    (context,) = complaints
    assert context["message"] == "Task was destroyed but it is pending!"
    assert sorted(context) == ["message", "task"]
    assert "name='dropped'" in repr(context["task"])
    context.clear()
    gc.collect()
    assert seen() is None


def test_destroyed_pending_tells_where_in_debug_mode(loop, complaints):
    loop.set_debug(True)
    task = loop.create_task(wait_for(loop.create_future()))
    settle(loop)
    del task
    gc.collect()
    (context,) = complaints
    assert "source_traceback" in context
    assert "test_destroyed_pending_tells_where" in str(context["source_traceback"])


def test_destroyed_pending_can_be_silenced(loop, complaints):
    task = loop.create_task(wait_for(loop.create_future()))
    settle(loop)
    assert task._log_destroy_pending is True
    task._log_destroy_pending = False
    assert task._log_destroy_pending is False
    del task
    gc.collect()
    assert complaints == []


def test_never_retrieved_is_reported(loop, complaints):
    async def fail():
        raise ValueError("lost")

    task = loop.create_task(fail())
    settle(loop)
    del task
    gc.collect()
    (context,) = complaints
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], ValueError)
    assert isinstance(context["future"], asyncio.Task)


def test_a_task_that_waits_for_nothing_held_elsewhere_is_collected(loop, complaints):
    async def forever():
        me = asyncio.current_task()
        await loop.create_future()
        return me

    for _ in range(20):
        loop.create_task(forever())
    settle(loop)
    gc.collect()
    assert [context["message"] for context in complaints] == [
        "Task was destroyed but it is pending!"
    ] * 20
    complaints.clear()
    gc.collect()
    assert asyncio.all_tasks(loop) == set()


def test_finished_tasks_are_freed(loop):
    class Thing:
        pass

    async def hold(thing):
        await asyncio.sleep(0)
        return thing

    thing = Thing()
    seen = weakref.ref(thing)
    task = loop.create_task(hold(thing))
    del thing
    assert loop.run_until_complete(task) is seen()
    del task
    gc.collect()
    assert seen() is None


def test_the_exception_does_not_keep_the_task_alive(loop):
    async def fail():
        raise ValueError("no")

    task = loop.create_task(fail())
    with pytest.raises(ValueError, match="no"):
        loop.run_until_complete(task)
    seen = weakref.ref(task)
    del task
    gc.collect()
    assert seen() is None


def test_pickling_is_refused(loop):
    task = loop.create_task(value())
    for refuse in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            refuse(task)
    loop.run_until_complete(task)


def test_attributes_of_the_base(loop):
    task = loop.create_task(wait_for(loop.create_future()))
    assert (task._must_cancel, task._fut_waiter, task._state) == (False, None, "PENDING")
    settle(loop)
    assert asyncio.isfuture(task._fut_waiter)
    for name in ("_must_cancel", "_fut_waiter", "_coro", "_state"):
        with pytest.raises(AttributeError):
            setattr(task, name, None)
    task.anything = 1
    assert task.anything == 1
    assert {task: 1}[task] == 1
    end(task)


def test_subclasses(loop, Task):
    heard = []

    class Special(Task):
        def cancel(self, msg=None):
            heard.append(msg)
            return super().cancel(msg)

        def __repr__(self):
            return "special"

        def get_coro(self):
            heard.append("asked")
            return super().get_coro()

    task = Special(wait_for(loop.create_future()), loop=loop, name="s")
    assert repr(task) == "special"
    outer = loop.create_task(wait_for(task))
    settle(loop)
    outer.cancel("words")
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(outer)
    assert heard == ["words"]
    assert loop.run_until_complete(Special(value(3), loop=loop)) == 3


def test_init_twice_begins_another_coroutine_or_is_refused(loop, Task):
    first, second = value(1), value(2)
    task = Task(first, loop=loop)
    assert loop.run_until_complete(task) == 1
    if sys.version_info >= (3, 15):
        with pytest.raises(RuntimeError, match="Task object is already initialized"):
            task.__init__(second, loop=loop)
        second.close()
        return
    task.__init__(second, loop=loop, name="again")
    assert not task.done()
    assert task.get_name() == "again"
    assert loop.run_until_complete(task) == 2


def test_a_task_needs_a_coroutine_and_a_loop(loop, Task):
    with pytest.raises(TypeError):
        Task()
    with pytest.raises(TypeError):
        Task(loop=loop)
    with pytest.raises(TypeError):
        Task(5, loop=loop)
    coro = value()
    with pytest.raises(TypeError):
        Task(coro, loop)
    with pytest.raises(TypeError):
        Task(coro, loop=loop, nonsense=1)
    coro.close()


def test_task_factory(loop, Task):
    made = []

    def factory(loop, coro, **options):
        made.append(sorted(options))
        task = Task(coro, loop=loop, **options)
        task.from_factory = True
        return task

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    task = loop.create_task(value(1), name="mine")
    assert task.from_factory
    assert task.get_name() == "mine"
    assert loop.run_until_complete(task) == 1
    loop.set_task_factory(None)
    plain = loop.create_task(value(2))
    assert not hasattr(plain, "from_factory")
    assert loop.run_until_complete(plain) == 2
    assert len(made) == 1
    with pytest.raises(TypeError, match="task factory must be a callable or None"):
        loop.set_task_factory(5)


@pytest.mark.parametrize("options", [{}, {"name": "n"}, {"context": None}, {"name": None}])
def test_the_factory_hears_what_this_version_passes_on(same, options):
    """Which keywords reach a factory changed between micro versions; asyncio's own loop decides."""

    def scenario(loop):
        heard = []

        def factory(loop, coro, **keywords):
            heard.append(keywords)
            keywords.pop("eager_start", None)
            return asyncio.Task(coro, loop=loop, **keywords)

        loop.set_task_factory(factory)
        loop.run_until_complete(loop.create_task(value(), **options))

        async def main():
            await asyncio.create_task(value(), **options)

        loop.run_until_complete(main())
        return heard

    same(scenario)


def test_a_factory_without_keywords(same):
    def scenario(loop):
        loop.set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
        return loop.run_until_complete(value(1))

    same(scenario)


def test_a_factory_that_makes_futures_of_another_kind(loop):
    class Odd(asyncio.Future):
        def set_name(self, name):
            self.name = name

    def factory(loop, coro, **options):
        coro.close()
        future = Odd(loop=loop)
        future.set_result("odd")
        return future

    loop.set_task_factory(factory)
    assert loop.run_until_complete(loop.create_task(value())) == "odd"


def test_create_task_keywords_are_this_versions(same):
    def scenario(loop):
        ends = []
        eager = {"eager_start": True}, {"eager_start": False}
        for options in (*(eager if sys.version_info >= (3, 14) else ()), {"nonsense": 1}):
            coro = value(1)
            try:
                task = loop.create_task(coro, **options)
                ends.append((task.done(), loop.run_until_complete(task)))
            except TypeError as error:
                coro.close()
                ends.append(type(error))
        return ends

    same(scenario)


def test_create_task_on_a_closed_loop(same):
    def scenario(loop):
        loop.close()
        coro = value()
        try:
            loop.create_task(coro)
        finally:
            coro.close()

    assert same(scenario) == ("RuntimeError", ["Event loop is closed"])


def test_deeply_nested_coroutines(run):
    async def deep(level):
        if level:
            return await deep(level - 1)
        await asyncio.sleep(0)
        return "bottom"

    assert run(deep(300)) == "bottom"


def test_a_chain_of_tasks(run):
    async def link(level):
        if level:
            return await asyncio.create_task(link(level - 1))
        return "bottom"

    assert run(link(5000)) == "bottom"


def test_ten_thousand_tasks(run):
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(0.001 * (n % 7), n)) for n in range(10_000)]
        assert len(asyncio.all_tasks()) == 10_001
        return sum(await asyncio.gather(*tasks))

    assert run(main()) == sum(range(10_000))
