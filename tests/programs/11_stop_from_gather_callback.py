"""Tutorial A, section 1.5.2: gather + add_done_callback(partial).

`futus.add_done_callback(functools.partial(done_callback, loop))` stops the
loop when both are done; "this is more or less how run_until_complete is made":
so stop() inside run_until_complete raises when the future is not done.
"""
import asyncio
import functools

import _seed as seed
from _seed import S, print


async def do_some_work(loop, x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    print("Done " + str(x))


def done_callback(loop, futu):
    seed.check(futu.done() and futu.result() == [None, None])
    loop.stop()


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with seed.quiet():
        futus = asyncio.gather(do_some_work(loop, 1), do_some_work(loop, 3))
    futus.add_done_callback(functools.partial(done_callback, loop))
    with seed.timed(3):
        loop.run_forever()
    seed.expect("Waiting 1", "Waiting 3", "Done 1", "Done 3")

    fut = loop.create_future()
    loop.call_later(S(0.2), loop.stop)
    with seed.raises(RuntimeError, "Event loop stopped before Future completed."):
        loop.run_until_complete(fut)
    fut.cancel()
    loop.close()


if __name__ == "__main__":
    seed.run(main)
