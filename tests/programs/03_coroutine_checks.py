"""Tutorial A, sections 1.1 and 1.2: what a coroutine is.

asyncio.iscoroutinefunction(do_some_work) is True; calling it runs nothing;
asyncio.iscoroutine(do_some_work(3)) is True; the dropped object warns
"coroutine 'do_some_work' was never awaited".  (iscoroutinefunction of asyncio
is deprecated from 3.14; inspect has the one to use.)
"""
import asyncio
import inspect

import _seed as seed
from _seed import print


async def do_some_work(x):
    print("Waiting " + str(x))
    await asyncio.sleep(x)


def plain(x):
    pass


def main():
    with seed.quiet():
        seed.check(asyncio.iscoroutinefunction(do_some_work) is True)
        seed.check(asyncio.iscoroutinefunction(plain) is False)
    seed.check(inspect.iscoroutinefunction(do_some_work))

    with seed.warned(RuntimeWarning, "coroutine 'do_some_work' was never awaited"):
        print(asyncio.iscoroutine(do_some_work(3)))
    seed.expect("True")                      # and no "Waiting 3": nothing ran

    # The functions and objects that the loop itself gives count as coroutines too.
    async def inside():
        loop = asyncio.get_running_loop()
        fut = loop.create_future()
        seed.check(not asyncio.iscoroutine(fut) and asyncio.isfuture(fut))
        task = loop.create_task(asyncio.sleep(0))
        seed.check(asyncio.isfuture(task) and not asyncio.iscoroutine(task))
        await task
        fut.cancel()
        for call in (loop.create_connection, loop.create_server, loop.sock_recv,
                     loop.getaddrinfo, loop.shutdown_asyncgens,
                     loop.shutdown_default_executor):
            seed.check(callable(call), repr(call))
        coro = loop.getaddrinfo("127.0.0.1", 1)
        seed.check(inspect.isawaitable(coro), "loop coroutines are awaitable")
        await coro

    asyncio.run(inside())


if __name__ == "__main__":
    seed.run(main)
