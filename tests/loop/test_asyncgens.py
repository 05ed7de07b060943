"""Asynchronous generators: finalised by the loop, at the end and when they are dropped."""

import asyncio
import gc
import sys

import pytest

from loopkit import children


def counting(order):
    """Return an asynchronous generator that notes its end."""

    async def numbers():
        try:
            for number in range(100):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            order.append("closed")

    return numbers()


def test_a_generator_dropped_in_the_middle_is_closed(run):
    async def main():
        order = []
        async for number in counting(order):
            if number == 3:
                break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        return order

    assert run(main()) == ["closed"]


def test_shutdown_closes_what_is_left(loop):
    order = []
    kept = []

    async def main():
        for _ in range(3):
            kept.append(counting(order))
            await anext(kept[-1])

    loop.run_until_complete(main())
    assert order == []
    assert loop.run_until_complete(loop.shutdown_asyncgens()) is None
    assert order == ["closed"] * 3
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_a_generator_begun_after_shutdown_warns(loop):
    async def main():
        await loop.shutdown_asyncgens()
        with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
            async for _ in counting([]):
                pass

    loop.run_until_complete(main())


def test_a_generator_that_fails_at_shutdown_is_reported(loop, complaints):
    async def failing():
        try:
            yield 1
        finally:
            raise ValueError("at the end")

    kept = failing()

    async def main():
        await anext(kept)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    (context,) = complaints
    assert context["message"].startswith(
        "an error occurred during closing of asynchronous generator "
    )
    assert isinstance(context["exception"], ValueError)
    assert context["asyncgen"] is kept


def test_hooks_are_those_of_the_loop_while_it_runs_only(loop):
    before = sys.get_asyncgen_hooks()

    async def look():
        return sys.get_asyncgen_hooks()

    inside = loop.run_until_complete(look())
    assert callable(inside.firstiter)
    assert callable(inside.finalizer)
    assert sys.get_asyncgen_hooks() == before


def test_hooks_of_the_outside_are_put_back(loop):
    def mine(generator):
        """Stand in for somebody's hook."""

    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=mine, finalizer=mine)
    try:
        loop.run_until_complete(asyncio.sleep(0))
        with pytest.raises(ZeroDivisionError):
            loop.run_until_complete(fail())
        assert sys.get_asyncgen_hooks() == (mine, mine)
    finally:
        sys.set_asyncgen_hooks(*before)


async def fail():
    """Raise."""
    return 1 / 0


def test_a_generator_dropped_after_its_loop_closed(driver):
    code = """
    import gc
    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
    loop = new_loop()
    kept = numbers()
    loop.run_until_complete(kept.__anext__())
    loop.close()
    del kept
    gc.collect()
    print("fine")
    """
    status, out, _ = children.run_python(code, driver)
    assert (status, out) == (0, "fine\n")


def test_a_generator_dropped_in_another_thread(loop):
    import threading

    order = []
    kept = [counting(order)]

    async def main():
        await anext(kept[0])
        thread = threading.Thread(target=kept.clear)
        thread.start()
        thread.join()
        for _ in range(20):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert order == ["closed"]


def test_generators_of_tasks_that_are_cancelled(run):
    async def main():
        order = []

        async def consume():
            async for _ in counting(order):
                pass

        tasks = [asyncio.create_task(consume()) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
        return order

    assert run(main()) == ["closed"] * 5
