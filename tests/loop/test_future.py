"""Futures: states, results, callbacks and waiting."""

import asyncio
import concurrent.futures
import contextvars
import inspect

import pytest


def test_states(loop):
    future = loop.create_future()
    assert (future.done(), future.cancelled()) == (False, False)
    with pytest.raises(asyncio.InvalidStateError, match=r"Result is not (ready|set)\."):
        future.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"Exception is not set\."):
        future.exception()
    future.set_result(5)
    assert (future.done(), future.cancelled(), future.result()) == (True, False, 5)
    assert future.exception() is None
    assert future.cancel() is False


def test_settled_futures_refuse_a_second_end(loop):
    for settle in (
        lambda future: future.set_result(1),
        lambda future: (future.set_exception(ValueError()), future.exception()),
        lambda future: future.cancel(),
    ):
        future = loop.create_future()
        settle(future)
        with pytest.raises(asyncio.InvalidStateError):
            future.set_result(2)
        with pytest.raises(asyncio.InvalidStateError):
            future.set_exception(KeyError())
        assert future.cancel() is False


def test_cancelled_future(loop):
    future = loop.create_future()
    assert future.cancel("words") is True
    for ask in (future.result, future.exception):
        with pytest.raises(asyncio.CancelledError) as caught:
            ask()
        assert caught.value.args == ("words",)
    assert future.cancelled()
    bare = loop.create_future()
    bare.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        bare.result()
    assert caught.value.args == ()
    named = loop.create_future()
    named.cancel(msg="by name")
    with pytest.raises(asyncio.CancelledError, match="by name"):
        named.result()


def test_result_raises_the_exception_with_its_traceback(loop):
    future = loop.create_future()
    try:
        raise ValueError("from here")
    except ValueError as error:
        future.set_exception(error)
    for _ in range(3):
        with pytest.raises(ValueError, match="from here") as caught:
            future.result()
        assert caught.value is future.exception()
    depth = len(inspect.getinnerframes(caught.value.__traceback__))
    with pytest.raises(ValueError, match="from here") as caught:
        future.result()
    assert len(inspect.getinnerframes(caught.value.__traceback__)) == depth


def test_set_exception_takes_classes_and_refuses_others(same):
    def scenario(loop):
        future = loop.create_future()
        future.set_exception(LookupError)
        ends = [future.exception()]
        for wrong in (StopIteration, StopIteration(), 5, "words", None, object):
            other = loop.create_future()
            try:
                other.set_exception(wrong)
                ends.append(other.exception())
            except Exception as error:
                ends.append(error)
        return ends

    assert same(scenario)[0] == ("LookupError", [])


def test_callbacks_run_in_order_and_later(loop):
    order = []
    future = loop.create_future()
    for number in range(5):
        future.add_done_callback(lambda done, number=number: order.append((number, done is future)))
    future.set_result(None)
    assert order == []
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == [(number, True) for number in range(5)]


def test_remove_done_callback_counts(loop):
    heard = []
    one, two = heard.append, lambda done: heard.append("two")
    future = loop.create_future()
    for callback in (one, two, one, one, two):
        future.add_done_callback(callback)
    assert future.remove_done_callback(print) == 0
    assert future.remove_done_callback(one) == 3
    assert future.remove_done_callback(one) == 0
    future.set_result(None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert heard == ["two", "two"]


@pytest.mark.beyond_asyncio("some of its versions crash")
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_remove_done_callback_compares_by_equality_and_may_change_the_list(loop, count):
    class Evil:
        def __eq__(self, other):
            if not busy:
                busy.append(1)
                future.remove_done_callback(print)
                busy.clear()
            return False

        def __hash__(self):
            return 0

    busy = []
    future = loop.create_future()
    for _ in range(count):
        future.add_done_callback(print)
        future.add_done_callback(Evil())
    future.remove_done_callback(Evil())
    future.remove_done_callback(len)
    future.cancel()


def test_callbacks_are_shown(loop):
    future = loop.create_future()
    assert future._callbacks is None
    context = contextvars.copy_context()
    future.add_done_callback(print, context=context)
    future.add_done_callback(len)
    (first, first_context), (second, second_context) = future._callbacks
    assert (first, second) == (print, len)
    assert first_context is context
    assert isinstance(second_context, contextvars.Context)


def test_callbacks_run_in_their_context(loop):
    variable = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    heard = []
    future = loop.create_future()
    future.add_done_callback(lambda _: heard.append(variable.get()), context=context)
    variable.set("adder")
    future.add_done_callback(lambda _: heard.append(variable.get()))
    variable.set("setter")
    future.set_result(None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert heard == ["given", "adder"]


def test_a_callback_that_raises_is_reported_and_stops_no_other(same):
    def scenario(loop):
        heard = []
        future = loop.create_future()
        future.add_done_callback(lambda _: 1 / 0)
        future.add_done_callback(lambda _: heard.append("next"))
        future.set_result(None)
        loop.call_soon(loop.stop)
        loop.run_forever()
        return heard

    assert same(scenario) == ["next"]


def test_awaiting_gives_the_result_or_raises(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, (1, 2))
        assert await future == (1, 2)
        assert await future == (1, 2)
        future = loop.create_future()
        loop.call_soon(future.set_exception, KeyError("k"))
        with pytest.raises(KeyError):
            await future
        with pytest.raises(KeyError):
            await future
        for value in (None, StopIteration(5), (), ((1,),), ValueError("a value, not raised")):
            future = loop.create_future()
            loop.call_soon(future.set_result, value)
            assert await future is value

    run(main())


def test_the_iterator_by_hand(loop):
    future = loop.create_future()
    assert future._asyncio_future_blocking is False
    steps = future.__await__()
    assert next(steps) is future
    assert future._asyncio_future_blocking is True
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(steps)
    future = loop.create_future()
    steps = iter(future)
    assert steps.send(None) is future
    future._asyncio_future_blocking = False
    future.set_result(9)
    with pytest.raises(StopIteration) as caught:
        steps.send(None)
    assert caught.value.value == 9
    steps = loop.create_future().__await__()
    next(steps)
    with pytest.raises(ValueError, match="thrown"):
        steps.throw(ValueError("thrown"))
    steps.close()
    steps = iter(loop.create_future())
    with pytest.raises(TypeError):
        steps.throw(5)
    with pytest.raises(KeyError):
        steps.throw(KeyError)


def test_awaiting_outside_a_task(loop):
    async def main():
        await future

    future = loop.create_future()
    coro = main()
    assert coro.send(None) is future
    coro.close()


def test_blocking_flag_takes_only_truth(loop):
    future = loop.create_future()
    future._asyncio_future_blocking = True
    assert future._asyncio_future_blocking is True
    with pytest.raises(AttributeError):
        del future._asyncio_future_blocking


def test_wrap_future(run):
    async def main():
        foreign = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(foreign)
        foreign.set_result(4)
        assert await wrapped == 4
        foreign = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(foreign)
        wrapped.cancel()
        await asyncio.sleep(0)
        return foreign.cancelled()

    assert run(main()) is True


def test_many_waiters(run):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def waiter(number):
            return number, await future

        tasks = [asyncio.create_task(waiter(number)) for number in range(300)]
        await asyncio.sleep(0)
        future.set_result("x")
        return await asyncio.gather(*tasks)

    assert run(main()) == [(number, "x") for number in range(300)]
