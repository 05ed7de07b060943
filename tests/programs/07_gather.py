"""Tutorial A, section 1.4; results in order: also
Tutorial C ("the results are kept in the order of the tasks").

gather(do_some_work(1), do_some_work(3)) takes 3 seconds, not 4; takes
coroutines, a list of them, futures; is one future; gives a list.
The original shows "Waiting 3" before "Waiting 1": the order was arbitrary when
it was written; the coroutines start in argument order since 3.7.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def do_some_work(x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    return x


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    # Outside a running loop, as in the original (deprecated without a current loop).
    with seed.timed(3, "gather(1, 3)"), seed.quiet():
        seed.equal(loop.run_until_complete(asyncio.gather(do_some_work(1), do_some_work(3))), [1, 3])
    seed.expect("Waiting 1", "Waiting 3")

    with seed.timed(3, "gather(*coros)"), seed.quiet():
        coros = [do_some_work(3), do_some_work(1)]
        seed.equal(loop.run_until_complete(asyncio.gather(*coros)), [3, 1])
    seed.expect("Waiting 3", "Waiting 1")

    with seed.timed(3, "gather(*futus)"), seed.quiet():
        futus = [asyncio.ensure_future(do_some_work(1)), asyncio.ensure_future(do_some_work(3))]
        both = asyncio.gather(*futus)
        seed.check(asyncio.isfuture(both), "gather makes one future of many")
        loop.run_until_complete(both)
    seed.expect("Waiting 1", "Waiting 3")

    async def inside():
        futus = [asyncio.ensure_future(do_some_work(x)) for x in (2, 1, 3)]
        results = await asyncio.gather(*futus)
        print(str(results))
        same = do_some_work(1)
        seed.equal(await asyncio.gather(same, same), [1, 1], "one coroutine given twice runs once")
        seed.equal(await asyncio.gather(), [])

    loop.run_until_complete(inside())
    seed.expect("Waiting 2", "Waiting 1", "Waiting 3", "[2, 1, 3]", "Waiting 1")
    loop.close()


if __name__ == "__main__":
    seed.run(main)
