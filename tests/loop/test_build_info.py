"""build_info: which parts are native here; the fall-back passes the same tests."""

import subprocess
import sys

import pytest

from loopkit import children

pytestmark = pytest.mark.conbrio_only

ROOMS = [
    "test_future.py", "test_future_object.py", "test_task.py", "test_task_object.py",
    "test_order.py", "test_random_order.py", "test_context.py", "test_turn.py",
]  # fmt: skip


def test_says_what_is_native(conbrio):
    info = conbrio.build_info()
    assert isinstance(info, dict)
    assert all(isinstance(key, str) for key in info)
    assert conbrio.__version__ in [str(each) for each in info.values()]
    assert repr(info)


def test_native_tasks_are_the_rule_here(conbrio):
    """On a CPython that we know, no probe fails."""
    import _asyncio

    assert conbrio.Task is not _asyncio.Task, conbrio.build_info()
    assert conbrio.Future is not _asyncio.Future, conbrio.build_info()


def test_a_copy_is_returned(conbrio):
    conbrio.build_info().clear()
    assert conbrio.build_info()


def test_the_fall_back_is_cpythons_own():
    code = """
    import _asyncio
    import conbrio
    assert conbrio.Task is _asyncio.Task
    assert conbrio.Future is _asyncio.Future
    async def main():
        task = asyncio.create_task(asyncio.sleep(0, 1))
        assert type(task) is _asyncio.Task
        assert type(asyncio.get_running_loop().create_future()) is _asyncio.Future
        return await asyncio.gather(task, asyncio.sleep(0.001, 2))
    assert conbrio.run(main()) == [1, 2]
    print(conbrio.build_info())
    """
    said = children.output(code, None, CONBRIO_NATIVE_TASKS="0")
    assert "CONBRIO_NATIVE_TASKS" in said or "False" in said


@pytest.mark.slow
def test_the_fall_back_passes_the_same_tests(driver):
    """The suite of futures, tasks and order once more, on CPython's own classes."""
    rooms = [str(children.TESTS / "loop" / room) for room in ROOMS]
    env = children.environment(CONBRIO_NATIVE_TASKS="0")
    root = children.TESTS.parent
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(root), f"--driver={driver}"]
    command += ["-p", "no:cacheprovider", "-c", str(root / "pyproject.toml"), *rooms]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
