"""Tutorial C, "event loop": asyncio.run.

'Hello ...', 2 seconds, '... World!'; gives the result; makes a new loop and
closes it; not from inside a running loop; shuts down generators and executor;
sets the loop for the time of the run.  Runner (3.11) keeps one for several.
"""
import asyncio
import sys
import time

import _seed as seed
from _seed import S, print


async def main():
    print("Hello ...")
    await asyncio.sleep(S(2))
    print("... World!")
    return asyncio.get_running_loop()


def program():
    with seed.timed(2):
        first = asyncio.run(main())
    seed.expect("Hello ...", "... World!")
    seed.check(first.is_closed())

    async def loop():
        return asyncio.get_running_loop()

    seed.check(asyncio.run(loop()) is not first, "a new loop every time")

    async def inside():
        coro = main()
        with seed.raises(RuntimeError, "asyncio.run() cannot be called from a running event loop"):
            asyncio.run(coro)
        coro.close()

    asyncio.run(inside())
    with seed.raises((ValueError, TypeError)):
        asyncio.run(main)

    ended = []

    async def generator():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ended.append("generator")

    async def leaves_things():
        it = generator()
        await it.__anext__()
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: (time.sleep(S(0.5)), ended.append("thread")))
        ended.append(it)

    with seed.timed(0.5, "waits for the default executor's thread"):
        asyncio.run(leaves_things())
    seed.equal(sorted(str(x) for x in ended[1:]), ["generator", "thread"])

    with seed.raises(LookupError, "out of main"):
        async def fails():
            raise LookupError("out of main")
        asyncio.run(fails())

    async def debugs():
        return asyncio.get_running_loop().get_debug()

    seed.equal(asyncio.run(debugs(), debug=True), True)
    seed.equal(asyncio.run(debugs(), debug=False), False)

    if sys.version_info >= (3, 11):
        with asyncio.Runner() as runner:
            one = runner.run(loop())
            seed.check(runner.run(loop()) is one and runner.get_loop() is one)
        seed.check(one.is_closed())
        with asyncio.Runner(loop_factory=seed.factory()) as runner:
            seed.check(isinstance(runner.run(loop()), seed.loop_class()))


if __name__ == "__main__":
    seed.run(program)
