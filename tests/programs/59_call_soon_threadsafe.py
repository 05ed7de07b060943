"""Tutorial E: call_soon_threadsafe, "call_soon for other threads".

It wakes a loop that waits (a plain stop() or call_soon from another thread need
not), keeps the order of each thread, takes thousands of calls from many
threads; in debug mode a call_soon from the wrong thread raises.
"""
import asyncio
import threading
import time

import _seed as seed
from _seed import S


def main():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    delays = []
    for _ in range(20):
        done = threading.Event()
        t0 = time.perf_counter()
        loop.call_soon_threadsafe(done.set)
        seed.check(done.wait(30), "the loop was woken")
        delays.append(time.perf_counter() - t0)
    seed.check(sorted(delays)[10] < 0.05, "woken at once: %.4f s" % sorted(delays)[10])

    got = []
    finished = threading.Event()
    n_threads, n_calls = 8, 2000

    def calls(name):
        for i in range(n_calls):
            loop.call_soon_threadsafe(got.append, (name, i))

    threads = [threading.Thread(target=calls, args=(n,)) for n in range(n_threads)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    loop.call_soon_threadsafe(finished.set)
    seed.check(finished.wait(30))
    seed.equal(len(got), n_threads * n_calls)
    for n in range(n_threads):
        seed.equal([i for name, i in got if name == n], list(range(n_calls)))

    handle = loop.call_soon_threadsafe(got.append, "cancelled")
    handle.cancel()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    seed.check(not thread.is_alive())
    loop.close()

    # Debug mode tells the wrong thread.
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    errors = []

    def wrong():
        try:
            loop.call_soon(print)
        except RuntimeError as e:
            errors.append(str(e))

    async def program():
        t = threading.Thread(target=wrong)
        t.start()
        await asyncio.sleep(S(0.5))
        t.join()

    loop.run_until_complete(program())
    seed.check(errors and "Non-thread-safe operation" in errors[0], repr(errors))
    loop.close()


if __name__ == "__main__":
    seed.run(main)
