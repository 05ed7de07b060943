"""Tutorial A, section 1.5.2: run_forever.

The coroutine ends after 3 seconds, the program does not: run_forever returns
only after stop(), so a `loop.stop()` written on the next line is never
reached.  A timer of ours stops it, well after the coroutine is done.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def do_some_work(x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    print("Done")


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with seed.quiet():
        asyncio.ensure_future(do_some_work(3))
    state = []
    loop.call_later(S(4.5), lambda: state.append(loop.is_running()))
    with seed.timed(5, "run_forever goes on after the last task"):
        loop.call_later(S(5), loop.stop)
        loop.run_forever()
        print("only now past run_forever()")
    seed.equal(state, [True], "still running long after Done")
    seed.check(not loop.is_running() and not loop.is_closed())
    seed.expect("Waiting 3", "Done", "only now past run_forever()")

    # stop() before run_forever(): one turn of the loop, then it returns.
    loop.call_soon(print, "one turn")
    loop.call_soon(loop.call_soon, print, "next turn")
    loop.stop()
    loop.run_forever()
    seed.expect("one turn")
    loop.stop()
    loop.run_forever()
    seed.expect("next turn")
    loop.close()


if __name__ == "__main__":
    seed.run(main)
