"""What a protocol does in `resume_writing()`: its writes are sent at once, and whatever else it does, the loop can rest."""

import asyncio
import socket
import time

import pytest

from loopkit.peers import connected

FILL = 16 << 20


def drain(far):
    """Read what is there without waiting."""
    count = 0
    while True:
        try:
            data = far.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return count
        if not data:
            return count
        count += len(data)


async def paused(on_resume):
    """Return a transport whose protocol pauses, and its peer's socket; `on_resume` is called at the first resuming."""
    transport, protocol, far = await connected()
    transport.set_write_buffer_limits(high=64 * 1024, low=0)
    resumed = asyncio.get_running_loop().create_future()

    def resume_writing():
        if not resumed.done():
            resumed.set_result(None)
            on_resume(transport)

    protocol.pause_writing = lambda: None
    protocol.resume_writing = resume_writing
    transport.write(b"x" * FILL)
    assert transport.get_write_buffer_size() > 0
    return transport, protocol, far, resumed


async def drained_until(future, far):
    count = 0
    while not future.done():
        count += drain(far)
        await asyncio.sleep(0)
    return count


@pytest.mark.parametrize("size", [100_000, 70_000])
def test_what_is_written_on_resuming_is_sent_at_once(run, size):
    async def main():
        left = []

        def on_resume(transport):
            transport.write(b"y" * size)
            left.append(transport.get_write_buffer_size())

        transport, protocol, far, resumed = await paused(on_resume)
        count = await drained_until(resumed, far)
        transport.close()
        while not protocol.lost.done():
            count += drain(far)
            await asyncio.sleep(0)
        count += drain(far)
        far.close()
        return left, count - FILL

    assert run(main()) == ([0], size)


def test_small_writes_on_resuming_arrive(run):
    async def main():
        def on_resume(transport):
            for _ in range(3):
                transport.write(b"y" * 10)
            transport.close()

        _, protocol, far, resumed = await paused(on_resume)
        count = await drained_until(resumed, far)
        await protocol.lost
        count += drain(far)
        far.close()
        return count - FILL

    assert run(main()) == 30


def test_more_than_the_system_takes_on_resuming(run):
    async def main():
        def on_resume(transport):
            transport.write(b"y" * FILL)
            assert transport.get_write_buffer_size() > 0

        transport, protocol, far, resumed = await paused(on_resume)
        count = await drained_until(resumed, far)
        transport.close()
        while not protocol.lost.done():
            count += drain(far)
            await asyncio.sleep(0)
        count += drain(far)
        far.close()
        return count

    assert run(main()) == 2 * FILL


def idle_cost(seconds):
    """Return a coroutine that sleeps, and says which part of the time the thread has worked."""

    async def sleeper():
        before = time.thread_time()
        await asyncio.sleep(seconds)
        return (time.thread_time() - before) / seconds

    return sleeper()


@pytest.mark.beyond_asyncio("an abort there ends the connection twice")
@pytest.mark.parametrize("what", ["nothing", "abort", "pause_reading", "raises"])
def test_the_loop_rests_after_resuming(run, what):
    """A descriptor that can be written to, and that nobody has let go of, would wake it for ever."""

    async def main():
        loop = asyncio.get_running_loop()
        told = []
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))

        def on_resume(transport):
            if what == "raises":
                raise ValueError(what)
            if what != "nothing":
                getattr(transport, what)()

        transport, protocol, far, resumed = await paused(on_resume)
        await drained_until(resumed, far)
        drain(far)
        cost = await idle_cost(0.2)
        transport.abort()
        await protocol.lost
        far.close()
        return cost, told

    cost, told = run(main())
    assert cost < 0.5
    assert told == (["protocol.resume_writing() failed"] if what == "raises" else [])


@pytest.mark.beyond_asyncio("it goes round for ever")
def test_the_loop_rests_after_an_interrupted_resuming(loop):
    """As Ctrl-C does it: what leaves the loop by itself leaves nothing behind."""

    async def main():
        def on_resume(transport):
            raise KeyboardInterrupt

        transport, protocol, far, resumed = await paused(on_resume)
        held.append((transport, protocol, far))
        await drained_until(resumed, far)
        await asyncio.sleep(0)

    async def after():
        transport, protocol, far = held[0]
        drain(far)
        cost = await idle_cost(0.2)
        transport.abort()
        await protocol.lost
        far.close()
        return cost

    held = []
    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert loop.run_until_complete(after()) < 0.5
    loop.run_until_complete(task)
