"""timeout and TaskGroup made natively: how they begin, are changed, die and refuse."""

import asyncio
import gc
import time
import weakref

import pytest

from loopkit.either import run, seen

conbrio = pytest.importorskip("conbrio")


def test_a_dead_timeout_leaves_nothing_to_the_next():
    """Dead ones are used again: attributes, weak references and deadlines are not."""
    heard = []

    async def main():
        for number in range(3):
            async with conbrio.timeout(100 + number) as timeout:
                assert not vars(timeout)
                assert (
                    99 + number < timeout.when() - asyncio.get_running_loop().time() <= 100 + number
                )
                assert timeout.when() is timeout.when()
                timeout.number = number
                watched = weakref.ref(timeout, lambda _, number=number: heard.append(number))
            assert type(timeout) is conbrio.Timeout
            timeout.itself = timeout if number == 1 else None
            del timeout
            gc.collect()
            assert watched() is None

    conbrio.run(main())
    assert heard == [0, 1, 2]


def test_a_timeout_whose_class_has_been_changed(monkeypatch):
    made = []

    def init(self, when):
        made.append(when)
        super(conbrio.Timeout, self).__init__(when)

    async def main():
        monkeypatch.setattr(conbrio.Timeout, "__init__", init, raising=False)
        async with conbrio.timeout(100) as timeout:
            assert made == [timeout.when()]
        monkeypatch.undo()
        async with conbrio.timeout(100):
            pass
        assert len(made) == 1

    conbrio.run(main())


def test_the_last_words_of_a_timeout_are_heard(monkeypatch):
    said = []

    async def main():
        monkeypatch.setattr(
            conbrio.Timeout, "__del__", lambda self: said.append(self.expired()), raising=False
        )
        for _ in range(3):
            async with conbrio.timeout(100):
                pass
        monkeypatch.undo()

    conbrio.run(main())
    assert said == [False] * 3


def test_a_subclass_of_timeout_dies_as_it_should():
    class Mine(conbrio.Timeout):
        __slots__ = ("extra",)

        def __del__(self):
            died.append(self.extra)

    died = []

    async def main():
        for number in range(3):
            mine = Mine(None)
            mine.extra = number
            async with mine:
                pass
            del mine

    conbrio.run(main())
    assert died == [0, 1, 2]


@pytest.mark.parametrize("delay", [0, -1, 0.0, True, 1e-9, 10**400, "1", None, float("nan"), 2**70])
def test_delays_of_every_kind(delay):
    """The same deadline or complaint as asyncio's own, on a clock that stands still."""

    class Still(conbrio.Loop):
        def time(self):
            return 1000.5

    def tried(make, factory):
        async def main():
            try:
                return repr(make(delay).when())
            except Exception as error:
                return repr(error)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())

    assert tried(conbrio.timeout, Still) == tried(asyncio.timeout, Still)
    usual = tried(conbrio.timeout, conbrio.new_event_loop)
    assert ("Error" in usual) == ("Error" in tried(asyncio.timeout, conbrio.new_event_loop))


def test_a_deadline_that_has_passed_before_the_block_comes_first(either):
    """It is asked for at once: before what the block schedules, not behind it."""

    async def program(names):
        said = []
        timeout = names.timeout(0.01)
        time.sleep(0.02)  # noqa: ASYNC251 - the loop is to come late
        try:
            async with timeout:
                await asyncio.sleep(0)
                said.append("went on")
        except TimeoutError:
            said.append("too late")
        return said

    assert either(program) == ["too late"]


def test_a_timeout_is_rescheduled(either):
    async def program(names):
        loop, said = asyncio.get_running_loop(), []
        timeout = names.timeout_at(loop.time() + 3600)
        with pytest.raises(RuntimeError, match="has not been entered"):
            timeout.reschedule(1)
        async with timeout:
            for when in (None, loop.time() + 0.001, loop.time() + 3600, loop.time() - 1, None):
                timeout.reschedule(when)
                said.append(timeout.when() == when)
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="already been entered"):
                await timeout.__aenter__()
        said.append((repr(timeout), timeout.expired()))
        with pytest.raises(RuntimeError, match="finished"):
            timeout.reschedule(None)
        with pytest.raises(TimeoutError) as caught:
            async with names.timeout(0.001) as short:
                await asyncio.sleep(3600)
        return said, seen(caught.value), repr(short), asyncio.current_task().cancelling()

    either(program)


def test_a_timeout_needs_a_task_and_a_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        conbrio.timeout(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        conbrio.timeout_at(1).__aenter__().send(None)


def test_subclasses_that_replace_inner_methods(either):
    async def program(names):
        said = []

        class Told(names.timeout(None).__class__):
            def reschedule(self, when):
                said.append(when)
                super().reschedule(when)

        class Group(names.TaskGroup):
            def _on_task_done(self, task):
                said.append(task.get_name())
                super()._on_task_done(task)

        async with Told(None), Group() as group:
            group.create_task(asyncio.sleep(0), name="one")
        return said

    assert either(program) == [None, "one"]


def test_a_group_refuses_tasks_as_asyncio_does(either):
    async def program(names):
        said = []

        async def nothing():
            pass

        async def refused(group):
            coroutine = nothing()
            with pytest.raises(RuntimeError) as caught:
                group.create_task(coroutine)
            coroutine.close()
            said.append(str(caught.value))

        group = names.TaskGroup()
        await refused(group)
        async with group:
            named = group.create_task(nothing(), name="named")
            said.append(named.get_name())
            with pytest.raises(TypeError):
                group.create_task(1)
        await refused(group)
        with pytest.raises(RuntimeError, match="already been entered"):
            await group.__aenter__()
        return said

    either(program)


def test_a_group_with_a_task_factory_and_in_debug_mode():
    async def nothing():
        await asyncio.sleep(0)
        return 1

    async def main():
        loop, made = asyncio.get_running_loop(), []

        def factory(loop, coroutine, **options):
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        loop.set_task_factory(factory)
        async with conbrio.TaskGroup() as group:
            task = group.create_task(nothing())
        assert await conbrio.gather(nothing(), nothing()) == [1, 1]
        assert (task.result(), len(made)) == (1, 3)
        loop.set_task_factory(None)
        loop.set_debug(True)
        async with conbrio.TaskGroup() as group, conbrio.timeout(5):
            task = group.create_task(nothing())
        assert await conbrio.gather(task, nothing()) == [1, 1]

    run(main())
