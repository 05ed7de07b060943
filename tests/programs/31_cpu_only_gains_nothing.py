"""Tutorial B: "with only computing and no IO, coroutines are no
faster than a plain loop" (and one that computes holds up all the others)."""
import asyncio
import time

import _seed as seed
from _seed import print


def compute(n):
    total = 0
    for i in range(n):
        total += i * i
    return total


async def acompute(n):
    return compute(n)


def main():
    n, times = 100000, 10

    loop = asyncio.new_event_loop()

    async def together():
        await asyncio.gather(*[acompute(n) for _ in range(times)])

    def took(function):
        t0 = time.perf_counter()
        function()
        return time.perf_counter() - t0

    plain, tasks = [], []
    for _ in range(7):                       # by turns: the machine may be busy
        plain.append(took(lambda: [compute(n) for _ in range(times)]))
        tasks.append(took(lambda: loop.run_until_complete(together())))
    plain, tasks = min(plain), min(tasks)
    print("plain %.4f s, as tasks %.4f s" % (plain, tasks))
    if tasks < 0.7 * plain:
        seed._timing.append("tasks made computing faster: %.4f against %.4f" % (tasks, plain))

    async def held_up():
        order = []

        async def computes():
            order.append("start")
            compute(n)
            order.append("end")

        async def other():
            order.append("other")

        await asyncio.gather(computes(), other())
        seed.equal(order, ["start", "end", "other"])

    loop.run_until_complete(held_up())
    loop.close()


if __name__ == "__main__":
    seed.run(main)
