"""Tutorial C, "a time limit": wait_for(fetch_data(), 1).

"Timeout!" after 1 second (the coroutine is cancelled and that is waited for);
the result when the limit is longer; "Cancelled!" when cancelled from outside;
asyncio.timeout (3.11) as a block; TimeoutError is the built-in from 3.11.
"""
import asyncio
import sys

import _seed as seed
from _seed import S, print


async def fetch_data(log=None):
    try:
        await asyncio.sleep(S(2))
    except asyncio.CancelledError:
        if log is not None:
            log.append("cancelled inside")
        raise
    return "Data fetched"


async def tutorial(limit):
    try:
        result = await asyncio.wait_for(fetch_data(), S(limit))
        print(result)
    except asyncio.TimeoutError:
        print("Timeout!")
    except asyncio.CancelledError:
        print("Cancelled!")


async def main():
    with seed.timed(1, "limit 1"):
        await tutorial(1)
    with seed.timed(2, "limit 3"):
        await tutorial(3)
    task = asyncio.create_task(tutorial(3))
    await asyncio.sleep(S(0.5))
    task.cancel()
    await task
    seed.expect("Timeout!", "Data fetched", "Cancelled!")

    log = []
    with seed.raises(asyncio.TimeoutError):
        await asyncio.wait_for(fetch_data(log), S(0.5))
    seed.equal(log, ["cancelled inside"])
    with seed.raises(asyncio.TimeoutError):
        await asyncio.wait_for(fetch_data(), 0)
    seed.equal(await asyncio.wait_for(asyncio.sleep(0, "none"), None), "none")

    task = asyncio.create_task(fetch_data())
    with seed.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), S(0.5))
    seed.check(not task.done(), "shielded")
    seed.equal(await task, "Data fetched")

    if sys.version_info >= (3, 11):
        seed.check(asyncio.TimeoutError is TimeoutError)
        with seed.timed(1, "asyncio.timeout"):
            with seed.raises(TimeoutError):
                async with asyncio.timeout(S(1)) as limit:
                    await fetch_data()
        seed.check(limit.expired())
        seed.equal(asyncio.current_task().cancelling(), 0)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(loop.time() + S(1)) as limit:
            await asyncio.sleep(S(0.5))
            limit.reschedule(loop.time() + S(2))
            await asyncio.sleep(S(1))


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
