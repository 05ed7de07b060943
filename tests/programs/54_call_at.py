"""Tutorial E, call_at with loop.time(): the output of the text."""
import asyncio
import time
from functools import partial

import _seed as seed
from _seed import S, print


def mark_done(future, result):
    print(f"Set to: {result}")
    future.set_result(result)


async def b3():
    loop = asyncio.get_event_loop()
    now = loop.time()
    fut = asyncio.Future()
    loop.call_at(now + S(2), mark_done, fut, "the result")
    loop.call_at(now + S(1), partial(print, "Hello", flush=True))
    loop.call_at(now + S(1), partial(print, "Greeting", flush=True))
    print(f"Done: {fut.done()}")
    await asyncio.sleep(S(2))
    print(f"Done: {fut.done()}, Result: {fut.result()}")


def main():
    for _ in range(3):
        asyncio.run(b3())
        seed.bound(seed.at("Hello") - seed.at("Done: False"), S(1) - 0.005, "Hello")
        seed.expect("Done: False", "Hello", "Greeting", "Set to: the result",
                    "Done: True, Result: the result")

    async def clock():
        loop = asyncio.get_running_loop()
        t0, m0 = loop.time(), time.monotonic()
        seed.check(isinstance(t0, float))
        await asyncio.sleep(S(1))
        t1, m1 = loop.time(), time.monotonic()
        seed.check(abs((t1 - t0) - (m1 - m0)) < 0.02, "loop.time() goes with the monotonic clock")
        # Within one callback time does go on, or stands (libuv's); it never goes back.
        seed.check(loop.time() <= loop.time())
        handle = loop.call_at(t1 + 10, print)
        seed.check(abs(handle.when() - (t1 + 10)) < 0.002)
        handle.cancel()
        fired = []
        loop.call_at(t1 - 5, fired.append, "past")
        await asyncio.sleep(0.005)
        seed.equal(fired, ["past"])
        with seed.raises((TypeError, AssertionError)):      # AssertionError up to 3.10
            loop.call_at(None, print)

    asyncio.run(clock())


if __name__ == "__main__":
    seed.run(main)
