"""Who awaits whom (3.14 and later): print_call_graph inside, `python -m asyncio ps` from outside."""

import asyncio
import io
import subprocess
import sys

import pytest

from loopkit import children
from loopkit.either import both

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with 3.14")

PROGRAM = """
async def inner():
    await asyncio.sleep(60)

async def middle():
    await inner()

async def outer():
    async with asyncio.TaskGroup() as group:
        group.create_task(middle(), name="left")
        group.create_task(middle(), name="right")

async def main():
    task = asyncio.create_task(outer(), name="top")
    await asyncio.sleep(0.01)
    print("ready", flush=True)
    await task

with asyncio.Runner(loop_factory=new_loop) as runner:
    runner.run(main())
"""


def test_print_call_graph(run):
    async def main():
        file = io.StringIO()

        async def inner():
            asyncio.print_call_graph(file=file)

        async def outer():
            await asyncio.create_task(inner(), name="inner")

        await asyncio.create_task(outer(), name="outer")
        return file.getvalue()

    text = run(main())
    assert "Task(name='inner'" in text
    assert "Task(name='outer'" in text
    assert text.index("'inner'") < text.index("'outer'")
    assert "Awaited by:" in text


def test_capture_call_graph(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def waiter():
            await future

        tasks = [asyncio.create_task(waiter(), name=f"w{number}") for number in range(3)]
        await asyncio.sleep(0)
        graph = asyncio.capture_call_graph(future)
        names = sorted(each.future.get_name() for each in graph.awaited_by)
        future.set_result(None)
        await asyncio.gather(*tasks)
        return names

    assert run(main()) == ["w0", "w1", "w2"]


def test_call_graph_of_gather(run):
    async def main():
        async def leaf():
            await asyncio.sleep(60)

        async def root():
            await asyncio.gather(leaf(), leaf())

        task = asyncio.create_task(root(), name="root")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaves = [each for each in asyncio.all_tasks() if each.get_coro().__name__ == "leaf"]
        texts = [asyncio.format_call_graph(leaf) for leaf in leaves]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return texts

    texts = run(main())
    assert len(texts) == 2
    assert all("'root'" in text for text in texts)


def test_a_done_task_is_awaited_by_nobody(run):
    async def main():
        async def leaf():
            return asyncio.capture_call_graph(asyncio.current_task())

        task = asyncio.create_task(leaf())
        graph = await task
        after = asyncio.capture_call_graph(task)
        return len(graph.awaited_by), after.awaited_by

    assert run(main()) == (1, ())


async def grouped(leaf):
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf)


async def waited(leaf):
    await asyncio.wait([asyncio.ensure_future(leaf)])


async def completed(leaf):
    for one in asyncio.as_completed([leaf]):
        await one


async def in_time(leaf):
    async with asyncio.timeout(60):
        await asyncio.ensure_future(leaf)


WAYS = {
    "gather": lambda leaf: asyncio.gather(leaf),
    "shield": lambda leaf: asyncio.shield(leaf),
    "wait": waited,
    "wait_for": lambda leaf: asyncio.wait_for(asyncio.ensure_future(leaf), 60),
    "as_completed": completed,
    "TaskGroup": grouped,
    "timeout": in_time,
}


@pytest.mark.parametrize("way", WAYS)
def test_who_awaits_by_each_way(way):
    """A task is awaited by the same ones with asyncio's names as with ours in their places."""

    async def main():
        future = asyncio.get_running_loop().create_future()

        async def leaf():
            await future

        async def root():
            await WAYS[way](leaf())

        root_task = asyncio.create_task(root(), name="root")
        for _ in range(3):
            await asyncio.sleep(0)
        leaves = [one for one in asyncio.all_tasks() if one.get_coro().__name__ == "leaf"]
        graphs = [asyncio.capture_call_graph(one) for one in (*leaves, future)]
        awaiting = [[one.future.get_name() for one in graph.awaited_by] for graph in graphs]
        frames = [one.frame.f_code.co_name for one in graphs[0].call_stack]
        root_task.cancel()
        future.cancel()
        await asyncio.gather(root_task, *leaves, return_exceptions=True)
        return len(leaves), awaiting[0], len(awaiting[1]), frames

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_another_process_sees_the_tasks(driver, command):
    child = children.start(PROGRAM, driver)
    try:
        assert child.stdout.readline() == "ready\n"
        seen = subprocess.run(
            [sys.executable, "-m", "asyncio", command, str(child.pid)],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        if seen.returncode and "ermission" in seen.stderr:
            pytest.skip("this system lets no process look into another")
        assert seen.returncode == 0, seen.stderr
        for name in ("top", "left", "right"):
            assert name in seen.stdout
        assert "inner" in seen.stdout
    finally:
        child.kill()
        child.communicate()
