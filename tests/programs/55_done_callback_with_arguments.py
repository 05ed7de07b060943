"""Tutorial E: add_done_callback(callback), and with arguments by
functools.partial(callback2, n=1)."""
import asyncio
from functools import partial

import _seed as seed
from _seed import S, print


async def a():
    await asyncio.sleep(S(1))
    return "A"


def callback(future):
    print(f"Result: {future.result()}")


def callback2(future, n):
    print(f"Result: {future.result()}, N: {n}")


async def main():
    loop = asyncio.get_event_loop()
    task = loop.create_task(a())
    task.add_done_callback(callback)
    seed.equal(await task, "A")
    seed.expect("Result: A")

    task = loop.create_task(a())
    task.add_done_callback(partial(callback2, n=1))
    seed.equal(await task, "A")
    seed.expect("Result: A, N: 1")


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
