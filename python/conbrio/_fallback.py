"""Which Future and Task there are: native ones, or CPython's where a probe of its layout failed.

The loop makes the same choice for ``create_future`` and ``create_task``. Does not know what is
probed, nor why a probe failed: ``build_info()`` says that. Tells, too, what CPython's own
``create_task`` does with a task that a factory made, for those that are native all the same.
"""

from __future__ import annotations

from asyncio import base_events

from ._conbrio import NATIVE_TASKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Future", "Task", "when_named"]

if NATIVE_TASKS:
    from ._conbrio import Future, Task
else:
    from asyncio import Future, Task  # type: ignore[assignment]  # their bases, in their place


class _Asked:
    """Stands where ``create_task`` sees a loop, its factory and the task; notes what it is told."""

    def __init__(self) -> None:
        self.given: Any = None
        self.told: list[Any] = []

    def _check_closed(self) -> None:
        """Be open."""

    def _task_factory(self, _loop: Any, _coro: Any, name: Any = None, **_: Any) -> _Asked:
        self.given = name
        return self

    def set_name(self, name: Any) -> None:
        self.told.append(name)


def when_named() -> tuple[bool, bool, bool]:
    """Try out when this version's ``create_task`` names what a task factory makes.

    Returns whether the factory is given the name; whether the task is told it afterwards; and
    whether it is told even that it has none, by ``set_name(None)``.
    """
    named, nameless = _Asked(), _Asked()
    create: Any = base_events.BaseEventLoop.create_task
    create(named, None, name="name")
    create(nameless, None)
    return named.given == "name", named.told == ["name"], nameless.told == [None]
