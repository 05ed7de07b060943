"""Random operations on a reader of ours and on asyncio's, with the same trace."""

import asyncio
import random
import re
import sys

import pytest

conbrio = pytest.importorskip("conbrio")

BATCHES, BATCH = 12, 56
STEPS = 150  # in all 100,000 on our loop
THEIRS = asyncio.StreamReader


class Transport(asyncio.Transport):
    """Says what it is asked to do."""

    def __init__(self, trace, can_pause):
        super().__init__()
        self.trace, self.can_pause = trace, can_pause

    def pause_reading(self):
        if not self.can_pause:
            raise NotImplementedError
        self.trace.append("pause")

    def resume_reading(self):
        self.trace.append("resume")

    def __repr__(self):
        return "<a transport>"


def separators(choose):
    several = [b"\n", b"\r\n", b"ab", b"b", bytearray(b"\n"), b"", "text", 5]
    if sys.version_info >= (3, 13):
        several += [(b"\n", b"\r\n"), (b"ab", b"b\r", b"a"), ()]
    return choose.choice(several)


def reads(choose, reader):
    """Returns a coroutine that reads in some way, and what it is called."""
    number = choose.choice([0, 1, 3, 7, 40, -1, -5])
    kind = choose.randrange(8)
    if kind < 2:
        return reader.readline(), "readline"
    if kind < 4:
        separator = separators(choose)
        return reader.readuntil(separator), f"readuntil {separator!r}"
    if kind < 6:
        return reader.readexactly(number), f"readexactly {number}"
    if kind == 6:
        return reader.read(number), f"read {number}"
    return reader.__anext__(), "next"


async def settle():
    for _ in range(4):
        await asyncio.sleep(0)


async def outcome(task):
    try:
        return repr(await task)
    except asyncio.CancelledError:
        return "cancelled"
    except asyncio.IncompleteReadError as error:
        return f"{error!r} {error.partial!r} {error.expected!r}"
    except asyncio.LimitOverrunError as error:
        return f"{error!r} {error.consumed}"
    except BaseException as error:
        return f"{type(error).__name__} {error} in {error.__context__!r}"


async def step(choose, reader, trace, tasks):
    """Does one thing to the reader and notes what comes of it."""
    deed = choose.randrange(20)
    if deed < 9:
        data = bytes(choose.choices(b"ab\r\n", k=choose.choice([0, 1, 2, 5, 9, 30])))
        data = choose.choice([bytes, bytearray])(data)
        try:
            reader.feed_data(data)
        except AssertionError as error:
            trace.append(repr(error))
    elif deed < 16:
        if tasks and reader._buffer:
            return  # asyncio's readuntil() misses what another read moves under it
        coro, name = reads(choose, reader)
        trace.append(name)
        tasks.append(asyncio.ensure_future(coro))
    elif deed == 16 and tasks:
        choose.choice(tasks).cancel()
    elif deed == 17:
        trace.append((bytes(reader._buffer), reader.at_eof(), reader._eof, reader._paused))
    elif deed == 18 and choose.randrange(12) == 0:
        reader.feed_eof()
    elif deed == 19 and choose.randrange(20) == 0:
        reader.set_exception(ValueError("told"))
        trace.append(repr(reader.exception()))
    await settle()
    for task in [task for task in tasks if task.done()]:
        tasks.remove(task)
        trace.append(await outcome(task))


async def run(kind, seed):
    choose, trace, tasks = random.Random(seed), [], []
    reader = kind(limit=choose.choice([4, 16, 64]), loop=asyncio.get_running_loop())
    if choose.randrange(4):
        reader.set_transport(Transport(trace, can_pause=choose.randrange(5) > 0))
    kept = reader._buffer if choose.randrange(4) == 0 else None
    for _ in range(STEPS):
        await step(choose, reader, trace, tasks)
        if kept is not None and kept is reader._buffer:
            trace.append(bytes(kept))
    trace.append(re.sub("waiter=<[^>]*>+", "waiter", repr(reader)))
    for task in tasks:
        task.cancel()
        trace.append(await outcome(task))
    trace.append((reader._waiter, bytes(reader._buffer)))
    return trace


def compare(kind, seeds, factory=conbrio.new_event_loop):
    for seed in seeds:
        traces = []
        for each in (THEIRS, kind):
            with asyncio.Runner(loop_factory=factory) as runner:
                traces.append(runner.run(run(each, seed)))
        assert traces[1] == traces[0], f"seed {seed}"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_reader_behaves_as_asyncios(batch):
    compare(conbrio.StreamReader, range(batch * BATCH, (batch + 1) * BATCH))


def test_it_does_on_the_standard_loop():
    compare(conbrio.StreamReader, range(40), asyncio.SelectorEventLoop)


class Renamed(conbrio.StreamReader):
    """Replaces what asyncio's methods call, so that they do everything."""

    async def _wait_for_data(self, func_name):
        await super()._wait_for_data(func_name)


def test_a_subclass_takes_asyncios_ways():
    compare(Renamed, range(30))
