"""Primitives and streams that programs derive from, patch, copy and look into, as they do with asyncio's."""

import abc
import asyncio
import copy
import inspect
import pickle
from unittest import mock

import pytest

from loopkit.either import both
from loopkit.either import run as run_on

conbrio = pytest.importorskip("conbrio")
swaps = pytest.importorskip("conbrio._swaps")

CLASSES = sorted(name for name, ours in swaps.PRIMITIVES.items() if isinstance(ours, type))
THEIRS = {name: getattr(asyncio, name) for name in CLASSES}


class OldQueue(asyncio.Queue):
    """Derived before the swap; names its base where it calls it."""

    def __init__(self, size):
        asyncio.Queue.__init__(self, size)

    def put_nowait(self, item):
        asyncio.Queue.put_nowait(self, item + 1)


class OldProtocol(asyncio.StreamReaderProtocol):
    def data_received(self, data):
        asyncio.StreamReaderProtocol.data_received(self, data.upper())


def test_a_class_derived_before_the_swap_calls_its_base_by_name():
    async def main():
        queue = OldQueue(2)
        await queue.put(1)
        await asyncio.Queue.put(queue, 2)
        reader = asyncio.StreamReader()
        protocol = OldProtocol(reader)
        protocol.data_received(b"line\n")
        event = THEIRS["Event"]()
        asyncio.Event.set(event)
        return [queue.get_nowait(), queue.get_nowait()], await reader.readline(), event.is_set()

    ours, theirs = both(main)
    assert ours == theirs == ([2, 3], b"LINE\n", True)


def parameters(kind):
    return [(it.name, it.kind, it.default) for it in inspect.signature(kind).parameters.values()]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_tells_its_parameters(name):
    assert parameters(getattr(conbrio, name)) == parameters(THEIRS[name])


@pytest.mark.parametrize(
    "name", ["Queue", "Lock", "Event", "Condition", "Semaphore", "StreamReader"]
)
def test_a_double_of_a_class_awaits_what_the_class_awaits(name):
    def awaited(kind):
        double = mock.create_autospec(kind, instance=True)
        members = [it for it in dir(kind) if not it.startswith("_") and callable(getattr(kind, it))]
        return {it: isinstance(getattr(double, it), mock.AsyncMock) for it in members}

    theirs = awaited(THEIRS[name])
    ours = awaited(getattr(conbrio, name))
    assert {it: ours[it] for it in theirs} == theirs
    assert any(ours.values())


@pytest.mark.parametrize("method", ["put_nowait", "_put", "full"])
def test_a_method_patched_on_the_class_is_called_by_the_others(method):
    async def main():
        usual = getattr(asyncio.Queue, method)
        seen = []

        def patched(self, *args):
            seen.append(args)
            return usual(self, *args)

        with mock.patch.object(asyncio.Queue, method, patched):
            queue = asyncio.Queue()
            await queue.put(1)
        await asyncio.Queue().put(2)
        return seen, queue.get_nowait()

    ours, theirs = both(main)
    assert ours == theirs
    assert ours[0]


async def entered(made):
    async with made:
        pass


async def notified(condition):
    async with condition:
        condition.notify_all()


PATCHED = {
    "Queue.put_nowait": lambda queue: queue.put(1),
    "Queue._put": lambda queue: queue.put(1),
    "Queue.full": lambda queue: queue.put(1),
    "Queue.get_nowait": lambda queue: queue.get(),
    "Queue._get": lambda queue: queue.get(),
    "Queue.empty": lambda queue: queue.get(),
    "Queue._wakeup_next": lambda queue: queue.put(1),
    "PriorityQueue._put": lambda queue: queue.put(1),
    "Lock.acquire": entered,
    "Lock.release": entered,
    "Lock._wake_up_first": entered,
    "Semaphore.locked": entered,
    "Semaphore.release": entered,
    "BoundedSemaphore.release": entered,
    "Condition.notify": notified,
    "Barrier.wait": entered,
    "Timeout.reschedule": entered,
}


@pytest.mark.parametrize("name", PATCHED)
def test_a_method_patched_when_there_are_instances_is_called_by_the_others(name):
    class_name, method = name.split(".")

    async def main():
        kind = getattr(asyncio, class_name)
        given = {"Barrier": [1], "Timeout": [None], "Semaphore": [3]}.get(class_name, [])
        made, native = kind(*given), getattr(kind, method)
        # What its other methods have seen of the class before.
        if class_name.endswith("Queue"):
            for item in (5, 6):
                made.put_nowait(item)
        elif class_name != "Timeout":
            await entered(made)
        calls = []

        def replaced(self, *args):
            calls.append(args)
            return native(self, *args)

        with mock.patch.object(kind, method, replaced):
            first = await asyncio.wait_for(PATCHED[name](made), 5), len(calls)
        if class_name == "Timeout":
            return first
        return first, await asyncio.wait_for(PATCHED[name](made), 5), len(calls)

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize("patched", ["_on_timeout", "reschedule"])
def test_a_timeout_patched_while_it_runs_is_disarmed(patched):
    async def main():
        async with asyncio.timeout(0.01) as timeout:
            with mock.patch.object(asyncio.Timeout, patched, getattr(asyncio.Timeout, patched)):
                timeout.reschedule(asyncio.get_running_loop().time() + 60)
            await asyncio.sleep(0.03)
        with mock.patch.object(asyncio.Timeout, "_on_timeout"):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(0)
        await asyncio.sleep(0.03)
        return timeout.expired()

    assert both(main) == (False, False)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda it: pickle.loads(pickle.dumps(it)),
}


@pytest.mark.parametrize("how", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", ["Lock", "Semaphore", "BoundedSemaphore", "Barrier", "Event"])
def test_a_copy_calls_what_its_class_replaces(name, how, monkeypatch):
    async def main():
        base = getattr(asyncio, name)
        called = []

        def replacing(method):
            def replaced(self, *args):
                called.append(method)
                return getattr(base, method)(self, *args)

            return replaced

        methods = {
            method: replacing(method)
            for method in ("acquire", "release", "wait", "locked", "_get_loop")
            if hasattr(base, method)
        }
        derived = type("Derived", (base,), {**methods, "__module__": __name__})
        monkeypatch.setitem(globals(), "Derived", derived)
        made = how(derived(*[1] * (name not in {"Lock", "Event"})))
        if name == "Event":
            waiting = asyncio.ensure_future(made.wait())
            await asyncio.sleep(0)
            made.set()
            await waiting
        else:
            await entered(made)
        return called

    ours, theirs = both(main)
    assert ours == theirs != []


def test_a_method_set_on_an_instance_is_called_by_the_others():
    async def main():
        queue = asyncio.Queue()
        queue.put_nowait(1)
        queue.full = lambda: False
        sizes = [queue.qsize()]
        queue.put_nowait = sizes.append
        await queue.put("mine")
        lock, condition = asyncio.Lock(), asyncio.Condition()

        async def acquire():
            sizes.append("acquired")
            return await asyncio.Lock.acquire(lock)

        lock.acquire = acquire
        async with lock, condition:
            condition.notify = sizes.append
            condition.notify_all()
        return sizes, queue.get_nowait()

    ours, theirs = both(main)
    assert ours == theirs


class Keyed(asyncio.Queue):
    """Makes a container of its own from an attribute of its own."""

    def __init__(self, key):
        self.key = key
        super().__init__()

    def _init(self, maxsize):
        self._queue = list(self.key)

    def _put(self, item):
        self._queue.insert(0, item)

    def _get(self):
        return self._queue.pop()


@pytest.mark.parametrize("name", ["Queue", "PriorityQueue", "LifoQueue"])
@pytest.mark.parametrize(
    "how", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_a_copy_keeps_the_order(name, how):
    async def main():
        queue = getattr(asyncio, name)()
        for item in (3, 1, 2):
            queue.put_nowait(item)
        twin = how(queue)
        twin.put_nowait(0)
        return [twin.get_nowait() for _ in range(4)]

    ours, theirs = both(main)
    assert ours == theirs


def test_a_copy_of_a_derived_queue_runs_no_constructor():
    body = {name: value for name, value in vars(Keyed).items() if name in {"_init", "_put", "_get"}}
    ours = type("Derived", (conbrio.Queue,), body).__new__(type("Derived", (conbrio.Queue,), body))
    ours.key = "ab"
    conbrio.Queue.__init__(ours)
    theirs = Keyed("ab")
    taken = []
    for queue in (copy.copy(ours), copy.copy(theirs)):
        queue.put_nowait("c")
        taken.append([queue.get_nowait() for _ in range(3)])
    assert taken[0] == taken[1]


def test_who_waits_for_a_queue_can_be_failed():
    """As queues are closed that know no shutdown()."""

    async def main():
        queue, seen = asyncio.Queue(), []

        async def take():
            try:
                await queue.get()
            except EOFError as error:
                seen.append(str(error))

        takers = [asyncio.create_task(take()) for _ in range(3)]
        await asyncio.sleep(0)
        for getter in list(queue._getters):
            seen.append((getter.done(), getter._state))
            getter.set_exception(EOFError("closed"))
            seen.append((getter.done(), getter._state, repr(getter.exception())))
        await asyncio.gather(*takers)
        queue.put_nowait(1)
        return seen, len(queue._getters), await queue.get()

    ours, theirs = both(main)
    assert ours == theirs


@pytest.mark.parametrize("name", [it for it in CLASSES if not it.startswith("Stream")])
def test_an_abstract_class_cannot_be_made_an_instance_of(name):
    base = getattr(conbrio, name)

    class Abstract(base, abc.ABC):
        @abc.abstractmethod
        def act(self): ...

    class Marked(base):
        @abc.abstractmethod
        def act(self): ...

    given = {"Barrier": (2,), "Timeout": (None,)}.get(name, ())
    with pytest.raises(TypeError, match="abstract"):
        Abstract(*given)
    assert Marked(*given)


def test_a_protocol_can_be_put_back_as_it_was():
    """As aioconsole does, whose one protocol serves three pipes."""

    async def main():
        loop = asyncio.get_running_loop()
        protocol = conbrio.StreamReaderProtocol(conbrio.StreamReader())
        protocol.own = 1
        kept = vars(protocol).copy()
        assert kept["own"] == 1
        protocol.connection_lost(None)
        assert protocol._connection_lost
        protocol.__dict__ = kept
        assert not protocol._connection_lost
        assert protocol._loop is loop
        return protocol.own

    assert run_on(main()) == 1


def test_a_native_wait_shows_tools_what_coroutines_show():
    async def main():
        task = asyncio.create_task(conbrio.sleep(1))
        before = task.get_coro().cr_suspended
        await asyncio.sleep(0)
        wait = task.get_coro()
        seen = before, wait.cr_frame, wait.cr_origin, wait.cr_running, wait.cr_suspended
        task.cancel()
        return seen

    assert run_on(main()) == (False, None, None, False, True)
