"""What waits for several futures against asyncio's own: random programs of ends, cancellations and timeouts, traced alike.

A program is a string of bytes, as in the models of single primitives: two make a step of a controller, which makes
futures and tasks, ends or cancels them, begins an operation over some of them, cancels one of those, or lets turns
pass. `CONBRIO_MODEL_STEPS` says how many steps there are in all.
"""

import asyncio
import contextlib
import os

import pytest

conbrio = pytest.importorskip("conbrio")
hypothesis = pytest.importorskip(
    "hypothesis", reason="random programs are made by hypothesis, which is not installed"
)
st = hypothesis.strategies

STEPS = int(os.environ.get("CONBRIO_MODEL_STEPS", "100000"))
STEPS_EACH = 100
PROGRAM = st.binary(min_size=160, max_size=320)
CROWD = 10


async def child(turns, kind):
    """A task that ends by itself after some turns; one kind resists its first cancellation."""
    for _ in range(turns):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if kind != 3:
                raise
            kind = 0
    if kind == 1:
        raise ValueError(turns)
    return turns


class Model:
    """One run of a program: the futures, the operations over them, and what happened."""

    def __init__(self, kit, operate):
        self.kit = kit
        self.operate = operate
        self.turn = 0
        self.trace = []
        self.futures = []
        self.operations = []
        self.clocks = []

    def note(self, *what):
        """Notes what happened, and when."""
        self.trace.append((self.turn, *what))

    def some(self, argument):
        """Returns some of the futures that there are, the younger ones rather."""
        young = self.futures[-8:]
        return [one for place, one in enumerate(young) if argument >> (place % 6) & 1] or young[-1:]

    def places(self, several):
        """Returns where futures stand among all."""
        return sorted(self.futures.index(one) for one in several)

    async def operation(self, number, argument, timed):
        """Does one operation and notes its end."""
        try:
            if timed:
                async with self.kit.timeout(None) as clock:
                    self.clocks.append(clock)
                    answer = await self.operate(self, argument)
            else:
                answer = await self.operate(self, argument)
        except BaseException as error:
            self.note(number, type(error).__name__, *map(str, error.args))
        else:
            self.note(number, "did", answer)

    def make(self, argument):
        """Makes a future or a task."""
        if argument % 3 == 0:
            made = asyncio.get_running_loop().create_future()
        else:
            made = asyncio.ensure_future(child(argument // 3 % 7, argument // 21 % 4))
        number = len(self.futures)
        made.add_done_callback(lambda done: self.note("end", number, done.cancelled()))
        self.futures.append(made)

    def end(self, argument):
        """Ends or cancels one that has not ended."""
        waiting = [one for one in self.futures if not one.done()]
        if not waiting:
            return
        one = waiting[argument % len(waiting)]
        if isinstance(one, asyncio.Task) or argument % 4 == 3:
            one.cancel(str(argument) if argument % 8 < 4 else None)
        elif argument % 4 == 2:
            one.set_exception(KeyError(argument))
        else:
            one.set_result(argument)

    async def step(self, what, argument):
        """Does one step of the program."""
        alive = [task for task in self.operations if not task.done()]
        match what % 8:
            case 0 | 1:
                for _ in range(1 + argument % 3):
                    await self.pass_turn()
            case 2 | 3:
                if sum(not one.done() for one in self.futures) < CROWD:
                    self.make(argument)
            case 4:
                self.end(argument)
            case 5 if alive:
                alive[argument % len(alive)].cancel()
            case 6 if self.clocks:
                clock = self.clocks.pop(argument % len(self.clocks))
                with contextlib.suppress(RuntimeError):  # it has ended
                    clock.reschedule(asyncio.get_running_loop().time() - 1)
            case _ if self.futures and len(alive) < CROWD:
                number = len(self.operations)
                self.note(number, "begins")
                self.operations.append(
                    asyncio.ensure_future(self.operation(number, argument, what % 16 == 7))
                )

    async def pass_turn(self):
        """Lets one turn of the loop pass."""
        self.turn += 1
        await asyncio.sleep(0)

    async def run(self, program):
        """Runs the whole program, then ends what has not ended."""
        for what, argument in zip(program[::2], program[1::2], strict=False):
            await self.step(what, argument)
            self.note([bool(one._callbacks) for one in self.futures[-8:]])
        for _ in range(200):
            alive = [one for one in (*self.operations, *self.futures) if not one.done()]
            if not alive:
                break
            alive[0].cancel()
            for _ in range(3):
                await self.pass_turn()
        assert alive == []
        for one in self.futures:
            if not one.cancelled():
                one.exception()
        return self.trace


async def wait(model, argument):
    """Waits for some."""
    until = ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED")[argument % 3]
    timeout = (None, None, None, 0)[argument // 3 % 4]
    done, pending = await model.kit.wait(model.some(argument), timeout=timeout, return_when=until)
    return model.places(done), model.places(pending)


async def gather(model, argument):
    """Gathers some."""
    return (
        await model.kit.gather(*model.some(argument), return_exceptions=argument % 2 == 1) and "all"
    )


async def shield(model, argument):
    """Shields one, and perhaps that again."""
    outer = model.kit.shield(model.some(argument)[0])
    if argument % 4 == 0:
        outer = model.kit.shield(outer)
    if argument % 16 == 1:
        outer.cancel()
    return await outer


async def as_completed(model, argument):
    """Takes some as they end; one of them may be a coroutine."""
    given = [
        *model.some(argument),
        *([child(argument % 5, argument // 8 % 3)] if argument % 2 else []),
    ]
    seen = []
    for one in model.kit.as_completed(given, timeout=(None, 0, None, None)[argument // 2 % 4]):
        try:
            came = await one
        except (ValueError, KeyError, TimeoutError, asyncio.CancelledError) as error:
            if asyncio.current_task().cancelling():
                raise
            came = type(error).__name__
        seen.append((model.turn, str(came)))
    # Those that end in one turn come in the order of their addresses.
    return sorted(seen)


async def wait_for(model, argument):
    """Waits for one, for some time."""
    timeout = (None, None, 0, -1)[argument % 4]
    return await model.kit.wait_for(model.some(argument)[0], timeout)


async def timeout(model, argument):
    """Waits within two timeouts, of which one may be over."""
    loop = asyncio.get_running_loop()
    async with (
        model.kit.timeout(None) as outer,
        model.kit.timeout_at((None, loop.time() - 1)[argument % 5 == 4]),
    ):
        if argument % 3 == 0:
            outer.reschedule(loop.time() - 1 if argument % 2 else None)
        return await model.some(argument)[0]


async def group(model, argument):
    """Runs some coroutines in a group."""
    turns = [argument % 3, argument // 3 % 4, argument // 12 % 5]
    async with model.kit.TaskGroup() as tasks:
        made = [
            tasks.create_task(child(count, (argument + place) % 4))
            for place, count in enumerate(turns)
        ]
        if argument % 7 == 0:
            await model.some(argument)[0]
    return [one.result() for one in made]


OPERATIONS = [as_completed, gather, group, shield, timeout, wait, wait_for]
LOOPS = {"ours": conbrio.new_event_loop, "standard": asyncio.SelectorEventLoop}


@pytest.fixture(scope="module")
def runners():
    """One runner for all the programs of each loop: making a loop costs more than a program."""
    runners = {name: asyncio.Runner(loop_factory=factory) for name, factory in LOOPS.items()}
    yield runners
    for runner in runners.values():
        runner.close()


@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@pytest.mark.parametrize("operate", OPERATIONS, ids=lambda function: function.__name__)
def test_a_trace_is_asyncios(operate, runners):
    most = max(1, STEPS // len(OPERATIONS) // STEPS_EACH)

    @hypothesis.settings(
        max_examples=most,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(PROGRAM)
    def traced_alike(program):
        expected = runners["ours"].run(Model(asyncio, operate).run(program))
        assert runners["ours"].run(Model(conbrio, operate).run(program)) == expected
        if program[0] % 8 == 0:
            assert runners["standard"].run(Model(conbrio, operate).run(program)) == expected

    traced_alike()
