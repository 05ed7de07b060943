"""Each primitive against asyncio's own: random programs of operations, cancellations and timeouts, traced alike.

A program is a string of bytes. Two make a step of a controller: start an operation in a task of its own, cancel one,
let one's time run out, or let turns pass. Every end of an operation is noted with the turn in which it came, and after
every step what the primitive shows of itself. `CONBRIO_MODEL_STEPS` says how many steps there are in all.
"""

import asyncio
import contextlib
import os
import sys

import pytest

conbrio = pytest.importorskip("conbrio")
hypothesis = pytest.importorskip(
    "hypothesis", reason="random programs are made by hypothesis, which is not installed"
)
st = hypothesis.strategies

STEPS = int(os.environ.get("CONBRIO_MODEL_STEPS", "100000"))
PROGRAM = st.binary(min_size=160, max_size=320)
STEPS_EACH = 100
# The more are alive at once, the more a turn costs; so many are enough to be unfair to.
CROWD = 12


class Bench:
    """One run of a program: the primitive, its operations, and what happened."""

    def __init__(self, kit, make, operations):
        self.trace = []
        self.turn = 0
        self.one = make(kit)
        self.operations = operations
        self.tasks = []
        self.clocks = []

    async def operate(self, number, operation, argument, timed):
        """Does one operation and notes its end."""
        try:
            if timed:
                async with asyncio.timeout(None) as clock:
                    self.clocks.append(clock)
                    answer = await operation(self.one, argument)
            else:
                answer = await operation(self.one, argument)
        except BaseException as error:
            self.note(number, type(error).__name__, *map(str, error.args))
            if isinstance(error, (GeneratorExit, KeyboardInterrupt)):
                raise
        else:
            self.note(number, "did", answer)

    def note(self, *what):
        """Notes what happened, and when."""
        self.trace.append((self.turn, *what))

    def shown(self):
        """Returns what the primitive says of itself, without its address."""
        return str(self.one).rpartition(" object at ")[2][18:] or str(self.one)

    async def step(self, what, argument):
        """Does one step of the program."""
        kinds = len(self.operations)
        alive = [task for task in self.tasks if not task.done()]
        if what % 4 == 0:
            for _ in range(argument % 4):
                await self.pass_turn()
        elif what % 4 == 1 and alive:
            alive[argument % len(alive)].cancel()
        elif what % 8 == 6 and self.clocks:
            clock = self.clocks.pop(argument % len(self.clocks))
            if clock.when() is None and not clock.expired():
                with contextlib.suppress(RuntimeError):  # it has ended
                    clock.reschedule(asyncio.get_running_loop().time() - 1)
        elif len(alive) < CROWD:
            name, operation = self.operations[argument % kinds]
            number = len(self.tasks)
            self.note(number, name)
            self.tasks.append(
                asyncio.ensure_future(
                    self.operate(number, operation, argument // kinds, what % 16 == 7)
                )
            )

    async def pass_turn(self):
        """Lets one turn of the loop pass."""
        self.turn += 1
        await asyncio.sleep(0)

    async def run(self, program):
        """Runs the whole program; whoever waits at its end is cancelled, one after the other."""
        for what, argument in zip(program[::2], program[1::2], strict=False):
            await self.step(what, argument)
            self.note(self.shown())
        for _ in range(100):
            alive = [task for task in self.tasks if not task.done()]
            if not alive:
                break
            alive[0].cancel()
            for _ in range(3):
                await self.pass_turn()
            # Who waits on a condition does not end before it has the lock, which somebody may have kept.
            if isinstance(self.one, asyncio.Condition) and self.one.locked():
                self.one.release()
        assert alive == []
        self.note(self.shown())
        return self.trace


def at_once(function):
    """Makes an operation of one that does not wait."""

    async def operation(one, argument):
        return function(one, argument)

    return operation


async def hold(one, argument):
    """Holds a lock or permit for some turns."""
    async with one:
        for _ in range(argument % 3):
            await asyncio.sleep(0)


async def wait_held(one, argument):
    """Waits on a condition, with its lock."""
    async with one:
        return await one.wait()


async def wait_until(one, argument):
    """Waits on a condition until a predicate has been asked some times."""
    left = [argument % 3]

    def predicate():
        left[0] -= 1
        return left[0] < 0

    async with one:
        return await one.wait_for(predicate)


async def notify(one, argument):
    """Notifies some, or all."""
    async with one:
        if argument % 4 == 3:
            one.notify_all()
        else:
            one.notify(argument % 4)


async def gated(one, argument):
    """Goes through a barrier."""
    async with one as place:
        return place


LOCK = [
    ("acquire", lambda one, _: one.acquire()),
    ("hold", hold),
    ("release", at_once(lambda one, _: one.release())),
]
EVENT = [
    ("wait", lambda one, _: one.wait()),
    ("set", at_once(lambda one, _: one.set())),
    ("clear", at_once(lambda one, _: one.clear())),
]
CONDITION = [
    ("wait", wait_held),
    ("wait_for", wait_until),
    ("notify", notify),
    ("hold", hold),
    ("bare wait", lambda one, _: one.wait()),
    ("bare notify", at_once(lambda one, _: one.notify())),
]
BARRIER = [
    ("wait", lambda one, _: one.wait()),
    ("enter", gated),
    ("reset", lambda one, argument: one.reset() if argument % 4 == 0 else one.wait()),
    ("abort", lambda one, argument: one.abort() if argument % 16 == 0 else one.wait()),
]
QUEUE = [
    ("put", lambda one, argument: one.put(argument % 5)),
    ("get", lambda one, _: one.get()),
    ("put_nowait", at_once(lambda one, argument: one.put_nowait(argument % 5))),
    ("get_nowait", at_once(lambda one, _: one.get_nowait())),
    ("join", lambda one, _: one.join()),
    ("task_done", at_once(lambda one, _: one.task_done())),
]
SHUT = [
    (
        "shutdown",
        at_once(
            lambda one, argument: one.shutdown(argument % 2 == 0) if argument % 8 == 0 else None
        ),
    )
]

MODELS = {
    "Lock": (lambda kit: kit.Lock(), LOCK),
    "Event": (lambda kit: kit.Event(), EVENT),
    "Condition": (lambda kit: kit.Condition(), CONDITION),
    "Semaphore": (lambda kit: kit.Semaphore(2), LOCK),
    "BoundedSemaphore": (lambda kit: kit.BoundedSemaphore(2), LOCK),
    "Barrier": (lambda kit: kit.Barrier(3), BARRIER),
    "Queue": (lambda kit: kit.Queue(2), QUEUE + SHUT * (sys.version_info >= (3, 13))),
    "PriorityQueue": (lambda kit: kit.PriorityQueue(3), QUEUE),
    "LifoQueue": (lambda kit: kit.LifoQueue(), QUEUE),
}
LOOPS = {"ours": conbrio.new_event_loop, "standard": asyncio.SelectorEventLoop}


@pytest.fixture(scope="module")
def runners():
    """One runner for all the programs of each loop: making a loop costs more than a program."""
    runners = {name: asyncio.Runner(loop_factory=factory) for name, factory in LOOPS.items()}
    yield runners
    for runner in runners.values():
        runner.close()


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_trace_is_asyncios(name, runners):
    make, operations = MODELS[name]
    most = max(1, STEPS // len(MODELS) // STEPS_EACH)

    @hypothesis.settings(
        max_examples=most,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(PROGRAM)
    def traced_alike(program):
        expected = runners["ours"].run(Bench(asyncio, make, operations).run(program))
        assert runners["ours"].run(Bench(conbrio, make, operations).run(program)) == expected
        if program[0] % 8 == 0:
            assert (
                runners["standard"].run(Bench(conbrio, make, operations).run(program)) == expected
            )

    traced_alike()
