"""The handles of ``call_soon_threadsafe``: from 3.14 on, whoever asks from another thread gets an answer that stays true."""

import asyncio
import sys
import threading

import pytest

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="CPython promises it from 3.14 on"
)


@pytest.fixture
def running(loop):
    """Let the loop run in a thread of its own until the test is over."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_it_is_asyncio_s_class_and_shows_itself_so(loop):
    handle = loop.call_soon_threadsafe(print)
    assert isinstance(handle, asyncio.events._ThreadSafeHandle)
    assert repr(handle) == "<_ThreadSafeHandle print()>"
    handle.cancel()
    assert handle.cancelled() is True
    assert repr(handle) == "<_ThreadSafeHandle cancelled>"


@pytest.mark.parametrize("ask", ["cancel", "cancelled"])
@pytest.mark.parametrize("askers", [1, 4])
def test_other_threads_wait_for_the_end_of_the_run(running, ask, askers):
    begun, go_on, order = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go_on.wait()
        order.append("ran")

    handle = running.call_soon_threadsafe(work)
    begun.wait()

    def asker():
        order.append("asks")
        getattr(handle, ask)()
        order.append("answered")

    threads = [threading.Thread(target=asker) for _ in range(askers)]
    for thread in threads:
        thread.start()
    while len(order) < askers:
        pass
    assert handle._cancelled is False
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["asks"] * askers + ["ran"] + ["answered"] * askers


def test_a_cancel_before_the_run_does_not_wait(running):
    begun, go_on, ran = threading.Event(), threading.Event(), []
    running.call_soon_threadsafe(lambda: (begun.set(), go_on.wait()))
    begun.wait()
    handle = running.call_soon_threadsafe(ran.append, 1)
    handle.cancel()
    go_on.set()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), running).result()
    assert ran == []


def test_the_callback_itself_does_not_wait(loop):
    heard = []

    def work():
        handle.cancel()
        heard.append(handle.cancelled())
        loop.stop()

    handle = loop.call_soon_threadsafe(work)
    loop.run_forever()
    assert heard == [True]


def test_waiters_are_let_go_when_the_callback_ends_the_loop(loop):
    begun, asks = threading.Event(), threading.Event()

    def work():
        begun.set()
        asks.wait()
        raise SystemExit(3)

    handle = loop.call_soon_threadsafe(work)

    def asker():
        begun.wait()
        asks.set()
        handle.cancelled()

    thread = threading.Thread(target=asker)
    thread.start()
    with pytest.raises(SystemExit):
        loop.run_forever()
    thread.join()
