"""The life of a loop: run, stopped, run again, closed, and what it refuses in each state."""

import asyncio
import threading

import pytest

from loopkit import subject


def test_run_until_complete_returns_and_raises(same):
    async def give(value):
        return value

    async def fail():
        raise KeyError("k")

    def scenario(loop):
        assert loop.run_until_complete(give(5)) == 5
        with pytest.raises(KeyError, match="k"):
            loop.run_until_complete(fail())
        return loop.run_until_complete(asyncio.ensure_future(give(7), loop=loop))

    assert same(scenario) == 7


def test_run_until_complete_of_a_future_that_the_loop_is_stopped_before(same):
    def scenario(loop):
        future = loop.create_future()
        loop.call_soon(loop.stop)
        loop.run_until_complete(future)

    assert same(scenario) == ("RuntimeError", ["Event loop stopped before Future completed."])


def test_run_until_complete_leaves_no_callback_behind(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    future.set_result(1)
    order = []
    loop.call_soon(lambda: loop.call_soon(order.append, 1))
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert order == [1]


def test_run_until_complete_of_a_done_future(loop):
    future = loop.create_future()
    future.set_result("done")
    assert loop.run_until_complete(future) == "done"


def test_run_until_complete_refuses_what_is_no_awaitable(same):
    def scenario(loop):
        loop.run_until_complete(5)

    end = same(scenario)
    assert end[0] == "TypeError"


def test_run_until_complete_of_another_loops_future(same):
    def scenario(loop):
        other = subject.reference()
        try:
            loop.run_until_complete(other.create_future())
        finally:
            other.close()

    end = same(scenario)
    assert end[0] == "ValueError"


def test_running_and_closed_are_told(loop):
    assert not loop.is_running()
    assert not loop.is_closed()

    async def inside():
        return loop.is_running(), asyncio.get_running_loop() is loop

    assert loop.run_until_complete(inside()) == (True, True)
    assert not loop.is_running()
    loop.close()
    assert loop.is_closed()
    loop.close()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_repr_tells_the_state(loop):
    before = repr(loop)
    assert "running=False closed=False debug=False" in before
    assert before.startswith(f"<{type(loop).__name__} ")

    async def inside():
        return repr(loop)

    assert "running=True" in loop.run_until_complete(inside())
    loop.close()
    assert "closed=True" in repr(loop)


RUN_AGAIN = [
    lambda loop: loop.run_forever(),
    lambda loop: loop.run_until_complete(loop.create_future()),
]


@pytest.mark.parametrize("again", RUN_AGAIN)
def test_a_running_loop_refuses_to_run_again(same, again):
    def scenario(loop):
        async def inside():
            with pytest.raises(RuntimeError, match="This event loop is already running"):
                again(loop)

        loop.run_until_complete(inside())
        return "done"

    assert same(scenario) == "done"


def test_a_second_loop_refuses_to_run_inside_the_first(loop, loop_factory):
    other = loop_factory()

    async def inside():
        with pytest.raises(
            RuntimeError, match="Cannot run the event loop while another loop is running"
        ):
            other.run_forever()

    try:
        loop.run_until_complete(inside())
    finally:
        other.close()


def test_a_running_loop_refuses_to_run_in_a_second_thread(loop):
    errors = []

    def second():
        try:
            loop.run_forever()
        except RuntimeError as error:
            errors.append(str(error))

    async def inside():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()

    loop.run_until_complete(inside())
    assert errors == ["This event loop is already running"]


def test_a_running_loop_refuses_to_close(loop):
    async def inside():
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()

    loop.run_until_complete(inside())


AFTER_CLOSE = {
    "call_soon": lambda loop: loop.call_soon(print),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(print),
    "call_later": lambda loop: loop.call_later(1, print),
    "call_at": lambda loop: loop.call_at(1, print),
    "run_forever": lambda loop: loop.run_forever(),
    "run_until_complete": lambda loop: loop.run_until_complete(asyncio.Future(loop=loop)),
    "run_in_executor": lambda loop: loop.run_in_executor(None, print),
    "add_signal_handler": lambda loop: loop.add_signal_handler(12, print),
    "add_reader": lambda loop: loop.add_reader(0, print),
    "add_writer": lambda loop: loop.add_writer(1, print),
}


@pytest.mark.parametrize("name", AFTER_CLOSE)
def test_a_closed_loop_refuses(same, name):
    def scenario(loop):
        loop.close()
        AFTER_CLOSE[name](loop)

    assert same(scenario) == ("RuntimeError", ["Event loop is closed"])


def test_a_closed_loop_forgets_what_was_pending(loop):
    order = []
    loop.call_soon(order.append, 1)
    loop.call_later(0, order.append, 2)
    loop.close()
    assert order == []


def test_a_loop_runs_in_another_thread_than_it_was_made_in(loop):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(loop.run_until_complete(asyncio.sleep(0.001, "there")))
    )
    thread.start()
    thread.join()
    assert found == ["there"]
    assert loop.run_until_complete(asyncio.sleep(0, "here")) == "here"


def test_many_loops_one_after_the_other_leave_nothing(loop_factory, no_leaks):
    for _ in range(50):
        loop = loop_factory()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_what_a_running_loop_refuses_is_not_left_scheduled(loop, loop_factory):
    """Uvloop ran the coroutine of a refused run_until_complete afterwards."""
    ran, other = [], loop_factory()

    async def refused():
        ran.append("ran")

    async def main():
        for each in (loop, other):
            coro = refused()
            with pytest.raises(RuntimeError):
                each.run_until_complete(coro)
            coro.close()
        await asyncio.sleep(0.001)
        return len(asyncio.all_tasks())

    assert loop.run_until_complete(main()) == 1
    other.run_until_complete(asyncio.sleep(0))
    other.close()
    assert ran == []
