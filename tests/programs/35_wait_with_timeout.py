"""Tutorial C, "waiting for tasks": wait([A 2 s, B 5 s, C fails at 1 s], timeout=3).

done = {A, C}, pending = {B}; A's result, C's exception, B cancelled; the lines
of the text (the two of `done` come in the order of a set: either way round).
"""
import asyncio

import _seed as seed
from _seed import S, print


async def task(name, delay):
    print(f"Task {name} started")
    await asyncio.sleep(S(delay))
    if name == "C":
        raise RuntimeError(f"Task {name} failed")
    print(f"Task {name} completed")
    return "Data fetched"


async def main():
    task1 = asyncio.create_task(task("A", 2), name="A")
    task2 = asyncio.create_task(task("B", 5), name="B")
    task3 = asyncio.create_task(task("C", 1), name="C")

    with seed.timed(3, "wait(timeout=3)"):
        done, pending = await asyncio.wait([task1, task2, task3], timeout=S(3))
    seed.equal((done, pending), ({task1, task3}, {task2}))

    for t in done:
        try:
            print(f"Task {t.get_name()} done,result is {t.result()}")
        except Exception as e:
            print(f"Task {t.get_name()} raised an exception: {e}")

    for t in pending:
        print(f"Task {t.get_name()} is still pending")
        t.cancel()
        print(f"Task {t.get_name()} has been cancelled")
    seed.check(not task2.done(), "timeout cancels nothing itself, cancel() only asks")


def program():
    with seed.timed(3):
        asyncio.run(main())
    lines = seed.lines()
    seed.equal(lines[:4], ["Task A started", "Task B started", "Task C started", "Task A completed"])
    seed.equal(sorted(lines[4:6]), ["Task A done,result is Data fetched",
                                    "Task C raised an exception: Task C failed"])
    seed.equal(lines[6:], ["Task B is still pending", "Task B has been cancelled"])


if __name__ == "__main__":
    seed.run(program)
