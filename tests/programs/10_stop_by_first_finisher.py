"""Tutorial A, section 1.5.2: stop() from inside a coroutine.

With two of them the first to finish stops the loop and the second is left
unfinished; running the loop again lets it go on from where it was.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def do_some_work(loop, x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    print("Done " + str(x))
    loop.stop()


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with seed.quiet():
        asyncio.ensure_future(do_some_work(loop, 1))
        second = asyncio.ensure_future(do_some_work(loop, 3))
    with seed.timed(1, "stopped by the first"):
        loop.run_forever()
    seed.expect("Waiting 1", "Waiting 3", "Done 1")
    seed.check(not second.done(), "the second did not finish")
    loop.run_forever()
    seed.expect("Done 3")
    seed.check(second.done())

    # stop() lets the callbacks already ready run first.
    loop.call_soon(loop.stop)
    loop.call_soon(print, "ready before stop took effect")
    loop.run_forever()
    seed.expect("ready before stop took effect")
    loop.close()


if __name__ == "__main__":
    seed.run(main)
