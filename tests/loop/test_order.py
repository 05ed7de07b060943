"""Order of tasks and futures: scripts whose traces, turn by turn, equal the standard loop's."""

import asyncio
import sys

import pytest

from loopkit import peers


async def nap(note, name, naps=1):
    """Note a beginning and an end with some turns between them."""
    note(name, "begins")
    for _ in range(naps):
        await asyncio.sleep(0)
    note(name, "ends")
    return name


class Bare:
    """An awaitable that gives up one turn without a future."""

    def __await__(self):
        yield


async def create_and_await(loop, note):
    task = loop.create_task(nap(note, "a"))
    note("created")
    note(await task)
    note(await asyncio.create_task(nap(note, "b", 3)))


async def await_directly(loop, note):
    note(await nap(note, "a", 0))
    note(await nap(note, "b", 2))


async def bare_yields(loop, note):
    async def worker(name):
        for number in range(3):
            note(name, number)
            await Bare()

    await asyncio.gather(worker("a"), worker("b"), worker("c"))


async def gather_in_order(loop, note):
    note(await asyncio.gather(*(nap(note, n, n) for n in (3, 1, 2, 0))))
    note(await asyncio.gather())
    note(await asyncio.gather(nap(note, "one")))


async def gather_with_failures(loop, note):
    async def fail(naps):
        await nap(note, f"failing {naps}", naps)
        raise KeyError(naps)

    note(await asyncio.gather(nap(note, "a", 2), fail(1), fail(3), return_exceptions=True))
    try:
        await asyncio.gather(nap(note, "b", 3), fail(1))
    except KeyError as error:
        note("caught", error)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def gather_cancelled(loop, note):
    inner = [loop.create_task(nap(note, n, 5)) for n in range(3)]
    outer = asyncio.gather(*inner)
    loop.call_soon(lambda: note("cancel", outer.cancel("enough")))
    try:
        await outer
    except asyncio.CancelledError as error:
        note("cancelled", error.args)
    note([task.cancelled() for task in inner])


async def gather_of_one_future_twice(loop, note):
    future = loop.create_future()
    loop.call_soon(future.set_result, 5)
    note(await asyncio.gather(future, future, nap(note, "a")))


async def done_callbacks(loop, note):
    future = loop.create_future()
    for number in range(5):
        future.add_done_callback(lambda done, number=number: note(number, done.result()))
    future.add_done_callback(lambda done: done.add_done_callback(lambda _: note("late")))
    future.set_result("r")
    note("set")
    note(await future)
    future.add_done_callback(lambda _: note("after"))
    note("added")
    await asyncio.sleep(0)


async def waiters_and_callbacks_mixed(loop, note):
    future = loop.create_future()

    async def waiter(name):
        note(name, await future)

    tasks = [loop.create_task(waiter("first"))]
    future.add_done_callback(lambda _: note("callback before"))
    await asyncio.sleep(0)
    future.add_done_callback(lambda _: note("callback between"))
    tasks.append(loop.create_task(waiter("second")))
    await asyncio.sleep(0)
    future.add_done_callback(lambda _: note("callback after"))
    loop.call_soon(note, "soon")
    future.set_result(1)
    loop.call_soon(note, "soon after")
    await asyncio.gather(*tasks)


async def exceptions_wake(loop, note):
    future = loop.create_future()

    async def waiter(name):
        try:
            await future
        except ValueError as error:
            note(name, error)

    tasks = [loop.create_task(waiter(name)) for name in "ab"]
    loop.call_soon(future.set_exception, ValueError("bad"))
    await asyncio.gather(*tasks)


async def cancel_before_start(loop, note):
    task = loop.create_task(nap(note, "never"))
    note(task.cancel())
    note(task.cancelling() if hasattr(task, "cancelling") else None)
    try:
        await task
    except asyncio.CancelledError:
        note("cancelled")
    note(task.cancel())


async def cancel_while_waiting(loop, note):
    future = loop.create_future()

    async def waiter():
        try:
            await future
        except asyncio.CancelledError as error:
            note("inside", error.args)
            raise

    task = loop.create_task(waiter())
    await asyncio.sleep(0)
    note(task.cancel("words"), future.cancelled())
    try:
        await task
    except asyncio.CancelledError as error:
        note("outside", error.args)


async def cancel_swallowed(loop, note):
    async def stubborn():
        for _ in range(3):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                note("no")
        return "in the end"

    task = loop.create_task(stubborn())
    for _ in range(3):
        await asyncio.sleep(0)
        note(task.cancel())
    note(await task)
    note(task.cancelling())


async def cancel_after_the_result_is_set(loop, note):
    future = loop.create_future()

    async def waiter():
        try:
            note(await future)
        except asyncio.CancelledError:
            note("cancelled though done")
            raise

    task = loop.create_task(waiter())
    await asyncio.sleep(0)
    future.set_result("r")
    note(task.cancel())
    try:
        await task
    except asyncio.CancelledError:
        note("cancelled")


async def cancel_from_inside(loop, note):
    async def suicidal():
        note(asyncio.current_task().cancel("me"))
        note("still here")
        await nap(note, "never")

    try:
        await loop.create_task(suicidal())
    except asyncio.CancelledError as error:
        note("cancelled", error.args)

    async def ends_anyway():
        asyncio.current_task().cancel()
        return "value"

    task = loop.create_task(ends_anyway())
    try:
        note(await task)
    except asyncio.CancelledError:
        note("cancelled", task.cancelled())


async def cancel_chain(loop, note):
    async def level(depth):
        try:
            if depth:
                await loop.create_task(level(depth - 1))
            else:
                await loop.create_future()
        except asyncio.CancelledError:
            note("level", depth)
            raise

    task = loop.create_task(level(5))
    for _ in range(8):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        note("done")


async def shield(loop, note):
    inner = loop.create_task(nap(note, "inner", 4))

    async def outer():
        await asyncio.shield(inner)

    task = loop.create_task(outer())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        note("outer cancelled")
    note(await inner)


async def wait_for_and_timeouts(loop, note):
    note(await asyncio.wait_for(nap(note, "in time"), None))
    note(await asyncio.wait_for(nap(note, "in time"), 3600))
    for delay in (0, -1):
        try:
            await asyncio.wait_for(nap(note, "late", 3), delay)
        except TimeoutError:
            note("late")
    try:
        async with asyncio.timeout(-1):
            await nap(note, "late", 3)
    except TimeoutError:
        note("timeout")


async def task_group(loop, note):
    async def fail():
        await asyncio.sleep(0)
        raise ValueError("group")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(nap(note, "a", 1))
            group.create_task(fail())
            group.create_task(nap(note, "b", 9))
            group.create_task(nap(note, "c", 0))
    except* ValueError as caught:
        note(caught.exceptions)


async def locks_and_queues(loop, note):
    lock, event = asyncio.Lock(), asyncio.Event()
    queue = asyncio.Queue(2)
    gate = asyncio.Semaphore(2)

    async def locker(name):
        async with lock:
            await nap(note, name)

    async def producer():
        for number in range(5):
            await queue.put(number)
            note("put", number)

    async def consumer(name):
        for _ in range(5 // 2):
            note(name, await queue.get())

    async def listener(name):
        await event.wait()
        async with gate:
            await nap(note, name, 2)

    listeners = [loop.create_task(listener(f"listener {n}")) for n in range(4)]
    await asyncio.gather(locker("x"), locker("y"), locker("z"))
    await asyncio.gather(producer(), consumer("left"), consumer("right"))
    event.set()
    await asyncio.gather(*listeners)


async def conditions_and_barriers(loop, note):
    condition = asyncio.Condition()
    barrier = asyncio.Barrier(3)

    async def waiter(name):
        async with condition:
            await condition.wait()
            note(name, "notified")

    async def party(name):
        note(name, await barrier.wait())

    tasks = [loop.create_task(waiter(name)) for name in "abc"]
    await asyncio.sleep(0)
    async with condition:
        condition.notify(1)
    await asyncio.sleep(0)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks)
    await asyncio.gather(*map(party, "xyz"))


async def as_completed(loop, note):
    tasks = [loop.create_task(nap(note, n, n)) for n in (4, 0, 2)]
    for each in asyncio.as_completed(tasks):
        note(await each)


async def handler_hears(loop, note):
    def fail():
        raise LookupError("callback")

    future = loop.create_future()
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: note("next"))
    future.set_result(None)
    loop.call_soon(fail)
    loop.call_later(0, fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def async_generators(loop, note):
    async def numbers():
        try:
            for number in range(3):
                await asyncio.sleep(0)
                yield number
        finally:
            note("closed")

    async for number in numbers():
        note(number)
    async for number in numbers():
        break
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def sockets_and_callbacks(loop, note):
    near, far = peers.unix_pair()
    future = loop.create_future()

    def readable():
        note("readable", near.recv(10))
        loop.remove_reader(near)
        loop.call_soon(note, "soon after reading")
        loop.call_soon(future.set_result, 1)

    def writable():
        note("writable")
        loop.remove_writer(near)

    far.send(b"x")
    loop.add_reader(near, readable)
    loop.add_writer(near, writable)
    note(await future)
    note(await loop.sock_sendall(near, b"hello"))
    note(await loop.sock_recv(far, 10))
    near.close()
    far.close()


SCRIPTS = [
    create_and_await,
    await_directly,
    bare_yields,
    gather_in_order,
    gather_with_failures,
    gather_cancelled,
    gather_of_one_future_twice,
    done_callbacks,
    waiters_and_callbacks_mixed,
    exceptions_wake,
    cancel_before_start,
    cancel_while_waiting,
    cancel_swallowed,
    cancel_after_the_result_is_set,
    cancel_from_inside,
    cancel_chain,
    shield,
    wait_for_and_timeouts,
    task_group,
    locks_and_queues,
    conditions_and_barriers,
    as_completed,
    handler_hears,
    async_generators,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(same_trace, script):
    assert len(same_trace(script)) > 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script_with_eager_tasks(same_trace, script):
    async def eagerly(loop, note):
        loop.set_task_factory(asyncio.eager_task_factory)
        return await script(loop, note)

    assert len(same_trace(eagerly)) > 2


def test_sockets_and_callbacks(same_trace):
    assert len(same_trace(sockets_and_callbacks, turns=False)) == 7


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks_run_at_once_and_give_back_the_current_task(same_trace):
    async def script(loop, note):
        outer = asyncio.current_task()

        async def inner(naps):
            note(asyncio.current_task() is outer, asyncio.current_task() in asyncio.all_tasks())
            for _ in range(naps):
                await asyncio.sleep(0)
            note("inner ends", naps)
            return naps

        for naps in (0, 2):
            task = asyncio.Task(inner(naps), loop=loop, eager_start=True)
            note(task.done(), asyncio.current_task() is outer)
            note(await task)

        async def fail():
            raise ValueError("eager")

        task = asyncio.Task(fail(), loop=loop, eager_start=True)
        note(task.done(), task.exception())

        async def nested():
            return await asyncio.Task(inner(1), loop=loop, eager_start=True)

        note(await asyncio.Task(nested(), loop=loop, eager_start=True))

    same_trace(script)
