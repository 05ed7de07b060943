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
    class Answer:
        def __eq__(self, other):
            return list(range(10)) != other

        __hash__ = None

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


DYING = """
    loop = new_loop()
    async def waits(held):
        try:
            await loop.create_future()
        finally:
            seen.append(len(asyncio.all_tasks(loop)))
    async def main():
        task = None
        for _ in range(200):
            task = loop.create_task(waits(task))
            await asyncio.sleep(0)
        return task
    seen = []
    loop.set_exception_handler(lambda *_: None)
    task = loop.run_until_complete(main())
    del task
    import gc
    gc.collect()
    print(len(seen))
    """


def test_tasks_that_die_in_a_chain_are_nobodys(driver):
    status, output, complaints = children.run_python(DYING, driver)
    assert (status, output.strip(), complaints) == (0, "200", "")


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
