"""Tutorial E, call_soon: next turn of the loop, in the order asked,
with arguments (partial for keywords); the exact output of the text."""
import asyncio
from functools import partial

import _seed as seed
from _seed import print


def mark_done(future, result):
    print(f"Set to: {result}")
    future.set_result(result)


async def b1():
    loop = asyncio.get_event_loop()
    fut = asyncio.Future()
    loop.call_soon(mark_done, fut, "the result")
    loop.call_soon(partial(print, "Hello", flush=True))
    loop.call_soon(partial(print, "Greeting", flush=True))
    print(f"Done: {fut.done()}")
    await asyncio.sleep(0)
    print(f"Done: {fut.done()}, Result: {fut.result()}")


def main():
    asyncio.run(b1())
    seed.expect("Done: False", "Set to: the result", "Hello", "Greeting",
                "Done: True, Result: the result")

    async def more():
        loop = asyncio.get_running_loop()
        order = []
        handles = [loop.call_soon(order.append, n) for n in range(5)]
        handles[2].cancel()
        seed.check(handles[2].cancelled())
        # What a callback asks for comes in the turn after.
        loop.call_soon(lambda: loop.call_soon(order.append, "next turn"))
        loop.call_soon(order.append, "same turn")
        await asyncio.sleep(0)
        seed.equal(order, [0, 1, 3, 4, "same turn"])
        await asyncio.sleep(0)
        seed.equal(order[5:], ["next turn"])

        # The context of the call, or one given.
        import contextvars
        var = contextvars.ContextVar("var", default="default")
        var.set("mine")
        seen = []
        loop.call_soon(lambda: seen.append(var.get()))
        loop.call_soon(lambda: seen.append(var.get()), context=contextvars.Context())
        await asyncio.sleep(0)
        seed.equal(seen, ["mine", "default"])

        # An exception goes to the handler with the handle; the loop goes on.
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(order.append, "after")
        await asyncio.sleep(0)
        seed.check(isinstance(reports[0]["exception"], ZeroDivisionError) and "handle" in reports[0])
        seed.equal(order[-1], "after")

    asyncio.run(more())


if __name__ == "__main__":
    seed.run(main)
