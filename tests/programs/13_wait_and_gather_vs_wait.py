"""Tutorial A, section 1.7: asyncio.wait, and gather against wait.

The original gives wait() bare coroutines: works up to 3.10 (deprecated), is a
TypeError from 3.11.  wait gives two sets and never raises the tasks' own
exceptions, can stop at the first one done; gather gives an ordered list.
"""
import asyncio
import sys

import _seed as seed
from _seed import S, print


async def do_some_work(loop, x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    print("Done " + str(x))
    return x


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    coros = [do_some_work(loop, 1), do_some_work(loop, 3)]
    if sys.version_info >= (3, 11):
        with seed.raises(TypeError, "Passing coroutines is forbidden"):
            loop.run_until_complete(asyncio.wait(coros))
        coros = [loop.create_task(c) for c in coros]
    with seed.timed(3, "wait(all)"), seed.quiet():
        done, pending = loop.run_until_complete(asyncio.wait(coros))
    seed.check(isinstance(done, set) and isinstance(pending, set))
    seed.equal((sorted(t.result() for t in done), pending), ([1, 3], set()))
    lines = seed.lines()
    seed.equal(sorted(lines[:2]), ["Waiting 1", "Waiting 3"])   # 3.10 keeps no order here
    seed.equal(lines[2:], ["Done 1", "Done 3"])
    seed.clear()

    async def differences():
        async def fails():
            await asyncio.sleep(S(1))
            raise ValueError("inside")

        tasks = [asyncio.create_task(do_some_work(loop, 2)), asyncio.create_task(fails())]
        t0 = loop.time()
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        seed.bound(loop.time() - t0, S(1), "FIRST_EXCEPTION")
        seed.equal((done, pending), ({tasks[1]}, {tasks[0]}))
        seed.check(isinstance(tasks[1].exception(), ValueError), "wait itself raised nothing")
        done, pending = await asyncio.wait(tasks[:1], return_when=asyncio.FIRST_COMPLETED)
        seed.bound(loop.time() - t0, S(2), "FIRST_COMPLETED, the one left")
        seed.equal((done, pending), ({tasks[0]}, set()))

        task = asyncio.create_task(do_some_work(loop, 2))
        waiter = asyncio.create_task(asyncio.wait([task]))
        await asyncio.sleep(S(0.5))
        waiter.cancel()
        with seed.raises(asyncio.CancelledError):
            await waiter
        seed.check(not task.cancelled(), "cancelling wait() does not cancel what it waits for")
        seed.equal(await task, 2)
        with seed.raises(ValueError):
            await asyncio.wait([])

    loop.run_until_complete(differences())
    loop.close()


if __name__ == "__main__":
    seed.run(main)
