"""Tutorial C, "Queue": producer each second, consumer each two.

put / get / task_done / join; the consumer's endless loop is cancelled at the
end; 5 items at 2 seconds each: 10 seconds.  Without task_done, join() waits for
ever; too many task_done raise.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def producer(queue):
    for i in range(5):
        await queue.put(i)
        print(f"produced: {i}")
        await asyncio.sleep(S(1))


async def consumer(queue):
    while True:
        item = await queue.get()
        print(f"consumed: {item}")
        await asyncio.sleep(S(2))
        queue.task_done()


async def main():
    queue = asyncio.Queue()
    produce_task = asyncio.create_task(producer(queue))
    consume_task = asyncio.create_task(consumer(queue))
    with seed.timed(5, "producer"):
        await produce_task
    seed.check(queue.qsize() > 0, "the consumer is behind")
    await queue.join()
    consume_task.cancel()
    with seed.raises(asyncio.CancelledError):
        await consume_task


async def more():
    queue = asyncio.Queue()
    await queue.put("x")
    await queue.get()
    with seed.raises(asyncio.TimeoutError):
        await asyncio.wait_for(queue.join(), S(0.5))      # nobody said task_done
    queue.task_done()
    await queue.join()
    with seed.raises(ValueError, "task_done() called too many times"):
        queue.task_done()

    small = asyncio.Queue(maxsize=1)
    await small.put(1)
    seed.check(small.full())
    with seed.raises(asyncio.QueueFull):
        small.put_nowait(2)
    with seed.raises(asyncio.TimeoutError):
        await asyncio.wait_for(small.put(2), S(0.2))      # back-pressure
    seed.equal(small.get_nowait(), 1)
    with seed.raises(asyncio.QueueEmpty):
        small.get_nowait()

    # Those who wait get items in the order they came.
    queue, got = asyncio.Queue(), []

    async def waits(n):
        got.append((n, await queue.get()))

    tasks = [asyncio.create_task(waits(n)) for n in range(3)]
    await asyncio.sleep(0)
    for item in "abc":
        queue.put_nowait(item)
    await asyncio.gather(*tasks)
    seed.equal(got, [(0, "a"), (1, "b"), (2, "c")])


def program():
    with seed.timed(10, "all consumed", 2 * seed.SLACK):
        asyncio.run(main())
    lines = seed.lines()
    seed.equal([x for x in lines if x.startswith("p")], [f"produced: {i}" for i in range(5)])
    seed.equal([x for x in lines if x.startswith("c")], [f"consumed: {i}" for i in range(5)])
    seed.equal(lines[:3], ["produced: 0", "consumed: 0", "produced: 1"])
    for i in range(5):
        seed.bound(seed.at(f"consumed: {i}") - seed.at("consumed: 0"), S(2 * i), "item %d" % i, 2 * seed.SLACK)
        seed.bound(seed.at(f"produced: {i}") - seed.at("produced: 0"), S(i), "item %d" % i)
    asyncio.run(more())


if __name__ == "__main__":
    seed.run(program)
