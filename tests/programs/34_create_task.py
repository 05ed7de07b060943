"""Tutorial C, "Task": create_task(coro, name=...), two at once.

Both "started" lines at once, both "finished" lines after 2 seconds; names;
repr; current_task; all_tasks; cancel with a message; the context of contextvars
is copied when it is made.
"""
import asyncio
import contextvars
import sys

import _seed as seed
from _seed import S, print


async def fetch_data():
    await asyncio.sleep(S(2))
    return "Data fetched"


async def task1():
    print("Task 1 started")
    res = await fetch_data()
    print(f"Task 1 finished {res}")


async def task2():
    print("Task 2 started")
    res = await fetch_data()
    print(f"Task 2 finished {res}")


async def main():
    t1 = asyncio.create_task(task1(), name="1")
    t2 = asyncio.create_task(task2(), name="2")
    seed.expect()                                   # neither started yet
    seed.equal((t1.get_name(), t2.get_name()), ("1", "2"))
    seed.equal(asyncio.all_tasks() - {asyncio.current_task()}, {t1, t2})
    seed.check("name='1'" in repr(t1) and "pending" in repr(t1))
    await t1
    await t2
    seed.check("finished" in repr(t1) and t1.get_coro().__name__ == "task1")

    var = contextvars.ContextVar("var", default="none")
    var.set("outer")

    async def reads():
        seen = var.get()
        var.set("inner")
        return seen

    seed.equal(await asyncio.create_task(reads()), "outer")
    seed.equal(var.get(), "outer", "set in a task stays in the task")

    task = asyncio.create_task(fetch_data())
    await asyncio.sleep(0)
    seed.check(task.cancel("why"))
    try:
        await task
    except asyncio.CancelledError as e:
        seed.check(sys.version_info < (3, 11) or e.args == ("why",))
    seed.check(task.cancelled() and not task.cancel())


def program():
    with seed.timed(2, "both tasks"):
        asyncio.run(main())
    seed.equal(seed.lines(), ["Task 1 started", "Task 2 started",
                              "Task 1 finished Data fetched", "Task 2 finished Data fetched"])
    t = [when for when, _ in seed.times()]
    seed.check(t[1] - t[0] < S(1), "both started at once")
    seed.bound(t[2] - t[0], S(2), "two seconds on")


# the lines are looked at whole, in program()
_expect = seed.expect
seed.expect = lambda *want: seed.equal(seed.lines(), list(want))

if __name__ == "__main__":
    seed.run(program)
