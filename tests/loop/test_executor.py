"""run_in_executor and the default executor."""

import asyncio
import concurrent.futures
import contextvars
import gc
import sys
import threading
import time
import weakref

import pytest


def test_runs_in_another_thread(run):
    async def main():
        loop = asyncio.get_running_loop()
        here = threading.get_ident()
        there = await loop.run_in_executor(None, threading.get_ident)
        return here != there, await loop.run_in_executor(None, divmod, 7, 2)

    assert run(main()) == (True, (3, 1))


def test_exceptions_come_back(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)
        with pytest.raises(TypeError):
            await loop.run_in_executor(None, divmod)

    run(main())


def test_returns_a_future_of_the_loop(run, Future):
    async def main():
        future = asyncio.get_running_loop().run_in_executor(None, int)
        assert isinstance(future, asyncio.Future)
        assert type(future) is Future
        return await future

    assert run(main()) == 0


def test_the_loop_turns_meanwhile(run):
    async def main():
        loop = asyncio.get_running_loop()
        gate = threading.Event()
        future = loop.run_in_executor(None, gate.wait)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not future.done()
        gate.set()
        return await future

    assert run(main()) is True


def test_own_executor(run):
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="own") as executor:
            return await loop.run_in_executor(executor, lambda: threading.current_thread().name)

    assert run(main()).startswith("own")


def test_default_executor_is_named_and_shared(run):
    async def main():
        loop = asyncio.get_running_loop()
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        other = await asyncio.to_thread(lambda: threading.current_thread().name)
        return name, other

    name, other = run(main())
    assert name.startswith("asyncio_")
    assert other.startswith("asyncio_")


def test_set_default_executor(same):
    def scenario(loop):
        try:
            loop.set_default_executor(5)
        except TypeError as error:
            end = error
        executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
        loop.set_default_executor(executor)

        async def main():
            return await loop.run_in_executor(None, lambda: threading.current_thread().name)

        return end, loop.run_until_complete(main())

    end, name = same(scenario)
    assert end == ("TypeError", ["executor must be ThreadPoolExecutor instance"])
    assert name == "mine_0"


def test_shutdown_refuses_new_work(same):
    def scenario(loop):
        async def main():
            await loop.run_in_executor(None, int)
            assert await loop.shutdown_default_executor() is None
            await loop.shutdown_default_executor()
            loop.run_in_executor(None, int)

        return main()

    assert same(scenario) == ("RuntimeError", ["Executor shutdown has been called"])


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the timeout works since 3.13")
def test_shutdown_with_a_timeout_warns(loop_factory):
    loop = loop_factory()
    gate = threading.Event()

    async def main():
        future = loop.run_in_executor(None, gate.wait, 20)
        with pytest.warns(
            RuntimeWarning, match="The executor did not finishing joining its threads within"
        ):
            await loop.shutdown_default_executor(timeout=0.02)
        gate.set()
        return await future

    assert loop.run_until_complete(main()) is True
    loop.close()
    deadline = time.monotonic() + 10
    while any(each.name.startswith("asyncio_") for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_context_is_carried_by_to_thread_only(run):
    variable = contextvars.ContextVar("variable", default="outside")

    async def main():
        variable.set("inside")
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(variable.get), await loop.run_in_executor(None, variable.get)

    assert run(main()) == ("inside", "outside")


def test_cancelled_work_that_did_not_begin_never_does(run):
    async def main():
        loop = asyncio.get_running_loop()
        ran = []
        gate = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            first = loop.run_in_executor(executor, gate.wait)
            second = loop.run_in_executor(executor, ran.append, 1)
            second.cancel()
            await asyncio.sleep(0)
            gate.set()
            await first
        return ran

    assert run(main()) == []


def test_answers_after_the_loop_closed_are_dropped(loop_factory, no_leaks):
    loop = loop_factory()
    gate = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)

    async def main():
        return loop.run_in_executor(executor, gate.wait)

    future = loop.run_until_complete(main())
    loop.close()
    gate.set()
    executor.shutdown()
    assert not future.done()


def test_many_jobs(run):
    async def main():
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(None, abs, -number) for number in range(2000)]
        return sum(await asyncio.gather(*jobs))

    assert run(main()) == sum(range(2000))


@pytest.mark.parametrize("wrong", [5, None, "words"])
def test_what_cannot_be_called(same, wrong):
    def scenario(loop):
        async def main():
            await loop.run_in_executor(None, wrong)

        return main()

    assert same(scenario)[0] == "TypeError"


def test_debug_mode_refuses_coroutines(same):
    async def coroutine_function():
        """Never run."""

    def scenario(loop):
        loop.set_debug(True)
        loop.run_in_executor(None, coroutine_function)

    assert same(scenario)[0] == "TypeError"


def test_run_coroutine_threadsafe(loop):
    async def double(number):
        await asyncio.sleep(0)
        return 2 * number

    ends = []

    def from_elsewhere():
        ends.append(asyncio.run_coroutine_threadsafe(double(4), loop).result(10))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=from_elsewhere)
    thread.start()
    loop.run_forever()
    thread.join()
    assert ends == [8]


def test_cancelled_future_cancels_the_job(loop):
    gate = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        first = loop.run_in_executor(executor, gate.wait)
        ran = []
        second = loop.run_in_executor(executor, ran.append, 1)

        async def main():
            second.cancel()
            await asyncio.sleep(0)
            gate.set()
            await first

        loop.run_until_complete(main())
    assert ran == []
    assert second.cancelled()


def test_job_ends_after_its_future_was_cancelled(loop):
    begun, gate = threading.Event(), threading.Event()
    caught = []
    loop.set_exception_handler(lambda _loop, context: caught.append(context))

    def job():
        begun.set()
        gate.wait()

    async def main():
        future = loop.run_in_executor(None, job)
        begun.wait()
        future.cancel()
        await asyncio.sleep(0)
        gate.set()
        await loop.shutdown_default_executor()
        await asyncio.sleep(0)
        return future.cancelled()

    assert loop.run_until_complete(main()) is True
    assert caught == []


def test_job_that_ends_after_the_loop_is_silent(loop_factory, caplog):
    loop = loop_factory()
    gate = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    future = loop.run_in_executor(executor, gate.wait)
    loop.close()
    gate.set()
    executor.shutdown()
    assert not future.done()
    assert [record.exc_text or record.getMessage() for record in caplog.records] == []


def test_job_whose_future_was_given_a_result_is_reported(loop):
    begun, gate = threading.Event(), threading.Event()
    caught = []
    loop.set_exception_handler(lambda _loop, context: caught.append(type(context["exception"])))

    def job():
        begun.set()
        gate.wait()

    async def main():
        future = loop.run_in_executor(None, job)
        begun.wait()
        future.set_result(5)
        gate.set()
        await loop.shutdown_default_executor()
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert caught == [AssertionError]


def test_errors_of_jobs_are_asyncios(loop):
    def job(error):
        raise error

    async def main():
        found = []
        for error in (
            concurrent.futures.CancelledError("a"),
            concurrent.futures.InvalidStateError("b"),
            KeyError("c"),
        ):
            try:
                await loop.run_in_executor(None, job, error)
            except BaseException as raised:
                found.append((type(raised), raised.args))
        return found

    assert loop.run_until_complete(main()) == [
        (asyncio.CancelledError, ("a",)),
        (asyncio.InvalidStateError, ("b",)),
        (KeyError, ("c",)),
    ]


def test_executors_future_of_another_class_works(loop):
    class Job(concurrent.futures.Future):
        def result(self, timeout=None):
            return super().result(timeout) + 1

    class Numbers(concurrent.futures.Executor):
        def submit(self, fn, /, *args, **kwargs):
            job = Job()
            job.set_result(1)
            return job

    async def plus_one():
        return await asyncio.get_running_loop().run_in_executor(Numbers(), int)

    # Some versions of asyncio take what the future holds, not what it says.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        expected = runner.run(plus_one())
    assert loop.run_until_complete(plus_one()) == expected


def test_what_a_job_held_is_freed(loop):
    class Thing:
        pass

    async def main():
        thing = Thing()
        future = loop.run_in_executor(None, lambda given: given, thing)
        answer = await future
        found = weakref.ref(answer)
        del thing, answer, future
        await loop.run_in_executor(None, int)  # the thread lets go of its last job
        return found() is None

    gc.collect()
    gc.disable()
    try:
        assert loop.run_until_complete(main()) is True
    finally:
        gc.enable()


class Inline(concurrent.futures.Executor):
    """Does a job when it is given it."""

    def submit(self, fn, /, *args):
        job = concurrent.futures.Future()
        job.set_result(fn(*args))
        return job


@pytest.mark.parametrize("debug", [False, True])
def test_a_job_that_is_done_in_the_loops_thread_ends_when_it_does_on_asyncio(same, debug):
    async def scenario_of(loop):
        order = []
        loop.set_debug(debug)
        loop.call_soon(order.append, "before")
        future = loop.run_in_executor(Inline(), int, "5")
        order.append(future.done())
        future.add_done_callback(lambda _: order.append("done"))
        loop.call_soon(order.append, "after")
        order.append(await future)
        await asyncio.sleep(0)
        return order

    same(scenario_of)


@pytest.mark.parametrize("cancels", [False, True])
def test_a_job_that_ends_in_the_loops_thread_can_still_be_cancelled_where_it_can_on_asyncio(
    same, cancels
):
    async def scenario(loop):
        job = concurrent.futures.Future()

        class One(concurrent.futures.Executor):
            def submit(self, fn, /, *args):
                return job

        future = loop.run_in_executor(One(), int)
        job.set_result(3)
        cancelled = future.cancel() if cancels else None
        try:
            return cancelled, await future
        except asyncio.CancelledError:
            return cancelled, "cancelled"

    same(scenario)
