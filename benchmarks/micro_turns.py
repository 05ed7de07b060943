"""In-process workloads: callbacks, timers and threads."""
import asyncio
import random
import threading
import time

from workload import micro, noop, now


# ---------------------------------------------------------------- callbacks
@micro(200_000)
async def call_soon_chain(loop, n):
    """a callback that schedules itself again, n times"""
    fut, left, call_soon = loop.create_future(), n, loop.call_soon

    def cb():
        nonlocal left
        left -= 1
        if left:
            call_soon(cb)
        else:
            fut.set_result(None)

    t = now()
    call_soon(cb)
    await fut
    return now() - t


@micro(200_000)
async def call_soon_chain_args(loop, n):
    """the same with three arguments"""
    fut, call_soon = loop.create_future(), loop.call_soon

    def cb(left, a, b):
        if left:
            call_soon(cb, left - 1, a, b)
        else:
            fut.set_result(None)

    t = now()
    call_soon(cb, n, "x", None)
    await fut
    return now() - t


@micro(200_000)
async def call_soon_burst(loop, n):
    """10,000 callbacks queued at once, then run; repeated"""
    call_soon = loop.call_soon

    def cb():
        pass

    t = now()
    for _ in range(n // 10_000):
        fut = loop.create_future()
        for _ in range(9_999):
            call_soon(cb)
        call_soon(fut.set_result, None)
        await fut
    return now() - t


@micro(100_000)
async def call_soon_cancel(loop, n):
    """call_soon then cancel, 10,000 at a time"""
    call_soon = loop.call_soon

    def cb():
        raise AssertionError("cancelled callback ran")

    t = now()
    for _ in range(n // 10_000):
        hs = [call_soon(cb) for _ in range(10_000)]
        for h in hs:
            h.cancel()
        await asyncio.sleep(0)
    return now() - t


# ---------------------------------------------------------------- timers
@micro(100_000)
async def timers_fire(loop, n):
    """n call_later with delays of 0..1 ms, until all have fired"""
    rnd = random.Random(1)
    delays = [rnd.random() * 1e-3 for _ in range(n)]
    fut, left = loop.create_future(), n

    def cb():
        nonlocal left
        left -= 1
        if not left:
            fut.set_result(None)

    call_later = loop.call_later
    t = now()
    for d in delays:
        call_later(d, cb)
    await fut
    return now() - t


@micro(100_000)
async def timers_cancel(loop, n):
    """n call_later 10..100 s ahead, then cancel all"""
    rnd = random.Random(1)
    delays = [10 + 90 * rnd.random() for _ in range(n)]

    def cb():
        pass

    call_later = loop.call_later
    t = now()
    hs = [call_later(d, cb) for d in delays]
    for h in hs:
        h.cancel()
    await asyncio.sleep(0)
    return now() - t


@micro(100_000)
async def timers_timeout_pattern(loop, n):
    """set a 30 s timer and cancel it straight after, with 1,000 others pending"""
    def cb():
        pass

    call_later = loop.call_later
    held = [call_later(50 + i, cb) for i in range(1000)]
    t = now()
    for i in range(n // 100):
        for _ in range(100):
            call_later(30, cb).cancel()
        await asyncio.sleep(0)
    t = now() - t
    for h in held:
        h.cancel()
    return t


@micro(20_000)
async def sleep_storm(loop, n):
    """n tasks that each sleep 0..20 ms once; processor time per task"""
    rnd = random.Random(2)
    delays = [rnd.random() * 0.02 for _ in range(n)]

    async def one(d):
        await asyncio.sleep(d)

    t = time.process_time()
    await asyncio.gather(*[one(d) for d in delays])
    return time.process_time() - t


@micro(150, group="latency", reps=3)
async def sleep_1ms_late(loop, n):
    """median lateness of asyncio.sleep(0.001), in us"""
    late = []
    for _ in range(n):
        t = now()
        await asyncio.sleep(0.001)
        late.append(now() - t - 0.001)
    late.sort()
    return {"us": late[n // 2] * 1e6}


# ---------------------------------------------------------------- threads
@micro(100_000, cpus="0,1")
async def threadsafe_throughput(loop, n):
    """another thread calls call_soon_threadsafe n times"""
    fut, left = loop.create_future(), n

    def cb():
        nonlocal left
        left -= 1
        if not left:
            fut.set_result(None)

    def work():
        f = loop.call_soon_threadsafe
        for _ in range(n):
            f(cb)

    th = threading.Thread(target=work)
    t = now()
    th.start()
    await fut
    t = now() - t
    th.join()
    return t


@micro(5_000, group="latency", cpus="0,1")
async def threadsafe_latency(loop, n):
    """call_soon_threadsafe into an idle loop and back by a lock; median round trip, us"""
    fut, out = loop.create_future(), []

    def work():
        lock = threading.Lock()
        lock.acquire()
        for _ in range(n):
            t = now()
            loop.call_soon_threadsafe(lock.release)
            lock.acquire()
            out.append(now() - t)
        loop.call_soon_threadsafe(fut.set_result, None)

    th = threading.Thread(target=work)
    th.start()
    await fut
    th.join()
    out.sort()
    return {"us": out[n // 2] * 1e6, "p99_us": out[n * 99 // 100] * 1e6}


@micro(3_000, group="latency", cpus="0,1")
async def run_coroutine_threadsafe(loop, n):
    """asyncio.run_coroutine_threadsafe(...).result() from a thread, us each"""
    fut = loop.create_future()

    def work():
        t = now()
        for _ in range(n):
            asyncio.run_coroutine_threadsafe(noop(), loop).result()
        loop.call_soon_threadsafe(fut.set_result, now() - t)

    th = threading.Thread(target=work)
    th.start()
    t = await fut
    th.join()
    return t


@micro(5_000, group="latency", cpus="0,1")
async def executor_roundtrip(loop, n):
    """await loop.run_in_executor(None, f)"""
    def f():
        pass

    await loop.run_in_executor(None, f)
    t = now()
    for _ in range(n):
        await loop.run_in_executor(None, f)
    return now() - t


@micro(5_000, group="latency", cpus="0,1")
async def to_thread_roundtrip(loop, n):
    """await asyncio.to_thread(f)"""
    def f():
        pass

    await asyncio.to_thread(f)
    t = now()
    for _ in range(n):
        await asyncio.to_thread(f)
    return now() - t


@micro(10_000, cpus="0,1")
async def executor_batch(loop, n):
    """gather of 1,000 run_in_executor calls at a time"""
    def f():
        pass

    t = now()
    for _ in range(n // 1000):
        await asyncio.gather(*[loop.run_in_executor(None, f) for _ in range(1000)])
    return now() - t
