"""Tutorial A, section 1, the comment in `finally`.

Claim: "when the loop is closed, every coroutine that has not finished is
closed".  What is true: loop.close() cancels nothing; a task left pending is
only noticed when it is collected ("Task was destroyed but it is pending!",
through the loop's exception handler) and its coroutine gets GeneratorExit
then.  asyncio.run() does cancel what is left, and waits for it.
"""
import asyncio
import gc

import _seed as seed
from _seed import S, print


def close_does_not_cancel():
    reports, seen = [], []

    async def worker():
        try:
            await asyncio.sleep(S(5))
        except BaseException as e:
            seen.append(type(e).__name__)
            raise

    async def main():
        asyncio.get_running_loop().create_task(worker(), name="left-over")
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    loop.run_until_complete(main())
    tasks = asyncio.all_tasks(loop)
    seed.equal([t.get_name() for t in tasks], ["left-over"])
    loop.close()
    seed.equal(seen, [], "close() threw nothing into the coroutine")
    seed.check(not any(t.done() for t in tasks), "close() left the task pending")
    del tasks, loop
    gc.collect()
    seed.equal([r["message"] for r in reports], ["Task was destroyed but it is pending!"])
    seed.check(reports[0]["task"].get_name() == "left-over")
    reports.clear()
    gc.collect()
    seed.equal(seen, ["GeneratorExit"], "the coroutine object was closed when collected")


def run_cancels():
    async def worker():
        try:
            await asyncio.sleep(S(5))
        except asyncio.CancelledError:
            print("cancelled")
            await asyncio.sleep(S(0.1))     # clean-up may still await
            print("cleaned up")
            raise

    async def main():
        asyncio.create_task(worker())
        await asyncio.sleep(0)
        return "result"

    with seed.timed(0.1, "asyncio.run with a task left"):
        seed.equal(asyncio.run(main()), "result")
    seed.expect("cancelled", "cleaned up")


def main():
    close_does_not_cancel()
    run_cancels()


if __name__ == "__main__":
    seed.run(main)
