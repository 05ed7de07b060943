"""gather, timeout, TaskGroup and wait_for made natively: the same traces as asyncio's own, turn by turn."""

import asyncio
import contextlib
import gc
import random
import sys
import time
import weakref

import pytest

conbrio = pytest.importorskip("conbrio")

OURS = {
    name: getattr(conbrio, name)
    for name in ("gather", "timeout", "timeout_at", "TaskGroup", "wait_for")
}
THEIRS = {name: getattr(asyncio, name) for name in OURS}
LOOPS = {"ours": conbrio.new_event_loop, "standard": asyncio.SelectorEventLoop}


def names(kind):
    """Returns the functions of a kind as attributes of one object."""
    return type("Names", (), {name: staticmethod(value) for name, value in kind.items()})


def run(main, factory=conbrio.new_event_loop):
    """Runs a coroutine on a loop of its own."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@pytest.fixture(params=sorted(LOOPS))
def either(request):
    """Runs a coroutine function with ours and with asyncio's names on one kind of loop; both traces are equal."""

    def compare(program):
        ours, theirs = (run(program(names(kind)), LOOPS[request.param]) for kind in (OURS, THEIRS))
        assert ours == theirs
        return ours

    return compare


# ------------------------------------------------------------------ random programs
def plan(chance, depth=0):
    """Draws a program: nested lists of what to do."""
    choices = ["sleep", "turns", "raise", "return", "swallow", "future"]
    if depth < 3:
        choices += [
            "gather",
            "gather",
            "timeout",
            "timeout",
            "group",
            "group",
            "wait_for",
            "cancel",
        ] * 2
    kind = chance.choice(choices)
    if kind in {"gather", "group"}:
        parts = [plan(chance, depth + 1) for _ in range(chance.randint(0, 3))]
        return [kind, chance.random() < 0.5, parts]
    if kind in {"timeout", "wait_for", "cancel"}:
        return [kind, chance.randint(-1, 3), plan(chance, depth + 1)]
    return [kind, chance.randint(0, 4)]


def seen(error):
    """Returns what an exception is, in a form that compares."""
    if isinstance(error, BaseExceptionGroup):
        return [type(error).__name__, error.message, sorted(map(str, map(seen, error.exceptions)))]
    cause, context = (one and type(one).__name__ for one in (error.__cause__, error.__context__))
    return [type(error).__name__, [str(one) for one in error.args], cause, context]


class Trial:
    """Runs one program and notes what happens in which turn."""

    def __init__(self, names):
        self.names, self.trace, self.turn, self.ended = names, [], 0, False

    def note(self, path, what):
        task = asyncio.current_task()
        self.trace.append((self.turn, path, what, task.cancelling()))

    def tick(self, loop):
        self.turn += 1
        if not self.ended:
            loop.call_soon(self.tick, loop)

    async def do(self, part, path):
        try:
            result = await self.part(part, path)
        except BaseException as error:
            self.note(path, seen(error))
            raise
        self.note(path, result)
        return path

    async def part(self, part, path):
        kind, number, *rest = part
        if kind in {"turns", "sleep"}:
            for _ in range(number):
                await asyncio.sleep(0)
            return kind
        if kind == "raise":
            await asyncio.sleep(0)
            raise [ValueError, KeyError, LookupError, asyncio.CancelledError, TimeoutError][number](
                path
            )
        if kind == "swallow":
            with contextlib.suppress(asyncio.CancelledError):
                await (
                    asyncio.get_running_loop().create_future()
                ) if number > 3 else await asyncio.sleep(0)
            return kind
        if kind == "future":
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, number)
            return await future
        return await getattr(self, kind, self.leaf)(number, *rest, path) if rest else kind

    async def leaf(self, *_):
        return None

    async def gather(self, keeps, parts, path):
        coroutines = [self.do(part, f"{path}.{index}") for index, part in enumerate(parts)]
        results = await self.names.gather(*coroutines, return_exceptions=keeps)
        return [seen(one) if isinstance(one, BaseException) else one for one in results]

    async def group(self, waits, parts, path):
        async with self.names.TaskGroup() as group:
            for index, part in enumerate(parts):
                group.create_task(self.do(part, f"{path}.{index}"))
                if waits:
                    await asyncio.sleep(0)
            self.note(path, repr(group))
        return repr(group)

    async def timeout(self, turns, part, path):
        loop = asyncio.get_running_loop()
        async with self.names.timeout(
            None if turns > 2 else 3600 if turns > 0 else turns
        ) as timeout:
            self.note(path, [repr(timeout).partition("when")[0], timeout.expired()])
            if turns == 1:
                loop.call_soon(
                    lambda: (
                        timeout.reschedule(0)
                        if repr(timeout).startswith("<Timeout [active]")
                        else None
                    )
                )
            await self.do(part, path + "t")
        return [repr(timeout), timeout.expired()]

    async def wait_for(self, turns, part, path):
        return await self.names.wait_for(self.do(part, path + "w"), 3600 if turns > 0 else turns)

    async def cancel(self, turns, part, path):
        task = asyncio.create_task(self.do(part, path + "c"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel("asked")
        try:
            return await task
        except BaseException as error:
            return seen(error)


async def trial(names, seed):
    """Runs the program of a seed and returns its trace."""
    one = Trial(names)
    loop = asyncio.get_running_loop()
    reports = []
    loop.set_exception_handler(
        lambda _, context: reports.append(context["message"].partition(" ")[0])
    )
    loop.call_soon(one.tick, loop)
    drawn = plan(random.Random(seed))
    task = asyncio.create_task(one.do(drawn, "0"))
    for _ in range(60):
        await asyncio.sleep(0)
        if task.done():
            break
    else:
        task.cancel()
    await asyncio.wait([task], timeout=5)
    ended = task.done() and (
        "cancelled" if task.cancelled() else task.exception() and seen(task.exception())
    )
    one.ended = True
    # A group cancels its tasks in the order of a set: what those do in one turn has no order.
    trace = sorted(one.trace, key=str) if "group" in str(drawn) else list(one.trace)
    return trace, ended, len(reports)


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_random_programs_leave_the_same_trace(either, start):
    async def program(names):
        return [await trial(names, seed) for seed in range(start, start + 100)]

    either(program)


# ------------------------------------------------------------------ gather
def test_a_gathering_is_a_future_of_its_children():
    async def main():
        async def one(value):
            await asyncio.sleep(0)
            return value

        gathering = conbrio.gather(one(1), asyncio.ensure_future(one(2)))
        assert isinstance(gathering, asyncio.Future)
        assert repr(gathering) == "<_GatheringFuture pending>"
        assert [type(child) for child in gathering._children] == [conbrio.Task] * 2
        assert weakref.ref(gathering)() is gathering
        seen = []
        gathering.add_done_callback(seen.append)
        assert await gathering == [1, 2]
        await asyncio.sleep(0)
        assert seen == [gathering]
        assert not gathering.cancel()

    run(main())


def test_a_nested_gathering_is_cancelled_with_its_children(either):
    async def program(names):
        never = asyncio.get_running_loop().create_future
        inner = names.gather(never(), asyncio.sleep(3600))
        outer = names.gather(inner, never(), return_exceptions=True)
        await asyncio.sleep(0)
        said = [outer.cancel("enough"), outer._cancel_requested]
        try:
            await outer
        except asyncio.CancelledError as error:
            said.append(error.args)
        return said, repr(outer), outer.cancel(), [child.cancelled() for child in inner._children]

    assert either(program)[0] == [True, True, ("enough",)]


def test_what_is_given_twice_or_is_ended_is_gathered_as_by_asyncio(either):
    async def program(names):
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(ValueError("failed"))
        twice = asyncio.sleep(0, "twice")
        first = names.gather(done, twice, twice)
        at_once = names.gather(done), names.gather(failed, done)
        said = [one.done() for one in (first, *at_once)]
        with pytest.raises(ValueError, match="failed"):
            await at_once[1]
        with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
            names.gather(done, other=1)
        return said, await first, await names.gather(return_exceptions=True)

    either(program)


def test_gatherings_leave_nothing_behind():
    async def nothing():
        await asyncio.sleep(0)

    async def fail():
        raise ValueError

    async def main():
        for _ in range(3):
            await conbrio.gather(*(nothing() for _ in range(20)))
            await conbrio.gather(nothing(), fail(), return_exceptions=True)
        forgotten = weakref.ref(conbrio.gather(asyncio.get_running_loop().create_future()))
        gc.collect()
        assert forgotten() is None

    run(main())
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(5):
        run(main())
    gc.collect()
    assert len(gc.get_objects()) - before < 60


@pytest.mark.skipif(sys.version_info < (3, 14), reason="who awaits is shown from 3.14 on")
def test_children_show_who_awaits_them():
    async def main():
        future = asyncio.get_running_loop().create_future()
        gathering = conbrio.gather(future, asyncio.sleep(0))
        assert future._asyncio_awaited_by == {asyncio.current_task()}
        future.set_result(None)
        await gathering
        assert future._asyncio_awaited_by is None
        async with conbrio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0))
            assert task._asyncio_awaited_by == {asyncio.current_task()}
        assert task._asyncio_awaited_by is None

    run(main())


# ------------------------------------------------------------------ timeouts and groups
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
