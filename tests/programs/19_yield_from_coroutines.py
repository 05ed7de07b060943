"""Tutorial B, "the old way of writing asyncio"; the form is also
in Tutorial D.

@asyncio.coroutine + yield from, two hello() given to asyncio.wait: both print,
a pause of 1 second, both print again, on the main thread.  The decorator is
gone from 3.11 on: there types.coroutine carries the same generator (as a task
itself up to 3.11; from 3.12 a task wants a coroutine around it).
"""
import asyncio
import sys
import threading
import types

import _seed as seed
from _seed import S, print

if sys.version_info < (3, 11):
    with seed.quiet():
        coroutine = asyncio.coroutine
else:
    seed.check(not hasattr(asyncio, "coroutine"))
    coroutine = types.coroutine

with seed.quiet():
    @coroutine
    def hello():
        print("Hello world! (%s)" % threading.current_thread().name)
        yield from asyncio.sleep(S(1))
        print("Hello again! (%s)" % threading.current_thread().name)
        return 42


async def around(generator):
    return await generator


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with seed.timed(1), seed.quiet():
        tasks = [hello(), hello()]
        if sys.version_info >= (3, 11):
            tasks = [loop.create_task(around(t)) for t in tasks]
        done, _ = loop.run_until_complete(asyncio.wait(tasks))
    seed.equal([t.result() for t in done], [42, 42])
    seed.expect("Hello world! (MainThread)", "Hello world! (MainThread)",
                "Hello again! (MainThread)", "Hello again! (MainThread)")

    if sys.version_info >= (3, 12):
        generator = hello()
        with seed.raises(TypeError, "a coroutine was expected"):
            loop.create_task(generator)
        generator.close()
    else:
        seed.equal(loop.run_until_complete(loop.create_task(hello())), 42)

    # Both directions: async def awaits it, it yields from an awaitable future.
    @types.coroutine
    def old(fut):
        return (yield from fut)

    async def new():
        fut = loop.create_future()
        loop.call_soon(fut.set_result, "old and new")
        return await old(fut)

    seed.equal(loop.run_until_complete(new()), "old and new")
    # A bare `yield` gives one turn of the loop.
    turns = []

    @types.coroutine
    def bare():
        yield
        turns.append("back")

    async def run_bare():
        loop.call_soon(turns.append, "other")
        await bare()

    loop.run_until_complete(run_bare())
    seed.equal(turns, ["other", "back"])
    loop.close()


if __name__ == "__main__":
    seed.run(main)
