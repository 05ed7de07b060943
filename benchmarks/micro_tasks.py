"""In-process workloads: tasks, futures, queues and locks."""
import asyncio

from workload import micro, noop, now


# ---------------------------------------------------------------- tasks and futures
@micro(100_000)
async def task_spawn(loop, n):
    """await create_task(noop()), n times"""
    create_task = asyncio.create_task
    t = now()
    for _ in range(n):
        await create_task(noop())
    return now() - t


@micro(100_000)
async def task_spawn_batch(loop, n):
    """10,000 create_task at once, then await each; repeated"""
    create_task = asyncio.create_task
    t = now()
    for _ in range(n // 10_000):
        for x in [create_task(noop()) for _ in range(10_000)]:
            await x
    return now() - t


@micro(200_000)
async def sleep0(loop, n):
    """await asyncio.sleep(0), one task"""
    sleep = asyncio.sleep
    t = now()
    for _ in range(n):
        await sleep(0)
    return now() - t


@micro(200_000)
async def sleep0_100tasks(loop, n):
    """await asyncio.sleep(0) in 100 tasks"""
    async def w(k):
        sleep = asyncio.sleep
        for _ in range(k):
            await sleep(0)

    t = now()
    await asyncio.gather(*[w(n // 100) for _ in range(100)])
    return now() - t


@micro(200_000)
async def future_pingpong(loop, n):
    """two tasks wake each other by future.set_result"""
    futs = [loop.create_future(), loop.create_future()]

    async def player(me, other, k):
        for _ in range(k):
            await futs[me]
            futs[me] = loop.create_future()
            futs[other].set_result(None)

    k = n // 2
    a = asyncio.ensure_future(player(0, 1, k))
    b = asyncio.ensure_future(player(1, 0, k))
    await asyncio.sleep(0)
    t = now()
    futs[0].set_result(None)
    await a
    await b
    return now() - t


@micro(100_000)
async def future_callbacks(loop, n):
    """create_future, add_done_callback, set_result; 1,000 at a time"""
    def cb(f):
        pass

    t = now()
    for _ in range(n // 1000):
        for _ in range(1000):
            f = loop.create_future()
            f.add_done_callback(cb)
            f.set_result(None)
        await asyncio.sleep(0)
    return now() - t


@micro(100_000)
async def gather_10k(loop, n):
    """gather of 10,000 coroutines"""
    t = now()
    for _ in range(n // 10_000):
        await asyncio.gather(*[noop() for _ in range(10_000)])
    return now() - t


@micro(50_000)
async def gather_10(loop, n):
    """gather of 10 coroutines that each sleep(0); per coroutine"""
    async def w():
        await asyncio.sleep(0)

    t = now()
    for _ in range(n // 10):
        await asyncio.gather(w(), w(), w(), w(), w(), w(), w(), w(), w(), w())
    return now() - t


@micro(50_000)
async def wait_for(loop, n):
    """await wait_for(coroutine that sleeps 0, 10)"""
    async def w():
        await asyncio.sleep(0)

    t = now()
    for _ in range(n):
        await asyncio.wait_for(w(), 10)
    return now() - t


@micro(50_000, needs=(3, 11))
async def timeout_ctx(loop, n):
    """async with asyncio.timeout(10): await sleep(0)"""
    t = now()
    for _ in range(n):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
    return now() - t


@micro(50_000, needs=(3, 11))
async def taskgroup(loop, n):
    """TaskGroup of 1,000 noop tasks; per task"""
    t = now()
    for _ in range(n // 1000):
        async with asyncio.TaskGroup() as tg:
            for _ in range(1000):
                tg.create_task(noop())
    return now() - t


@micro(50_000)
async def task_cancel(loop, n):
    """create, let start, cancel, await; 1,000 at a time"""
    async def w():
        await loop.create_future()

    t = now()
    for _ in range(n // 1000):
        ts = [asyncio.ensure_future(w()) for _ in range(1000)]
        await asyncio.sleep(0)
        for x in ts:
            x.cancel()
        await asyncio.gather(*ts, return_exceptions=True)
    return now() - t


@micro(20_000, outside=True)
def run_until_complete(loop, n):
    """loop.run_until_complete(noop())"""
    f = loop.run_until_complete
    t = now()
    for _ in range(n):
        f(noop())
    return now() - t


# ---------------------------------------------------------------- queues and locks
@micro(100_000)
async def queue_pingpong(loop, n):
    """two queues, two tasks; per message"""
    a, b = asyncio.Queue(1), asyncio.Queue(1)

    async def echo(k):
        for _ in range(k):
            await b.put(await a.get())

    k = n // 2
    e = asyncio.ensure_future(echo(k))
    t = now()
    for i in range(k):
        await a.put(i)
        await b.get()
    t = now() - t
    await e
    return t


@micro(100_000)
async def queue_stream(loop, n):
    """one producer, one consumer, Queue(100)"""
    q = asyncio.Queue(100)

    async def put():
        for i in range(n):
            await q.put(i)

    p = asyncio.ensure_future(put())
    t = now()
    for _ in range(n):
        await q.get()
    t = now() - t
    await p
    return t


@micro(50_000)
async def semaphore(loop, n):
    """100 tasks through Semaphore(10), one sleep(0) inside"""
    sem = asyncio.Semaphore(10)

    async def w(k):
        for _ in range(k):
            async with sem:
                await asyncio.sleep(0)

    t = now()
    await asyncio.gather(*[w(n // 100) for _ in range(100)])
    return now() - t


@micro(50_000)
async def lock_contended(loop, n):
    """10 tasks through one Lock, one sleep(0) inside"""
    lk = asyncio.Lock()

    async def w(k):
        for _ in range(k):
            async with lk:
                await asyncio.sleep(0)

    t = now()
    await asyncio.gather(*[w(n // 10) for _ in range(10)])
    return now() - t


@micro(50_000)
async def event_pingpong(loop, n):
    """two Events, two tasks; per wake"""
    a, b = asyncio.Event(), asyncio.Event()

    async def w(k):
        for _ in range(k):
            await a.wait()
            a.clear()
            b.set()

    k = n // 2
    x = asyncio.ensure_future(w(k))
    await asyncio.sleep(0)
    t = now()
    for _ in range(k):
        a.set()
        await b.wait()
        b.clear()
    t = now() - t
    await x
    return t


@micro(50_000)
async def condition_notify(loop, n):
    """Condition.wait / notify between two tasks; per hand-over"""
    c = asyncio.Condition()
    turn = 0

    async def w(me, k):
        nonlocal turn
        for _ in range(k):
            async with c:
                while turn != me:
                    await c.wait()
                turn = 1 - me
                c.notify()

    t = now()
    await asyncio.gather(w(0, n // 2), w(1, n // 2))
    return now() - t
