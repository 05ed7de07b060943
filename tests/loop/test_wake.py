"""Work that comes while the loop makes up its mind to sleep: nothing of it may be slept over."""

import asyncio
import os
import queue
import signal
import socket
import sys
import threading
import time

import pytest


@pytest.fixture
def other_clock(conbrio, driver, no_leaks):
    """A loop of a subclass whose ``time()`` first calls ``loop.before``: Python code between deciding and waiting."""

    class Clocked(conbrio.Loop):
        """Calls ``before`` whenever the time is asked for."""

        before = staticmethod(lambda: None)

        def time(self):
            self.before()
            return super().time()

    loop = Clocked(driver=driver)
    yield loop
    loop.close()


@pytest.mark.conbrio_only
def test_work_from_a_thread_while_the_clock_is_read(other_clock):
    def hand_in():
        other_clock.before = lambda: None
        thread = threading.Thread(target=other_clock.call_soon_threadsafe, args=(other_clock.stop,))
        thread.start()
        thread.join()

    slept_over = []
    other_clock.call_later(20, lambda: (slept_over.append(True), other_clock.stop()))
    other_clock.call_soon(setattr, other_clock, "before", hand_in)
    other_clock.run_forever()
    assert not slept_over


def test_a_loop_in_another_thread_hears_everything(loop):
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    for _ in range(500):
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


class Questions:
    """A thread that hands in a call and waits until it has run, again and again: each answer follows at once."""

    def __init__(self, loop, pause=lambda: None):
        self.loop, self.pause, self.count, self.over = loop, pause, 0, threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        answered = threading.Lock()
        answered.acquire()
        while not self.over.is_set():
            self.pause()
            self.loop.call_soon_threadsafe(answered.release)
            assert answered.acquire(timeout=20)
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        while self.thread.is_alive():
            self.loop.run_until_complete(asyncio.sleep(0.01))
        self.thread.join()


def test_timers_and_descriptors_are_heard_while_a_thread_asks(loop):
    """A loop that looks out for the thread does not look away from the rest."""

    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            for step in range(50):
                begun = loop.time()
                await asyncio.sleep(0.002)
                assert loop.time() - begun >= 0.002
                threading.Timer(0.001 * (step % 3), theirs.send, (b"x",)).start()
                assert await asyncio.wait_for(loop.sock_recv(ours, 1), 20) == b"x"

    with Questions(loop) as questions:
        loop.run_until_complete(main())
    assert questions.count > 50


@pytest.mark.parametrize("micros", [0, 20, 48, 52, 200])
def test_questions_at_any_pace_are_answered(loop, micros):
    """Also the one that comes in the moment in which the loop stops looking out and falls asleep."""

    def pause():
        end = time.perf_counter() + micros / 1e6
        while time.perf_counter() < end:
            pass

    with Questions(loop, pause) as questions:
        loop.run_until_complete(asyncio.sleep(0.5))
    assert questions.count > 100


def test_signals_are_heard_while_a_thread_asks(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "loop")
    former = signal.signal(signal.SIGUSR2, lambda *_: heard.append("python"))

    async def main():
        for count in range(1, 21):
            for name, number in (("loop", signal.SIGUSR1), ("python", signal.SIGUSR2)):
                os.kill(os.getpid(), number)
                # Sleeps: a turn that has something to run would look by itself.
                while heard.count(name) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

    try:
        with Questions(loop):
            loop.run_until_complete(asyncio.wait_for(main(), 60))
    finally:
        signal.signal(signal.SIGUSR2, former)
        loop.remove_signal_handler(signal.SIGUSR1)


def test_a_closing_loop_lets_threads_end(loop_factory):
    """A pool's thread that the last callback tells to end does not outlive the loop by a turn of the interpreter's lock."""

    def closed_before_it_ended():
        loop, jobs = loop_factory(), queue.SimpleQueue()

        def work():
            while jobs.get() is not None:
                loop.call_soon_threadsafe(answered.set_result, None)

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(3):
            answered = loop.create_future()
            jobs.put("job")
            loop.run_until_complete(answered)
        jobs.put(None)
        loop.close()
        alive = thread.is_alive()
        thread.join()
        return alive

    # One that finds no processor in time proves nothing.
    assert not all(closed_before_it_ended() for _ in range(30))


def test_a_loop_whose_questioner_is_gone_rests(loop):
    """It looks out for a moment at most, then sleeps."""
    with Questions(loop) as questions:
        loop.run_until_complete(asyncio.sleep(0.2))
    assert questions.count > 100
    begun = time.thread_time()
    loop.run_until_complete(asyncio.sleep(0.5))
    assert time.thread_time() - begun < 0.05


@pytest.mark.conbrio_only
def test_only_a_wait_that_can_block_lets_other_threads_in(loop):
    """With a switch interval that never ends, another thread runs where the interpreter's lock is let go, and only there.

    asyncio's loop lets go of it at each turn.
    """
    last, turns, ended, seen = 20_000, 0, False, []
    begun = threading.Event()
    near, far = socket.socketpair()
    readable = []
    loop.add_reader(near, readable.append, True)

    def other():
        begun.set()
        while not ended:
            seen.append(turns)
            time.sleep(0)

    def turn():
        nonlocal turns
        turns += 1
        if turns < last:
            loop.call_soon(turn)
        else:
            loop.call_later(0.02, loop.stop)

    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        thread.start()
        begun.wait()
        loop.call_soon(turn)
        loop.run_forever()
    finally:
        ended = True
        sys.setswitchinterval(interval)
        thread.join()
    loop.remove_reader(near)
    near.close()
    far.close()
    assert readable == []
    assert [turns for turns in seen if 0 < turns < last] == []
    assert seen.count(last) > 1
