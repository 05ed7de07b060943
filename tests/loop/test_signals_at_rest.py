"""A signal that comes while C code runs, just before the loop goes to rest."""

import ctypes
import os
import signal
import time

import pytest

USLEEP = ctypes.CDLL(None).usleep


@pytest.fixture
def alarm():
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def ring_in_c_code(loop):
    """Have the alarm ring within a callback that runs no Python code."""
    loop.call_soon(signal.setitimer, signal.ITIMER_REAL, 0.02)
    loop.call_soon(USLEEP, 60_000)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_timer_that_a_handler_starts_is_seen(loop, alarm, rounds):
    alarm(lambda *_: loop.call_later(0.05, loop.stop))
    for _ in range(rounds):
        ring_in_c_code(loop)
        late = loop.call_later(5, loop.stop)
        begun = time.monotonic()
        loop.run_forever()
        late.cancel()
        assert time.monotonic() - begun < 3


def test_a_handler_runs_although_somebody_else_is_told_of_signals(loop, alarm):
    near, far = os.pipe()
    os.set_blocking(far, False)
    alarm(lambda *_: loop.call_soon_threadsafe(loop.stop))
    former = signal.set_wakeup_fd(far)
    try:
        # The second of them comes when the loop has rested before.
        loop.call_later(0.05, ring_in_c_code, loop)
        late = loop.call_later(5, loop.stop)
        begun = time.monotonic()
        loop.run_forever()
        assert time.monotonic() - begun < 3
        late.cancel()
    finally:
        signal.set_wakeup_fd(former)
        os.close(near)
        os.close(far)


def test_a_descriptor_put_in_the_place_of_the_loops_can_give_way_again_later(loop_factory):
    """Who puts one there while a loop runs is told the loop's, and may put that back afterwards."""
    near, far = os.pipe()
    os.set_blocking(far, False)
    told = []
    loop = loop_factory()
    # Once it has rested, it is told of signals itself.
    loop.call_later(0.01, lambda: told.append(signal.set_wakeup_fd(far)))
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    loop.close()
    one, two = os.pipe()
    try:
        assert signal.set_wakeup_fd(told[0]) == far
        signal.raise_signal(signal.SIGCHLD)
        os.set_blocking(one, False)
        with pytest.raises(BlockingIOError):
            os.read(one, 1)
    finally:
        signal.set_wakeup_fd(-1)
        for fd in (near, far, one, two, *(fd for fd in told if fd >= 0)):
            os.close(fd)
