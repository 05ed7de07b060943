"""Tutorial E, run_in_executor: show_perf(c1), the wrong async def,
c(), and loop._default_executor.

c1 gathers a blocking a() in the executor and a coroutine b(), 1 s each: 1.00 s.
The same a() written as async def around time.sleep is not concurrent.  The text
prints loop._default_executor: a private name, which uvloop does not have.
"""
import asyncio
import concurrent.futures
import time

import _seed as seed
from _seed import S, print


def a():
    time.sleep(S(1))
    return "A"


async def b():
    await asyncio.sleep(S(1))
    return "B"


async def wrong_a():
    time.sleep(S(1))
    return "A"


def show_perf(func):
    print("*" * 20)
    start = time.perf_counter()
    asyncio.run(func())
    cost = time.perf_counter() - start
    print(f"{func.__name__} Cost: {cost}")
    return cost


async def c1():
    loop = asyncio.get_running_loop()
    results = await asyncio.gather(loop.run_in_executor(None, a), b())
    seed.equal(results, ["A", "B"])


async def c_wrong():
    await asyncio.gather(wrong_a(), wrong_a())


async def c():
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, a)


async def c2():
    seed.equal(await asyncio.gather(c(), c(), b()), ["A", "A", "B"])


async def default_executor():
    loop = asyncio.get_running_loop()
    if hasattr(loop, "_default_executor"):
        seed.check(loop._default_executor is None)
        await loop.run_in_executor(None, int)
        print(type(loop._default_executor).__module__, type(loop._default_executor).__name__)
        seed.check(isinstance(loop._default_executor, concurrent.futures.ThreadPoolExecutor))
    else:
        print("no loop._default_executor here")
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(pool)

    def name():
        import threading
        return threading.current_thread().name

    seed.check((await loop.run_in_executor(None, name)).startswith("mine"))
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="given") as other:
        seed.check((await loop.run_in_executor(other, name)).startswith("given"))


def main():
    seed.bound(show_perf(c1), S(1), "c1")
    seed.bound(show_perf(c_wrong), S(2), "blocking code in async def: one after the other")
    seed.bound(show_perf(c2), S(1), "c2")
    asyncio.run(default_executor())


if __name__ == "__main__":
    seed.run(main)
