"""`wait`, `shield` and `as_completed`, each beside asyncio's own: results, words, order, who is told of what."""

import asyncio
import contextlib
import gc
import sys
import weakref

import pytest

conbrio = pytest.importorskip("conbrio")
pytestmark = pytest.mark.skipif(
    not conbrio.build_info()["native_tasks"], reason="they stand on native tasks"
)

LOOPS = {"ours": conbrio.new_event_loop, "standard": asyncio.SelectorEventLoop}


@pytest.fixture(params=sorted(LOOPS))
def run(request):
    """Runs a coroutine on one of the loops; what the loop is told of is in `run.told`."""
    told = []

    def run(main):
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: told.append(context))
            return runner.run(main)

    run.told = told
    return run


def alike(run, scenario):
    """Runs a scenario with asyncio's names and with ours, and returns what both came to."""
    expected = run(scenario(asyncio))
    assert run(scenario(conbrio)) == expected
    return expected


async def late(turns, result=None):
    """Ends after some turns, with an exception if that is what it is given."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(result, Exception):
        raise result
    return result


async def outcome(awaitable):
    """Returns what an awaitable has come to, as text and words."""
    try:
        return "did", await awaitable
    except BaseException as error:
        return type(error).__name__, *map(str, error.args)


class Foreign(asyncio.Future):
    """A future that is neither ours nor plain."""


def set_after(turns, future):
    """Give ``future`` a result in so many turns."""
    if turns:
        asyncio.get_running_loop().call_soon(set_after, turns - 1, future)
    else:
        future.set_result(9)


# ---- wait


@pytest.mark.parametrize("until", ["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("foreign", [False, True])
def test_wait_ends_as_asyncios_does(run, until, fails, foreign):
    async def scenario(kit):
        loop = asyncio.get_running_loop()
        tasks = [
            asyncio.ensure_future(late(n, ValueError(n) if fails and n == 2 else n))
            for n in range(1, 5)
        ]
        if foreign:
            tasks.append(Foreign(loop=loop))
            set_after(6, tasks[-1])
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        done, pending = await kit.wait(tasks, return_when=until)
        seen = turns
        counter.cancel()
        for task in tasks:
            task.cancel()
        places = [sorted(tasks.index(task) for task in some) for some in (done, pending)]
        await asyncio.gather(*tasks, return_exceptions=True)
        return type(done), type(pending), places, seen

    alike(run, scenario)


def test_what_wait_refuses(run):
    async def scenario(kit):
        coroutine = late(0)
        future = asyncio.ensure_future(late(0))
        said = [
            await outcome(kit.wait(given, return_when=until))
            for given, until in [
                (coroutine, "ALL_COMPLETED"),
                (future, "ALL_COMPLETED"),
                ([], "ALL_COMPLETED"),
                ([future], "SOMETIME"),
                ([coroutine], "ALL_COMPLETED"),
            ]
        ]
        said.append((await outcome(kit.wait([3])))[0])
        coroutine.close()
        await future
        return said

    assert [one[0] if isinstance(one, tuple) else one for one in alike(run, scenario)] == [
        "TypeError",
        "TypeError",
        "ValueError",
        "ValueError",
        "TypeError",
        "AttributeError",
    ]


def test_wait_leaves_no_callback_after_its_time_or_its_end(run):
    async def scenario(kit):
        loop = asyncio.get_running_loop()
        futures = [loop.create_future(), Foreign(loop=loop), loop.create_future()]
        futures[2].add_done_callback(print)
        done, pending = await kit.wait(futures, timeout=0.001)
        left = [future._callbacks and len(future._callbacks) for future in futures]
        waiter = asyncio.ensure_future(kit.wait(futures))
        await late(2)
        during = [len(future._callbacks) for future in futures]
        waiter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiter
        after = [future._callbacks and len(future._callbacks) for future in futures]
        return len(done), len(pending), left, during, after

    assert alike(run, scenario)[:2] == (0, 3)


def test_a_wait_that_is_over_sees_exceptions_as_asyncios_does(run):
    async def scenario(kit):
        run.told.clear()
        tasks = [asyncio.ensure_future(late(1, ValueError(n))) for n in range(3)]
        await kit.wait(tasks, return_when="FIRST_EXCEPTION")
        del tasks
        await late(2)
        gc.collect()
        return [context["message"] for context in run.told]

    alike(run, scenario)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="who awaits is remembered from 3.14 on")
def test_who_is_awaited_by_wait_is_shown(run):
    async def scenario(kit):
        child = asyncio.ensure_future(late(5))
        shielded = asyncio.ensure_future(late(5))

        async def parent():
            kit.shield(shielded)
            await kit.wait([child])

        waiter = asyncio.ensure_future(parent())
        await late(2)
        before = (
            [
                task is waiter
                for one in (child, shielded)
                for task in asyncio.future_awaited_by(one) or ()
            ]
            if hasattr(asyncio, "future_awaited_by")
            else [one._asyncio_awaited_by == {waiter} for one in (child, shielded)]
        )
        await waiter
        await late(2)
        return before, [one._asyncio_awaited_by for one in (child, shielded)]

    assert alike(run, scenario) == ([True, True], [None, None])


# ---- shield


@pytest.mark.parametrize("ending", ["result", "exception", "cancelled"])
@pytest.mark.parametrize("cancel", [False, True])
def test_shield_ends_as_asyncios_does(run, ending, cancel):
    async def scenario(kit):
        run.told.clear()
        inner = asyncio.ensure_future(late(3, ValueError("inner") if ending == "exception" else 7))
        outer = kit.shield(inner)
        waiter = asyncio.ensure_future(outcome(outer))
        await late(1)
        if ending == "cancelled":
            inner.cancel("enough")
        if cancel:
            waiter.cancel("mine")
        seen = await waiter, outer.cancelled(), inner.done()
        await late(4)
        seen += inner.cancelled(), inner.done()
        del inner, outer, waiter
        gc.collect()
        return seen, [context["message"] for context in run.told]

    alike(run, scenario)


def test_shield_of_what_has_ended_is_that(run):
    async def main():
        inner = asyncio.ensure_future(late(0))
        await inner
        assert conbrio.shield(inner) is inner
        foreign = Foreign(loop=asyncio.get_running_loop())
        outer = conbrio.shield(foreign)
        foreign.set_result(4)
        assert await outer == 4
        return await conbrio.shield(late(2, 5))

    assert run(main()) == 5


def test_a_cancelled_shield_listens_no_more_and_lets_go(run):
    async def main():
        inner = asyncio.ensure_future(late(5))
        outer = conbrio.shield(inner)
        gone = weakref.ref(outer)
        outer.cancel()
        await late(2)
        assert not inner._callbacks
        del outer
        gc.collect()
        assert gone() is None
        await inner

    run(main())


# ---- as_completed


@pytest.mark.parametrize("timeout", [None, 0.01])
def test_as_completed_gives_them_as_they_end(run, timeout):
    async def scenario(kit):
        never = asyncio.get_running_loop().create_future()
        given = [
            late(3, 3),
            asyncio.ensure_future(late(1, ValueError("one"))),
            late(2, 2),
            *([never] if timeout else []),
        ]
        return [await outcome(one) for one in kit.as_completed(given, timeout=timeout)]

    expected = [("ValueError", "one"), ("did", 2), ("did", 3)]
    assert alike(run, scenario) == (expected if timeout is None else [*expected, ("TimeoutError",)])


@pytest.mark.skipif(sys.version_info < (3, 13), reason="from 3.13 on")
def test_as_completed_can_be_iterated_asynchronously(run):
    async def scenario(kit):
        mine = [asyncio.ensure_future(late(3, 3)), asyncio.ensure_future(late(1, 1))]
        given = [*mine, late(2, 2)]
        seen = [(one in mine, one.done(), await one) async for one in kit.as_completed(given)]
        never = asyncio.get_running_loop().create_future()
        several = kit.as_completed([never], timeout=0.001)
        seen.append(await outcome(anext(several)))
        seen.append(await outcome(anext(several)))
        return seen

    assert alike(run, scenario) == [
        (True, True, 1),
        (False, True, 2),
        (True, True, 3),
        ("TimeoutError",),
        ("StopAsyncIteration",),
    ]


def test_what_as_completed_refuses(run):
    async def scenario(kit):
        coroutine = late(0)
        try:
            list(kit.as_completed(coroutine))
        except TypeError as error:
            return str(error)
        finally:
            coroutine.close()

    assert alike(run, scenario)


def test_a_cancelled_wait_for_the_next_is_as_asyncios(run):
    async def scenario(kit):
        several = kit.as_completed([late(4, 4), late(6, 6)])
        several = iter(several)
        first = asyncio.ensure_future(next(several))
        await late(1)
        first.cancel()
        seen = [await outcome(first)]
        seen.extend([await outcome(one) for one in several])
        return seen

    alike(run, scenario)


def test_wait_for_nothing_is_refused(run):
    async def main(wait):
        with pytest.raises(AssertionError) as told:
            await wait(iter(()))
        return str(told.value)

    assert run(main(conbrio.wait)) == run(main(asyncio.wait)) == "Set of Futures is empty."


def test_shield_outside_of_a_run(loop):
    future = loop.create_future()
    outer = conbrio.shield(future)
    future.set_result(3)
    assert loop.run_until_complete(outer) == 3
