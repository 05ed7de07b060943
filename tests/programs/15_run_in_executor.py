"""Tutorial A, section 2: blocking calls through run_in_executor.

fetch_async(func, *args) awaits loop.run_in_executor(None, func, *args); two
time.sleep(4) do not get in each other's way: 4 seconds in all, two datetimes.
"""
import asyncio
import datetime
import threading
import time

import _seed as seed
from _seed import S, print


def my_fun():
    time.sleep(S(4))
    return datetime.datetime.now()


async def fetch_async(func, *args):
    print("begin")
    loop = asyncio.get_event_loop()
    future = loop.run_in_executor(None, func, *args)
    result = await future
    return result


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tasks = [fetch_async(my_fun), fetch_async(my_fun)]
    with seed.timed(4, "two blocking calls of 4"), seed.quiet():
        results = loop.run_until_complete(asyncio.gather(*tasks))
    seed.expect("begin", "begin")
    seed.check(len(results) == 2 and all(isinstance(r, datetime.datetime) for r in results))
    seed.check(abs((results[0] - results[1]).total_seconds()) < max(S(2), 0.2), "they ran side by side")

    async def more():
        here = threading.current_thread()
        there = await loop.run_in_executor(None, threading.current_thread)
        seed.check(there is not here, "another thread")
        seed.equal(await loop.run_in_executor(None, max, 1, 5, 3), 5)

        def fails():
            raise OSError("from the thread")

        with seed.raises(OSError, "from the thread"):
            await loop.run_in_executor(None, fails)
        await loop.shutdown_default_executor()
        with seed.raises(RuntimeError, "Executor shutdown has been called"):
            await loop.run_in_executor(None, my_fun)

    loop.run_until_complete(more())
    loop.close()


if __name__ == "__main__":
    seed.run(main)
