"""The native primitives in the places of asyncio's names: where, how long, and what mixes with them."""

import asyncio
import copy
import functools
import pickle
import sys
import types

import pytest

from loopkit import children

conbrio = pytest.importorskip("conbrio")
swaps = pytest.importorskip("conbrio._swaps")
_sync = pytest.importorskip("conbrio._sync")

NAMES = sorted(swaps.PRIMITIVES)
CLASSES = [name for name in NAMES if isinstance(getattr(_sync, name, None), type)]


class Earlier(asyncio.BoundedSemaphore):
    """Derived before the swap; names its base where it calls it."""

    def __init__(self, value):
        asyncio.BoundedSemaphore.__init__(self, value)

    def release(self):
        asyncio.BoundedSemaphore.release(self)


@pytest.fixture
def swapped():
    """The names swapped for the length of a test."""
    with swaps.held(True):
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_swapped_and_put_back(name):
    theirs = getattr(asyncio, name)
    assert theirs is not getattr(conbrio, name)
    with swaps.held(True):
        assert getattr(asyncio, name) is getattr(conbrio, name)
        assert f"asyncio.{name}" in conbrio.build_info()["swapped"]
        held = [module for module in sys.modules if module.split(".")[0] == "asyncio"]
        assert [one for one in held if theirs in vars(sys.modules[one]).values()] == []
        with swaps.held(True):
            pass
        assert getattr(asyncio, name) is getattr(conbrio, name)
    assert getattr(asyncio, name) is theirs
    assert conbrio.build_info()["swapped"] == []


def test_install_swaps_and_uninstall_puts_back():
    code = """
    import conbrio
    theirs = asyncio.Lock
    conbrio.install(primitives=False)
    assert asyncio.Lock is theirs and conbrio.build_info()["swapped"] == []
    conbrio.install()
    assert asyncio.Lock is asyncio.locks.Lock is conbrio.Lock
    assert "asyncio.locks.Lock" in conbrio.build_info()["swapped"]
    conbrio.install()
    asyncio.Event = other = object()
    conbrio.uninstall()
    assert asyncio.Lock is asyncio.locks.Lock is theirs
    assert asyncio.Event is other and asyncio.locks.Event.__module__ == "asyncio.locks"
    conbrio.uninstall()
    """
    assert children.output(code) == ""


def test_a_run_swaps_only_when_asked():
    async def main():
        return asyncio.Lock

    assert conbrio.run(main()) is asyncio.Lock
    assert conbrio.run(main(), primitives=True) is conbrio.Lock
    assert asyncio.Lock is not conbrio.Lock
    with conbrio.Runner(primitives=True) as runner:
        assert asyncio.Lock is not conbrio.Lock
        assert runner.run(main()) is conbrio.Lock
        assert asyncio.Lock is not conbrio.Lock


@pytest.mark.parametrize(
    ("options", "module"), [((), "conbrio"), (("--loop-only",), "asyncio.locks")]
)
def test_the_command_swaps_unless_told_not_to(options, module):
    import subprocess

    argv = [
        sys.executable,
        "-m",
        "conbrio",
        *options,
        "-c",
        "import asyncio; print(asyncio.Lock.__module__)",
    ]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == module


@pytest.mark.parametrize("name", CLASSES)
def test_classes_count_for_each_other(name):
    theirs, ours = getattr(asyncio, name), getattr(conbrio, name)
    arguments = (1,) if name in {"Barrier", "Timeout"} else ()

    class Before(theirs):
        pass

    class After(ours):
        pass

    assert issubclass(ours, theirs)
    assert issubclass(theirs, ours)
    assert issubclass(Before, ours)
    assert not issubclass(Before, After)
    assert not issubclass(theirs, After)
    for kind in (theirs, ours, Before, After):
        one = kind(*arguments)
        assert isinstance(one, theirs)
        assert isinstance(one, ours)
    assert not isinstance(ours(*arguments), After)
    assert not isinstance(object(), ours)


@pytest.mark.parametrize("name", CLASSES)
def test_copies_and_pickles_as_cpythons(name):
    arguments = (1,) if name in {"Barrier", "Timeout"} else ()
    theirs, ours = getattr(asyncio, name)(*arguments), getattr(conbrio, name)(*arguments)
    ours.mine = theirs.mine = [1]
    pickled = [
        functools.partial(lambda protocol, one: pickle.loads(pickle.dumps(one, protocol)), protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    for duplicate in (copy.copy, copy.deepcopy, *pickled):
        try:
            expected = duplicate(theirs)
        except TypeError:
            with pytest.raises(TypeError):
                duplicate(ours)
            continue
        got = duplicate(ours)
        assert type(got) is type(ours)
        assert got.mine == expected.mine
        assert repr(got).split(" [")[1:] == repr(expected).split(" [")[1:]


class Marked(conbrio.Lock):
    """A lock with a place of its own, beside those in its dictionary."""

    __slots__ = ("mark", "unset")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_places_of_a_derived_class_are_copied(protocol):
    lock = Marked()
    lock.mark, lock.other = "mark", "other"
    for got in (copy.copy(lock), pickle.loads(pickle.dumps(lock, protocol))):
        assert (got.mark, got.other, got.locked()) == ("mark", "other", False)
        assert not hasattr(got, "unset")


class Parted(conbrio.Queue):
    """Keeps what it likes by names that it chooses."""

    def __init__(self):
        super().__init__()
        self._parts, self._kept, self._state = ["parts"], {"kept": 1}, "state"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_derived_class_may_use_any_name(protocol):
    queue = Parted()
    queue.put_nowait(1)
    for got in (copy.copy(queue), pickle.loads(pickle.dumps(queue, protocol))):
        assert (got._parts, got._kept, got._state) == (["parts"], {"kept": 1}, "state")
        assert got.get_nowait() == 1


@pytest.mark.parametrize("name", CLASSES)
def test_abstract_classes_can_stand_beside(name):
    import abc
    import weakref
    from typing import Generic, TypeVar

    item = TypeVar("item")

    kind = getattr(conbrio, name)
    bases = (kind, abc.ABC) if name.endswith("Queue") else (kind, abc.ABC, Generic[item])
    mixed = types.new_class("Mixed", bases)

    one = mixed(*((1,) if name in {"Barrier", "Timeout"} else ()))
    assert weakref.ref(one)() is one
    assert mixed[int] is not None


@pytest.mark.usefixtures("swapped")
def test_a_semaphore_derived_before_the_swap_keeps_its_bounds(run):
    async def main():
        semaphore = Earlier(1)
        assert await semaphore.acquire()
        semaphore.release()
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release()

    run(main())


@pytest.mark.usefixtures("swapped")
def test_a_drain_that_need_not_wait_has_its_name(run):
    async def main():
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            drained = asyncio.create_task(writer.drain())
            assert "coro=<StreamWriter.drain()" in repr(drained)
            await drained
            writer.close()
            await writer.wait_closed()

    run(main())
