"""Tutorial A, section 1.4: gather(..., return_exceptions=False).

False: the first exception comes out at once, the others go on running.
True: exceptions sit in the list at their places.  Cancelling the gather
cancels its children; cancelling one child gives CancelledError in the list.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def ok(x):
    await asyncio.sleep(S(x))
    print(f"ok {x}")
    return x


async def bad(x):
    await asyncio.sleep(S(x))
    raise ValueError(f"bad {x}")


async def main():
    slow = asyncio.ensure_future(ok(2))
    with seed.timed(1, "first exception"):
        with seed.raises(ValueError, "bad 1"):
            await asyncio.gather(slow, bad(1))
    seed.check(not slow.done(), "the other child is not cancelled")
    seed.equal(await slow, 2)
    seed.expect("ok 2")

    with seed.timed(2, "return_exceptions=True"):
        results = await asyncio.gather(ok(2), bad(1), ok(1), return_exceptions=True)
    seed.equal(results[0::2], [2, 1])
    seed.check(isinstance(results[1], ValueError) and str(results[1]) == "bad 1")
    seed.clear()

    children = [asyncio.ensure_future(ok(5)), asyncio.ensure_future(ok(5))]
    both = asyncio.gather(*children)
    await asyncio.sleep(0)
    both.cancel()
    with seed.raises(asyncio.CancelledError):
        await both
    seed.check(all(c.cancelled() for c in children), "cancelling the gather cancels the children")

    children = [asyncio.ensure_future(ok(1)), asyncio.ensure_future(ok(5))]
    both = asyncio.gather(*children, return_exceptions=True)
    await asyncio.sleep(0)
    children[1].cancel()
    results = await both
    seed.equal(results[0], 1)
    seed.check(isinstance(results[1], asyncio.CancelledError))


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
