"""asyncio's primitives as people see them: the native half first, asyncio's own class second.

So ``isinstance`` of asyncio's class holds, and what is cold (reprs, subclasses that replace inner
methods, pickling) is CPython's code over the native state. Does not know who uses them.
"""

from __future__ import annotations

import asyncio
import copyreg
import sys
from asyncio import locks, queues, taskgroups, timeouts

from . import _conbrio
from ._conbrio import NATIVE_TASKS, sleep, timeout, timeout_at
from ._hints import unhinted
from ._standing import Standing, stand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self, SupportsIndex, TypeVar

    from _typeshed import SupportsRichComparison

    _T = TypeVar("_T")  # noqa: PYI018 - the bases below name it
    _P = TypeVar("_P", bound=SupportsRichComparison)  # noqa: PYI018 - as above

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
    "TaskGroup",
    "Timeout",
    "as_completed",
    "gather",
    "shield",
    "sleep",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
]

# A thread is most of it, and a loop of ours hears from its executor natively.
to_thread = asyncio.to_thread

if TYPE_CHECKING or not NATIVE_TASKS:
    as_completed = asyncio.as_completed
    gather = asyncio.gather
    shield = asyncio.shield
    wait = asyncio.wait
else:
    from ._conbrio import as_completed, gather, shield, wait

    class _AsCompletedIterator(_conbrio.AsCompleted):
        """What ``as_completed`` returns: a plain iterator, and from 3.13 on an asynchronous one."""

        if sys.version_info >= (3, 13):

            def __aiter__(self) -> Self:
                """Return itself."""
                return self


def _parts(primitive: Any) -> Iterator[tuple[str, Any]]:
    for name in primitive._conbrio_kept:  # noqa: SLF001 - its class's own
        yield name, getattr(primitive, name)
    if getattr(primitive, "_loop", None) is not None:
        yield "_loop", primitive._loop  # noqa: SLF001 - as CPython's is called
    yield from vars(primitive).items()


class _Kept:
    """Copies and pickles as CPython's primitives do: what it is made of, by its private names."""

    __slots__ = ()
    if TYPE_CHECKING:
        _conbrio_kept: Any
    else:
        # Without an annotation, which derived classes would show as a hint of theirs.
        _conbrio_kept = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> Any:
        """Pickle by any protocol: what the oldest ones do otherwise is for classes in Python."""
        return super().__reduce_ex__(max(int(protocol), 2))

    def __getstate__(self) -> Any:
        """Return what CPython's own instance has in its dictionary, and in slots of a program's."""
        kept = dict(_parts(self))
        names = copyreg._slotnames(type(self))  # type: ignore[attr-defined]  # noqa: SLF001
        slots = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return (kept, slots) if slots else kept

    def __setstate__(self, state: Any) -> None:
        """Take what ``__getstate__`` has returned."""
        for part in state if isinstance(state, tuple) else (state,):
            for name, value in part.items():
                setattr(self, name, value)


def _adopt(ours: type, theirs: type) -> None:
    """Let the native half know the class that is made of it."""
    stand(ours, theirs)
    _conbrio._adopt(ours)  # noqa: SLF001 - the package's own door


class Lock(_Kept, _conbrio.Lock, locks.Lock, metaclass=Standing):
    """``asyncio.Lock``, natively: one holder at a time, in the order in which they came."""

    __module__ = "conbrio"
    _conbrio_kept = ("_waiters", "_locked")


class Event(_Kept, _conbrio.Event, locks.Event, metaclass=Standing):
    """``asyncio.Event``, natively: a flag that tasks wait for."""

    __module__ = "conbrio"
    _conbrio_kept = ("_waiters", "_value")


class Condition(_Kept, _conbrio.Condition, locks.Condition, metaclass=Standing):
    """``asyncio.Condition``, natively: tasks wait to be notified, and hold a lock around it."""

    __module__ = "conbrio"
    _conbrio_kept = ("_lock", "_waiters")


class Semaphore(_Kept, _conbrio.Semaphore, locks.Semaphore, metaclass=Standing):
    """``asyncio.Semaphore``, natively: so many permits, first come, first served."""

    __module__ = "conbrio"
    _conbrio_kept = ("_waiters", "_value")


BOUNDED: Any = locks.BoundedSemaphore


def _is_theirs(semaphore: object) -> bool:
    return not isinstance(semaphore, _conbrio.Semaphore)


class BoundedSemaphore(Semaphore, locks.BoundedSemaphore):
    """``asyncio.BoundedSemaphore``, natively: takes back no more permits than it has given."""

    __module__ = "conbrio"
    _conbrio_kept = ("_bound_value", "_waiters", "_value")  # type: ignore[assignment]

    def __init__(self, value: int = 1) -> None:
        if _is_theirs(self):
            # Of a class that was derived from asyncio's before ours took its place.
            BOUNDED.__init__(self, value)
            return
        self._bound_value = value
        super().__init__(value)


# What `async with` gives is the place, an int; typeshed says the barrier.
class Barrier(_Kept, _conbrio.Barrier, locks.Barrier, metaclass=Standing):
    """``asyncio.Barrier``, natively: lets so many tasks go on together."""

    __module__ = "conbrio"
    _conbrio_kept = ("_cond", "_parties", "_state", "_count")


class Queue(_Kept, _conbrio.Queue, queues.Queue["_T"], metaclass=Standing):
    """``asyncio.Queue``, natively: hands items from task to task, the oldest first."""

    __module__ = "conbrio"
    _conbrio_kept = (
        "_maxsize",
        "_getters",
        "_putters",
        "_unfinished_tasks",
        "_finished",
        "_queue",
        "_is_shutdown",
    )


class PriorityQueue(Queue["_P"], queues.PriorityQueue["_P"]):
    """``asyncio.PriorityQueue``, natively: hands out the smallest item first."""

    __module__ = "conbrio"


class LifoQueue(Queue["_T"], queues.LifoQueue["_T"]):
    """``asyncio.LifoQueue``, natively: hands out the youngest item first."""

    __module__ = "conbrio"


def _keep_order(ours: type, theirs: type) -> None:
    # As asyncio's have them: what a program puts into `Queue`, or between the two, comes behind.
    for name in ("_init", "_put", "_get"):
        setattr(ours, name, getattr(theirs, name))


_keep_order(PriorityQueue, queues.PriorityQueue)
_keep_order(LifoQueue, queues.LifoQueue)


class Timeout(_Kept, _conbrio.Timeout, timeouts.Timeout, metaclass=Standing):  # type: ignore[misc]
    """``asyncio.Timeout``, natively: cancels the block of an ``async with`` when its time is up."""

    __module__ = "conbrio"
    _conbrio_kept = ("_state", "_timeout_handler", "_task", "_when")


if TYPE_CHECKING or not NATIVE_TASKS:
    TaskGroup = taskgroups.TaskGroup
else:

    class TaskGroup(_Kept, _conbrio.TaskGroup, taskgroups.TaskGroup, metaclass=Standing):
        """``asyncio.TaskGroup``, natively: tasks that end together."""

        __module__ = "conbrio"
        _conbrio_kept = (
            "_entered",
            "_exiting",
            "_aborting",
            "_parent_task",
            "_tasks",
            "_on_completed_fut",
            "_errors",
            "_base_error",
            "_parent_cancel_requested",
        )

    _adopt(TaskGroup, taskgroups.TaskGroup)

if TYPE_CHECKING or sys.version_info < (3, 12):
    # CPython: up to 3.11 it waits for a task of its own, which a timeout does not.
    wait_for = asyncio.wait_for
else:
    _usual_wait_for = asyncio.wait_for
    _timeout = _conbrio.timeout

    async def wait_for(fut: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncio's own
        """Wait for a future or coroutine, at most so long; ``TimeoutError`` when that is over.

        See ``asyncio.wait_for``, whose time is kept by the native ``timeout`` here.
        """
        if timeout is not None and timeout <= 0:
            return await _usual_wait_for(fut, timeout)
        async with _timeout(timeout):
            return await fut

    wait_for.__module__ = "conbrio"
    unhinted(wait_for)

unhinted(BoundedSemaphore)

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
    (Timeout, timeouts.Timeout),
):
    _adopt(_ours, _home)
