"""Tutorial B: "asyncio can open far more tasks than there can be
threads"; 4 KB a coroutine.  20000 tasks that sleep together; memory of each."""
import asyncio
import os

import _seed as seed
from _seed import S, print

N = 20000


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main():
    async def sleeps(n):
        await asyncio.sleep(S(5))
        return n

    loop = asyncio.get_running_loop()
    before = resident() if os.path.exists("/proc/self/statm") else 0
    t0 = loop.time()
    tasks = [asyncio.create_task(sleeps(n)) for n in range(N)]
    await asyncio.sleep(0)
    seed.equal(len(asyncio.all_tasks()), N + 1)
    if before:
        print("resident memory a sleeping task: %.1f KiB" % ((resident() - before) / N / 1024))
    results = await asyncio.gather(*tasks)
    took = loop.time() - t0
    seed.equal(results, list(range(N)))
    seed.bound(took, S(5), "%d tasks" % N, 20 * seed.SLACK)
    print("%d tasks, %.2f s" % (N, took))


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
