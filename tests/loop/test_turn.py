"""One turn: what runs in it, and in which order."""

import asyncio
import fcntl
import functools
import threading
import time
import unittest.mock

import pytest

from loopkit import leaks, peers


def test_ready_callbacks_run_before_timers_that_came_due(loop):
    """Promise 1: what is ready runs before a timer that came due meanwhile."""
    order = []

    def first():
        loop.call_later(0.001, order.append, "timer")
        time.sleep(0.005)
        loop.call_soon(order.append, "soon")

    loop.call_soon(first)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert order == ["soon", "timer"]


def test_timers_run_by_deadline(loop):
    """Promise 2: timers that come due together run in the order of their deadlines."""
    order = []
    now = loop.time()
    for delay in (0.005, 0.001, 0.004, 0.002, 0.003):
        loop.call_at(now + delay, order.append, delay)
    time.sleep(0.01)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert order == [0.001, 0.002, 0.003, 0.004, 0.005]


@pytest.mark.beyond_asyncio("its heap does not keep equal deadlines in order")
@pytest.mark.parametrize("count", [2, 5, 17, 300])
def test_equal_deadlines_are_first_in_first_out(loop, count):
    """Promise 3: timers of one deadline run in the order in which they were made."""
    order = []
    when = loop.time() + 0.005
    for number in range(count):
        loop.call_at(when, order.append, number)
    loop.call_at(when + 0.001, loop.stop)
    loop.run_forever()
    assert order == list(range(count))


@pytest.mark.beyond_asyncio("its heap does not keep equal deadlines in order")
def test_equal_deadlines_stay_in_order_when_some_are_cancelled(loop):
    order = []
    when = loop.time() + 0.005
    handles = [loop.call_at(when, order.append, number) for number in range(100)]
    for handle in handles[::3]:
        handle.cancel()
    loop.call_at(when + 0.001, loop.stop)
    loop.run_forever()
    assert order == [number for number in range(100) if number % 3]


def test_a_callbacks_own_call_soon_runs_in_the_next_turn(loop):
    """Promise 4: a turn runs what was ready when it began, nothing more."""
    order = []

    def outer():
        order.append("outer")
        loop.call_soon(order.append, "inner")

    loop.call_soon(outer)
    loop.call_soon(order.append, "second")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == ["outer", "second"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == ["outer", "second", "inner"]


def test_everything_scheduled_before_stop_still_runs_once(loop):
    """Promise 5: stop ends the loop after the turn, not inside it."""
    order = []
    loop.call_soon(order.append, 1)
    loop.call_soon(loop.stop)
    loop.call_soon(order.append, 2)
    loop.run_forever()
    assert order == [1, 2]


def test_stop_before_run_runs_exactly_one_turn(loop):
    order = []
    loop.call_soon(lambda: (order.append(1), loop.call_soon(order.append, 2)))
    loop.stop()
    loop.run_forever()
    assert order == [1]
    loop.stop()
    loop.run_forever()
    assert order == [1, 2]


def test_stop_twice_stops_once(loop):
    order = []
    loop.stop()
    loop.stop()
    loop.run_forever()
    loop.call_soon(order.append, 1)
    loop.call_soon(loop.stop)
    loop.call_soon(order.append, 2)
    loop.run_forever()
    assert order == [1, 2]


def test_due_timers_run_in_the_turn_that_stops(loop):
    order = []
    loop.call_later(0, order.append, "timer")
    loop.stop()
    loop.run_forever()
    assert order == ["timer"]


def test_a_descriptor_that_is_ready_is_heard_even_in_the_turn_that_stops(loop):
    near, far = peers.unix_pair()
    with near, far:
        order = []
        far.send(b"x")
        loop.add_reader(near, lambda: order.append(near.recv(1)))
        loop.stop()
        loop.run_forever()
        loop.remove_reader(near)
        assert order == [b"x"]


def test_io_events_queue_behind_what_is_ready(same_trace):
    """Events of the poll are appended to the ready queue, before the timers that came due."""

    async def script(loop, note):
        near, far = peers.unix_pair()
        done = loop.create_future()
        far.send(b"x")

        def readable():
            note("read", near.recv(1))
            loop.remove_reader(near)
            loop.call_soon(done.set_result, None)

        loop.call_soon(note, "soon before")
        loop.call_later(0, note, "timer")
        loop.add_reader(near, readable)
        loop.call_soon(note, "soon after")
        await done
        near.close()
        far.close()

    notes = [entry[1] for entry in same_trace(script, turns=False)]
    assert notes == ["soon before", "soon after", "read", "timer", "outcome"]


def test_a_busy_loop_still_hears_descriptors(loop):
    """However the poll is skipped, input is heard within a few turns of a loop that is always busy."""
    near, far = peers.unix_pair()
    turns = 0
    heard_at = None

    def spin():
        nonlocal turns
        turns += 1
        if turns == 1000:
            far.send(b"x")
        if turns < 2000 and heard_at is None:
            loop.call_soon(spin)
        else:
            loop.stop()

    def readable():
        nonlocal heard_at
        heard_at = turns
        near.recv(1)

    with near, far:
        loop.add_reader(near, readable)
        loop.call_soon(spin)
        loop.run_forever()
        loop.remove_reader(near)
    assert heard_at is not None
    assert heard_at - 1000 <= 50


def test_a_busy_loop_still_runs_timers(loop):
    due = []
    loop.call_later(0.01, due.append, 1)
    deadline = loop.time() + 5

    def spin():
        if due or loop.time() > deadline:
            loop.stop()
        else:
            loop.call_soon(spin)

    loop.call_soon(spin)
    loop.run_forever()
    assert due == [1]


def test_a_busy_loop_still_hears_other_threads(loop):
    heard = []
    deadline = loop.time() + 5

    def spin():
        if heard or loop.time() > deadline:
            loop.stop()
        else:
            loop.call_soon(spin)

    loop.call_soon(spin)
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(heard.append, 1))
    thread.start()
    loop.run_forever()
    thread.join()
    assert heard == [1]


def test_threadsafe_callbacks_keep_their_order(loop):
    heard = []
    threads = [
        threading.Thread(
            target=lambda name=name: [
                loop.call_soon_threadsafe(heard.append, (name, n)) for n in range(500)
            ]
        )
        for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    for name in "ab":
        assert [number for each, number in heard if each == name] == list(range(500))


def test_threadsafe_call_wakes_an_idle_loop(loop):
    began = threading.Event()
    loop.call_soon(began.set)
    loop.call_later(20, loop.stop)

    def wake():
        began.wait()
        time.sleep(0.02)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=wake)
    before = loop.time()
    thread.start()
    loop.run_forever()
    thread.join()
    assert loop.time() - before < 10


def test_threadsafe_from_inside_keeps_its_place(loop):
    order = []
    loop.call_soon(order.append, 1)
    loop.call_soon_threadsafe(order.append, 2)
    loop.call_soon(order.append, 3)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == [1, 2, 3]


def test_an_idle_loop_does_not_spin(loop):
    began = time.process_time()
    loop.run_until_complete(asyncio.sleep(0.3))
    assert time.process_time() - began < 0.1


def test_patched_time_moves_the_scheduler(loop):
    """A virtual clock works by replacing ``time``, on the instance or in a subclass."""
    clock = [1000.0]
    loop.time = lambda: clock[0]
    order = []
    handle = loop.call_later(3600, order.append, "an hour")
    loop.call_later(60, order.append, "a minute")
    assert handle.when() == 4600.0

    def advance():
        clock[0] += 30
        if clock[0] < 5000:
            loop.call_soon(advance)
        else:
            loop.stop()

    loop.call_soon(advance)
    before = time.monotonic()
    loop.run_forever()
    assert order == ["a minute", "an hour"]
    assert time.monotonic() - before < 10


def test_time_overridden_in_a_subclass_moves_the_scheduler(loop_factory, no_leaks):
    pattern = loop_factory()
    pattern.close()

    class Virtual(type(pattern)):
        now = 5.0

        def time(self):
            return self.now

    loop = Virtual()
    try:
        order = []
        loop.call_at(100.0, order.append, "due")

        def advance():
            loop.now += 10
            loop.call_soon(loop.stop if order else advance)

        loop.call_soon(advance)
        loop.run_forever()
        assert order == ["due"]
        assert 100 <= loop.now <= 130
    finally:
        loop.close()


def test_time_is_monotonic_time(loop):
    before = time.monotonic()
    found = loop.time()
    assert before <= found <= time.monotonic()


def test_call_soon_takes_arguments_and_context_by_name(loop):
    order = []
    loop.call_soon(functools.partial(order.append, 1), context=None)
    loop.call_soon(order.append, 2, context=None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == [1, 2]
    with pytest.raises(TypeError):
        loop.call_soon()
    with pytest.raises(TypeError):
        loop.call_later(1)
    with pytest.raises(TypeError):
        loop.call_soon(order.append, nonsense=1)


def test_exception_leaves_later_callbacks_of_the_turn_for_the_next_run(same):
    """SystemExit ends the run at once; what was ready in that turn and after it is not lost by the loop."""

    def scenario(loop):
        order = []

        def leave():
            raise SystemExit(3)

        loop.call_soon(order.append, 1)
        loop.call_soon(leave)
        loop.call_soon(order.append, 2)
        with pytest.raises(SystemExit):
            loop.run_forever()
        seen = list(order)
        assert not loop.is_running()
        loop.call_soon(order.append, 3)
        loop.call_soon(loop.stop)
        loop.run_forever()
        return seen, order

    same(scenario)


def test_descriptors_of_the_loop_are_not_inherited(loop_factory, no_leaks):
    """Nothing that a loop opens reaches a program started with exec."""
    before = leaks.descriptors()
    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0.001))
    opened = set(leaks.descriptors()) - set(before)
    flags = [fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in opened]
    loop.close()
    assert flags
    assert all(flags)


def test_time_patched_on_the_class_moves_the_scheduler(loop):
    ran = []
    with unittest.mock.patch.object(type(loop), "time", return_value=1000.0):
        assert loop.time() == 1000.0
        assert loop.call_later(5, ran.append, "later").when() == 1005.0
        loop.call_at(999, ran.append, "past")
        for _ in range(2):
            loop.call_soon(loop.stop)
            loop.run_forever()
    assert ran == ["past"]
    assert loop.time() != 1000.0
