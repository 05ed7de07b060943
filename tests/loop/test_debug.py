"""Debug mode: slow callbacks, wrong threads, unclosed things, where things came from."""

import asyncio
import gc
import logging
import re
import sys
import threading
import time
import warnings

import pytest

from loopkit import children, peers

# ruff: noqa: ASYNC110, ASYNC251, F841, PT031 - slow callbacks and forgotten loops are the matter here


@pytest.fixture
def debug_loop(loop, caplog):
    """A loop in debug mode whose log is kept."""
    loop.set_debug(True)
    caplog.set_level(logging.DEBUG, "asyncio")
    caplog.clear()
    return loop


def messages(caplog, level=logging.WARNING):
    """Return what asyncio logged at ``level``."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "asyncio" and record.levelno == level
    ]


def test_the_switch(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert "debug=True" in repr(loop)
    loop.set_debug(0)
    assert not loop.get_debug()


@pytest.mark.parametrize(
    ("options", "env", "expected"),
    [
        ([], {}, False),
        ([], {"PYTHONASYNCIODEBUG": "1"}, True),
        (["-X", "dev"], {}, True),
    ],
)
def test_the_environment_decides_at_first(driver, options, env, expected):
    code = "loop = new_loop(); print(loop.get_debug()); loop.close()"
    status, out, _ = children.run_python(code, driver, *options, **env)
    assert (status, out) == (0, f"{expected}\n")


def test_slow_callbacks_are_told(debug_loop, caplog):
    debug_loop.slow_callback_duration = 0.02
    debug_loop.call_soon(time.sleep, 0.05)
    debug_loop.call_soon(int)
    debug_loop.call_later(0, time.sleep, 0.05)
    debug_loop.call_later(0.1, debug_loop.stop)
    debug_loop.run_forever()
    # A busy machine may hold up what is quick by itself.
    soon, later = [text for text in messages(caplog) if "sleep(0.05)" in text]
    assert soon.startswith("Executing <Handle sleep(0.05)")
    assert " created at " in soon
    assert re.search(r" took \d+\.\d{3} seconds$", soon)
    assert later.startswith("Executing <TimerHandle when=")


def test_slow_steps_are_told(debug_loop, caplog):
    debug_loop.slow_callback_duration = 0.02

    async def slow():
        time.sleep(0.05)

    debug_loop.run_until_complete(slow())
    (text,) = messages(caplog)
    assert text.startswith("Executing <Task ")
    assert "slow()" in text
    assert re.search(r" took \d+\.\d{3} seconds$", text)


def test_slow_readers_are_told(debug_loop, caplog):
    debug_loop.slow_callback_duration = 0.02
    near, far = peers.unix_pair()
    far.send(b"x")
    debug_loop.add_reader(near, lambda: (near.recv(1), time.sleep(0.05), debug_loop.stop()))
    debug_loop.run_forever()
    debug_loop.remove_reader(near)
    near.close()
    far.close()
    (text,) = messages(caplog)
    assert text.startswith("Executing <Handle ")


def test_slow_callbacks_are_told_at_a_tenth_of_a_second(loop):
    assert loop.slow_callback_duration == 0.1


def test_nothing_is_told_without_debug(loop, caplog):
    loop.slow_callback_duration = 0.001
    loop.call_soon(time.sleep, 0.01)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert messages(caplog) == []


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_wrong_threads_are_refused(debug_loop, method):
    errors = []

    def elsewhere():
        args = [] if method == "call_soon" else [0]
        try:
            getattr(debug_loop, method)(*args, int)
        except RuntimeError as error:
            errors.append(str(error))

    async def main():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0)

    debug_loop.run_until_complete(main())
    expected = "Non-thread-safe operation invoked on an event loop other than the current one"
    assert errors == [expected]


def elsewhere(function, *args):
    """Call a function in another thread, and return what it raised."""
    errors = []

    def work():
        try:
            function(*args)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return errors


@pytest.mark.parametrize("waiter", ["callback", "gather", "shield", "task", "wait_for"])
def test_futures_that_end_in_a_wrong_thread_are_refused(debug_loop, waiter):
    async def main():
        future = debug_loop.create_future()
        waits = None
        if waiter == "callback":
            future.add_done_callback(int)
        elif waiter == "task":
            waits = asyncio.ensure_future(asyncio.wait([future]))
        elif waiter == "wait_for":
            waits = asyncio.ensure_future(asyncio.wait_for(future, 60))
        else:
            waits = getattr(asyncio, waiter)(future)
        await asyncio.sleep(0)
        if isinstance(waits, asyncio.Task):
            waits._log_destroy_pending = False  # nobody wakes it any more
        return elsewhere(future.set_result, 1)

    expected = "Non-thread-safe operation invoked on an event loop other than the current one"
    assert debug_loop.run_until_complete(main()) == [expected]


@pytest.mark.parametrize("is_coroutine", [True, False])
def test_a_wrong_callback_of_a_future_is_refused_when_that_ends(debug_loop, is_coroutine):
    async def coroutine(future):
        pass

    async def main():
        callback = coroutine if is_coroutine else 42
        future = debug_loop.create_future()
        future.add_done_callback(callback)
        words = "coroutines cannot be used" if is_coroutine else "a callable object was expected"
        with pytest.raises(TypeError, match=words):
            future.set_result(1)
        with pytest.raises(TypeError, match=words):
            future.add_done_callback(callback)

    debug_loop.run_until_complete(main())


def test_a_loop_that_does_not_run_takes_calls_from_any_thread(debug_loop):
    order = []
    thread = threading.Thread(target=debug_loop.call_soon, args=[order.append, 1])
    thread.start()
    thread.join()
    debug_loop.call_soon(debug_loop.stop)
    debug_loop.run_forever()
    assert order == [1]


def test_unclosed_loops_warn(loop_factory):
    loop = loop_factory()
    with pytest.warns(ResourceWarning, match="unclosed event loop <"):
        loop = None
        gc.collect()


def test_closed_loops_do_not_warn(loop_factory):
    loop = loop_factory()
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del loop
        gc.collect()


def test_unclosed_transports_warn(loop_factory):
    loop = loop_factory()
    near, far = peers.tcp_pair()

    async def main():
        await loop.create_connection(asyncio.Protocol, sock=near)

    loop.run_until_complete(main())
    with pytest.warns(ResourceWarning, match=r"unclosed transport <"):
        loop.close()
        loop = None
        gc.collect()
    near.close()
    far.close()


def test_handles_and_futures_tell_where_they_were_made(debug_loop):
    handle = debug_loop.call_soon(print, 1)
    assert "print(1)" in repr(handle)
    assert f" created at {__file__}:" in repr(handle)
    names = [frame.name for frame in debug_loop.create_future()._source_traceback]
    assert "test_handles_and_futures_tell_where_they_were_made" in names[-2:]
    assert " created at " in repr(debug_loop.create_future())
    timer = debug_loop.call_later(1, print)
    assert f" created at {__file__}:" in repr(timer)
    handle.cancel()
    timer.cancel()
    assert "cancelled" in repr(handle)
    assert "print" in repr(handle)


def test_tasks_tell_where_they_were_made(debug_loop):
    async def nothing():
        """Return at once."""

    task = debug_loop.create_task(nothing())
    here = "test_tasks_tell_where_they_were_made"
    assert task._source_traceback[-1].name == here
    assert f" created at {__file__}:" in repr(task)
    debug_loop.run_until_complete(task)


def test_exceptions_come_with_a_source_traceback(debug_loop, complaints):
    def fail():
        raise ValueError("no")

    debug_loop.call_soon(fail)
    debug_loop.create_future().set_exception(ValueError("lost"))
    gc.collect()
    debug_loop.call_soon(debug_loop.stop)
    debug_loop.run_forever()
    assert len(complaints) == 2
    for context in complaints:
        names = [frame.name for frame in context["source_traceback"]]
        assert "test_exceptions_come_with_a_source_traceback" in names[-2:]


def test_the_default_handler_prints_where(debug_loop, caplog):
    def fail():
        raise ValueError("no")

    debug_loop.call_soon(fail)
    debug_loop.call_soon(debug_loop.stop)
    debug_loop.run_forever()
    (text,) = messages(caplog, logging.ERROR)
    assert text.startswith("Exception in callback ")
    assert "Object created at (most recent call last):" in text
    assert "in test_the_default_handler_prints_where" in text


def test_coroutine_origins_are_tracked_while_it_runs(loop):
    depth = sys.get_coroutine_origin_tracking_depth()

    async def look():
        return sys.get_coroutine_origin_tracking_depth()

    assert loop.run_until_complete(look()) == depth
    loop.set_debug(True)
    assert loop.run_until_complete(look()) > 0
    assert sys.get_coroutine_origin_tracking_depth() == depth

    async def switch():
        found = []
        for debug in (False, True, False):
            loop.set_debug(debug)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            found.append(sys.get_coroutine_origin_tracking_depth() > 0)
        return found

    assert loop.run_until_complete(switch()) == [False, True, False]
    assert sys.get_coroutine_origin_tracking_depth() == depth


def test_debug_mode_that_begins_within_a_run_leaves_no_tracking_behind(loop):
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(3)

    async def switch():
        loop.set_debug(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sys.get_coroutine_origin_tracking_depth()

    try:
        assert loop.run_until_complete(switch()) > 3
        assert sys.get_coroutine_origin_tracking_depth() == 3
    finally:
        sys.set_coroutine_origin_tracking_depth(before)


def test_the_log_of_a_life(debug_loop, caplog):
    async def main():
        near, far = peers.tcp_pair()
        transport, _ = await debug_loop.create_connection(asyncio.Protocol, sock=near)
        transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        far.close()
        await debug_loop.getaddrinfo("localhost", 80)

    debug_loop.run_until_complete(main())
    debug_loop.run_until_complete(debug_loop.shutdown_default_executor())
    debug_loop.close()
    texts = messages(caplog, logging.DEBUG) + messages(caplog, logging.INFO)
    assert any(text.startswith("Close <") for text in texts)
    assert any(text.startswith("Get address info localhost:80") for text in texts)


def test_forgotten_coroutines_are_told(driver):
    code = """
    async def forgotten():
        pass
    async def main():
        forgotten()
    with asyncio.Runner(loop_factory=new_loop, debug=True) as runner:
        runner.run(main())
    """
    status, _, err = children.run_python(code, driver)
    assert status == 0
    assert "RuntimeWarning: coroutine 'forgotten' was never awaited" in err
    assert "Coroutine created at (most recent call last)" in err


def test_everything_at_once_in_debug_mode(run):
    """A whole small program under debug mode: no warning, no complaint."""

    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            where = server.sockets[0].getsockname()

            async def ask(number):
                reader, writer = await asyncio.open_connection(*where)
                writer.write(b"%d\n" % number)
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
                return int(answer)

            return await asyncio.gather(*map(ask, range(20)))

    assert run(main(), debug=True) == list(range(20))
