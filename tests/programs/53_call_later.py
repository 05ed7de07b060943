"""Tutorial E, call_later: the output of the text.

call_later(2, mark_done), twice call_later(1, print), then sleep(2): mark_done
was asked for before the sleep, so its deadline is first, and the future is set
when the sleep ends.  That holds only if equal-looking deadlines keep their order.
"""
import asyncio
from functools import partial

import _seed as seed
from _seed import S, print


def mark_done(future, result):
    print(f"Set to: {result}")
    future.set_result(result)


async def b2():
    loop = asyncio.get_event_loop()
    fut = asyncio.Future()
    loop.call_later(S(2), mark_done, fut, "the result")
    loop.call_later(S(1), partial(print, "Hello"))
    loop.call_later(S(1), partial(print, "Greeting"))
    print(f"Done: {fut.done()}")
    await asyncio.sleep(S(2))
    print(f"Done: {fut.done()}, Result: {fut.result()}")


def main():
    for _ in range(3):
        asyncio.run(b2())
        seed.bound(seed.at("Hello") - seed.at("Done: False"), S(1), "Hello")
        seed.bound(seed.at("Set to: the result") - seed.at("Done: False"), S(2), "the result")
        seed.expect("Done: False", "Hello", "Greeting", "Set to: the result",
                    "Done: True, Result: the result")

    async def too_late():
        loop = asyncio.get_running_loop()
        loop.call_later(S(2), print, "never seen")
        await asyncio.sleep(S(1))

    asyncio.run(too_late())                     # "else the program ends before the callback"
    seed.expect()

    async def order():
        loop = asyncio.get_running_loop()
        fired = []
        handles = [loop.call_later(delay / 1000, fired.append, (delay, n))
                   for n, delay in enumerate([5, 3, 5, 1, 3, 5, 40, 1, 3])]
        handles[6].cancel()
        await asyncio.sleep(0.05)
        seed.equal(fired, [(1, 3), (1, 7), (3, 1), (3, 4), (3, 8), (5, 0), (5, 2), (5, 5)])
        # Past and negative delays: at the next chance, through the loop.
        fired.clear()
        loop.call_later(-1, fired.append, "past")
        seed.equal(fired, [])
        await asyncio.sleep(0.005)
        seed.equal(fired, ["past"])
        with seed.raises(TypeError):
            loop.call_later(None, print)

    asyncio.run(order())


if __name__ == "__main__":
    seed.run(main)
