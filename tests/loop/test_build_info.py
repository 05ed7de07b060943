"""build_info: which parts are native here. The fall-back passes these same rooms, which `./dev test` sees to."""

import os

import pytest

from loopkit import children

pytestmark = pytest.mark.conbrio_only


def test_says_what_is_native(conbrio):
    info = conbrio.build_info()
    assert isinstance(info, dict)
    assert all(isinstance(key, str) for key in info)
    assert conbrio.__version__ in [str(each) for each in info.values()]
    assert repr(info)
    assert type(info["profile_guided"]) is bool
    assert type(info["native_tasks"]) is bool


def test_native_tasks_are_the_rule_here(conbrio):
    """On a CPython that we know, no probe fails."""
    import _asyncio

    if os.environ.get("CONBRIO_NATIVE_TASKS") == "0":
        pytest.skip("the fall-back is asked for")
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
    said = conbrio.build_info()
    print(said["native_tasks"], said["native_tasks_refused"])
    """
    said = children.output(code, None, CONBRIO_NATIVE_TASKS="0")
    assert said == "False RuntimeError: CONBRIO_NATIVE_TASKS=0\n"
