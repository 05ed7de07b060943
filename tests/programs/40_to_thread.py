"""Tutorial C, "to_thread": blocking_io in a thread, the loop goes on.

"Main started", "Blocking IO started", 2 s, "Blocking IO finished", "Main
finished"; contextvars go along; arguments, results and exceptions come through.
"""
import asyncio
import contextvars
import threading
import time

import _seed as seed
from _seed import S, print


def blocking_io():
    print("Blocking IO started")
    time.sleep(S(2))
    print("Blocking IO finished")


async def main():
    print("Main started")
    ticks = []

    async def ticker():
        while True:
            await asyncio.sleep(S(0.1))
            ticks.append(1)

    tick = asyncio.create_task(ticker())
    with seed.timed(2):
        await asyncio.to_thread(blocking_io)
    tick.cancel()
    print("Main finished")
    seed.expect("Main started", "Blocking IO started", "Blocking IO finished", "Main finished")
    seed.check(len(ticks) >= 8, "the loop went on: %d ticks" % len(ticks))

    var = contextvars.ContextVar("var")
    var.set("carried")
    seed.equal(await asyncio.to_thread(var.get), "carried")
    seed.equal(await asyncio.to_thread(divmod, 7, 2), (3, 1))
    seed.check(await asyncio.to_thread(threading.current_thread) is not threading.current_thread())
    with seed.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
    with seed.timed(1, "eight at once"):
        await asyncio.gather(*[asyncio.to_thread(time.sleep, S(1)) for _ in range(4)])


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
