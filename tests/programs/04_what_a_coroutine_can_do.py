"""Tutorial A, section 1.1: the four things, and sleep's result.

Wait for a future; wait for another coroutine; give a result to the one that
waits; raise an exception to the one that waits.  sleep(delay, result=None)
gives `result` (its loop= argument went away in 3.10).
"""
import asyncio

import _seed as seed
from _seed import S


async def main():
    loop = asyncio.get_running_loop()

    fut = loop.create_future()
    with seed.timed(0.5, "await future"):
        loop.call_later(S(0.5), fut.set_result, "future's value")
        seed.equal(await fut, "future's value")

    async def gives():
        await asyncio.sleep(S(0.5))
        return "coroutine's value"

    with seed.timed(0.5, "await coroutine"):
        seed.equal(await gives(), "coroutine's value")

    async def fails():
        await asyncio.sleep(0)
        raise LookupError("from below")

    with seed.raises(LookupError, "from below"):
        await fails()
    with seed.raises(LookupError, "from below"):
        await asyncio.ensure_future(fails())

    failed = loop.create_future()
    loop.call_soon(failed.set_exception, LookupError("into the future"))
    with seed.raises(LookupError, "into the future"):
        await failed

    seed.equal(await asyncio.sleep(S(0.1), "result"), "result")
    seed.equal(await asyncio.sleep(0, result=7), 7)
    seed.equal(await asyncio.sleep(-1, result=8), 8)
    with seed.raises(TypeError):
        await asyncio.sleep(0, loop=loop)


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
