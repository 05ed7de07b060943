"""Tutorial B: "asyncio's operations have no race condition, so
you need not worry about thread safety".

True between two awaits: nothing interrupts a task there.  Not true across an
await: a read-modify-write with an await inside loses updates, and asyncio.Lock
is there for it.
"""
import asyncio
import threading

import _seed as seed


async def main():
    total = 0

    async def without_await():
        nonlocal total
        for _ in range(1000):
            value = total
            total = value + 1
        await asyncio.sleep(0)

    await asyncio.gather(*[without_await() for _ in range(50)])
    seed.equal(total, 50000, "no await inside: no update is lost")

    total = 0

    async def with_await():
        nonlocal total
        value = total
        await asyncio.sleep(0)
        total = value + 1

    await asyncio.gather(*[with_await() for _ in range(50)])
    seed.equal(total, 1, "an await inside: all but one update is lost")

    total = 0
    lock = asyncio.Lock()

    async def with_lock():
        nonlocal total
        async with lock:
            value = total
            await asyncio.sleep(0)
            total = value + 1

    await asyncio.gather(*[with_lock() for _ in range(50)])
    seed.equal(total, 50)

    # Locks are fair: those who wait get it in the order they came.
    order = []

    async def waits(n):
        async with lock:
            order.append(n)
            await asyncio.sleep(0)

    await asyncio.gather(*[waits(n) for n in range(10)])
    seed.equal(order, list(range(10)))

    idents = set()

    async def where():
        await asyncio.sleep(0)
        idents.add(threading.get_ident())

    await asyncio.gather(*[where() for _ in range(20)])
    seed.equal(idents, {threading.get_ident()}, "all in one thread")


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
