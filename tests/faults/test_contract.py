"""What the interpreter is owed by native code: an exception or none, live objects, contexts that are whole."""

import asyncio
import contextvars
import gc
import sys
import weakref

import pytest

from loopkit import children
from loopkit.peers import connected, finish

conbrio = pytest.importorskip("conbrio")


def test_contexts_in_stock_are_whole(run):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(100):
            loop.call_soon(lambda: None)
        await asyncio.sleep(0)
        found = [it for it in gc.get_objects() if type(it) is contextvars.Context]
        sizes = [len(it) for it in found]
        assert all(isinstance(it.copy(), contextvars.Context) for it in found)
        variable = contextvars.ContextVar("variable", default=0)
        for context in found:
            if context != contextvars.copy_context():
                try:
                    context.run(variable.set, 1)
                except RuntimeError:
                    assert context in found  # entered
        seen = []
        loop.call_soon(lambda: seen.append(variable.get()))
        await asyncio.sleep(0)
        return len(sizes) > 0, seen

    assert run(main()) == (True, [0])


def test_a_condition_whose_lock_is_something_else(run):
    async def main():
        condition = conbrio.Condition()
        condition._lock = object()
        return condition.locked()

    assert run(main()) is False


@pytest.mark.conbrio_only
def test_datagrams_with_gaps_leave_no_exception_behind(run):
    async def main():
        loop = asyncio.get_running_loop()
        far, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        near, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=far.get_extra_info("sockname")
        )
        gaps = memoryview(bytearray(10))[::2]
        near.abort()
        for _ in range(8):
            assert near.sendto(gaps) is None
        assert sys.exc_info() == (None, None, None)
        far.abort()
        await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("given", [(), [], 1.5, ValueError, "text"], ids=repr)
def test_a_transport_that_fails_with_no_exception(run, given):
    async def main():
        heard = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        transport, protocol, far = await connected()
        transport._fatal_error(given, "words")
        await finish(transport, protocol, far)
        return [(context["message"], context["exception"]) for context in heard]

    assert run(main()) == [("words", given)]


@pytest.mark.parametrize("kind", ["class", "instance", "text"])
def test_a_reader_that_is_told_of_whatever(run, kind):
    # Made anew: an exception keeps what it was raised through, and so the reader.
    given = {"class": ConnectionError, "instance": ConnectionError("reset"), "text": "text"}[kind]

    async def main(kind):
        reader = kind()
        reader.set_exception(given)
        with pytest.raises((ConnectionError, TypeError)) as told:
            await reader.read(1)
        return type(told.value), str(told.value)

    assert run(main(conbrio.StreamReader)) == run(main(asyncio.StreamReader))


# Each task is held by the next one's coroutine alone, unstarted, and says its last words by asking for all.
DYING = """
    import gc, warnings
    warnings.simplefilter("ignore")
    class Held:
        def __del__(self): seen.append(len(asyncio.all_tasks(loop)))
    async def waits(held, other): await loop.create_future()
    loop, seen, task = new_loop(), [], None
    loop.set_exception_handler(lambda *_: None)
    gc.disable()
    for _ in range(200): task = loop.create_task(waits(task, Held()))
    loop.close()
    del task
    gc.collect()
    print(len(seen), len(asyncio.all_tasks(loop)))
    """


def test_tasks_that_die_in_a_chain_are_nobodys(driver):
    status, output, complaints = children.run_python(DYING, driver)
    assert (status, output.strip(), complaints) == (0, "200 0", "")


def test_a_weak_reference_to_a_dying_task_asks_for_all(run):
    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        task = loop.create_task(asyncio.sleep(0))
        await task
        other = asyncio.SelectorEventLoop() if type(loop).__module__ == "asyncio" else type(loop)()
        task = other.create_task(asyncio.sleep(1))
        task._log_destroy_pending = False
        told = weakref.ref(task, lambda _: heard.append(len(asyncio.all_tasks(other))))
        other.close()
        task.get_coro().close()
        del task
        gc.collect()
        return heard, told()

    assert run(main()) == ([0], None)


class Bare:
    """A context as far as asyncio asks: it runs a function."""

    def run(self, function, *args):
        return function(*args)


@pytest.mark.parametrize("error", [SystemExit, ValueError])
@pytest.mark.parametrize("verb", ["call_soon", "call_later"])
@pytest.mark.parametrize("context", [Bare, contextvars.copy_context])
def test_a_callback_that_cancels_its_own_handle_and_raises(loop, complaints, verb, error, context):
    def act():
        handle.cancel()
        raise error(3)

    delay = [0] if verb == "call_later" else []
    handle = getattr(loop, verb)(*delay, act, context=context())
    if error is SystemExit:
        with pytest.raises(SystemExit, match="3"):
            loop.run_until_complete(asyncio.sleep(0.01))
    loop.run_until_complete(asyncio.sleep(0.01))
    assert [type(it["exception"]) for it in complaints] == [error] * (error is ValueError)


@pytest.mark.parametrize("verb", ["set_result", "set_exception", "cancel"])
def test_a_method_of_asyncios_future_wakes_who_awaits_ours(run, verb):
    args = {"set_result": (5,), "set_exception": (ValueError("x"),), "cancel": ()}[verb]

    async def waits(future):
        return await future

    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        for wait in (waits, lambda it: asyncio.wait_for(it, 5)):
            future = loop.create_future()
            loop.call_later(0.001, getattr(asyncio.Future, verb), future, *args)
            done, _ = await asyncio.wait([loop.create_task(wait(future))], timeout=5)
            (task,) = done
            seen.append(task.cancelled() or repr(task.exception() or task.result()))
        return seen

    wanted = {"set_result": "5", "set_exception": "ValueError('x')", "cancel": True}[verb]
    assert run(main()) == [wanted, wanted]


@pytest.mark.parametrize("high", [float("inf"), float("nan"), -1])
def test_marks_that_are_none_are_refused(run, high):
    async def main():
        transport, protocol, far = await connected()
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(high=high)
        limits = transport.get_write_buffer_limits()
        await finish(transport, protocol, far)
        return limits

    assert run(main()) == (16384, 65536)


@pytest.mark.conbrio_only
def test_a_subinterpreter_is_refused_in_one_sentence(driver):
    code = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        try:
            other = interpreters.create("legacy")
        except TypeError:
            other = interpreters.create(isolated=False)
        program = "try: import conbrio\\nexcept ImportError as error: print(error, flush=True)"
        interpreters.run_string(other, program)
        """
    status, output, _ = children.run_python(code, driver)
    assert (status, output) == (0, "conbrio runs in a process's main interpreter only\n")
