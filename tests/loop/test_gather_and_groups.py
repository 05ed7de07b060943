"""gather, timeout, TaskGroup and wait_for made natively: the same traces as asyncio's own, turn by turn."""

import asyncio
import contextlib
import gc
import random
import sys
import weakref

import pytest

from loopkit.either import run, seen

conbrio = pytest.importorskip("conbrio")


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
        except GeneratorExit:
            # What nobody waits for any more, and nobody wakes, goes whenever garbage is collected.
            raise
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
