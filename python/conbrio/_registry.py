"""Lets ``asyncio.all_tasks()`` see native tasks on the Pythons that keep tasks in a weak set.

Up to 3.13 asyncio lists tasks from one ``weakref.WeakSet`` that others may have captured before
us, so the set itself learns of our tasks instead of being replaced. From 3.14 CPython keeps a
list in C, which native tasks enter themselves. Does not know what a task is.
"""

from __future__ import annotations

import sys
import weakref
from asyncio import tasks

from ._conbrio import NATIVE_TASKS

if sys.version_info < (3, 14):
    from ._conbrio import _native_tasks
else:  # CPython itself lists every task

    def _native_tasks() -> list[Any]:
        return []


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Tasks", "adopt"]


class Tasks(weakref.WeakSet["Any"]):
    """CPython's set of tasks, and behind it the native tasks that are not done.

    Adding and discarding concern CPython's tasks only, as ever; looking shows both.
    """

    def __iter__(self) -> Iterator[Any]:
        """Yield CPython's tasks, then ours."""
        yield from super().__iter__()
        yield from _native_tasks()

    def __len__(self) -> int:
        """Return how many there are of both."""
        return super().__len__() + len(_native_tasks())

    def __contains__(self, item: object) -> bool:
        """Tell whether a task is among either."""
        return super().__contains__(item) or any(item is task for task in _native_tasks())


def adopt() -> None:
    """Make asyncio's set of tasks one that knows ours; a second call changes nothing.

    Nothing happens where tasks are CPython's own.
    """
    if not NATIVE_TASKS:
        return
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    known = getattr(tasks, name, None)
    if type(known) is weakref.WeakSet:
        known.__class__ = Tasks
