"""When asyncio's ``create_task`` names what a task factory makes: tried out, as versions differ.

Loaded when a loop first makes a task by ``asyncio.eager_task_factory``. Does not know how ours are
made.
"""

from __future__ import annotations

from asyncio import base_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["when_named"]


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

    Raises:
        Exception: It does something else.
    """
    named, nameless = _Asked(), _Asked()
    create: Any = base_events.BaseEventLoop.create_task
    create(named, None, name="name")
    create(nameless, None)
    return named.given == "name", named.told == ["name"], nameless.told == [None]
