"""Tutorial E: the running loop, asyncio.events._set_running_loop.

get_running_loop is per thread and only while a loop runs; create_task without
one raises; a second loop in the same thread refuses to run ("Cannot run the
event loop while another loop is running"), the same one too ("This event loop
is already running").
"""
import asyncio
import threading

import _seed as seed


async def a():
    return "A"


def main():
    seed.check(asyncio._get_running_loop() is None)
    with seed.raises(RuntimeError, "no running event loop"):
        asyncio.get_running_loop()
    coro = a()
    with seed.raises(RuntimeError, "no running event loop"):
        asyncio.create_task(coro)
    coro.close()

    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    seed.check(asyncio.get_running_loop() is loop and asyncio.get_event_loop() is loop)
    task = asyncio.create_task(a())
    fut = loop.create_future()
    with seed.raises(RuntimeError, "Cannot run the event loop while another loop is running"):
        loop.run_until_complete(fut)
    fut.cancel()
    asyncio.events._set_running_loop(None)
    seed.equal(loop.run_until_complete(task), "A")

    other = asyncio.new_event_loop()
    seen = []

    async def inside():
        seed.check(asyncio.get_running_loop() is loop)
        fut = other.create_future()
        with seed.raises(RuntimeError, "Cannot run the event loop while another loop is running"):
            other.run_until_complete(fut)
        fut = loop.create_future()
        with seed.raises(RuntimeError, "his event loop is already running"):
            loop.run_until_complete(fut)

        def elsewhere():
            seen.append(asyncio._get_running_loop())
            with_own = asyncio.new_event_loop()
            seen.append(with_own.run_until_complete(a()))
            with_own.close()

        t = threading.Thread(target=elsewhere)
        t.start()
        t.join()
        await asyncio.sleep(0)

    loop.run_until_complete(inside())
    seed.equal(seen, [None, "A"], "other threads are their own")
    seed.check(asyncio._get_running_loop() is None)
    loop.close()
    other.close()


if __name__ == "__main__":
    seed.run(main)
