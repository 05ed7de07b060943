"""Greenlets: C stacks change places under a running loop, and nothing of the loop lies on them."""

import asyncio

import pytest

greenlet = pytest.importorskip("greenlet")


async def bridge(function, *args):
    """Run a plain function in a greenlet of its own; what it switches out with is awaited."""
    here = greenlet.getcurrent()
    child = greenlet.greenlet(function, here)
    asked = child.switch(*args)
    while not child.dead:
        try:
            answer = await asked
        except BaseException as error:
            asked = child.throw(error)
        else:
            asked = child.switch(answer)
    return asked


def wait_for(awaitable):
    """Wait, from a plain function below ``bridge``."""
    return greenlet.getcurrent().parent.switch(awaitable)


def test_plain_functions_wait_through_greenlets(run):
    """Many tasks, each with a stack of its own below it, as SQLAlchemy runs its drivers."""

    def plain(number):
        total = 0
        for each in range(20):
            total += wait_for(asyncio.sleep(0, each))
            if each == number % 20:
                try:
                    wait_for(asyncio.wait_for(asyncio.get_running_loop().create_future(), 0.001))
                except TimeoutError:
                    total += 1000
        return total

    async def main():
        return await asyncio.gather(*(bridge(plain, number) for number in range(100)))

    assert run(main()) == [1190] * 100


def test_cancelling_a_task_reaches_the_greenlet_below(run):
    heard = []

    def plain():
        try:
            wait_for(asyncio.get_running_loop().create_future())
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def main():
        task = asyncio.ensure_future(bridge(plain))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert heard == ["cancelled"]


def test_a_callback_switches_out_in_the_middle_of_a_turn(loop):
    """While the turn's stack lies aside the ready queue grows by more than it had room for."""
    order = []
    outside = greenlet.getcurrent()

    def leave():
        order.append("left")
        outside.switch("away")
        order.append("came back")

    loop.call_soon(leave)
    loop.call_soon(order.append, "same turn")
    loop.call_later(0.001, loop.stop)
    inside = greenlet.greenlet(loop.run_forever)
    assert inside.switch() == "away"
    assert loop.is_running()
    timers = [loop.call_later(1000, int) for _ in range(5000)]
    for number in range(5000):
        loop.call_soon(order.append, number)
    for timer in timers:
        timer.cancel()
    inside.switch()
    while not inside.dead:
        inside.switch()
    assert order == ["left", "came back", "same turn", *range(5000)]


def test_protocols_and_watchers_switch_out(loop):
    """A transport's and a watcher's stack lie aside while the transport is aborted and the watcher removed."""
    import socket

    near, far = socket.socketpair()
    watched, other = socket.socketpair()
    near.setblocking(False)
    outside = greenlet.getcurrent()
    heard = []

    class Switching(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            heard.append(data)
            outside.switch("data")

        def connection_lost(self, error):
            heard.append(error)
            loop.stop()

    def readable():
        heard.append("readable")
        outside.switch("watcher")

    transport, _ = loop.run_until_complete(loop.create_connection(Switching, sock=near))
    loop.add_reader(watched, readable)
    far.send(b"x" * 10)
    other.send(b"y")
    inside = greenlet.greenlet(loop.run_forever)
    assert {inside.switch(), inside.switch()} == {"data", "watcher"}
    loop.remove_reader(watched)
    transport.abort()
    inside.switch()
    assert inside.dead
    assert sorted(map(str, heard)) == sorted(["None", "b'xxxxxxxxxx'", "readable"])
    for each in (far, watched, other):
        each.close()


def test_another_loop_runs_while_one_lies_aside(loop, loop_factory):
    """A switch leaves one loop in the middle of a callback; a second runs meanwhile in the same thread."""
    outside = greenlet.getcurrent()
    order = []

    def leave():
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        outside.switch()
        asyncio._set_running_loop(running)
        order.append("first goes on")
        loop.stop()

    async def second():
        await asyncio.sleep(0.001)
        order.append("second")
        return asyncio.get_running_loop()

    loop.call_soon(leave)
    inside = greenlet.greenlet(loop.run_forever)
    inside.switch()
    another = loop_factory()
    assert another.run_until_complete(second()) is another
    another.close()
    inside.switch()
    assert inside.dead
    assert order == ["second", "first goes on"]
    assert loop.run_until_complete(asyncio.sleep(0, "usable")) == "usable"
