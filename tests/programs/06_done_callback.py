"""Tutorial A, section 1.3: add_done_callback.

The callback gets the future, runs through the loop (call_soon) once it is
done, before run_until_complete returns; more callbacks run in the order they
were added; one added to a done future is still called by the loop, not at once.
"""
import asyncio

import _seed as seed
from _seed import S, print


async def do_some_work(x):
    print("Waiting " + str(x))
    await asyncio.sleep(S(x))


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def done_callback(futu):
        seed.check(futu.done())
        print("Done")

    futu = asyncio.ensure_future(do_some_work(3), loop=loop)
    futu.add_done_callback(done_callback)
    with seed.timed(3):
        loop.run_until_complete(futu)
    seed.expect("Waiting 3", "Done")

    async def order():
        fut = loop.create_future()
        fut.add_done_callback(lambda f: print("first"))
        fut.add_done_callback(lambda f: print("second"))
        removed = lambda f: print("removed")             # noqa: E731
        fut.add_done_callback(removed)
        fut.add_done_callback(removed)
        seed.equal(fut.remove_done_callback(removed), 2)
        fut.set_result(None)
        print("set")
        await asyncio.sleep(0)
        fut.add_done_callback(lambda f: print("late"))
        print("added late")
        await asyncio.sleep(0)

    loop.run_until_complete(order())
    seed.expect("set", "first", "second", "added late", "late")

    # A callback that raises goes to the exception handler; the others still run.
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def bad():
        fut = loop.create_future()
        fut.add_done_callback(lambda f: 1 / 0)
        fut.add_done_callback(lambda f: print("after the bad one"))
        fut.set_result(None)
        await asyncio.sleep(0)

    loop.run_until_complete(bad())
    seed.expect("after the bad one")
    seed.equal([type(r["exception"]).__name__ for r in reports], ["ZeroDivisionError"])
    loop.close()


if __name__ == "__main__":
    seed.run(main)
