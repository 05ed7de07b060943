"""What classes have in common that stand in the place of asyncio's: they know asyncio's instances.

A program may have made a lock, or derived a class from ``asyncio.Lock``, before ``install()``, and
use both after it. Does not know which classes stand for which: they say so themselves.
"""

from __future__ import annotations

import abc
import functools
import types

from . import _conbrio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Standing", "stand"]

# Ours, and asyncio's class in whose place it stands.
_stands_for: dict[type, type] = {}
# The native half, and the same; and ours.
_halves: dict[type, type] = {}
_ours: dict[type, type] = {}
# A native method and asyncio's in whose place it stands, and what stands before it on the class.
_doors: dict[tuple[Any, Any], Any] = {}
_NATIVE = (
    type(_conbrio.Lock.release),
    type(_conbrio.Lock.acquire),
    type(_conbrio.Lock.__init__),
)


class _Door:
    """A native method as its class shows it: for instances of asyncio's own class as well.

    No function, so that ``unittest.mock`` takes it for what it is without asking for ``self``.
    """

    __name__: str

    def __init__(self, native: Any, usual: types.FunctionType, owner: type) -> None:
        functools.update_wrapper(self, usual)
        self.__code__ = usual.__code__
        # From 3.14 on that is not among what a wrapper takes over; the class's own would be seen.
        self.__annotations__ = dict(usual.__annotations__)
        for mark in ("_is_coroutine", "_is_coroutine_marker"):
            if hasattr(native, mark):
                setattr(self, mark, getattr(native, mark))
        self._native = native
        self._half = native.__objclass__
        self._owner = owner
        self._usual = usual

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method of the class that the first argument is of."""
        is_ours = bool(args) and isinstance(args[0], self._half)
        method = self._native if is_ours else self._usual
        return method(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind to an instance as functions do."""
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what it is: an attribute of its class."""
        return getattr, (self._owner, self.__name__)

    def __repr__(self) -> str:
        """Tell what it leads to."""
        return repr(self._native)


def _door(cls: type, native: Any, name: str) -> Any:
    """Return what stands before a native method on a class, always the same."""
    half = native.__objclass__
    owner = next((base for base in cls.__mro__ if base in _stands_for), _ours[half])
    usual = getattr(_stands_for[owner], name, None)
    if usual is getattr(_halves[half], name, None):
        owner = _ours[half]  # inherited there too: the same for all
    door = _doors.get((native, usual))
    if door is None:
        door = _Door(native, usual, owner) if isinstance(usual, types.FunctionType) else native
        door = _doors.setdefault((native, usual), door)
    return door


class Standing(abc.ABCMeta):
    """The class of classes that stand in the place of asyncio's: instances of those count too.

    A program may have made a lock before ``install()`` and ask ``isinstance(lock, asyncio.Lock)``
    after it. Derived from ``ABCMeta``, so that a subclass can have abstract classes beside.

    A class that was derived from asyncio's before ``install()`` may call after it
    ``asyncio.Lock.release(self)``. So what the class shows takes instances of asyncio's as well.
    """

    def __getattribute__(cls, name: str) -> Any:
        """Return an attribute of the class; a method for instances of both."""
        found = super().__getattribute__(name)
        if type(found) in _NATIVE and found.__objclass__ in _halves:
            return _door(cls, found, name)
        return found

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


def stand(ours: type, theirs: type) -> None:
    """Take note of which class of asyncio's one of ours stands for."""
    _stands_for[ours] = theirs
    half = next(base for base in ours.__mro__ if base.__module__ == _conbrio.__name__)
    _halves.setdefault(half, theirs)
    _ours.setdefault(half, ours)
