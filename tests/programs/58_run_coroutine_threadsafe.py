"""Tutorial E: run_coroutine_threadsafe into a loop of another thread,
ended by call_soon_threadsafe(partial(shutdown, new_loop)).

The future is pending, then gives 'A' within result(timeout=2); a shorter
timeout raises TimeoutError; exceptions and cancellation come across.  As in the
original the caller is a coroutine of another loop, which stands still meanwhile.
"""
import asyncio
import concurrent.futures
from functools import partial
from threading import Thread

import _seed as seed
from _seed import S, print


async def a():
    await asyncio.sleep(S(1))
    return "A"


def start_loop(loop):
    asyncio.set_event_loop(loop)
    loop.run_forever()


def shutdown(loop):
    loop.stop()


async def b1():
    new_loop = asyncio.new_event_loop()
    t = Thread(target=start_loop, args=(new_loop,))
    t.start()
    with seed.timed(1, "result(timeout=2)"):
        future = asyncio.run_coroutine_threadsafe(a(), new_loop)
        print(future)
        seed.check(isinstance(future, concurrent.futures.Future) and "state=pending" in str(future))
        print(f"Result: {future.result(timeout=S(2) + 1)}")

    slow = asyncio.run_coroutine_threadsafe(a(), new_loop)
    with seed.raises(concurrent.futures.TimeoutError):
        slow.result(timeout=S(0.5))
    seed.equal(slow.result(timeout=30), "A")

    # From here it can also be awaited, which does not stop this loop.
    seed.equal(await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(a(), new_loop)), "A")

    async def fails():
        raise LookupError("from the other loop")

    with seed.raises(LookupError, "from the other loop"):
        asyncio.run_coroutine_threadsafe(fails(), new_loop).result(30)

    log = []

    async def kept():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    future = asyncio.run_coroutine_threadsafe(kept(), new_loop)
    await asyncio.sleep(S(0.5))
    seed.check(future.cancel())
    await asyncio.sleep(S(0.5))
    seed.equal(log, ["cancelled"])
    with seed.raises(TypeError):
        asyncio.run_coroutine_threadsafe(a, new_loop)

    seed.check(t.is_alive())
    new_loop.call_soon_threadsafe(partial(shutdown, new_loop))
    t.join(30)
    seed.check(not t.is_alive() and not new_loop.is_running())
    new_loop.close()


def main():
    asyncio.run(b1())
    seed.equal(seed.lines()[1], "Result: A")


if __name__ == "__main__":
    seed.run(main)
