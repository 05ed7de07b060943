"""How a task group is entered and left, whatever happens meanwhile, traced beside asyncio's own."""

import asyncio
import gc
import itertools
import random
import sys
import weakref

import pytest

from loopkit.either import LOOPS, both
from loopkit.either import run as run_on

swaps = pytest.importorskip("conbrio._swaps")


def said(error):
    """Return what can be compared of an exception: groups with all that is in them."""
    if isinstance(error, BaseExceptionGroup):
        return (type(error).__name__, error.message, [said(inner) for inner in error.exceptions])
    return (type(error).__name__, str(error), repr(error.__cause__))


async def child(log, name, turns, how):
    """Take some turns, then end as told."""
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append((name, "cancelled"))
        if how == "stubborn":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append((name, "stays"))
            return name
        if how == "fails late":
            raise ValueError(name) from None
        raise
    log.append((name, "ends"))
    if how == "fails":
        raise KeyError(name)
    if how == "exits":
        raise SystemExit(name)
    return name


async def parent(log, children, body_turns, body, group):
    """Run a group and say how it ended."""
    task = asyncio.current_task()
    try:
        async with group as entered:
            log.append(("entered", entered is group))
            for number, (turns, how) in enumerate(children):
                group.create_task(child(log, number, turns, how))
            for _ in range(body_turns):
                await asyncio.sleep(0)
            log.append("body")
            if body == "raises":
                raise RuntimeError("body")
            if body == "aborts":
                group._abort()
            if body == "returns":
                return
        log.append("after")
    except BaseException as error:
        log.append((said(error), error.__context__ is None))
        if isinstance(error, asyncio.CancelledError) and body == "lets go":
            raise
    finally:
        log.append(("end", task.cancelling(), repr(group)))
    await asyncio.sleep(0)
    log.append(("later", task.cancelling()))


async def scene(children, body_turns, body, cancels):
    """Run a parent, cancel it at the turns given, and return all that was said, turn by turn."""
    log = []
    group = asyncio.TaskGroup()
    task = asyncio.create_task(parent(log, children, body_turns, body, group))
    for turn in range(14):
        log.append(turn)
        if turn in cancels:
            log.append(("cancel", task.cancel(f"at {turn}")))
        await asyncio.sleep(0)
        if task.done():
            break
    outcome = await asyncio.gather(task, return_exceptions=True)
    log.append([said(it) if isinstance(it, BaseException) else it for it in outcome])
    return log


def seeds():
    chosen = random.Random(7)
    hows = ["ends", "ends", "ends", "fails", "stubborn", "fails late"]
    bodies = ["ends", "ends", "raises", "returns", "aborts", "lets go"]
    for _ in range(1500):
        children = [
            (chosen.randrange(6), chosen.choice(hows))
            for _ in range(chosen.choice([0, 1, 1, 2, 3]))
        ]
        cancels = sorted(chosen.sample(range(8), chosen.choice([0, 0, 1, 1, 2, 3])))
        yield children, chosen.randrange(4), chosen.choice(bodies), cancels


def test_whatever_happens_a_group_ends_as_asyncios():
    for given in seeds():
        ours, theirs = both(lambda given=given: scene(*given))
        assert ours == theirs, given


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_must_not_be_ignored_goes_through(error, turns):
    async def failing():
        for _ in range(turns):
            await asyncio.sleep(0)
        raise error("now")

    def outcome(loop):
        log = []

        async def main():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(failing())
                    await asyncio.sleep(0)
            finally:
                log.append(said(sys.exception() if sys.version_info >= (3, 11) else None))

        with pytest.raises(error):
            run_on(main(), loop)
        return log

    theirs = outcome(LOOPS["standard"])
    with swaps.held(True):
        ours = outcome(LOOPS["ours"])
    assert ours == theirs


async def nested(depth, fails, log):
    try:
        async with asyncio.TaskGroup() as group:
            if depth:
                group.create_task(nested(depth - 1, fails, log))
                group.create_task(child(log, depth, depth, "ends"))
            elif fails:
                raise KeyError("deep")
    except* KeyError as errors:
        log.append((depth, said(errors)))
        if depth == 1:
            raise


@pytest.mark.parametrize("fails", [False, True])
def test_groups_within_groups(fails):
    async def main():
        log = []
        try:
            await nested(3, fails, log)
        except BaseException as error:
            log.append(said(error))
        return log

    ours, theirs = both(main)
    assert ours == theirs


def test_a_group_is_entered_once_and_only_by_a_task():
    async def main():
        log = []
        group = asyncio.TaskGroup()

        def said_of(error):
            return str(error).replace(hex(id(group)), "")

        async with group:
            pass
        try:
            async with group:
                pass
        except RuntimeError as error:
            log.append(said_of(error))
        late = child(log, "late", 0, "ends")
        try:
            group.create_task(late)
        except RuntimeError as error:
            log.append(said_of(error))
        late.close()
        other = asyncio.TaskGroup()
        entering = other.__aenter__()

        def by_callback():
            try:
                entering.send(None)
            except BaseException as error:
                log.append((type(error).__name__, str(error)))

        asyncio.get_running_loop().call_soon(by_callback)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return log

    ours, theirs = both(main)
    assert ours == theirs
    assert len(ours) == 3


def test_a_group_is_left_by_hand_and_by_a_stack():
    async def main():
        import contextlib

        log = []
        group = asyncio.TaskGroup()
        await group.__aenter__()
        group.create_task(child(log, "a", 2, "ends"))
        log.append(await group.__aexit__(None, None, None))
        async with contextlib.AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            group.create_task(child(log, "b", 2, "ends"))
        group = asyncio.TaskGroup()
        await group.__aenter__()
        error = KeyError("x")
        try:
            log.append(await group.__aexit__(et=KeyError, exc=error, tb=None))
        except BaseException as raised:
            log.append(said(raised))
        return log

    ours, theirs = both(main)
    assert ours == theirs


def test_a_generator_that_waits_in_a_group_can_be_closed():
    async def main():
        log = []

        async def generator():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child(log, "held", 50, "ends"))
                    yield 1
            except BaseException as error:
                log.append(said(error))
                raise

        made = generator()
        log.append(await anext(made))
        try:
            await made.aclose()
        except BaseException as error:
            log.append(said(error))
        return log

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize("turns", range(4))
def test_a_coroutine_that_waits_in_a_group_can_be_closed(turns):
    async def main():
        log = []

        async def waits():
            try:
                async with asyncio.TaskGroup() as group:
                    held.append(group.create_task(child(log, "held", 50, "ends")))
            except BaseException as error:
                log.append(said(error))
                raise

        held = []
        coroutine = waits()
        coroutine.send(None)
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            coroutine.close()
        except BaseException as error:
            log.append(said(error))
        held[0].cancel()
        await asyncio.gather(*held, return_exceptions=True)
        return log

    ours, theirs = both(main)
    assert ours == theirs


def test_a_group_keeps_nothing_alive():
    class Value:
        pass

    async def main():
        gone = []
        for fails, waits in itertools.product([False, True], repeat=2):
            value = Value()
            gone.append(weakref.ref(value))

            async def uses(value=value, fails=fails, waits=waits):
                if waits:
                    await asyncio.sleep(0)
                if fails:
                    raise KeyError
                return value

            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(uses())
            except* KeyError:
                pass
            del uses, value, group
        await asyncio.sleep(0)
        gc.collect()
        return [it() for it in gone]

    ours, _ = both(main)
    assert ours == [None] * 4


def test_a_group_shows_what_asyncios_has():
    async def main():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0))
            seen = [
                group._entered,
                group._exiting,
                group._aborting,
                group._errors,
                group._base_error,
                group._parent_cancel_requested,
                group._tasks == {task},
                group._loop is asyncio.get_running_loop(),
                group._parent_task is asyncio.current_task(),
            ]
        return seen, group._tasks, group._exiting, group._on_completed_fut

    ours, theirs = both(main)
    assert ours == theirs
