"""Random operations on a reader of ours and on asyncio's, with the same trace.

Either whoever reads is let run after every deed, and several may read; or several deeds fall into one turn of the
loop, before the one who reads hears of any. `CONBRIO_MODEL_STEPS` says how many steps there are in all, of each.
"""

import asyncio
import contextlib
import os
import random
import re
import sys

import pytest

conbrio = pytest.importorskip("conbrio")

STEPS = 150
BATCHES = 12
BATCH = 1 + int(os.environ.get("CONBRIO_MODEL_STEPS", "100000")) // STEPS // BATCHES
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


class Crowded:
    """One who reads, to whom several things happen in one turn."""

    def __init__(self, kind, seed):
        self.choose = random.Random(seed)
        self.trace, self.turn, self.task, self.clock = [], 0, None, None
        self.fresh = self.exactly = self.fed = False
        self.reader = kind(limit=self.choose.choice([4, 16, 64]), loop=asyncio.get_running_loop())
        if self.choose.randrange(4):
            self.reader.set_transport(Transport(self.trace, self.choose.randrange(5) > 0))

    def note(self, *what):
        self.trace.append((self.turn, *what))

    async def read(self, coro, timed):
        """Reads, perhaps for some time, and notes in which turn that ends."""
        self.note(await outcome(self.within(coro) if timed else coro))

    async def within(self, coro):
        async with asyncio.timeout(None) as self.clock:
            return await coro

    def feed(self):
        data = bytes(self.choose.choices(b"ab\r\n", k=self.choose.choice([0, 1, 1, 2, 5, 30])))
        try:
            self.reader.feed_data(data)
        except AssertionError as error:
            self.note(repr(error))
        self.fed = True

    def begin(self):
        if self.task is None or self.task.done():
            coro, name = reads(self.choose, self.reader)
            self.note(name)
            # asyncio wakes readexactly() for too few bytes as well, and so it hears at another moment of what comes
            # with them, or, of an exception, not at all.
            self.fresh, self.exactly = True, name.startswith("readexactly")
            timed = self.choose.randrange(3) == 0 and not self.exactly
            self.task = asyncio.ensure_future(self.read(coro, timed))

    def deed(self):
        """Does one thing, and lets nobody run."""
        deed = self.choose.randrange(24)
        if deed < 9:
            self.feed()
        elif deed < 16:
            self.begin()
        elif deed < 18 and self.task and not self.fresh:
            self.task.cancel()
        elif deed == 18 and self.clock:
            with contextlib.suppress(RuntimeError):  # it has ended
                self.clock.reschedule(asyncio.get_running_loop().time() - 1)
        elif deed == 19 and self.choose.randrange(6) == 0:
            self.reader.feed_eof()
        elif deed == 20 and self.choose.randrange(6) == 0 and not (self.exactly and self.fed):
            self.reader.set_exception(ValueError("told"))
        elif deed == 21:
            self.note(self.reader.at_eof(), self.reader._eof, self.reader._paused)
        elif deed == 22:
            self.note(bytes(self.reader._buffer))

    async def pass_turn(self):
        self.turn += 1
        self.fresh = self.fed = False
        await asyncio.sleep(0)

    async def run(self):
        for _ in range(STEPS // 3):
            for _ in range(self.choose.randrange(1, 6)):
                self.deed()
            for _ in range(self.choose.randrange(3)):
                await self.pass_turn()
        while self.task and not self.task.done():
            await self.pass_turn()
            self.task.cancel()
        self.note(self.reader._waiter, bytes(self.reader._buffer))
        return self.trace


async def run_crowded(kind, seed):
    return await Crowded(kind, seed).run()


def compare(kind, seeds, factory=conbrio.new_event_loop, run=run):
    with asyncio.Runner(loop_factory=factory) as runner:
        for seed in seeds:
            expected, found = [runner.run(run(each, seed)) for each in (THEIRS, kind)]
            assert found == expected, f"seed {seed}"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_reader_behaves_as_asyncios(batch):
    compare(conbrio.StreamReader, range(batch * BATCH, (batch + 1) * BATCH))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_it_does_when_much_happens_at_once(batch):
    compare(conbrio.StreamReader, range(batch * BATCH, (batch + 1) * BATCH), run=run_crowded)


@pytest.mark.parametrize("run", [run, run_crowded], ids=["settled", "crowded"])
def test_it_does_on_the_standard_loop(run):
    compare(conbrio.StreamReader, range(40), asyncio.SelectorEventLoop, run)


class Renamed(conbrio.StreamReader):
    """Replaces what asyncio's methods call, so that they do everything."""

    async def _wait_for_data(self, func_name):
        await super()._wait_for_data(func_name)


def test_a_subclass_takes_asyncios_ways():
    compare(Renamed, range(30))
