"""Tutorial A, section 1.8: a timer out of sleep and a callback.

`timer(3, cb)`: ensure_future(asyncio.sleep(x)), add_done_callback(cb), await.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def timer(x, cb):
    futu = asyncio.ensure_future(asyncio.sleep(S(x)))
    futu.add_done_callback(cb)
    await futu
    print("timer() returns")


def main():
    loop = asyncio.new_event_loop()
    t = timer(3, lambda futu: print("Done"))
    with seed.timed(3):
        loop.run_until_complete(t)
    # The callback was added before the await: it runs before the awaiting task goes on.
    seed.expect("Done", "timer() returns")

    async def many():
        start = loop.time()
        fired = []
        handles = [loop.call_later(S(d), fired.append, d) for d in (3, 1, 2, 0, 1)]
        handles[2].cancel()
        seed.check(handles[2].cancelled() and not handles[0].cancelled())
        seed.bound(handles[0].when() - start, S(3), "when()", 0.05)
        await asyncio.sleep(S(3.2))
        seed.equal(fired, [0, 1, 1, 3], "timers by deadline, ties in order of asking, cancelled ones never")

    loop.run_until_complete(many())
    loop.close()


if __name__ == "__main__":
    seed.run(main)
