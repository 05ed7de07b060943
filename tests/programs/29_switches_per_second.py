"""Tutorial B: "a million switches a second", "switching inside
asyncio costs far less than switching threads".

Prints the rates of this machine: task step (sleep(0)), future hand-over between
two tasks, greenlet switch, thread hand-over.  Asserts only the order: a task
switch is cheaper than a thread's.
"""
import asyncio
import threading
import time

import _seed as seed
from _seed import print

N = 20000


async def spin(n):
    for _ in range(n):
        await asyncio.sleep(0)


async def ping_pong(n):
    loop = asyncio.get_running_loop()
    futures = [loop.create_future(), loop.create_future()]

    async def player(me):
        for _ in range(n):
            await futures[me]
            futures[me] = loop.create_future()
            futures[1 - me].set_result(None)

    players = [asyncio.ensure_future(player(0)), asyncio.ensure_future(player(1))]
    await asyncio.sleep(0)
    futures[0].set_result(None)
    await asyncio.gather(*players)


def threads(n):
    ready = [threading.Semaphore(0), threading.Semaphore(0)]

    def player(me):
        for _ in range(n):
            ready[me].acquire()
            ready[1 - me].release()

    both = [threading.Thread(target=player, args=(i,)) for i in (0, 1)]
    for t in both:
        t.start()
    ready[0].release()
    for t in both:
        t.join()


def greenlets(n):
    from greenlet import greenlet

    def player(other):
        for _ in range(n):
            pair[other].switch()

    pair = [greenlet(lambda: player(1)), greenlet(lambda: player(0))]
    pair[0].switch()


def rate(switches, function):
    best = 0
    for _ in range(3):
        t0 = time.perf_counter()
        function()
        best = max(best, switches / (time.perf_counter() - t0))
    return best


def main():
    loop = asyncio.new_event_loop()
    step = rate(N, lambda: loop.run_until_complete(spin(N)))
    print("task steps with sleep(0):        %9.0f /s" % step)
    two = rate(N, lambda: loop.run_until_complete(ping_pong(N // 2)))
    print("hand-over through a future:      %9.0f /s" % two)
    loop.close()
    thread = rate(4000, lambda: threads(2000))
    print("hand-over between two threads:   %9.0f /s" % thread)
    try:
        print("greenlet switches:               %9.0f /s" % rate(2 * N, lambda: greenlets(N)))
    except ImportError:
        pass
    seed.check(step > thread, "a task switch costs less than a thread switch")


if __name__ == "__main__":
    seed.run(main)
