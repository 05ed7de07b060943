"""Contexts that are none: asyncio asks nothing of one but a ``run``."""

import asyncio
import contextvars
import sys

import pytest

VARIABLE = contextvars.ContextVar("variable", default="unset")


class Counting:
    """Runs what it is given, and counts."""

    def __init__(self):
        self.runs = 0

    def run(self, callback, *args):
        self.runs += 1
        return callback(*args)


def schedule(loop, way, context, *call):
    """Schedule a call in one of the ways that take a context."""
    if way == "call_later":
        loop.call_later(0, *call, context=context)
    elif way == "add_done_callback":
        future = loop.create_future()
        future.add_done_callback(lambda _: call[0](*call[1:]), context=context)
        future.set_result(None)
    else:
        getattr(loop, way)(*call, context=context)


WAYS = ["call_soon", "call_soon_threadsafe", "call_later", "add_done_callback"]


@pytest.mark.parametrize("way", WAYS)
def test_whatever_has_a_run_is_a_context(loop, complaints, way):
    context, heard = Counting(), []
    schedule(loop, way, context, heard.append, 1)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert (heard, context.runs, complaints) == ([1], 1, [])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("context", ["text", {}, 1])
def test_what_has_none_is_complained_of(loop, complaints, way, context):
    schedule(loop, way, context, VARIABLE.get)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    error = complaints[0]["exception"]
    assert str(error) == f"'{type(context).__name__}' object has no attribute 'run'"


def test_a_task_runs_in_whatever_has_a_run(same):
    def scenario(loop):
        async def steps():
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            try:
                await loop.create_future()
            except asyncio.CancelledError:
                return "cancelled"

        context, coroutine = Counting(), steps()
        try:
            task = loop.create_task(coroutine, context=context)
        except TypeError:  # 3.15 takes nothing but its own
            coroutine.close()
            raise
        loop.call_later(0.01, task.cancel)
        loop.call_later(0.03, loop.stop)
        loop.run_forever()
        assert task.done()
        return task.result(), context.runs

    same(scenario)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 knows no eager tasks")
def test_an_eager_task_in_an_entered_context_leaves_the_loop_usable(run, Task):
    if Task.__module__ == "_asyncio":
        pytest.skip("asyncio's own task leaves the loop stuck")

    async def main():
        context = contextvars.copy_context()

        def inside():
            work = nothing()
            with pytest.raises(RuntimeError, match="already entered"):
                Task(work, context=context, eager_start=True)._log_destroy_pending = False
            work.close()

        context.run(inside)
        await nothing()
        return VARIABLE.get()

    async def nothing():
        pass

    assert run(main()) == "unset"
