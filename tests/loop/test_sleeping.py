"""What ends `asyncio.sleep`: a timer's callback of asyncio's, which is not called where nobody could tell."""

import asyncio
import sys
from asyncio import futures

import pytest

from loopkit import subject

NAME = "_set_result_unless_cancelled"


def calls_of(function, *args):
    """Return how often asyncio's function is called meanwhile."""
    called = []

    def hear(frame, event, _arg):
        if event == "call" and frame.f_code.co_name == NAME:
            called.append(frame)

    sys.setprofile(hear)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return len(called)


def sleeping(result=None):
    async def main():
        assert await asyncio.sleep(0.001, result) is result

    return main()


@pytest.mark.beyond_asyncio("there the function is called each time")
def test_a_sleep_ends_without_a_call(loop):
    if not subject.classes().build_info()["native_tasks"]:
        pytest.skip("the fall-back's futures are CPython's own")
    assert calls_of(loop.run_until_complete, sleeping("slept")) == 0


def test_debug_mode_calls(loop):
    loop.set_debug(True)
    assert calls_of(loop.run_until_complete, sleeping()) == 1


def test_a_function_in_its_place_is_called(loop, monkeypatch):
    usual = getattr(futures, NAME)
    called = []

    def counted(future, result):
        called.append(result)
        usual(future, result)

    monkeypatch.setattr(futures, NAME, counted)
    loop.run_until_complete(sleeping("slept"))
    assert called == ["slept"]


def test_a_future_of_another_class_hears_its_result(loop):
    heard = []

    class Own(subject.classes().Future):
        def set_result(self, result):
            heard.append(result)
            super().set_result(result)

    loop.create_future = lambda: Own(loop=loop)
    assert calls_of(loop.run_until_complete, sleeping("slept")) == 1
    assert heard == ["slept"]


def test_a_loop_whose_call_soon_is_its_own_is_asked(loop):
    asked = []

    def call_soon(callback, *args, context=None):
        asked.append(callback)
        return type(loop).call_soon(loop, callback, *args, context=context)

    loop.call_soon = call_soon
    loop.run_until_complete(sleeping())
    assert len(asked) >= 2


def test_the_handle_looks_as_any_other(loop):
    function, future = getattr(futures, NAME), loop.create_future()
    handle = loop.call_later(60, function, future, "slept")
    assert handle._callback is function
    assert handle._args == (future, "slept")
    assert "<TimerHandle when=" in repr(handle)
    assert f"{NAME}(" in repr(handle)
    handle.cancel()
    assert handle.cancelled()
    assert handle._args is None
    handle = loop.call_later(60, function, future, "slept")
    handle._run()
    handle.cancel()
    assert future.result() == "slept"


@pytest.mark.parametrize("ended", [None, "cancelled", "done", "cancelled timer", "told to debug"])
def test_a_future_that_has_ended_meanwhile(same, ended):
    async def main(loop):
        heard = []
        future = loop.create_future()
        future.add_done_callback(lambda future: heard.append(future.cancelled()))
        timer = loop.call_later(0.001, getattr(futures, NAME), future, 1)
        other = loop.create_future()
        loop.call_later(0.002, other.set_result, None)
        if ended == "cancelled":
            future.cancel()
        elif ended == "done":
            future.set_result(2)
        elif ended == "cancelled timer":
            timer.cancel()
        elif ended == "told to debug":
            loop.set_debug(True)
        await other
        await asyncio.sleep(0)
        return heard, str(future), timer.cancelled()

    same(main)


def test_who_waits_goes_on_in_order(same_trace):
    async def script(loop, note):
        async def sleeper(name):
            note(name, "sleeps")
            await asyncio.sleep(0.001)
            loop.call_soon(note, name, "soon")
            note(name, "slept")

        loop.call_later(0.001, note, "timer")
        await asyncio.gather(*(sleeper(name) for name in "abc"))

    same_trace(script, turns=False)
