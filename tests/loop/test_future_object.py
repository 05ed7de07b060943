"""A future as a Python object: its class, its words, its memory, and objects half made."""

import _asyncio
import asyncio
import copy
import gc
import inspect
import pickle
import sys
import types
import weakref

import pytest

from loopkit import subject
from loopkit.plain import plain

# Names of object's that may be inherited: nothing of a future's own state shows through them.
INHERITED = {
    "__class__", "__delattr__", "__dir__", "__doc__", "__eq__", "__format__", "__ge__",
    "__getattribute__", "__getstate__", "__gt__", "__hash__", "__init_subclass__", "__le__",
    "__lt__", "__ne__", "__reduce__", "__reduce_ex__", "__setattr__", "__sizeof__", "__str__",
    "__subclasshook__", "__class_getitem__", "__static_attributes__", "__firstlineno__",
}  # fmt: skip


@pytest.mark.conbrio_only
@pytest.mark.parametrize("name", ["Future", "Task"])
def test_every_name_of_the_base_is_overridden(name):
    """What the base keeps for itself is never set on ours, so no base method may be reached."""
    ours, base = getattr(subject.classes(), name), getattr(_asyncio, name)
    if not subject.classes().build_info()["native_tasks"]:
        pytest.skip("the fall-back is CPython's own class")
    own = {key for cls in ours.__mro__[: ours.__mro__.index(base)] for key in vars(cls)}
    if name == "Task":
        future = subject.classes().Future
        own |= {key for cls in future.__mro__[:1] for key in vars(cls) if issubclass(ours, future)}
    assert set(dir(base)) - own - INHERITED == set()


def test_the_loops_futures_are_asyncios(loop, Future):
    future = loop.create_future()
    assert type(future) is Future
    assert isinstance(future, asyncio.Future)
    assert isinstance(future, _asyncio.Future)
    assert asyncio.isfuture(future)
    assert inspect.isawaitable(future)
    assert asyncio.ensure_future(future) is future
    assert future.get_loop() is loop
    assert isinstance(Future[int], types.GenericAlias)


@pytest.mark.parametrize("debug", [False, True])
def test_repr_is_asyncios(same, debug):
    def hear(future):
        """Known by name in a repr."""

    def scenario(loop):
        loop.set_debug(debug)
        futures = [loop.create_future() for _ in range(8)]
        futures[1].set_result(list(range(100)))
        futures[2].set_exception(ValueError("no"))
        futures[3].cancel("words")
        for number, count in ((4, 1), (5, 2), (6, 3), (7, 9)):
            for _ in range(count):
                futures[number].add_done_callback(hear)
        futures[2].exception()
        texts = [repr(future) for future in futures]
        return [*texts, [str(future) for future in futures] == texts]

    texts = same(scenario)
    assert texts[0].startswith("<Future pending")
    assert "finished result=[0, 1, 2, 3" in texts[1]
    assert texts[3].startswith("<Future cancelled")
    assert texts[-1] is True


def test_repr_of_itself_does_not_recurse(same):
    def scenario(loop):
        future = loop.create_future()
        future.set_result(future)
        return repr(future)

    assert "..." in same(scenario)


def test_repr_of_a_subclass_names_it(loop, Future):
    class Special(Future):
        pass

    assert repr(Special(loop=loop)) == "<Special pending>"


def test_attributes_of_the_base(loop):
    future = loop.create_future()
    assert future._loop is loop
    assert future._state == "PENDING"
    assert future._result is None
    assert future._exception is None
    assert future._log_traceback is False
    assert future._source_traceback is None
    assert future._cancel_message is None
    future._cancel_message = "words"
    assert future._cancel_message == "words"
    error = KeyError()
    future.set_exception(error)
    assert (future._state, future._exception, future._log_traceback) == ("FINISHED", error, True)
    with pytest.raises(ValueError, match="_log_traceback can only be set to False"):
        future._log_traceback = True
    future._log_traceback = False
    other = loop.create_future()
    other.cancel()
    assert other._state == "CANCELLED"
    for name in ("_state", "_loop", "_result", "_exception", "_callbacks", "_source_traceback"):
        with pytest.raises(AttributeError):
            setattr(future, name, 1)


def test_never_retrieved_is_reported(same):
    def scenario(loop):
        future = loop.create_future()
        future.set_exception(ValueError("lost"))
        del future
        gc.collect()

    same(scenario)


def test_never_retrieved_tells_what(loop, complaints):
    error = ValueError("lost")
    loop.create_future().set_exception(error)
    gc.collect()
    (context,) = complaints
    assert context["message"] == "Future exception was never retrieved"
    assert context["exception"] is error
    assert isinstance(context["future"], asyncio.Future)
    assert repr(context["future"]).startswith("<Future finished exception=ValueError('lost')")


@pytest.mark.parametrize("look", ["result", "exception", "await", "flag"])
def test_retrieved_is_not_reported(loop, complaints, look):
    future = loop.create_future()
    future.set_exception(ValueError("seen"))
    if look == "exception":
        future.exception()
    elif look == "flag":
        future._log_traceback = False
    else:
        with pytest.raises(ValueError, match="seen"):
            future.result() if look == "result" else loop.run_until_complete(future)
    del future
    gc.collect()
    assert complaints == []


def test_a_reported_future_may_be_kept_alive(loop):
    kept = []
    loop.set_exception_handler(lambda _, context: kept.append(context["future"]))
    loop.create_future().set_exception(ValueError("resurrected"))
    gc.collect()
    (future,) = kept
    assert future.done()
    with pytest.raises(ValueError, match="resurrected"):
        future.result()


def test_cycles_are_collected(loop):
    def cycle():
        future = loop.create_future()
        future.add_done_callback(lambda _: future)
        future.me = future
        return weakref.ref(future)

    seen = [cycle() for _ in range(10)]
    gc.collect()
    assert [ref() for ref in seen] == [None] * 10
    future = loop.create_future()
    future.set_result(future)
    seen = weakref.ref(future)
    del future
    gc.collect()
    assert seen() is None


def test_results_are_freed_with_the_future(loop):
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    future = loop.create_future()
    future.set_result(thing)
    del thing
    assert seen() is future.result()
    del future
    gc.collect()
    assert seen() is None


def test_pickling_is_refused(loop):
    with pytest.raises(TypeError):
        pickle.dumps(loop.create_future())
    with pytest.raises(TypeError):
        copy.copy(loop.create_future())


def test_attributes_and_weak_references(loop):
    future = loop.create_future()
    future.anything = 1
    assert future.anything == 1
    assert weakref.ref(future)() is future
    assert {future: 1}[future] == 1


def test_subclasses(loop, Future):
    class Special(Future):
        def __init__(self, *, extra=None, loop):
            super().__init__(loop=loop)
            self.extra = extra
            self.heard = []

        def add_done_callback(self, fn, *, context=None):
            self.heard.append(fn)
            super().add_done_callback(fn, context=context)

        def set_result(self, result):
            super().set_result(("special", result))

    future = Special(extra=3, loop=loop)

    async def main():
        loop.call_soon(future.set_result, 1)
        return await future

    assert loop.run_until_complete(main()) == ("special", 1)
    assert len(future.heard) == 1
    assert future.extra == 3


def test_init_twice_starts_anew_or_is_refused(loop, Future):
    future = Future(loop=loop)
    future.add_done_callback(print)
    future.set_result(1)
    if sys.version_info >= (3, 15):
        with pytest.raises(RuntimeError, match="Future object is already initialized"):
            future.__init__(loop=loop)
        return
    future.__init__(loop=loop)
    assert not future.done()
    assert future._callbacks is None
    future.set_result(2)
    assert future.result() == 2


CALLS = [
    "result", "exception", "done", "cancelled", "cancel", "get_loop", "__repr__", "__await__",
    "__iter__", "__del__", "_make_cancelled_error", "_callbacks", "_loop", "_result", "_exception",
    "_cancel_message", "_log_traceback", "_source_traceback", "_state", "_asyncio_future_blocking",
]  # fmt: skip


@pytest.mark.parametrize("name", ["Future", "Task"])
@pytest.mark.parametrize("call", CALLS)
def test_an_object_without_init_answers_as_asyncios(name, call):
    def answer(cls):
        bare = cls.__new__(cls)
        try:
            value = getattr(bare, call)
            value = value() if callable(value) else value
            return type(value).__name__
        except Exception as error:
            return plain(error)

    expected = answer(getattr(asyncio, name))
    assert answer(getattr(subject.classes(), name)) == expected


def test_an_object_without_init_takes_callbacks_and_results_as_asyncios(Future):
    def answers(cls):
        bare = cls.__new__(cls)
        for call, args in (
            ("add_done_callback", [print]),
            ("remove_done_callback", [print]),
            ("set_result", [1]),
            ("set_exception", [ValueError()]),
        ):
            try:
                yield plain(getattr(bare, call)(*args))
            except Exception as error:
                yield plain(error)

    assert list(answers(Future)) == list(answers(asyncio.Future))


def test_loop_rules(loop, Future):
    if sys.version_info >= (3, 12):  # 3.11 may still make a loop
        with pytest.raises((RuntimeError, DeprecationWarning), match="no current event loop"):
            Future()

    async def inside():
        return Future().get_loop(), Future(loop=None).get_loop()

    assert loop.run_until_complete(inside()) == (loop, loop)
    with pytest.raises(TypeError):
        Future(loop)
    with pytest.raises(TypeError):
        Future(nonsense=1)


def test_a_duck_typed_loop_will_do(Future):
    """A future asks its loop only for get_debug and call_soon."""

    class Duck:
        calls = []

        def get_debug(self):
            return False

        def call_soon(self, callback, *args, context=None):
            self.calls.append((callback, args))

    future = Future(loop=Duck())
    future.add_done_callback(print)
    future.set_result(1)
    assert [(callback, args) for callback, args in Duck.calls] == [(print, (future,))]
    assert future.result() == 1


@pytest.mark.parametrize("kind", ["future", "task"])
def test_a_derived_class_says_itself_how_it_ended(run, kind):
    """As CPython's tasks, which call `result()` of all but its own classes."""

    async def main():
        loop = asyncio.get_running_loop()
        base = type(loop.create_future() if kind == "future" else asyncio.current_task())

        class Derived(base):
            def result(self):
                super().result()
                raise LookupError("its own")

        if kind == "future":
            awaited = Derived(loop=loop)
            loop.call_soon(awaited.set_result, 1)
        else:
            awaited = Derived(asyncio.sleep(0), loop=loop)
        with pytest.raises(LookupError, match="its own"):
            await awaited

    run(main())
