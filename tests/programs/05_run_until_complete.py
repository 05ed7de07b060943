"""Tutorial A, sections 1.2, 1.2.1 and 1.5.1: run_until_complete.

Blocks until the coroutine is done ("Waiting 3", then 3 seconds); takes a
coroutine or a future (ensure_future is applied inside); returns the result,
raises the exception.  The original calls asyncio.get_event_loop() with no loop
set: that still makes one up to 3.13 (warning from 3.12), and raises from 3.14.
"""
import asyncio
import sys
import warnings

import _seed as seed
from _seed import S, print


async def do_some_work(x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    print("Done")
    return x


def original_front_door():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if sys.version_info >= (3, 14):
            with seed.raises(RuntimeError):
                asyncio.get_event_loop()
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        else:
            loop = asyncio.get_event_loop()
        seed.check(asyncio.get_event_loop() is loop, "the same loop every time")
    return loop


def main():
    loop = original_front_door()
    with seed.timed(3, "run_until_complete(coro)"):
        seed.equal(loop.run_until_complete(do_some_work(3)), 3)
    seed.expect("Waiting 3", "Done")

    with seed.timed(3, "run_until_complete(ensure_future(coro))"), seed.quiet():
        seed.equal(loop.run_until_complete(asyncio.ensure_future(do_some_work(3))), 3)
    seed.expect("Waiting 3", "Done")

    fut = loop.create_future()
    with seed.timed(1, "run_until_complete(future)"):
        loop.call_later(S(1), fut.set_result, "plain future")
        seed.equal(loop.run_until_complete(fut), "plain future")
    seed.equal(loop.run_until_complete(fut), "plain future", "a done future returns at once")

    async def fails():
        raise LookupError("out of the coroutine")

    with seed.raises(LookupError, "out of the coroutine"):
        loop.run_until_complete(fails())
    with seed.raises(TypeError):
        loop.run_until_complete(do_some_work)        # the function, not the coroutine
    loop.close()


if __name__ == "__main__":
    seed.run(main)
