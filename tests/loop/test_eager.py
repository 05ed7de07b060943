"""Tasks that begin at once (3.12 and later): in whose name, in which context, and how they end."""

import asyncio
import contextvars
import sys

import pytest

from loopkit import children

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")


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


def test_eager_start_needs_a_running_loop(same):
    def scenario(loop):
        task = asyncio.Task(value(1), loop=loop, eager_start=True)
        return task.done(), loop.run_until_complete(task)

    same(scenario)


def test_eager_tasks_of_ours(loop, Task):
    async def main():
        outer = asyncio.current_task()
        task = Task(value(3), loop=loop, eager_start=True)
        assert task.done()
        assert asyncio.current_task() is outer
        slow = Task(asyncio.sleep(0.001, 4), loop=loop, eager_start=True, name="slow")
        assert not slow.done()
        assert slow in asyncio.all_tasks()
        failing = Task(wait_for(None), loop=loop, eager_start=True)
        assert isinstance(failing.exception(), TypeError)
        assert "eager_task" not in repr(slow)
        return await task, await slow, task in asyncio.all_tasks()

    assert loop.run_until_complete(main()) == (3, 4, False)


async def made_inside(loop):
    return loop.create_task(value(0))


def test_eager_factories(loop, Task):
    async def main():
        tasks = [asyncio.create_task(value(n)) for n in range(3)]
        done = [task.done() for task in tasks]
        return done, [type(task) is asyncio.Task or type(task) is Task for task in tasks]

    loop.set_task_factory(asyncio.eager_task_factory)
    assert loop.run_until_complete(main()) == ([True] * 3, [True] * 3)
    task = loop.run_until_complete(made_inside(loop))
    assert type(task) is Task
    loop.set_task_factory(asyncio.create_eager_task_factory(Task))
    assert loop.run_until_complete(main()) == ([True] * 3, [True] * 3)


OPTIONS = [{}, {"name": "given"}, {"name": None}, {"context": contextvars.copy_context()}]
if sys.version_info >= (3, 14):
    OPTIONS += [{"eager_start": False}, {"eager_start": True, "name": 5}, {"eager_start": None}]


@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_what_the_eager_factory_makes_of_each_option(same, number):
    options = OPTIONS[number]

    async def scenario(loop):
        order = []
        variable = contextvars.ContextVar("variable", default="outside")

        async def step(word):
            task = asyncio.current_task()
            order.append((word, task.get_name() if "name" in options else None, variable.get()))
            variable.set("inside")
            if word == "fails":
                raise ValueError(word)
            if word == "waits":
                await asyncio.sleep(0)
                order.append("waited")
            return word

        def once(word):
            task = loop.create_task(step(word), **options)
            order.append((task.done(), variable.get(), task in asyncio.all_tasks()))
            order.append(task.get_name() if "name" in options else None)
            return task

        loop.set_task_factory(asyncio.eager_task_factory)
        tasks = [once(word) for word in ("returns", "waits", "fails")]
        order.append(await asyncio.gather(*tasks, return_exceptions=True))
        async with asyncio.TaskGroup() as group:
            order.append(group.create_task(step("grouped")).done())
        return order

    same(scenario)


def test_what_the_eager_factory_refuses(same):
    def scenario(loop):
        loop.set_task_factory(asyncio.eager_task_factory)
        refused = []
        for given, options in [((5,), {}), ((), {}), ((1, 2), {}), ((5,), {"what": 1})]:
            try:
                loop.create_task(*given, **options)
            except TypeError:
                refused.append(given)
        return refused

    assert len(same(scenario)) == 4


def test_eager_step_is_in_its_own_context(loop, Task):
    variable = contextvars.ContextVar("variable", default=0)

    async def change():
        variable.set(1)
        return variable.get()

    async def main():
        task = Task(change(), loop=loop, eager_start=True)
        return await task, variable.get()

    assert loop.run_until_complete(main()) == (1, 0)


def test_an_eager_task_may_leave(loop, Task):
    async def leave():
        raise SystemExit(7)

    async def main():
        Task(leave(), loop=loop, eager_start=True)

    with pytest.raises(SystemExit):
        loop.run_until_complete(main())
    settle(loop)
    assert asyncio.current_task(loop) is None


class Unnameable:
    def __str__(self):
        raise OSError("no name")


def test_when_an_eager_task_hears_its_name(same):
    async def scenario(loop):
        order = []

        async def step(waits):
            order.append(asyncio.current_task().get_name() == "given")
            if waits:
                await asyncio.sleep(0)
                order.append(asyncio.current_task().get_name() == "given")

        loop.set_task_factory(asyncio.eager_task_factory)
        for waits in (False, True):
            task = asyncio.create_task(step(waits), name="given")
            order.append(task.get_name())
            await task
        nameless = asyncio.create_task(step(False)).get_name()
        order.append(nameless if nameless == "None" else nameless[:5])
        if sys.version_info < (3, 14):  # later ones ask for the name before there is a task
            with pytest.raises(OSError, match="no name"):
                await asyncio.create_task(step(False), name=Unnameable())
            order.append("refused")
        return order

    assert same(scenario).count(True) >= 1


def test_a_create_task_that_a_program_has_put_in_its_place():
    code = """
    import conbrio
    original, asked = asyncio.BaseEventLoop.create_task, []

    def create_task(self, coro, **options):
        asked.append(self.is_running())
        return original(self, coro, **options)

    asyncio.BaseEventLoop.create_task = create_task

    async def value():
        return 5

    async def main():
        asked.clear()
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        tasks = [asyncio.create_task(value()), asyncio.create_task(value(), name="given")]
        return [task.done() for task in tasks], tasks[1].get_name(), list(asked)

    print(*conbrio.run(main()))
    """
    assert children.output(code) == "[True, True] given [True, True]\n"
