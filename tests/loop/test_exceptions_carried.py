"""What an exception carries through futures, tasks and reads: traceback, context and cause, as on asyncio's own."""

import asyncio
import dataclasses
import gc
import sys
import traceback
import weakref

import pytest

conbrio = pytest.importorskip("conbrio")


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """One of whose attributes none can be set by a statement."""

    code: int


class SecretiveError(Exception):
    """One that has ideas of its own about its traceback."""

    @property
    def __traceback__(self):
        raise KeyError("traceback")


AWAIT = {
    "task": asyncio.ensure_future,
    "gather": asyncio.gather,
    "shield": asyncio.shield,
    "wait_for": lambda coro: asyncio.wait_for(coro, 5),
    "as_completed": lambda coro: next(iter(asyncio.as_completed([coro]))),
    "native gather": conbrio.gather,
    "native wait_for": lambda coro: conbrio.wait_for(coro, 5),
}


@pytest.mark.parametrize("kind", [FrozenError, SecretiveError])
@pytest.mark.parametrize("how", AWAIT)
def test_an_exception_whose_traceback_no_statement_sets(run, how, kind):
    async def bad():
        await asyncio.sleep(0)
        raise kind(5)

    async def main():
        with pytest.raises(kind) as caught:
            await AWAIT[how](bad())
        return caught.value.args == (5,) or caught.value.code == 5

    assert run(main())


def test_a_frozen_one_out_of_an_executor_a_run_and_a_reader(run):
    def bad():
        raise FrozenError(1)

    async def raises():
        bad()

    async def main():
        with pytest.raises(FrozenError):
            await asyncio.get_running_loop().run_in_executor(None, bad)
        for kind in asyncio.StreamReader, conbrio.StreamReader:
            reader = kind()
            task = asyncio.create_task(reader.read(1))
            await asyncio.sleep(0)
            reader.set_exception(FrozenError(2))
            with pytest.raises(FrozenError):
                await task
        failed = asyncio.create_task(raises())
        await asyncio.wait([failed])
        with pytest.raises(FrozenError) as caught:
            failed.result()
        frames = [frame.name for frame in traceback.extract_tb(caught.tb)]
        assert frames[-2:] == ["raises", "bad"]
        raise FrozenError(3)

    with pytest.raises(FrozenError) as caught:
        run(main())
    assert caught.value.code == 3


WRONG = {
    "set_result": lambda done, pending: done.set_result(2),
    "set_exception": lambda done, pending: done.set_exception(KeyError()),
    "result": lambda done, pending: pending.result(),
    "exception": lambda done, pending: pending.exception(),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_wrong_call_raises_has_its_context(loop, what):
    done, pending = loop.create_future(), loop.create_future()
    done.set_result(1)
    with pytest.raises(asyncio.InvalidStateError) as caught:  # noqa: PT012
        try:
            raise KeyError("first")
        except KeyError:
            WRONG[what](done, pending)
    assert repr(caught.value.__context__) == "KeyError('first')"


READS = {
    "readuntil": lambda reader: reader.readuntil(b"\n"),
    "readline": lambda reader: reader.readline(),
    "anext": lambda reader: reader.__anext__(),
}


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("read", READS)
def test_what_a_read_raises_has_its_context(either, read, early):
    async def scenario(names):
        trace = []
        reader = names.StreamReader(limit=4, loop=asyncio.get_running_loop())

        async def reads():
            try:
                raise KeyError("first")
            except KeyError:
                await READS[read](reader)

        if early:
            reader.feed_data(b"too much of it")
        task = asyncio.ensure_future(reads())
        await asyncio.sleep(0)
        if not early:
            reader.feed_data(b"too much of it")
        await asyncio.wait([task])
        error = task.exception()
        while error is not None:
            trace.append(repr(error))
            error = error.__context__
        return trace

    either(scenario)


@pytest.mark.parametrize("how", ["read", "readline", "anext"])
@pytest.mark.parametrize("early", [True, False])
def test_a_read_does_not_return_by_an_exception(either, how, early):
    async def scenario(names):
        reader = names.StreamReader(loop=asyncio.get_running_loop())
        if early:
            reader.set_exception(StopIteration(5))
        read = reader.__anext__() if how == "anext" else getattr(reader, how)()
        task = asyncio.ensure_future(read)
        await asyncio.sleep(0)
        if not early:
            reader.set_exception(ValueError(5))
        try:
            return await task
        except Exception as error:
            return repr(error), repr(error.__cause__)

    either(scenario)


MISUSES = ("bad yield", "itself", "another loop")


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_misuse_on_the_standard_loop_keeps_nothing_alive(misuse):
    class Bad:
        def __await__(self):
            yield 5

    async def misuses(held, other):
        held.append(weakref.ref(asyncio.current_task()))
        if misuse == "bad yield":
            await Bad()
        elif misuse == "itself":
            await asyncio.current_task()
        else:
            await other.create_future()

    def once():
        loop, other, held = asyncio.SelectorEventLoop(), asyncio.SelectorEventLoop(), []
        with pytest.raises(RuntimeError):
            loop.run_until_complete(conbrio.Task(misuses(held, other), loop=loop))
        loop.close()
        other.close()
        return held[0]

    gone = [once() for _ in range(3)]
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


@pytest.mark.parametrize("debug", [False, True])
def test_a_failed_callback_is_named_with_its_arguments_as_asyncio_names_it(same, debug):
    def scenario(loop):
        def boom(*args):
            raise ValueError(args)

        messages = []
        loop.set_debug(debug)
        loop.set_exception_handler(lambda _, context: messages.append(context["message"]))
        loop.call_soon(boom, 1, "x")
        loop.call_later(0, boom, 2)
        loop.call_soon_threadsafe(boom, 3)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.run_until_complete(asyncio.sleep(0.001))
        return messages

    messages = same(scenario)
    assert len(messages) == 3
    if debug or sys.version_info < (3, 12):
        assert "boom(1, 'x')" in messages[0]


class Contrary:
    """A callback that equals nothing, not even itself, or will not say."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, future):
        raise AssertionError("removed")

    def __eq__(self, other):
        if self.answer is None:
            raise KeyError("eq")
        return self.answer

    __hash__ = None


@pytest.mark.parametrize("answer", [False, None])
@pytest.mark.parametrize("before", [0, 2])
def test_a_callback_is_removed_by_identity_first(loop, answer, before):
    future, callback = loop.create_future(), Contrary(answer)
    for _ in range(before if answer is False else 0):
        future.add_done_callback(print)
    future.add_done_callback(callback)
    if answer is None:
        with pytest.raises(KeyError):
            future.remove_done_callback(print)
    assert future.remove_done_callback(callback) == 1
    assert future.remove_done_callback(print) == (before if answer is False else 0)


def test_the_callback_that_waits_is_the_one_that_compares(loop):
    class Asked:
        def __init__(self, name):
            self.name = name

        def __call__(self, future):
            pass

        def __eq__(self, other):
            asked.append(self.name)
            return True

        __hash__ = None

    asked = []
    future = loop.create_future()
    future.add_done_callback(Asked("waits"))
    assert future.remove_done_callback(Asked("given")) == 1
    assert asked == ["waits"]


def test_what_ends_a_future_takes_no_context_from_outside(loop):
    async def main():
        future = loop.create_future()
        loop.call_soon(future.set_exception, ValueError("inner"))
        try:
            await future
        except ValueError as error:
            return error.__context__

    try:
        raise KeyError("outer")
    except KeyError:
        assert loop.run_until_complete(main()) is None


@pytest.mark.parametrize("how", ["future", "task", "native wait", "must cancel"])
def test_a_cancelled_wait_has_the_exception_that_is_handled_for_a_context(same, how):
    """A loop that runs on in an `except` or `finally` block, as `asyncio.run` does when its main coroutine has failed."""

    def scenario(loop):
        async def wait():
            try:
                if how == "future":
                    await loop.create_future()
                elif how == "task":
                    await asyncio.ensure_future(loop.create_future())
                elif how == "native wait":
                    await event.wait()
                else:
                    await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                return repr(error.__context__)

        async def main():
            nonlocal event
            event = conbrio.Event() if type(loop) is conbrio.Loop else asyncio.Event()
            task = loop.create_task(wait())
            await asyncio.sleep(0)
            return task

        event = None
        task = loop.run_until_complete(main())
        task.cancel()
        try:
            raise ValueError("handled")
        except ValueError:
            return loop.run_until_complete(task)

    same(scenario)
