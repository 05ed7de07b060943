"""Signals: handlers on the loop, Ctrl-C, and who else may handle what."""

import asyncio
import os
import signal
import threading
import time

import pytest

from loopkit import children


@pytest.fixture(autouse=True)
def _restore_signals():
    """Put the handlers back that a test changed."""
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    """Send a signal to this process."""
    os.kill(os.getpid(), number)


def test_handler_is_called_with_its_arguments(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, lambda *args: (heard.append(args), loop.stop()), 1, 2)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert heard == [(1, 2)]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


@pytest.mark.parametrize("when", ["at once", "before the run", "inside"])
def test_a_signal_right_after_add_is_not_lost(loop, when):
    for _ in range(30):
        heard = []

        def hear(heard=heard):
            heard.append(1)
            loop.stop()

        def add_and_send(hear=hear):
            loop.add_signal_handler(signal.SIGUSR1, hear)
            send(signal.SIGUSR1)

        guard = loop.call_later(20, loop.stop)
        if when == "inside":
            loop.call_soon(add_and_send)
        else:
            add_and_send()
        loop.run_forever()
        guard.cancel()
        assert heard == [1]
        loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_wakes_an_idle_loop(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    loop.call_later(20, loop.stop)
    timer = threading.Timer(0.05, send, [signal.SIGUSR1])
    began = time.monotonic()
    timer.start()
    loop.run_forever()
    timer.join()
    assert time.monotonic() - began < 10


def test_a_signal_is_heard_by_a_busy_loop(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, 1)
    deadline = loop.time() + 10

    def spin():
        if heard or loop.time() > deadline:
            loop.stop()
        else:
            loop.call_soon(spin)

    loop.call_soon(spin)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert heard == [1]


def test_several_signals(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, heard.append, 2)

    def both():
        send(signal.SIGUSR1)
        send(signal.SIGUSR2)
        send(signal.SIGUSR1)

    loop.call_soon(both)
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    assert set(heard) == {1, 2}
    assert heard.index(1) < heard.index(2)


def test_adding_again_replaces(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "old")
    loop.add_signal_handler(signal.SIGUSR1, lambda: (heard.append("new"), loop.stop()))
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert heard == ["new"]


def test_removal_gives_the_signal_back(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    loop.add_signal_handler(signal.SIGINT, print)
    loop.remove_signal_handler(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_closing_the_loop_gives_signals_back(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_removal_inside_its_own_handler(loop):
    heard = []

    def hear():
        heard.append(loop.remove_signal_handler(signal.SIGUSR1))
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, hear)
    loop.call_soon(send, signal.SIGUSR1)
    loop.run_forever()
    assert heard == [True]


def test_a_handler_that_raises_is_reported(loop, complaints):
    def fail():
        raise ValueError("signal")

    loop.add_signal_handler(signal.SIGUSR1, fail)
    loop.call_soon(send, signal.SIGUSR1)
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    (context,) = complaints
    assert isinstance(context["exception"], ValueError)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, 0, -1, 999, "SIGINT", 1.5])
def test_wrong_signals_are_refused(same, number):
    def scenario(loop):
        ends = []
        for method, args in ((loop.add_signal_handler, [print]), (loop.remove_signal_handler, [])):
            try:
                ends.append(method(number, *args))
            except Exception as error:
                ends.append(error)
        return ends

    same(scenario)


def test_coroutines_are_refused(same):
    async def coroutine_function():
        """Never run."""

    def scenario(loop):
        loop.add_signal_handler(signal.SIGUSR1, coroutine_function)

    assert same(scenario) == ("TypeError", ["coroutines cannot be used with add_signal_handler()"])


def test_other_threads_are_refused(same):
    def scenario(loop):
        ends = []

        def add():
            try:
                loop.add_signal_handler(signal.SIGUSR1, print)
            except Exception as error:
                ends.append(error)

        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
        return ends

    assert len(same(scenario)) == 1


def test_a_loop_in_another_thread_leaves_signals_alone(loop_factory, no_leaks):
    loop = loop_factory()
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=loop.run_until_complete, args=[asyncio.sleep(0.01)])
    thread.start()
    thread.join()
    loop.close()
    assert signal.getsignal(signal.SIGINT) is before


def test_plain_handlers_run_while_the_loop_sleeps(loop):
    """A handler set with signal.signal runs at once, not at the loop's next wake-up."""
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append(time.monotonic()))
    sent = []

    def kill():
        sent.append(time.monotonic())
        send(signal.SIGUSR1)

    timer = threading.Timer(0.05, kill)
    timer.start()
    loop.run_until_complete(asyncio.sleep(0.5))
    timer.join()
    assert heard[0] - sent[0] < 0.3


def test_a_plain_handler_that_raises_leaves_the_loop(loop):
    class Out(Exception):  # noqa: N818
        pass

    def leave(*_):
        raise Out

    signal.signal(signal.SIGUSR1, leave)
    loop.call_later(20, loop.stop)
    timer = threading.Timer(0.05, send, [signal.SIGUSR1])
    timer.start()
    with pytest.raises(Out):
        loop.run_forever()
    timer.join()
    assert not loop.is_running()
    assert loop.run_until_complete(asyncio.sleep(0, "fine")) == "fine"


def test_children_may_be_waited_for_by_others(loop):
    """The loop does not take away the exit status of a child it did not start."""
    import subprocess
    import sys

    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    loop.run_until_complete(asyncio.sleep(0.05))
    assert child.wait() == 3


CTRL_C = """
async def main():
    print("ready", flush=True)
    try:
        {work}
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise

try:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    "work",
    [
        "await asyncio.sleep(60)",
        "await asyncio.get_running_loop().create_future()",
        "while True: await asyncio.sleep(0)",
        "while True: await asyncio.sleep(1e-4)",
        "await asyncio.gather(*(asyncio.sleep(60) for _ in range(10)))",
    ],
)
@pytest.mark.parametrize("delay", [0, 0.05])
def test_ctrl_c_under_a_runner(driver, work, delay):
    child = children.start(CTRL_C.format(work=work), driver)
    assert child.stdout.readline() == "ready\n"
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    status, out, err = children.finish(child)
    assert (status, out, err) == (0, "cancelled\ninterrupted\n", "")


def test_ctrl_c_in_code_that_does_not_await(driver):
    """The second Ctrl-C raises at once, as the runner says."""
    child = children.start(CTRL_C.format(work="while True: time.sleep(0.01)"), driver)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    status, out, _ = children.finish(child)
    assert (status, out.splitlines()[-1]) == (0, "interrupted")


@pytest.mark.parametrize("busy", [True, False])
def test_ctrl_c_in_run_forever(driver, busy):
    child = children.start(
        f"""
        loop = new_loop()
        def spin():
            if {busy}:
                loop.call_soon(spin)
        loop.call_soon(spin)
        loop.call_soon(print, "ready")
        loop.call_soon(sys.stdout.flush)
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted", loop.is_running())
        loop.close()
        """,
        driver,
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert children.finish(child) == (0, "interrupted False\n", "")


@pytest.mark.slow
def test_ctrl_c_at_any_instant(driver):
    """Wherever the signal lands, the program ends by it and says nothing else."""
    for number in range(40):
        child = children.start(CTRL_C.format(work="while True: await asyncio.sleep(0)"), driver)
        child.stdout.readline()
        time.sleep(number / 2000)
        child.send_signal(signal.SIGINT)
        status, out, err = children.finish(child)
        assert (status, out.splitlines()[-1], err) == (0, "interrupted", "")
