"""Native functions and methods that are awaited are coroutine functions to whoever asks, as asyncio's are."""

import asyncio
import inspect
import pickle
import sys
import typing
from unittest import mock

import pytest

conbrio = pytest.importorskip("conbrio")
swaps = pytest.importorskip("conbrio._swaps")

CLASSES = sorted(name for name, ours in swaps.PRIMITIVES.items() if isinstance(ours, type))
METHODS = [
    (name, method)
    for name in CLASSES
    for method, value in inspect.getmembers(getattr(asyncio, name))
    if inspect.iscoroutinefunction(value) and (method.startswith("__") or method[0] != "_")
]
ENTERED = ["Barrier", "BoundedSemaphore", "Condition", "Lock", "Semaphore", "TaskGroup", "Timeout"]
DOUBLES = {
    "MagicMock": lambda kind: mock.MagicMock(spec=kind),
    "AsyncMock": lambda kind: mock.AsyncMock(spec=kind),
    "create_autospec": lambda kind: mock.create_autospec(kind, instance=True),
}
FUNCTIONS = sorted(name for name in swaps.PRIMITIVES if name not in CLASSES)


def is_coroutine_function(function):
    """What `inspect` says; up to 3.11 it knows Python functions alone, and asyncio is asked."""
    if sys.version_info >= (3, 12):
        return inspect.iscoroutinefunction(function)
    return asyncio.iscoroutinefunction(function)


def test_there_are_such_methods():
    assert ("Queue", "get") in METHODS
    assert ("StreamReader", "readexactly") in METHODS
    assert ("StreamReader", "__anext__") in METHODS
    # Without native tasks there are no native groups.
    ours = [name for name in ENTERED if getattr(conbrio, name) is not getattr(asyncio, name)]
    assert ours
    assert all((name, "__aexit__") in METHODS for name in ours)


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_is_a_coroutine_function(name, method):
    ours, theirs = (getattr(getattr(kit, name), method) for kit in (conbrio, asyncio))
    assert is_coroutine_function(ours)
    assert pickle.loads(pickle.dumps(ours)) is ours
    assert ours.__name__ == method
    assert ours.__doc__ != type(ours).__doc__
    assert ours.__doc__ or not theirs.__doc__
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_one_where_asyncios_is(name):
    ours, theirs = getattr(conbrio, name), getattr(asyncio, name)
    assert is_coroutine_function(ours) == is_coroutine_function(theirs)
    assert ours.__doc__ != type(ours).__doc__
    assert ours.__doc__
    assert pickle.loads(pickle.dumps(ours)) is ours


@pytest.mark.parametrize("name", ["sleep", "wait", "wait_for"])
def test_a_function_has_asyncios_annotations(name):
    ours, theirs = getattr(conbrio, name), getattr(asyncio, name)
    assert typing.get_type_hints(ours) == typing.get_type_hints(theirs)
    assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_has_asyncios_annotations(name, method):
    ours, theirs = (getattr(getattr(kit, name), method) for kit in (conbrio, asyncio))
    if not typing.get_type_hints(theirs):
        assert typing.get_type_hints(ours) == {}


def test_a_bound_method_is_one_too():
    queue = conbrio.Queue()
    assert is_coroutine_function(queue.get)
    assert not is_coroutine_function(queue.get_nowait)
    assert inspect.ismethod(queue.get)
    assert queue.get.__self__ is queue
    assert queue.get == queue.get


def test_a_mock_awaits_what_is_awaited():
    double = mock.AsyncMock(spec=conbrio.Queue)
    assert isinstance(double.get, mock.AsyncMock)
    assert isinstance(double.put, mock.AsyncMock)
    assert not isinstance(double.put_nowait, mock.AsyncMock)
    with swaps.held(True), mock.patch("asyncio.sleep") as sleep:
        assert isinstance(sleep, mock.AsyncMock)


@pytest.mark.parametrize("name", ENTERED)
@pytest.mark.parametrize("made", DOUBLES.values(), ids=DOUBLES)
def test_a_mock_is_entered_by_async_with(run, name, made):
    async def main():
        double = made(getattr(conbrio, name))
        async with double:
            double.__aenter__.assert_awaited_once_with()
        double.__aexit__.assert_awaited_once_with(None, None, None)

    run(main())


@pytest.mark.parametrize("made", DOUBLES.values(), ids=DOUBLES)
def test_a_mock_of_a_reader_has_a_next_line_to_await(run, made):
    async def main():
        double = made(conbrio.StreamReader)
        double.__anext__.return_value = b"line"
        assert await double.__anext__() == b"line"

    run(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.get(1),
        lambda queue: queue.get(number=1),
        lambda queue: queue.put(),
        lambda queue: queue.put(1, 2),
        lambda queue: conbrio.Queue.get(),
        lambda queue: conbrio.sleep(),
        lambda queue: conbrio.sleep(1, 2, 3),
    ],
)
def test_wrong_arguments_are_refused(call):
    with pytest.raises(TypeError):
        call(conbrio.Queue())


def test_every_way_of_calling_calls(run):
    async def main():
        queue = conbrio.Queue()
        await queue.put(item=1)
        await conbrio.Queue.put(queue, 2)
        await conbrio.Queue.put.__get__(queue)(3)
        await type("Derived", (conbrio.Queue,), {}).put(queue, *[4])
        assert [await queue.get() for _ in range(4)] == [1, 2, 3, 4]
        assert await conbrio.sleep(0, result=5) == 5 == await conbrio.sleep(*(0, 5))

    run(main())
