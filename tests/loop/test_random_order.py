"""Random programs of tasks and futures: the same seed leaves the same trace on every loop."""

import asyncio
import random
import sys

import pytest


class Bare:
    """An awaitable that gives up one turn without a future."""

    def __await__(self):
        yield


class Program:
    """A random program: agents that wait for, wake, cancel and start one another."""

    def __init__(self, loop, note, seed, *, timers=False):
        self.loop = loop
        self.note = note
        self.dice = random.Random(seed)
        self.futures = [loop.create_future() for _ in range(6)]
        self.agents = []
        self.lock = asyncio.Lock()
        self.event = asyncio.Event()
        self.queue = asyncio.Queue(2)
        self.deeds = [
            self.nap,
            self.bare,
            self.wait,
            self.finish,
            self.fail,
            self.drop,
            self.cancel,
        ]
        self.deeds += [self.soon, self.hear, self.start, self.gather, self.hold, self.signal]
        self.deeds += [self.listen, self.put, self.get, self.shield, self.renew, self.refuse]
        if timers:
            self.deeds += [self.later]

    async def run(self):
        for name in range(5):
            self.spawn(str(name), 8)
        for _ in range(60):
            await asyncio.sleep(0)
        self.note("end of play")
        for number in range(len(self.futures)):
            if not self.futures[number].done():
                self.futures[number].set_result("end")
        for _ in range(200):
            for agent in list(self.agents):
                agent.cancel("end")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert all(agent.done() for agent in self.agents)
        for agent in self.agents:
            try:
                self.note("result", await agent)
            except (Exception, asyncio.CancelledError) as error:
                self.note("result", error)
        for future in self.futures:
            if future.done() and not future.cancelled():
                future.exception()

    def spawn(self, name, deeds):
        task = self.loop.create_task(self.agent(name, deeds))
        task.add_done_callback(lambda _: self.note(name, "is done"))
        self.agents.append(task)
        return task

    async def agent(self, name, deeds):
        for _ in range(deeds):
            deed = self.dice.choice(self.deeds)
            self.note(name, deed.__name__)
            try:
                await deed(name)
            except ValueError as error:
                self.note(name, error)
            except asyncio.CancelledError as error:
                self.note(name, "cancelled", error.args)
                if self.dice.random() < 0.6:
                    raise
        return name

    def future(self):
        return self.dice.choice(self.futures)

    async def nap(self, name):
        await asyncio.sleep(0)

    async def bare(self, name):
        for _ in range(self.dice.randrange(4)):
            await Bare()

    async def wait(self, name):
        self.note(name, await self.future())

    async def finish(self, name):
        future = self.future()
        if not future.done():
            future.set_result(name)

    async def fail(self, name):
        future = self.future()
        if not future.done():
            future.set_exception(ValueError(name))
            future.exception()

    async def drop(self, name):
        self.note(name, self.future().cancel(name))

    async def cancel(self, name):
        agent = self.dice.choice(self.agents)
        self.note(name, agent.cancel(name), agent.cancelling())
        if self.dice.random() < 0.3:
            self.note(name, agent.uncancel())

    async def soon(self, name):
        self.loop.call_soon(self.note, name, "soon")
        handle = self.loop.call_soon(self.note, name, "maybe")
        if self.dice.random() < 0.5:
            handle.cancel()

    async def later(self, name):
        self.loop.call_later(0, self.note, name, "later")
        await asyncio.sleep(1e-9)

    async def hear(self, name):
        callback = lambda done: self.note(name, "hears", done)  # noqa: E731
        future = self.future()
        future.add_done_callback(callback)
        future.add_done_callback(self.note)
        if self.dice.random() < 0.3:
            self.note(name, future.remove_done_callback(callback))
        if self.dice.random() < 0.8:
            self.note(name, future.remove_done_callback(self.note))

    async def start(self, name):
        if len(self.agents) < 14:
            task = self.spawn(name + "+", 3)
            if self.dice.random() < 0.5:
                self.note(name, await task)

    async def gather(self, name):
        async def child(naps):
            for _ in range(naps):
                await asyncio.sleep(0)
            if naps == 3:
                raise ValueError(name)
            return naps

        tolerant = self.dice.random() < 0.5
        children = [child(self.dice.randrange(4)) for _ in range(3)]
        self.note(name, await asyncio.gather(*children, return_exceptions=tolerant))

    async def hold(self, name):
        async with self.lock:
            await asyncio.sleep(0)

    async def signal(self, name):
        self.event.set()
        self.loop.call_soon(self.event.clear)

    async def listen(self, name):
        await self.event.wait()

    async def put(self, name):
        await self.queue.put(name)

    async def get(self, name):
        self.note(name, await self.queue.get())

    async def shield(self, name):
        await asyncio.shield(self.future())

    async def renew(self, name):
        number = self.dice.randrange(len(self.futures))
        if self.futures[number].done():
            self.futures[number] = self.loop.create_future()

    async def refuse(self, name):
        future = self.future()
        try:
            future.set_result(1) if future.done() else future.result()
        except (asyncio.InvalidStateError, asyncio.CancelledError) as error:
            self.note(name, error)


@pytest.mark.parametrize("seed", range(60))
def test_random_program(same_trace, seed):
    async def script(loop, note):
        await Program(loop, note, seed).run()

    assert len(same_trace(script)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(1, 11))
def test_many_random_programs(same_trace, hundred):
    for seed in range(hundred * 100, hundred * 100 + 100):

        async def script(loop, note, seed=seed):
            await Program(loop, note, seed).run()

        same_trace(script)


@pytest.mark.parametrize("seed", range(20))
def test_random_program_with_timers(same_trace, seed):
    async def script(loop, note):
        await Program(loop, note, seed, timers=True).run()

    same_trace(script)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize("seed", range(40))
def test_random_program_with_eager_tasks(same_trace, seed):
    async def script(loop, note):
        loop.set_task_factory(asyncio.eager_task_factory)
        await Program(loop, note, seed).run()

    same_trace(script)


@pytest.mark.parametrize("seed", range(20))
def test_random_program_with_foreign_tasks(same_trace, seed):
    """Tasks of the standard library among our own futures."""

    async def script(loop, note):
        loop.set_task_factory(
            lambda loop, coro, **options: asyncio.tasks.Task(coro, loop=loop, **options)
        )
        await Program(loop, note, seed).run()

    same_trace(script)


@pytest.mark.parametrize("seed", range(20))
def test_random_program_in_debug_mode(same_trace, seed):
    async def script(loop, note):
        loop.set_debug(True)
        await Program(loop, note, seed).run()

    same_trace(script)
