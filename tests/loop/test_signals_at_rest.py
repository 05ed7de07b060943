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
