"""Classes derived from ours: what they add before and after the initialiser stays."""

import asyncio

import pytest


@pytest.mark.parametrize("kind", ["Future", "Task"])
def test_attributes_set_before_the_initialiser_stay(loop, kind, Future, Task):
    class Derived({"Future": Future, "Task": Task}[kind]):
        def __init__(self, *args, **keywords):
            self.early = 1
            super().__init__(*args, **keywords)
            self.late = 2

    made = Derived(loop=loop) if kind == "Future" else Derived(asyncio.sleep(0), loop=loop)
    assert (made.early, made.late) == (1, 2)
    loop.run_until_complete(asyncio.wait_for(made, 10) if kind == "Task" else asyncio.sleep(0))
    assert (made.early, made.late) == (1, 2)
