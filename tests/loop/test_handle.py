"""Handles: what call_soon and its family return."""

import asyncio
import contextvars
import gc
import sys
import threading
import weakref

import pytest


def noop(*args):
    """Do nothing, under a name that a repr shows."""


SCHEDULERS = {
    "call_soon": lambda loop, *args: loop.call_soon(*args),
    "call_soon_threadsafe": lambda loop, *args: loop.call_soon_threadsafe(*args),
    "call_later(0)": lambda loop, *args: loop.call_later(0, *args),
    "call_later": lambda loop, *args: loop.call_later(60, *args),
    "call_at": lambda loop, *args: loop.call_at(loop.time() + 60, *args),
}
TIMERS = [name for name in SCHEDULERS if name not in ("call_soon", "call_soon_threadsafe")]


@pytest.fixture(params=SCHEDULERS)
def schedule(request):
    """Each method that returns a handle."""
    return SCHEDULERS[request.param]


def test_handles_are_asyncios(loop, schedule):
    handle = schedule(loop, noop)
    assert isinstance(handle, asyncio.Handle)
    handle.cancel()


@pytest.mark.parametrize("name", TIMERS)
def test_timer_handles_are_asyncios(loop, name):
    handle = SCHEDULERS[name](loop, noop)
    assert isinstance(handle, asyncio.TimerHandle)
    assert isinstance(handle.when(), float)
    assert abs(handle.when() - loop.time()) < 61
    handle.cancel()


def test_plain_handles_are_no_timers(loop):
    handle = loop.call_soon(noop)
    assert not isinstance(handle, asyncio.TimerHandle)


def test_cancelled_is_told(loop, schedule):
    handle = schedule(loop, noop)
    assert handle.cancelled() is False
    assert handle.cancel() is None
    assert handle.cancelled() is True
    handle.cancel()
    assert handle.cancelled() is True


def test_a_cancelled_handle_does_not_run(loop, schedule):
    order = []
    handle = schedule(loop, order.append, 1)
    handle.cancel()
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert order == []


def test_a_handle_cancelled_by_an_earlier_callback_of_its_turn_does_not_run(loop):
    order = []
    loop.call_soon(lambda: handle.cancel())
    handle = loop.call_soon(order.append, 1)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == []


def test_cancel_after_running_is_harmless(loop):
    order = []
    soon = loop.call_soon(order.append, 1)
    later = loop.call_later(0, order.append, 2)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    soon.cancel()
    later.cancel()
    assert order == [1, 2]
    assert soon.cancelled()


def test_cancel_frees_the_callback_and_its_arguments(loop, schedule):
    class Thing:
        def __call__(self, *args):
            raise AssertionError("it was cancelled")

    thing, argument = Thing(), Thing()
    seen = [weakref.ref(thing), weakref.ref(argument)]
    handle = schedule(loop, thing, argument)
    del thing, argument
    gc.collect()
    assert all(ref() for ref in seen)
    handle.cancel()
    gc.collect()
    assert not any(ref() for ref in seen)


def test_running_frees_the_callback_and_its_arguments(loop):
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    loop.call_soon(noop, thing)
    loop.call_later(0, noop, thing)
    loop.call_later(0.001, loop.stop)
    del thing
    loop.run_forever()
    gc.collect()
    assert seen() is None


def test_a_dropped_handle_still_runs(loop):
    order = []
    loop.call_soon(order.append, 1)
    loop.call_later(0.001, order.append, 2)
    gc.collect()
    loop.call_later(0.003, loop.stop)
    loop.run_forever()
    assert order == [1, 2]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 9, 40])
def test_arguments_arrive_in_number(loop, schedule, count):
    heard = []

    def hear(*args):
        heard.append(args)
        loop.stop()

    args = tuple(range(count))
    if schedule in (SCHEDULERS["call_later"], SCHEDULERS["call_at"]):
        loop.call_later(0.001, hear, *args)
    else:
        schedule(loop, hear, *args)
    loop.run_forever()
    assert heard == [args]


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", ["call_soon", "call_at"])
def test_repr_is_asyncios(same, name, debug, cancelled):
    def scenario(loop):
        loop.set_debug(debug)
        if name == "call_soon":
            handle = loop.call_soon(noop, 1, "two")
        else:
            handle = loop.call_at(12345.5, noop, 1, "two")
        if cancelled:
            handle.cancel()
        return repr(handle)

    text = same(scenario)
    assert text.startswith("<Handle " if name == "call_soon" else "<TimerHandle ")


def test_repr_without_debug(loop):
    handle = loop.call_soon(noop, 1)
    assert repr(handle).startswith("<Handle noop(")
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"
    timer = loop.call_at(12345.5, noop)
    assert repr(timer).startswith("<TimerHandle when=12345.5 noop() at ")
    timer.cancel()
    assert repr(timer) == "<TimerHandle cancelled when=12345.5>"


def test_timer_handles_compare_by_deadline(loop):
    early, late = loop.call_at(1e9, noop), loop.call_at(2e9, noop)
    assert early < late
    assert late > early
    assert early <= late
    assert late >= early
    assert early != late
    assert early == early  # noqa: PLR0124
    assert hash(early) == hash(early.when())
    with pytest.raises(TypeError):
        early < 5  # noqa: B015
    early.cancel()
    late.cancel()


def test_handles_are_weakly_referable(loop, schedule):
    handle = schedule(loop, noop)
    assert weakref.ref(handle)() is handle
    handle.cancel()


def test_handles_run_in_the_context_they_were_made_in(loop, schedule):
    variable = contextvars.ContextVar("variable", default="outside")
    heard = []

    def hear():
        heard.append(variable.get())
        loop.stop()

    variable.set("maker")
    if schedule in (SCHEDULERS["call_later"], SCHEDULERS["call_at"]):
        loop.call_later(0.001, hear)
    else:
        schedule(loop, hear)
    variable.set("later")
    loop.run_forever()
    assert heard == ["maker"]


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_handles_run_in_the_context_they_are_given(loop, method):
    variable = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    heard = []

    def hear():
        heard.append(variable.get())
        variable.set("changed")
        loop.stop()

    args = {"call_later": [0.001], "call_at": [loop.time() + 0.001]}.get(method, [])
    getattr(loop, method)(*args, hear, context=context)
    loop.run_forever()
    assert heard == ["given"]
    assert context[variable] == "changed"
    assert variable.get() == "outside"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Handle.get_context came with 3.12")
def test_get_context(loop):
    context = contextvars.copy_context()
    assert loop.call_soon(noop, context=context).get_context() is context
    assert loop.call_later(1, noop, context=context).get_context() is context
    assert isinstance(loop.call_soon(noop).get_context(), contextvars.Context)


def test_a_handle_made_by_hand_runs(loop):
    """asyncio.Handle itself stays usable with our loop."""
    order = []
    handle = asyncio.Handle(order.append, (1,), loop)
    handle._run()
    assert order == [1]


def test_a_callback_that_raises_is_reported_with_its_handle(loop, complaints):
    def fail():
        raise ValueError("no")

    handle = loop.call_soon(fail)
    loop.call_soon(loop.stop)
    loop.run_forever()
    (context,) = complaints
    assert context["message"].startswith("Exception in callback test_a_callback_that_raises")
    assert isinstance(context["exception"], ValueError)
    assert context["handle"] is handle


def test_a_timer_that_raises_is_reported(same):
    def scenario(loop):
        loop.call_later(0, noop, 1)
        loop.call_later(0.001, lambda: 1 / 0)
        loop.call_later(0.002, loop.stop)
        loop.run_forever()

    same(scenario)


def test_something_not_callable_is_reported_when_it_runs(same):
    def scenario(loop):
        loop.call_soon(5)
        loop.call_soon(loop.stop)
        loop.run_forever()

    same(scenario)


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at", "call_soon_threadsafe"])
@pytest.mark.parametrize("what", ["coroutine function", "number", "coroutine"])
def test_debug_mode_refuses_wrong_callbacks(same, method, what):
    async def coroutine_function():
        """Never run."""

    def scenario(loop):
        loop.set_debug(True)
        callback = {"coroutine function": coroutine_function, "number": 7, "coroutine": None}[what]
        if what == "coroutine":
            callback = coroutine_function()
        try:
            args = [1] if method in ("call_later", "call_at") else []
            getattr(loop, method)(*args, callback)
        finally:
            if what == "coroutine":
                callback.close()

    assert same(scenario)[0] == "TypeError"


def test_none_for_a_moment_is_refused(same):
    def scenario(loop):
        with pytest.raises(TypeError, match="delay must not be None"):
            loop.call_later(None, noop)
        with pytest.raises(TypeError, match="when cannot be None"):
            loop.call_at(None, noop)
        return "refused"

    assert same(scenario) == "refused"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the guarantee came with 3.14")
def test_a_thread_safe_handle_is_cancelled_from_another_thread_for_good(loop):
    """After cancel returns in another thread, the callback neither runs nor will run."""
    running = []
    wrong = []
    stop = threading.Event()

    def canceller():
        for _ in range(2000):
            cancelled = threading.Event()

            def callback(cancelled=cancelled):
                running.append(1)
                if cancelled.is_set():
                    wrong.append(1)

            handle = loop.call_soon_threadsafe(callback)
            handle.cancel()
            cancelled.set()
        stop.set()
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=canceller)
    thread.start()
    loop.run_forever()
    thread.join()
    assert stop.is_set()
    assert wrong == []


def test_many_handles_do_not_nest(loop):
    """A long queue of handles is freed without deep recursion."""
    for _ in range(300_000):
        loop.call_soon(noop)
    loop.close()
