"""Timers: deadlines, cancellation, many at once."""

import asyncio
import collections
import contextlib
import decimal
import fractions
import gc
import math
import random
import time
import weakref

import pytest

from loopkit import leaks


def test_call_later_waits_its_time(loop):
    due = []
    began = loop.time()
    loop.call_later(0.03, lambda: (due.append(loop.time()), loop.stop()))
    loop.run_forever()
    assert 0.029 <= due[0] - began < 5


def test_call_at_takes_the_loops_time(loop):
    due = []
    when = loop.time() + 0.03
    handle = loop.call_at(when, lambda: (due.append(loop.time()), loop.stop()))
    assert handle.when() == when
    loop.run_forever()
    assert due[0] >= when - 0.001


@pytest.mark.parametrize("delay", [0, -1, -1e9, 0.0, True, False])
def test_a_moment_gone_by_is_due_in_the_next_turn(same_trace, delay):
    async def script(loop, note):
        done = loop.create_future()
        if delay is not True:
            loop.call_later(delay, note, "timer")
        loop.call_soon(note, "soon")
        loop.call_soon(loop.call_soon, loop.call_soon, done.set_result, None)
        await done

    same_trace(script)


def test_a_timer_in_the_past_runs_after_what_is_ready(loop):
    order = []
    loop.call_later(-5, order.append, "timer")
    loop.call_soon(order.append, "soon")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert order == ["soon", "timer"]


def test_an_infinite_delay_never_comes_due(same):
    def scenario(loop):
        came = []
        handle = loop.call_later(math.inf, came.append, "never")
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        when = handle.when()
        handle.cancel()
        return when, came

    assert same(scenario) == [math.inf, []]


@pytest.mark.parametrize("delay", [1e5, 1e9, 1e18, 1e300])
def test_a_far_deadline_sleeps_and_wakes(loop, delay):
    came = []
    loop.call_later(delay, came.append, "never")
    loop.call_later(0.001, came.append, "soon")
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert came == ["soon"]


def test_a_loop_with_only_a_far_deadline_waits_quietly(loop):
    import threading

    came = []
    loop.call_later(1e12, came.append, "never")
    began = time.process_time()
    waker = threading.Timer(0.15, loop.call_soon_threadsafe, [loop.stop])
    waker.start()
    loop.run_forever()
    waker.join()
    assert came == []
    assert time.process_time() - began < 0.1


def test_deadlines_may_be_integers_and_fractions(loop):
    order = []
    now = loop.time()
    loop.call_at(int(now) - 1, order.append, "whole")
    loop.call_at(fractions.Fraction(int(now)), order.append, "fraction")
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert order == ["whole", "fraction"]


@pytest.mark.parametrize("moment", ["soon", [], {}])
def test_what_is_no_number_is_refused(loop, moment):
    with pytest.raises(TypeError):
        loop.call_later(moment, print)


@pytest.mark.beyond_asyncio("its heap compares with NaN, which orders nothing")
def test_nan_does_not_disturb_the_others(loop):
    order = []
    with contextlib.suppress(ValueError):
        loop.call_at(math.nan, order.append, "nan").cancel()
    for number in (3, 1, 2):
        loop.call_later(number / 1000, order.append, number)
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert order == [1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_random_timers_and_cancels_keep_order(loop, seed):
    """A slow obvious model: sort by deadline, drop the cancelled."""
    dice = random.Random(seed)
    now = loop.time()
    deadlines = [now + dice.random() * 0.01 for _ in range(400)]
    assert len(set(deadlines)) == len(deadlines)
    order = []
    handles = {when: loop.call_at(when, order.append, when) for when in deadlines}
    cancelled = set(dice.sample(deadlines, dice.randrange(400)))
    for when in cancelled:
        handles[when].cancel()
    loop.call_at(now + 0.011, loop.stop)
    loop.run_forever()
    assert order == sorted(set(deadlines) - cancelled)


def test_a_timer_cancels_a_later_one_that_is_due_too(loop):
    order = []
    now = loop.time()
    loop.call_at(now + 0.001, lambda: second.cancel())
    second = loop.call_at(now + 0.002, order.append, "second")
    time.sleep(0.004)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert order == []


def test_a_timer_made_by_a_due_timer_waits_for_the_next_turn(same_trace):
    async def script(loop, note):
        done = loop.create_future()

        def outer():
            note("outer")
            loop.call_later(-1, inner)

        def inner():
            note("inner")
            done.set_result(None)

        loop.call_later(-1, outer)
        await done

    same_trace(script)


def test_cancelled_timers_do_not_pile_up(loop):
    class Thing:
        pass

    for _ in range(2000):
        loop.call_later(3600, print, Thing()).cancel()
    gc.collect()
    assert leaks.count(Thing) == 0
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.beyond_asyncio("its heap keeps up to half of its entries cancelled")
def test_cancelled_timer_handles_are_freed_at_once(loop):
    handles = [loop.call_later(3600 + n, print) for n in range(100)]
    seen = [weakref.ref(handle) for handle in handles]
    for handle in handles:
        handle.cancel()
    del handles, handle
    gc.collect()
    assert not any(ref() for ref in seen)


def test_a_hundred_thousand_timers_pend_and_go(loop):
    order = []
    now = loop.time()
    handles = [
        loop.call_at(now + 3600 + (n * 7919) % 100_000, order.append, n) for n in range(100_000)
    ]
    loop.call_later(0.001, order.append, "near")
    loop.call_later(0.002, loop.stop)
    began = time.monotonic()
    loop.run_forever()
    for handle in handles:
        handle.cancel()
    assert time.monotonic() - began < 10
    assert order == ["near"]


def test_thousands_of_timers_due_at_once_all_run(loop):
    order = []
    now = loop.time()
    for n in range(20_000):
        loop.call_at(now - n, order.append, n)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert order == list(reversed(range(20_000)))


def test_sleep_returns_its_result_and_keeps_time(run):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        result = await asyncio.sleep(0.02, "slept")
        return result, loop.time() - began

    result, seconds = run(main())
    assert result == "slept"
    assert 0.019 <= seconds < 5


def test_sleepers_wake_in_order_of_their_deadlines(run):
    async def main():
        order = []

        async def sleeper(delay):
            await asyncio.sleep(delay)
            order.append(delay)

        await asyncio.gather(*map(sleeper, (0.03, 0.01, 0.02, 0, -1)))
        return order

    assert run(main()) == [0, -1, 0.01, 0.02, 0.03]


def test_a_cancelled_sleep_frees_its_timer(run):
    async def main():
        class Thing:
            pass

        task = asyncio.create_task(asyncio.sleep(3600, Thing()))
        await asyncio.sleep(0)
        held = leaks.count(Thing)
        task.cancel()
        await asyncio.wait([task])
        del task
        return held, leaks.count(Thing)

    assert run(main()) == (1, 0)


def test_a_future_resolved_before_its_sleep_ends_is_left_alone(same_trace):
    """The timer of asyncio.sleep sets its future only when nobody did so before."""

    async def script(loop, note):
        future = loop.create_future()
        loop.call_later(0, asyncio.futures._set_result_unless_cancelled, future, "timer")
        future.add_done_callback(lambda done: note(done.result()))
        note(await future)
        cancelled = loop.create_future()
        loop.call_later(0, asyncio.futures._set_result_unless_cancelled, cancelled, "timer")
        cancelled.cancel()
        await asyncio.sleep(0)
        note(cancelled)
        twice = loop.create_future()
        loop.call_later(0, asyncio.futures._set_result_unless_cancelled, twice, "timer")
        twice.set_result(1)
        await asyncio.sleep(0.001)

    same_trace(script, turns=False)


def test_timeouts_come_due(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(60))], timeout=0.01)
        for task in pending:
            task.cancel()
        return len(done), len(pending)

    assert run(main()) == (0, 1)


def test_a_moment_is_given_back_as_it_was_given(loop):
    whole = int(loop.time()) + 100
    timer = loop.call_at(whole, print)
    assert timer.when() == whole
    assert isinstance(timer.when(), int)
    assert isinstance(loop.call_later(1, print).when(), float)
    timer.cancel()


def test_a_delay_is_added_to_the_time_as_python_adds(same):
    class Float:
        def __float__(self):
            return 0.0

    delays = [
        0,
        True,
        0.0,
        fractions.Fraction(1, 1000),
        decimal.Decimal(0),
        "1",
        Float(),
        [],
        2**70,
    ]

    def scenario(loop):
        heard = []
        for delay in delays:
            try:
                loop.call_later(delay, heard.append, "called").cancel()
            except (TypeError, OverflowError) as error:
                heard.append(str(error))
        return heard

    assert len(same(scenario)) == 4


def busy(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def usual(outcomes):
    """What came out most often: a busy machine may stop a turn for more than a millisecond."""
    return collections.Counter(outcomes).most_common(1)[0][0]


def test_timers_that_one_turn_sets_alike_come_due_in_one_turn(run):
    """Though they are due at moments of their own: asyncio waits whole milliseconds, and programs rely on the order."""

    async def main():
        came = []

        async def sleeper(number):
            busy(0.0001)
            await asyncio.sleep(0.01)
            came.append(f"slept {number}")
            await asyncio.sleep(0)
            came.append(f"goes on {number}")

        await asyncio.gather(*[sleeper(number) for number in range(4)])
        return tuple(came)

    slept, goes_on = ([f"{what} {n}" for n in range(4)] for what in ("slept", "goes on"))
    assert usual(run(main()) for _ in range(9)) == (*slept, *goes_on)


def test_a_timer_fires_its_time_after_the_end_of_the_turn(run):
    """What sets a timer, and then notes when it was done, finds the whole time gone by."""

    async def main():
        loop = asyncio.get_running_loop()
        fired = loop.create_future()
        loop.call_later(0.01, lambda: fired.set_result(loop.time()))
        busy(0.0003)
        done = loop.time()
        return await fired - done >= 0.01

    assert usual(run(main()) for _ in range(9)) is True
