"""run and Runner: from synchronous code and back."""

import asyncio
import contextvars
import signal
import sys
import threading

import pytest

from loopkit import children, subject


async def value(result=None):
    """Return at once."""
    return result


@pytest.fixture
def doors(loop_factory, no_leaks):
    """``run`` and ``Runner`` of whoever makes the loop under test."""
    if subject.is_conbrio():
        return subject.classes().run, subject.classes().Runner
    return asyncio.run, lambda **options: asyncio.Runner(loop_factory=loop_factory, **options)


def test_run_returns_and_raises(doors):
    run, _ = doors
    assert run(value(5)) == 5

    async def fail():
        raise KeyError("k")

    with pytest.raises(KeyError, match="k"):
        run(fail())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@pytest.mark.parametrize("debug", [None, False, True])
def test_debug(doors, debug):
    run, runner = doors

    async def look():
        return asyncio.get_running_loop().get_debug()

    assert run(look(), debug=debug) is bool(debug)
    with runner(debug=debug) as each:
        assert each.run(look()) is bool(debug)


def test_run_refuses_what_asyncio_refuses(doors):
    run, runner = doors
    with pytest.raises(
        (ValueError, TypeError), match=r"a coroutine was expected|An asyncio.Future"
    ):
        run(5)
    with pytest.raises(TypeError):
        run(value, nonsense=1)

    async def inside():
        coro = value()
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            run(coro)
        coro.close()
        coro = value()
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            each.run(coro)
        coro.close()

    with runner() as each:
        each.get_loop()
        run(inside())


def test_the_end_of_run_cancels_what_is_left(doors):
    run, _ = doors
    order = []

    async def stay():
        try:
            await asyncio.sleep(60)
        finally:
            order.append("cancelled")

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            order.append("generator closed")

    async def main():
        main.kept = numbers()
        main.task = asyncio.create_task(stay())
        async for _ in main.kept:
            break
        await asyncio.sleep(0)
        await asyncio.to_thread(order.append, "thread")

    run(main())
    assert sorted(order) == ["cancelled", "generator closed", "thread"]


def test_a_left_task_that_fails_at_the_end_is_reported(doors):
    run, _ = doors
    heard = []

    async def stay():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("at the end") from None

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: heard.append(context))
        main.task = asyncio.create_task(stay())
        await asyncio.sleep(0)

    run(main())
    (context,) = heard
    assert context["message"] == "unhandled exception during asyncio.run() shutdown"
    assert context["task"] is main.task


def test_runner_keeps_its_loop_and_context(doors):
    _, runner = doors
    variable = contextvars.ContextVar("variable", default=0)

    async def step():
        variable.set(variable.get() + 1)
        return variable.get(), asyncio.get_running_loop()

    with runner() as each:
        first, loop = each.run(step())
        second, same_loop = each.run(step())
        assert (first, second) == (1, 2)
        assert loop is same_loop is each.get_loop()
        assert each.run(step(), context=contextvars.copy_context())[0] == 1
    assert variable.get() == 0
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="Runner is closed"):
        each.get_loop()


def test_runner_is_lazy():
    made = []
    runner = subject.classes().Runner if subject.is_conbrio() else asyncio.Runner
    each = runner(loop_factory=made.append)
    each.close()
    each.close()
    assert made == []


def test_runner_makes_our_loop(doors, loop_factory):
    _, runner = doors
    pattern = loop_factory()
    pattern.close()
    with runner() as each:
        assert type(each.get_loop()) is type(pattern)


def test_run_in_a_thread(doors):
    run, _ = doors
    ends = []
    thread = threading.Thread(target=lambda: ends.append(run(value(3))))
    thread.start()
    thread.join()
    assert ends == [3]


def test_runs_in_many_threads_at_once(doors):
    run, _ = doors
    ends = []

    async def main(number):
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        return number

    threads = [threading.Thread(target=lambda n=n: ends.append(run(main(n)))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == list(range(8))


def test_sigint_handler_is_put_back(doors):
    run, _ = doors
    before = signal.getsignal(signal.SIGINT)
    run(value())
    assert signal.getsignal(signal.SIGINT) is before


def test_keyboard_interrupt_from_inside(doors):
    run, _ = doors

    async def main():
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run(main())


def test_a_loop_factory_of_anyone(conbrio):
    made = []

    def factory():
        made.append(asyncio.SelectorEventLoop())
        return made[0]

    with conbrio.Runner(loop_factory=factory) as runner:
        assert runner.get_loop() is made[0]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="loop_factory came with 3.13")
def test_isolated_asyncio_test_case(driver):
    code = """
    import unittest
    kind = new_loop()
    kind.close()
    class Case(unittest.IsolatedAsyncioTestCase):
        loop_factory = staticmethod(new_loop)
        async def asyncSetUp(self):
            self.loop = asyncio.get_running_loop()
        async def test_one(self):
            await asyncio.sleep(0)
            self.assertIs(self.loop, asyncio.get_running_loop())
            self.assertIs(type(self.loop), type(kind))
        async def asyncTearDown(self):
            await asyncio.sleep(0)
    unittest.main(argv=["case"])
    """
    status, _, err = children.run_python(code, driver)
    assert status == 0, err
    assert "OK" in err
