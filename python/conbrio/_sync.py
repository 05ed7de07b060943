"""asyncio's primitives as people see them: the native half first, asyncio's own class second.

So ``isinstance`` of asyncio's class holds, and what is cold (reprs, subclasses that replace inner
methods, pickling) is CPython's code over the native state. Does not know who uses them.
"""

import abc
from asyncio import locks, queues
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from . import _conbrio
from ._conbrio import sleep

if TYPE_CHECKING:
    from _typeshed import SupportsRichComparison

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "Semaphore",
    "sleep",
]

T = TypeVar("T")
P = TypeVar("P", bound="SupportsRichComparison")

# Ours, and asyncio's class in whose place it stands.
_stands_for: dict[type, type] = {}


class _Standing(abc.ABCMeta):
    """The class of classes that stand in the place of asyncio's: instances of those count too.

    A program may have made a lock before ``install()`` and ask ``isinstance(lock, asyncio.Lock)``
    after it. Derived from ``ABCMeta``, so that a subclass can have abstract classes beside.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        """Tell whether an instance is of the class in whose place this one stands."""
        theirs = _stands_for.get(cls)
        if theirs is None:
            return super().__instancecheck__(instance)
        return isinstance(instance, theirs)

    def __subclasscheck__(cls, subclass: type) -> bool:
        """Tell whether a class derives from the one in whose place this one stands."""
        theirs = _stands_for.get(cls)
        if theirs is None:
            return super().__subclasscheck__(subclass)
        return issubclass(subclass, theirs)


class _Kept:
    """Copies and pickles as CPython's primitives do: what it is made of, by its private names."""

    __slots__ = ()
    _kept: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return what CPython's own instance has in its dictionary."""
        return dict(self._state())

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what ``__getstate__`` has returned."""
        for name, value in state.items():
            setattr(self, name, value)

    def _state(self) -> Iterator[tuple[str, Any]]:
        for name in self._kept:
            yield name, getattr(self, name)
        if getattr(self, "_loop", None) is not None:
            yield "_loop", self._loop  # type: ignore[attr-defined]
        yield from vars(self).items()


def _adopt(ours: type, theirs: type) -> None:
    """Let the native half know the class that is made of it."""
    _conbrio._adopt(ours)  # noqa: SLF001 - the package's own door
    _stands_for[ours] = theirs


class Lock(_Kept, _conbrio.Lock, locks.Lock, metaclass=_Standing):
    """``asyncio.Lock``, natively: one holder at a time, in the order in which they came."""

    __module__ = "conbrio"
    _kept: tuple[str, ...] = ("_waiters", "_locked")


class Event(_Kept, _conbrio.Event, locks.Event, metaclass=_Standing):
    """``asyncio.Event``, natively: a flag that tasks wait for."""

    __module__ = "conbrio"
    _kept: tuple[str, ...] = ("_waiters", "_value")


class Condition(_Kept, _conbrio.Condition, locks.Condition, metaclass=_Standing):
    """``asyncio.Condition``, natively: tasks wait to be notified, and hold a lock around it."""

    __module__ = "conbrio"
    _kept: tuple[str, ...] = ("_lock", "_waiters")


class Semaphore(_Kept, _conbrio.Semaphore, locks.Semaphore, metaclass=_Standing):
    """``asyncio.Semaphore``, natively: so many permits, first come, first served."""

    __module__ = "conbrio"
    _kept: tuple[str, ...] = ("_waiters", "_value")


class BoundedSemaphore(Semaphore, locks.BoundedSemaphore):
    """``asyncio.BoundedSemaphore``, natively: takes back no more permits than it has given."""

    __module__ = "conbrio"
    _kept: tuple[str, ...] = ("_bound_value", "_waiters", "_value")

    def __init__(self, value: int = 1) -> None:
        self._bound_value = value
        super().__init__(value)


class Barrier(locks.Barrier, metaclass=_Standing):
    """``asyncio.Barrier`` on a native condition: lets so many tasks go on together."""

    __module__ = "conbrio"

    def __init__(self, parties: int) -> None:
        super().__init__(parties)
        self._cond = Condition()


class Queue(_Kept, _conbrio.Queue, queues.Queue[T], metaclass=_Standing):
    """``asyncio.Queue``, natively: hands items from task to task, the oldest first."""

    __module__ = "conbrio"
    _kept: tuple[str, ...] = (
        "_maxsize",
        "_getters",
        "_putters",
        "_unfinished_tasks",
        "_finished",
        "_queue",
        "_is_shutdown",
    )


class PriorityQueue(Queue[P], queues.PriorityQueue[P]):
    """``asyncio.PriorityQueue``, natively: hands out the smallest item first."""

    __module__ = "conbrio"


class LifoQueue(Queue[T], queues.LifoQueue[T]):
    """``asyncio.LifoQueue``, natively: hands out the youngest item first."""

    __module__ = "conbrio"


for _ours, _home in (
    (Lock, locks.Lock),
    (Event, locks.Event),
    (Condition, locks.Condition),
    (Semaphore, locks.Semaphore),
    (BoundedSemaphore, locks.BoundedSemaphore),
    (Barrier, locks.Barrier),
    (Queue, queues.Queue),
    (PriorityQueue, queues.PriorityQueue),
    (LifoQueue, queues.LifoQueue),
):
    _adopt(_ours, _home)
