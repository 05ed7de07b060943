"""Tutorial A, section 1.6: close.

A loop that is not closed runs again; a closed one raises RuntimeError
('Event loop is closed') and never runs the coroutine; close() twice is fine;
close() of a running loop raises.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def do_some_work(loop, x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))
    print("Done")


def main():
    loop = asyncio.new_event_loop()
    with seed.timed(4, "twice on one loop"):
        loop.run_until_complete(do_some_work(loop, 1))
        loop.run_until_complete(do_some_work(loop, 3))
    loop.close()
    seed.expect("Waiting 1", "Done", "Waiting 3", "Done")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(do_some_work(loop, 1))
    loop.close()
    seed.clear()
    coro = do_some_work(loop, 3)
    with seed.warned(RuntimeWarning, "coroutine 'do_some_work' was never awaited"):
        with seed.raises(RuntimeError, "Event loop is closed"):
            loop.run_until_complete(coro)
        del coro
    seed.expect()
    with seed.raises(RuntimeError, "Event loop is closed"):
        loop.call_soon(print)
    with seed.raises(RuntimeError, "Event loop is closed"):
        loop.call_soon_threadsafe(print)
    with seed.raises(RuntimeError, "Event loop is closed"):
        loop.call_later(1, print)
    with seed.raises(RuntimeError, "Event loop is closed"):
        loop.run_forever()
    loop.close()
    seed.check(loop.is_closed() and "closed=True" in repr(loop))

    async def closes_itself():
        with seed.raises(RuntimeError, "Cannot close a running event loop"):
            asyncio.get_running_loop().close()

    loop = asyncio.new_event_loop()
    seed.check("running=False" in repr(loop) and "closed=False" in repr(loop))
    loop.run_until_complete(closes_itself())
    loop.close()


if __name__ == "__main__":
    seed.run(main)
