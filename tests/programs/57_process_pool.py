"""Tutorial E, run_in_executor with a ProcessPoolExecutor:
['A', 'B'], about 1 second (and the start of the processes).

Also one loop in each worker process: asyncio.run inside the pool's function.
"""
import asyncio
import concurrent.futures
import os
import time

import _seed as seed
from _seed import S, print


def a():
    time.sleep(S(1))
    return "A"


async def b():
    await asyncio.sleep(S(1))
    return "B"


def square_in_a_loop(n):
    async def inside():
        await asyncio.sleep(S(0.2))
        return n * n, os.getpid(), type(asyncio.get_running_loop()).__name__
    return asyncio.run(inside())


def fails():
    raise LookupError("from the process")


async def c3():
    loop = asyncio.get_running_loop()
    with concurrent.futures.ProcessPoolExecutor(2) as e:
        await loop.run_in_executor(e, int)                   # processes started
        t0 = loop.time()
        print(await asyncio.gather(loop.run_in_executor(e, a), b()))
        seed.bound(loop.time() - t0, S(1), "c3", 3 * seed.SLACK)
        seed.expect("['A', 'B']")
        results = await asyncio.gather(
            *[loop.run_in_executor(e, square_in_a_loop, n) for n in range(6)])
        seed.equal([r[0] for r in results], [n * n for n in range(6)])
        seed.check(os.getpid() not in {r[1] for r in results})
        seed.equal({r[2] for r in results}, {type(loop).__name__})
        with seed.raises(LookupError, "from the process"):
            await loop.run_in_executor(e, fails)


def main():
    asyncio.run(c3())


if __name__ == "__main__":
    seed.run(main)
