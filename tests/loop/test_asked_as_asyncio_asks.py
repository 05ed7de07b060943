"""What futures, tasks, groups and streams ask of others and refuse, beside asyncio's own: the same programs, the same ends."""

import asyncio
import contextvars
import decimal
import fractions
import gc
import sys
import threading

import pytest

from loopkit.either import both


def ended(call, *args, **options):
    """Return what a call gives or raises, in a form that compares."""
    try:
        return repr(call(*args, **options))
    except BaseException as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize("inner", ["task", "future"])
def test_a_cancel_of_one_objects_own_is_asked(inner):
    async def main():
        loop = asyncio.get_running_loop()
        awaited = (
            asyncio.create_task(asyncio.sleep(0.02)) if inner == "task" else loop.create_future()
        )
        asked = []
        awaited.cancel = lambda msg=None: bool(asked.append(msg))

        async def wait():
            return await awaited

        waiting, gathered = asyncio.create_task(wait()), asyncio.gather(awaited)
        await asyncio.sleep(0)
        waiting.cancel("words")
        was = gathered.cancel()
        if inner == "future":
            awaited.set_result(1)
        ends = await asyncio.gather(waiting, awaited, gathered, return_exceptions=True)
        return was, asked, [repr(end) for end in ends]

    ours, theirs = both(main)
    assert ours == theirs


def test_a_group_aborts_in_the_context_of_who_has_entered_it():
    variable = contextvars.ContextVar("variable", default="base")

    async def main():
        seen = []

        class Awaited(asyncio.Future):
            def cancel(self, msg=None):
                seen.append(variable.get())
                return super().cancel(msg)

        async def wait():
            await Awaited()

        async def fail():
            await asyncio.sleep(0)
            raise ValueError

        variable.set("main")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                group.create_task(fail())
        except* ValueError:
            seen.append("failed")
        return seen

    ours, theirs = both(main)
    assert ours == theirs == ["main", "failed"]


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("finishes", [True, False])
def test_an_exception_that_a_gathering_has_not_looked_at_is_told(keeps, finishes):
    async def main():
        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))

        async def bad():
            raise ValueError("lost")

        other = loop.create_future()
        gathered = asyncio.gather(bad(), other, return_exceptions=keeps)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if finishes:
            other.set_result(None)
            await asyncio.gather(gathered, return_exceptions=True)
        del gathered, other
        gc.collect()
        await asyncio.sleep(0)
        return told

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize(
    "delay", [decimal.Decimal("0.001"), fractions.Fraction(1, 1000), "x", True, 0.001, None]
)
def test_delays(delay):
    async def main():
        ends = []
        for wait in (
            lambda: asyncio.sleep(delay),
            lambda: asyncio.wait([asyncio.get_running_loop().create_future()], timeout=delay),
        ):
            try:
                await asyncio.wait_for(wait(), 0.05)
                ends.append("over")
            except Exception as error:
                ends.append((type(error).__name__, str(error)))
        return ends

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize(
    "exception", ["boom", ValueError, ValueError("v"), lambda: ValueError(), int, None, 5]
)
def test_exceptions_of_a_reader_that_waits(exception):
    async def main():
        reader = asyncio.StreamReader()
        reading = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        end = ended(reader.set_exception, exception)
        reading.cancel()
        (result,) = await asyncio.gather(reading, return_exceptions=True)
        return end, type(result).__name__, str(result)

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
@pytest.mark.parametrize(
    "given",
    [
        (ValueError,),
        (ValueError, None),
        (ValueError, "text"),
        (ValueError, ("a", "b")),
        (ValueError, ()),
        (ValueError, KeyError("k")),
        (Exception, KeyError("k")),
        (ValueError, UnicodeError("u")),
        (ValueError("v"), None),
        (ValueError("v"), 1),
        (ValueError, None, None),
        (ValueError, None, None, 1),
        (ValueError, None, 5),
        (int,),
        (5,),
        (),
    ],
)
def test_what_is_thrown_into_an_await(given):
    async def main():
        awaiting = asyncio.get_running_loop().create_future().__await__()
        next(awaiting)
        return ended(awaiting.throw, *given)

    ours, theirs = both(main)
    assert ours == theirs


def test_a_coroutine_that_is_given_twice():
    async def main():
        first, second = asyncio.sleep(0), asyncio.sleep(0)
        end = ended(asyncio.Task, first, coro=second)
        for coroutine in (first, second):
            coroutine.close()
        return end

    ours, theirs = both(main)
    assert ours == theirs


def test_callbacks_that_a_closed_loop_refuses_are_forgotten():
    async def main():
        loop = type(asyncio.get_running_loop())()
        future = loop.create_future()
        future.add_done_callback(print)
        future.add_done_callback(ended)
        loop.close()
        return ended(future.set_result, 1), repr(future), future.done()

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.skipif(sys.version_info < (3, 14), reason="a loop knows its current task until 3.13")
def test_an_eager_task_of_a_loop_that_another_thread_runs():
    async def main():
        other = type(asyncio.get_running_loop())()
        thread = threading.Thread(target=other.run_forever)
        thread.start()
        ran = []

        async def step():
            ran.append(asyncio.current_task())

        coroutine = step()
        kind, words = ended(asyncio.Task, coroutine, loop=other, eager_start=True)
        coroutine.close()
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()
        return kind, words.replace("conbrio.Loop", "").partition(" ")[2][-25:], ran

    ours, theirs = both(main)
    assert ours == theirs


def test_the_dictionary_of_a_streams_protocol():
    async def main():
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        kept = vars(protocol)
        kept["one"] = 1
        seen = [vars(protocol).setdefault("two", 2), protocol.two, protocol.one]
        del vars(protocol)["one"]
        seen += [vars(protocol).pop("two"), hasattr(protocol, "one"), hasattr(protocol, "two")]
        seen += [ended(vars(protocol).pop, "two"), vars(protocol).pop("two", None)]
        mine = vars(protocol)
        mine |= {"three": 3}
        mine.update(four=4)
        seen += [protocol.three, protocol.four, ended(mine.__delitem__, "none")]
        return seen

    ours, theirs = both(main)
    assert ours == theirs
